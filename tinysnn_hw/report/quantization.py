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
from tinysnn_hw.quantize import Diagnosis, Found, RangeAnalysis, Sensitivity, Trial
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
    title: str, table: Sensitivity | None, found: Found, memory: Mapping[str, Any] | None, max_drop: float
) -> RenderableType:
    """Return the whole finding of a search for formats."""
    parts: list[RenderableType] = [Padding(Text(title, style="bold reverse"), (0, 0, 1, 0))]
    if table is not None:
        parts.append(sensitivity_table(table))
    parts.append(found_table(found, memory, max_drop))
    return Group(*parts)


def quantization_json(
    table: Sensitivity | None, found: Found, memory: Mapping[str, Any] | None, max_drop: float
) -> dict[str, object]:
    """Return a search for formats as JSON.

    Returns
    -------
    dict
        - ``accuracy.{float,least,start,found}``: percent, means over the seeds; ``max_drop`` in points;
        - ``formats``: register -> format found; null if nothing holds;
        - ``start``, ``found``: trials with ``formats``, ``accuracies``, ``accuracy``, ``memory_bits``,
          ``training_bits``, ``refused``;
        - ``sensitivity``: register -> list of trials, or null if not measured;
        - ``memory``: as `tinysnn_hw.cost.memory_table` returns it, or null; ``passes``.
    """
    return {
        "accuracy": {
            "float": _mean(found.reference),
            "float_seeds": list(found.reference),
            "least": found.least,
            "start": found.start.accuracy,
            "found": None if found.best is None else found.best.accuracy,
        },
        "max_drop": max_drop,
        "formats": None if found.best is None else found.best.formats,
        "start": trial_json(found.start),
        "found": None if found.best is None else trial_json(found.best),
        "sensitivity": None
        if table is None
        else {name: [trial_json(trial) for trial in trials] for name, trials in table.trials.items()},
        "memory": None if memory is None else dict(memory),
        "passes": found.passes,
    }


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
    "ranges_table", "sensitivity_csv", "sensitivity_table",
]  # fmt: skip
