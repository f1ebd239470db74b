"""Constants of a network that follow from real functions or from time: exact conversion, schedules, full counts."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.spec.network import LearningSpec, NetworkSpec

_CONSTANT_BITS = 60
_IntOrArray = TypeVar("_IntOrArray", int, NDArray[np.int64])


def constant(value: float, frac_bits: int) -> int:
    """Return ``floor(value * 2**frac_bits + 1/2)``, computed exactly."""
    return math.floor(Fraction(value) * Fraction(2) ** frac_bits + Fraction(1, 2))


def named_constant(key: str, value: float, frac_bits: int) -> int:
    """Return `constant`, refusing what no 64-bit sum could hold.

    Raises
    ------
    SpecError
        The raw value has more than 60 bits; the message names ``key``.
    """
    raw = constant(value, frac_bits)
    if raw.bit_length() > _CONSTANT_BITS:
        raise SpecError(
            f"{key} = {value:g}: with {frac_bits} fraction bits the constant needs {raw.bit_length()} bits; "
            f"{_CONSTANT_BITS} are available"
        )
    return raw


def require(spec: NetworkSpec, register: str, fmt: Format, key: str, value: float) -> None:
    """Refuse a constant that the format of its register cannot hold.

    Raises
    ------
    SpecError
        The message names a format that could.
    """
    raw = constant(value, fmt.frac_bits)
    if not fmt.raw_min <= raw <= fmt.raw_max:
        bits = (raw if raw >= 0 else -raw - 1).bit_length()
        signed = fmt.signed or raw < 0
        need = max(bits + int(signed), 1) - fmt.frac_bits
        kind = "s" if signed else "u"
        raise SpecError(
            f"formats.{register} = {fmt} ({fmt.min:g} to {fmt.max:g}) cannot hold {key} = {value:g} of "
            f"{spec.name!r}; use at least {kind}{need}.{fmt.frac_bits}, or {'raise' if value < 0 else 'lower'} {key}"
        )


def piece_of(presentation: _IntOrArray, n_presentations: int, n_pieces: int) -> _IntOrArray:
    """Return the schedule pieces of training presentations: ``presentation * n_pieces // n_presentations``."""
    return presentation * n_pieces // n_presentations


def eta_values(learning: LearningSpec) -> list[float]:
    """Return the learning rate of every piece, as real numbers.

    With ``a = i / (pieces - 1)``: geometric ``start * (end/start)**a``, linear ``start + (end-start) a``,
    cosine ``end + (start-end) (1 + cos(pi a)) / 2``.
    """
    return _rates(learning, learning.eta_start, learning.eta_end)


def eta_pre_values(learning: LearningSpec) -> list[float]:
    """Return the rate of depression of every piece, by the formula of `eta_values`; 0 without pair-wise learning."""
    if learning.eta_pre_start is None or learning.eta_pre_end is None:
        return [0.0] * learning.schedule_pieces
    return _rates(learning, learning.eta_pre_start, learning.eta_pre_end)


def _rates(learning: LearningSpec, start: float, end: float) -> list[float]:
    pieces, values = learning.schedule_pieces, []
    for i in range(pieces):
        a = i / (pieces - 1) if pieces > 1 else 0.0
        if learning.eta_schedule == "geometric":
            values.append(start * (end / start) ** a)
        elif learning.eta_schedule == "linear":
            values.append(start + (end - start) * a)
        else:
            values.append(end + (start - end) * (1.0 + math.cos(math.pi * a)) / 2.0)
    return values


def inhibition_values(spec: NetworkSpec) -> list[float]:
    """Return the inhibition of every piece: ``strength * (start + (1 - start) * min(1, i / pieces / ramp))``."""
    inhibition, pieces = spec.inhibition, spec.learning.schedule_pieces
    return [
        inhibition.strength
        * (inhibition.start + (1.0 - inhibition.start) * min(1.0, i / pieces / inhibition.ramp))
        for i in range(pieces)
    ]


def full_counts(spec: NetworkSpec) -> list[int]:
    """Return what a full-rate pixel's windowed count would be at each update: ``c = (c >> 1) + n``."""
    per_window = constant(spec.encoding.rate_max_hz * spec.encoding.dt * spec.learning.update_steps, 0)
    count, counts = 0, []
    for _ in range(spec.encoding.n_steps // spec.learning.update_steps):
        count = (count >> 1) + per_window
        counts.append(count)
    return counts
