"""`tinysnn quantize`: the smallest formats that keep the accuracy, as a network file."""

from __future__ import annotations

import json as json_text
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import NetworkFlags, load_data
from tinysnn_hw.cli.output import (
    INTERRUPTED,
    NEGATIVE,
    note,
    progress_bars,
    reporting_errors,
    show,
    show_json,
)
from tinysnn_hw.errors import MissingPackageError, ModelFileError, SpecError

if TYPE_CHECKING:
    from tinysnn_hw.quantize import Sensitivity

NETWORK_FILE, REPORT_FILE, POINTS = "network.toml", "report.json", "points"
_flag = partial(options.flag, "Search")


@reporting_errors
def quantize(
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for the results; a search broken off goes on there."),
    ],
    network: options.Network = "tinysnn-wta",
    max_drop: Annotated[
        float,
        _flag("POINTS", "Loss against float64 that is allowed.", min=0.0),
    ] = 0.5,
    scheme: Annotated[
        str,
        _flag("NAME", "in_place: trained at these formats; shadow: real masters learn; ptq: after training."),
    ] = "in_place",
    registers: Annotated[
        str | None,
        _flag("A,B,...", "Registers to narrow; absent: all that the scheme can choose, or with --bits none."),
    ] = None,
    bits: Annotated[
        str | None,
        _flag(
            "A=N,...",
            "Bits in all of registers (or of preset qW or qWN), whose split at the binary point is searched; only "
            "the --registers are then narrowed.",
        ),
    ] = None,
    widths: Annotated[
        int,
        _flag("N", "Widths tried per register, one bit apart.", min=1),
    ] = 10,
    holdout: Annotated[
        int | None,
        _flag("N", "Last training images that decide; absent: one in six.", min=1),
    ] = None,
    seeds: Annotated[
        int,
        _flag("N", "Runs per choice, averaged.", min=1),
    ] = 1,
    head_room: Annotated[
        int,
        _flag("N", "Integer bits beyond those the values seen need.", min=0, max=16),
    ] = 0,
    table: Annotated[
        bool,
        _flag(None, "Also measure each register alone.", "--table/--no-table"),
    ] = True,
    search: Annotated[
        bool,
        _flag(None, "Search; without: the table alone.", "--search/--no-search"),
    ] = True,
    test: Annotated[
        int | None,
        _flag(
            "N",
            "Last, train with all training images and so many seeds, and test on the test images; absent: do not.",
            min=1,
        ),
    ] = None,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    limit_train: options.LimitTrain = None,
    recipe: options.Recipe = None,
    neurons: options.Neurons = None,
    weight: options.Weight = None,
    v_mem: options.VMem = None,
    v_th: options.VTh = None,
    theta: options.Theta = None,
    rounding: options.Rounding = None,
    overflow: options.Overflow = None,
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    label_images: options.LabelImages = None,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Narrow every register as far as the accuracy on held-out training images allows; write the network.

    Integer bits follow from the values that a training at the formats of the network, or those given, writes;
    fraction bits are taken away from there. With --bits some registers keep a width and only their split is
    chosen. FOLDER gets network.toml, which every command takes as a NETWORK, report.json, sensitivity.csv and, with
    matplotlib, sensitivity.png. Every finished point is kept under FOLDER/points: the same command goes on where
    it was broken off. Exits with 1 if not even the formats it starts from hold.
    """
    check_folder(out)
    flags = NetworkFlags(
        network=network,
        recipe=recipe,
        neurons=neurons,
        weight=weight,
        v_mem=v_mem,
        v_th=v_th,
        theta=theta,
        rounding=rounding,
        overflow=overflow,
        epochs=epochs,
        settings=settings or (),
    )
    spec = flags.resolve(data).spec
    whole = load_data(data, data_dir, limit_train)
    images = whole.holdout(max(whole.n_train // 6, 1) if holdout is None else holdout)

    from tinysnn_hw.cost import memory_table
    from tinysnn_hw.quantize import (
        Points,
        analyse_ranges,
        choose_splits,
        diagnose,
        failing_neighbour,
        fitted_formats,
        greedy,
        make_space,
        make_splits,
        parse_widths,
        sensitivity,
    )
    from tinysnn_hw.report import quantization as report
    from tinysnn_hw.spec.registers import register_formats
    from tinysnn_hw.spec.save import save_network, write_text

    found = tested = broken = why = None
    try:
        with progress_bars() as progress:
            make_points = partial(
                Points,
                spec,
                scheme=scheme,
                rounding=rounding,
                spike_seed=seed,
                folder=out / POINTS,
                progress=progress,
                threads=threads,
            )
            points = make_points(images, seeds=range(seed, seed + seeds), label_images=label_images)
            given = {} if bits is None else parse_widths(bits, points.registers)
            names = chosen_registers(registers, points.registers, scheme, given)
            if not search and not (table and names):
                raise SpecError("--no-search: no table is left to measure; name --registers, or search")
            ranges = analyse_ranges(points.trained_in_place({}), images, head_room=head_room)
            starts = register_formats(spec) | fitted_formats(spec, ranges)
            splits = choose_splits(points, make_splits(starts, given)) if given else None
            space = make_space(spec, names, n_widths=widths, starts=starts)
            if splits is not None:
                space |= {name: (fmt,) for name, fmt in splits.formats.items()}
            found_alone = sensitivity(points, space) if table and names else None
            if search:
                found = greedy(points, space, max_drop)
                broken = failing_neighbour(points, space, found) if scheme == "in_place" else None
            if broken is not None:
                why = diagnose(points.trained_in_place(broken), images, threads=threads)
            if test is not None and found is not None and found.best is not None:
                final = make_points(whole, seeds=range(seed, seed + test), label_images=None)
                tested = (final.reference, final.evaluate([found.formats], "test")[0])
    except KeyboardInterrupt:
        note(f"interrupted: finished points are in {out / POINTS}; the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    memory = None
    if found is not None and found.best is not None:
        best = points.spec(found.formats)
        memory = memory_table(best)
        where = f"tinysnn quantize: {scheme}, at most {max_drop:g} points below float64 on {images.name}"
        save_network(best, out / NETWORK_FILE, {"formats": where})
    elif search:
        (out / NETWORK_FILE).unlink(missing_ok=True)
    payload = {
        "network": spec.name, "recipe": spec.recipe, "data": images.name, "scheme": scheme, "seeds": list(points.seeds),
        "registers": list(space),
        **report.quantization_json(found_alone, found, memory, max_drop, splits=splits, tested=tested),
        "ranges": report.ranges_json(ranges),
        "one_format_lower": None if broken is None or why is None else
        {"formats": {name: str(fmt) for name, fmt in broken.items()}, **report.diagnosis_json(why)},
    }  # fmt: skip
    write_text(out / REPORT_FILE, json_text.dumps(payload, indent=2, allow_nan=False) + "\n")
    if found_alone is not None:
        write_text(out / "sensitivity.csv", report.sensitivity_csv(found_alone))
        draw(found_alone, out / "sensitivity.png")
    if json:
        show_json(payload)
    else:
        title = f"{spec.name}, recipe {spec.recipe}, {scheme} on {images.name}"
        show(
            report.quantization_table(
                title, found_alone, found, memory, max_drop, splits=splits, tested=tested
            ),
            report.ranges_table(ranges),
        )
        if broken is not None and why is not None:
            chosen = ", ".join(f"{name} {fmt}" for name, fmt in broken.items())
            which = "at the start" if found is None or found.best is None else "one format lower"
            show(report.diagnosis_table(f"What happens {which} ({chosen})", why))
    if found is None:
        return
    if found.best is None:
        note(
            f"negative: the widest formats already lose more than --max-drop {max_drop:g}; start from wider ones, or "
            "average more (--seeds, --holdout)"
        )
        raise typer.Exit(NEGATIVE)
    note(f"written to {out}; next: tinysnn validate {out / NETWORK_FILE} --data {data}")


def check_folder(out: Path) -> None:
    """Refuse a folder that holds something other than an earlier search.

    Raises
    ------
    ModelFileError
        It is a file, or a folder with foreign contents.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / POINTS).is_dir())):
        raise ModelFileError(
            f"{out}: exists and holds something other than a search for formats; choose another"
        )


def chosen_registers(
    text: str | None, possible: Sequence[str], scheme: str, given: Collection[str] = ()
) -> list[str]:
    """Return the registers of ``--registers``; absent: all, or none where ``--bits`` has ``given`` some their width.

    Raises
    ------
    SpecError
        One is unknown, the scheme cannot choose it, or its width is given.
    """
    if text is None:
        return [] if given else list(possible)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name in given:
            raise SpecError(f"--registers: {name!r} has its width from --bits; name it in one of the two")
        if name not in possible:
            raise SpecError(
                f"--registers: {name!r} is none that scheme {scheme!r} can choose: {', '.join(possible)}"
            )
    return names


def draw(table: Sensitivity, file: Path) -> None:
    """Draw the sensitivity table, or say why not."""
    from tinysnn_hw.report.plot import sensitivity_plot

    try:
        sensitivity_plot(table, file)
    except MissingPackageError as error:
        note(str(error))


__all__ = ["quantize"]
