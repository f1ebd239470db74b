"""Numbers as people read them, and the formats that a range of raw values needs."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.records import RegisterRange

BITS_PER_KIB = 8 * 1024
UNITS = {"weight": "1", "v_mem": "mV", "v_th": "mV", "theta": "mV", "x_pre": "1", "c_pre": "spikes"}
"""Unit of the values of each register."""


def real(value: float) -> str:
    """Return a value with at most five significant digits."""
    return f"{value:.5g}"


def count(value: int) -> str:
    """Return an integer with thousands separated."""
    return f"{value:,}"


def kib(bits: int) -> str:
    """Return a number of bits in KiB."""
    return f"{bits / BITS_PER_KIB:,.1f}"


def percent(value: float) -> str:
    """Return a percentage with two decimals, without its sign."""
    return f"{value:.2f}"


def points(value: float) -> str:
    """Return a difference of percentages with its sign."""
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}"


def interval(low: str, high: str) -> str:
    """Return two ends of a range."""
    return f"{low}..{high}"


def rate(per_second: float) -> str:
    """Return a rate with three significant digits below 100, as an integer above."""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def is_written(seen: RegisterRange) -> bool:
    """Return whether the register was written at all."""
    return seen.min_raw <= seen.max_raw


def is_saturated(seen: RegisterRange) -> bool:
    """Return whether values beyond the range of the format were cut off."""
    return bool(seen.saturated_low or seen.saturated_high)


def fitting_format(name: str, seen: RegisterRange) -> Format:
    """Return the narrowest format with the same last bit that holds the range a register used.

    Parameters
    ----------
    name : str
        Name of the register: `v_inh` is always signed, others need a sign only for negative values.
    seen : RegisterRange
        Of a register that was written.
    """
    fmt = Format.parse(seen.format)
    signed = fmt.signed and (name == "v_inh" or seen.min_raw < 0)
    needed = max(max(seen.max_raw, 0).bit_length(), max(-seen.min_raw - 1, 0).bit_length())
    return Format(signed, max(needed + signed, 1) - fmt.frac_bits, fmt.frac_bits)


def plain_table(*columns: str, gap: int = 2) -> Table:
    """Return an empty table in the house style.

    Parameters
    ----------
    *columns : str
        Headers; one that starts with ``>`` is set flush right, as numbers are.
    gap : int
        Blanks between columns; 1 for tables that would not fit 80 columns otherwise.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table


def section(title: str, *body: RenderableType, note: str = "") -> RenderableType:
    """Return a titled part of a report, with an explanation below it and an empty line after it."""
    parts: list[RenderableType] = [Text(title, style="bold"), *body]
    if note:
        parts.append(Text(note, style="dim"))
    return Padding(Group(*parts), (0, 0, 1, 0))


__all__ = [
    "BITS_PER_KIB", "UNITS", "count", "fitting_format", "interval", "is_saturated", "is_written", "kib",
    "percent", "plain_table", "points", "rate", "real", "section",
]  # fmt: skip
