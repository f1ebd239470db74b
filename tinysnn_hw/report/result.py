"""Tables of one evaluation: accuracy, confusion, registers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.text import Text

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.records import RegisterRange, Result
from tinysnn_hw.report.text import (
    UNITS,
    count,
    fitting_format,
    interval,
    is_saturated,
    is_written,
    percent,
    plain_table,
    rate,
    real,
    section,
)

HEADLINE = "naive_bayes"
"""The readout that "accuracy" without further words stands for."""


def readout_names(result: Result) -> list[str]:
    """Return the readouts of a result, the headline first."""
    return sorted(result.readouts, key=lambda name: name != HEADLINE)


def result_table(result: Result) -> RenderableType:
    """Return the tables of one evaluation: accuracy of every readout, confusion matrix, registers.

    Parameters
    ----------
    result : Result

    Returns
    -------
    rich renderable
    """
    accuracy = plain_table("readout", ">correct %")
    for name in readout_names(result):
        accuracy.add_row(name, percent(result.readouts[name]))
    silent = (
        "no image was silent" if result.silent_images == 0 else f"{count(result.silent_images)} images silent"
    )
    parts = [
        section(
            f"Accuracy on {result.data}",
            accuracy,
            note=f"{count(result.n_images)} images, one is {100 / result.n_images:.2g} points. "
            f"{real(result.spikes_per_image)} output spikes per image, {silent}. "
            f"{rate(result.images_per_s)} images/s.",
        )
    ]
    if HEADLINE in result.confusion:
        parts.append(confusion_table(result.confusion[HEADLINE], HEADLINE))
    if result.registers:
        parts.append(register_table(result.registers, "Registers in labelling and test"))
    return Group(*parts)


def confusion_table(matrix: npt.NDArray[np.int64], readout: str) -> RenderableType:
    """Return a confusion matrix: rows true classes, columns predicted ones, share correct in the last column.

    Parameters
    ----------
    matrix : int64[n_classes, n_classes]
    readout : str
        Named in the title.

    Returns
    -------
    rich renderable
    """
    table = plain_table(">true", *(f">{label}" for label in range(len(matrix))), ">correct %")
    for label, row in enumerate(matrix):
        total = int(row.sum())
        cells = [
            Text(str(n) if n else "·", style="bold" if other == label else "")
            for other, n in enumerate(row.tolist())
        ]
        table.add_row(str(label), *cells, percent(100.0 * int(row[label]) / total) if total else "-")
    return section(f"Confusion ({readout})", table, note="A row per true class, a column per predicted one.")


def register_table(registers: Mapping[str, RegisterRange], title: str) -> RenderableType:
    """Return what every register saw: format, range used, writes cut off, the format its range needs.

    Parameters
    ----------
    registers : mapping of str to RegisterRange
    title : str

    Returns
    -------
    rich renderable
    """
    table = plain_table(
        *("register", "format", ">bits", ">used", "", ">stored integer", ">cut\nlow", ">cut\nhigh", "fits"),
        gap=1,
    )
    for name, seen in registers.items():
        start = (name, seen.format, str(Format.parse(seen.format).width))
        if not is_written(seen):
            table.add_row(*start, "never written")
            continue
        table.add_row(
            *start,
            interval(real(seen.min), real(seen.max)),
            UNITS.get(name, ""),
            interval(str(seen.min_raw), str(seen.max_raw)),
            count(seen.saturated_low),
            count(seen.saturated_high),
            f"{fitting_format(name, seen)}{'*' if is_saturated(seen) else ''}",
        )
    note = (
        "cut: writes beyond the range of the format. fits: the narrowest format with the same last bit that "
        "holds the values written (sums before a cut and constants such as v_th_cap may need more)"
    )
    if any(map(is_saturated, registers.values())):
        note += "; * values were cut, so the true range is wider"
    return section(title, table, note=f"{note}.")


__all__ = ["HEADLINE", "confusion_table", "readout_names", "register_table", "result_table"]
