"""Tables, JSON and CSV of a search for formats."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.quantize import Diagnosis, Found, RangeAnalysis, Sensitivity, Splits, Trial
from tinysnn_hw.quantize.points import trial_json
from tinysnn_hw.report.network import accounting_table
from tinysnn_hw.report.text import count, interval, percent, plain_table, points, real, section

COLUMNS = (
    "register", "format", "bits", "accuracy", "drop", "least", "most", "memory_bits", "training_bits", "refused"
)  # fmt: skip
"""Columns of `sensitivity_csv`: accuracies in percent, ``drop`` in points against float64, bits in bits."""


def sensitivity_table(table: Sensitivity) -> RenderableType:
    """Return the accuracy of every register at every width, all others at their widest.

    Parameters
    ----------
    table : Sensitivity

    Returns
    -------
    rich renderable
    """
    most = max(len(trials) for trials in table.trials.values())
    grid = plain_table("register", "from", *(f">{-k or 0}" for k in range(most)), gap=1)
    for name, trials in table.trials.items():
        cells = ["-" if trial.accuracy is None else f"{trial.accuracy:.1f}" for trial in trials]
        grid.add_row(name, trials[0].formats[name], *cells, *[""] * (most - len(cells)))
    reference = _mean(table.reference)
    why = dict.fromkeys(
        trial.refused for trials in table.trials.values() for trial in trials if trial.refused
    )
    return section(
        "Accuracy when one register alone loses so many bits [%]",
        grid,
        *(Text(f"- : {text}", style="dim") for text in list(why)[:6]),
        note=f"float64: {percent(reference)} %. Mean of {_seeds(table.reference)}; all other registers as in the "
        "first column.",
    )


def splits_table(splits: Splits, reference: Sequence[float]) -> RenderableType:
    """Return the accuracy of every split of registers whose width is given.

    Parameters
    ----------
    splits : Splits
    reference : sequence of float
        Accuracy of the float64 twin, seed by seed [percent].
    """
    grid = plain_table("register", "format", ">bits", ">accuracy", ">seeds", "")
    for name, trials in splits.trials.items():
        for trial in trials:
            fmt = trial.formats[name]
            chosen = "chosen" if fmt == str(splits.formats[name]) else ""
            cells = (
                ["-", ""] if trial.accuracy is None else [percent(trial.accuracy), _spread(trial.accuracies)]
            )
            grid.add_row(name, fmt, str(Format.parse(fmt).width), *cells, chosen)
    return section(
        "Splits of the given widths [%]",
        grid,
        note=f"float64: {percent(_mean(reference))} %. First of each register: the fewest integer bits that hold what "
        f"it took; another is chosen if it is {splits.margin:.2f} points more accurate. - : a constant does not fit.",
    )


def tested_table(reference: Sequence[float], tested: Trial) -> RenderableType:
    """Return the accuracy of what was found on the test images."""
    grid = plain_table("", ">accuracy %", ">difference", ">seeds")
    grid.add_row("float64", percent(_mean(reference)), "", _spread(reference))
    if tested.accuracy is not None:
        difference = points(tested.accuracy - _mean(reference))
        grid.add_row("found", percent(tested.accuracy), difference, _spread(tested.accuracies))
    return section("Test images, after training with all training images", grid)


def found_table(found: Found, memory: Mapping[str, Any] | None, max_drop: float) -> RenderableType:
    """Return the formats a search found, what they cost in accuracy and what they save.

    Parameters
    ----------
    found : Found
    memory : mapping or None
        `tinysnn_hw.cost.memory_table` of the network with these formats; None if nothing holds.
    max_drop : float
        Allowed loss [points].
    """
    reference = _mean(found.reference)
    grid = plain_table("register", "start", "found", ">bits", ">bits saved")
    for name, start in found.start.formats.items():
        now = start if found.best is None else found.best.formats[name]
        widths = Format.parse(start).width, Format.parse(now).width
        grid.add_row(name, start, now if found.best else "-", str(widths[1]), str(widths[0] - widths[1]))
    accuracy = plain_table(
        "", ">accuracy %", ">difference", ">seeds", ">bits in inference", ">bits in training"
    )
    accuracy.add_row("float64", percent(reference), "", _spread(found.reference), "", "")
    for label, trial in (("start", found.start), ("found", found.best)):
        if trial is not None and trial.accuracy is not None:
            accuracy.add_row(
                label,
                percent(trial.accuracy),
                points(trial.accuracy - reference),
                _spread(trial.accuracies),
                count(trial.memory_bits),
                count(trial.training_bits),
            )
    note = (
        f"On held-out training images; at least {percent(found.least)} % was asked for (float64 less {max_drop:g} "
        "points). The test images were not used."
    )
    parts = [section("Formats", grid), section("Accuracy", accuracy, note=note)]
    if memory is not None:
        parts.append(accounting_table(memory))
    return Group(*parts)


def ranges_table(ranges: Mapping[str, RangeAnalysis]) -> RenderableType:
    """Return what every register and intermediate used, with a small histogram."""
    grid = plain_table("register", "format", "used", "from", "integer bits", "distribution over the range")
    for name, seen in ranges.items():
        low, high = float(seen.edges[0]), float(seen.edges[-1])
        grid.add_row(name, seen.format, interval(real(low), real(high)), "training" if seen.exact else "sample",
                     str(seen.int_bits), _bars(seen.counts.tolist()))  # fmt: skip
    return section(
        "Ranges",
        grid,
        note="from training: the ends are those of every write; from sample: of the images recorded. accumulator: "
        "v_mem plus the input of a step; update: change of a weight that the rule asks for. Bars: log scale.",
    )


def diagnosis_table(title: str, diagnosis: Diagnosis) -> RenderableType:
    """Return the findings of a diagnosis, in sentences."""
    sentences = Table.grid(padding=(0, 1))
    for finding in diagnosis.findings:
        sentences.add_row("•", Text(finding.text))
    if not diagnosis.findings:
        sentences.add_row("•", Text("Nothing stands out: resolution alone costs the accuracy."))
    return section(title, sentences)


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, object]:
    """Return a diagnosis as JSON, with its fields; updates also with their shares."""
    shares = ("lost_share", "below_lsb_share", "drain")
    return {
        "findings": [
            {"code": f.code, "register": f.register, "text": f.text, "values": dict(f.values)}
            for f in diagnosis.findings
        ],
        "saturations": {name: list(pair) for name, pair in diagnosis.saturations.items()},
        "updates": {
            when: {**asdict(counts), **{name: getattr(counts, name) for name in shares}}
            for when, counts in diagnosis.updates.items()
        },
        "n_replayed": diagnosis.n_replayed,
        "n_shown": diagnosis.n_shown,
        "zero_weights": diagnosis.zero_weights,
        "silent_neurons": diagnosis.silent_neurons,
        "unreachable_thresholds": diagnosis.unreachable_thresholds,
    }


def ranges_json(ranges: Mapping[str, RangeAnalysis]) -> dict[str, object]:
    """Return a range analysis as JSON, histograms included."""
    return {
        name: {
            "format": seen.format,
            "min_raw": seen.min_raw,
            "max_raw": seen.max_raw,
            "exact": seen.exact,
            "n_values": seen.n_values,
            "edges": seen.edges.tolist(),
            "counts": seen.counts.tolist(),
            "int_bits": seen.int_bits,
            "fitted": str(seen.fitted),
        }
        for name, seen in ranges.items()
    }


def quantization_table(
    title: str,
    table: Sensitivity | None,
    found: Found | None,
    memory: Mapping[str, Any] | None,
    max_drop: float,
    *,
    splits: Splits | None = None,
    tested: tuple[Sequence[float], Trial] | None = None,
) -> RenderableType:
    """Return the whole finding of a search for formats; see `quantization_json`."""
    parts: list[RenderableType] = [Padding(Text(title, style="bold reverse"), (0, 0, 1, 0))]
    if splits is not None and found is not None:
        parts.append(splits_table(splits, found.reference))
    if table is not None:
        parts.append(sensitivity_table(table))
    if found is not None:
        parts.append(found_table(found, memory, max_drop))
    if tested is not None:
        parts.append(tested_table(*tested))
    return Group(*parts)


def quantization_json(
    table: Sensitivity | None,
    found: Found | None,
    memory: Mapping[str, Any] | None,
    max_drop: float,
    *,
    splits: Splits | None = None,
    tested: tuple[Sequence[float], Trial] | None = None,
) -> dict[str, object]:
    """Return a search for formats as JSON.

    Parameters
    ----------
    table : Sensitivity or None
        None if not measured.
    found : Found or None
        None if nothing was searched; then there is a ``table``.
    memory : mapping or None
        As in `found_table`.
    max_drop : float
        Allowed loss [points].
    splits : Splits, optional
        Of registers whose width was given.
    tested : tuple, optional
        Accuracy of the float64 twin on the test images, seed by seed [percent], and the trial of what was found.

    Returns
    -------
    dict
        - ``accuracy.{float,least,start,found}``: percent, means over the seeds; ``max_drop`` in points;
        - ``formats``: register -> format found; null if nothing holds or was searched;
        - ``start``, ``found``: trials with ``formats``, ``accuracies``, ``accuracy``, ``memory_bits``,
          ``training_bits``, ``refused``;
        - ``sensitivity``, ``splits``: register -> list of trials, or null if not measured;
        - ``test``: ``float_seeds`` and ``found``, a trial, on the test images; or null;
        - ``memory``: as `tinysnn_hw.cost.memory_table` returns it, or null; ``passes``.
    """
    origin = found if found is not None else table
    assert origin is not None
    best = None if found is None else found.best
    return {
        "accuracy": {
            "float": _mean(origin.reference),
            "float_seeds": list(origin.reference),
            "least": None if found is None else found.least,
            "start": origin.start.accuracy,
            "found": None if best is None else best.accuracy,
        },
        "max_drop": max_drop,
        "formats": None if best is None else best.formats,
        "start": trial_json(origin.start),
        "found": None if best is None else trial_json(best),
        "sensitivity": None if table is None else _trials_json(table.trials),
        "splits": None if splits is None else _trials_json(splits.trials),
        "test": None if tested is None else {"float_seeds": list(tested[0]), "found": trial_json(tested[1])},
        "memory": None if memory is None else dict(memory),
        "passes": 0 if found is None else found.passes,
    }


def _trials_json(trials: Mapping[str, Sequence[Trial]]) -> dict[str, object]:
    return {name: [trial_json(trial) for trial in of_one] for name, of_one in trials.items()}


def sensitivity_csv(table: Sensitivity) -> str:
    """Return a sensitivity table as CSV, one line per register and format, with the columns of `COLUMNS`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    reference = _mean(table.reference)
    for name, trials in table.trials.items():
        for trial in trials:
            writer.writerow([name, trial.formats[name], Format.parse(trial.formats[name]).width,
                             *_numbers(trial, reference), trial.refused])  # fmt: skip
    return out.getvalue()


def _numbers(trial: Trial, reference: float) -> list[object]:
    if trial.accuracy is None:
        return [""] * 6
    seeds = trial.accuracies
    ours = (trial.accuracy, reference - trial.accuracy, min(seeds), max(seeds))
    return [*(f"{value:.4f}" for value in ours), trial.memory_bits, trial.training_bits]


def _bars(counts: list[int]) -> str:
    """Return a histogram as one line of blocks, higher for more values on a log scale; blank for none."""
    top = math.log1p(max(counts))
    return "".join(" " if not n else "▁▂▃▄▅▆▇█"[min(int(8 * math.log1p(n) / top), 7)] for n in counts)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f}..{max(values):.2f}" if len(values) > 1 else "1"


def _seeds(values: Sequence[float]) -> str:
    return f"{len(values)} seeds" if len(values) > 1 else "one seed"


__all__ = [
    "diagnosis_json", "diagnosis_table", "found_table", "quantization_json", "quantization_table", "ranges_json",
    "ranges_table", "sensitivity_csv", "sensitivity_table", "splits_table", "tested_table",
]  # fmt: skip
