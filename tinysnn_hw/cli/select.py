"""`tinysnn select`: choose the model of a study by reward and limits, validate it once, keep it."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.output import NEGATIVE, note, progress_bars, reporting_errors, show, show_json
from tinysnn_hw.errors import SpecError

_flag = partial(options.flag, "Choice")
_BYTES = {"bit": 0.125, "b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 1024.0, "mib": 1024.0**2}
_JOULES = {"j": 1.0, "mj": 1e-3, "uj": 1e-6, "µj": 1e-6, "nj": 1e-9, "pj": 1e-12}

Study = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of 'tinysnn explore'.")]


@reporting_errors
def select(
    folder: Study,
    mu: Annotated[
        float,
        _flag(
            "NUMBER",
            "Points of accuracy that the memory of the FP32 network is worth (Eq. 3); 0: accuracy alone.",
        ),
    ] = 5.0,
    max_memory: Annotated[
        str | None,
        _flag("SIZE", "Largest memory in inference, such as 200KB."),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        _flag("PERCENT", "Lowest accuracy, on held-out images.", min=0, max=100),
    ] = None,
    max_energy: Annotated[
        str | None,
        _flag("ENERGY", "Largest energy of an image, such as 2uJ."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the model goes; absent: selected/trial-N in the study."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Choose only: nothing is trained, the test images are not used.")
    ] = False,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Choose a configuration by R = accuracy - mu * memory / FP32 memory, within limits, and validate it.

    Choosing looks at held-out training images only. The chosen network is then trained on all training images,
    tested once on the test images, and written to a folder that 'tinysnn evaluate' takes.
    """
    from tinysnn_hw.explore import MU_SWEEP, Limits, default_folder, load_study, validate_choice
    from tinysnn_hw.explore import select as choose
    from tinysnn_hw.report.study import selection_json, selection_tables, validation_lines

    limits = Limits(
        min_accuracy=min_accuracy,
        max_memory_bits=None if max_memory is None else memory_bits(max_memory),
        max_energy_j=None if max_energy is None else energy_j(max_energy),
    )
    study = load_study(folder)
    mus = sorted({*MU_SWEEP, mu})
    found = choose(study, mus, limits)
    if not found.kept:
        if json:
            show_json(selection_json(study, found, mu, None))
        else:
            show(*selection_tables(study, found, mu))
        raise typer.Exit(NEGATIVE)
    validated = None
    if not dry_run:
        with progress_bars() as progress:
            validated = validate_choice(
                study, found.choice(mu), limits, out, progress=progress, threads=threads
            )
    if json:
        show_json(selection_json(study, found, mu, validated))
        return
    show(*selection_tables(study, found, mu), *([] if validated is None else validation_lines(validated)))
    if validated is not None:
        place = out or default_folder(study, found.choice(mu))
        note(f"written to {place}; next: tinysnn evaluate {place}")


def memory_bits(text: str) -> int:
    """Return a size such as ``200KB``, ``1.5MiB`` or ``1000000bit`` in bits.

    Raises
    ------
    SpecError
        It is no size; units are B, KB, MB (powers of 1000), KiB, MiB (powers of 1024) and bit.
    """
    value, unit = _split(text)
    factor = _BYTES.get(unit)
    if value is None or factor is None or value <= 0:
        raise SpecError(
            f"--max-memory {text!r}: write a size above 0 with its unit: B, KB, MB, KiB, MiB or bit"
        )
    return int(value * factor * 8)


def energy_j(text: str) -> float:
    """Return an energy such as ``2uJ`` in joules.

    Raises
    ------
    SpecError
        It is no energy; units are J, mJ, uJ, nJ and pJ.
    """
    value, unit = _split(text)
    if value is None or unit not in _JOULES or value <= 0:
        raise SpecError(f"--max-energy {text!r}: write an energy above 0 with its unit: J, mJ, uJ, nJ or pJ")
    return value * _JOULES[unit]


def _split(text: str) -> tuple[float | None, str]:
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-zµ]+)\s*", text.lower())
    return (float(found[1]), found[2]) if found else (None, "")


__all__ = ["Study", "energy_j", "memory_bits", "select"]
