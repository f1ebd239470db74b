"""What a cut did to many values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RangeRecord"]


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """Counts and extremes of the values written in one format.

    Parameters
    ----------
    saturated_low, saturated_high : int
        Rounded values below and above the range, whatever the overflow mode made of them. The range
        starts at ``-raw_max`` under `saturate_symmetric` with a signed format.
    min_raw, max_raw : int or None
        Smallest and largest raw integer written, after the overflow mode; None if there was none.
    """

    saturated_low: int
    saturated_high: int
    min_raw: int | None
    max_raw: int | None
