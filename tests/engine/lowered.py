"""A shipped network with changes, lowered, and the constants that it should have."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from tinysnn_hw.engine import Lowered, lower
from tinysnn_hw.spec import load_network


def lowered_network(name: str = "tinysnn-wta", *, max_events: int | None = None, **changes: Any) -> Lowered:
    settings = {key.replace("__", "."): changes.pop(key) for key in list(changes) if "__" in key}
    return lower(load_network(name, settings=settings, **changes), max_events=max_events)


def nearest(value: Fraction | float, frac_bits: int) -> int:
    """Return ``const(value, frac_bits)`` of the page, in exact fractions."""
    scaled = Fraction(value) * (Fraction(2**frac_bits) if frac_bits >= 0 else Fraction(1, 2**-frac_bits))
    return math.floor(scaled + Fraction(1, 2))
