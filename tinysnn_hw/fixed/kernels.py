"""Loops over arrays: one pass that reads, rounds, fits, counts and writes.

Reals are cut in float64 (IEEE 754, subnormals included), because each of these steps is exact there:

1. ``y = x * 2**frac_bits`` multiplies by a power of two. It loses no bit unless it overflows, to an
   infinity of the same sign, or falls below ``2**-1022``. The latter needs ``frac_bits < 0``, for which
   the caller lifts tiny values first.
2. For ``|y| < 2**52`` the floor ``t`` and the midpoint ``t + 0.5`` are exact, so a comparison with the
   midpoint settles every tie. ``floor(y + 0.5)`` would not do: it rounds 0.5 - 2**-54 to 1. Nor would
   ``y - t``: it turns the fraction of 2**-54 - 0.5 into a tie. Beyond ``2**52`` every ``y`` is an integer.
3. ``floor(y * 2**b) - t * 2**b`` is an integer in ``[0, 2**b)``: the first ``b`` bits of the fraction.
   Both terms are exact, and so is their difference, which float64 can hold.
4. With its random word given, every mode is monotone and keeps integers, so rounding and clamping to
   integers may change places.
5. To wrap, ``floor(r / 2**w) * 2**w`` is subtracted: a scaling, a floor and a scaling, each exact, and a
   difference that is an integer in ``[0, 2**w)``.
"""

# mypy: disable-error-code="no-any-return, untyped-decorator"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tinysnn_hw.fixed.random import chain
from tinysnn_hw.fixed.scalar import (
    NEAREST,
    NEAREST_AWAY,
    NEAREST_EVEN,
    STOCHASTIC,
    TO_ZERO,
    WRAP,
    fit,
    overflow_side,
    round_shift,
)

__all__ = ["cut_integers", "cut_reals", "round_real", "saturate_reals"]

ALL_INTEGERS = 2.0**52
"""Float64 of this size and more are integers."""

ALL_MULTIPLES = 2.0**85
"""Float64 of this size and more are multiples of ``2**33``: they wrap to 0 at up to 32 bits."""

LOW_BITS = 1.5 * 2.0**52
"""Added to an integer float64 of size below ``2**51``, leaves its two's complement in the low 51 bits."""


@njit(cache=True)
def _round_real(y: float, rounding: int) -> float:
    """Return ``y`` rounded by a deterministic mode; ``|y| < 2**52``."""
    if rounding == NEAREST:
        below = np.floor(y)
        return below + 1.0 if y >= below + 0.5 else below
    if rounding == NEAREST_EVEN:
        return np.rint(y)
    if rounding == NEAREST_AWAY:
        size = abs(y)
        below = np.floor(size)
        return math.copysign(below + 1.0 if size >= below + 0.5 else below, y)
    if rounding == TO_ZERO:
        return np.trunc(y)
    return np.floor(y)


@njit(cache=True)
def _round_real_at_random(y: float, word: np.uint32, unused_bits: np.uint32, steps: float) -> float:
    """Return ``y`` rounded up if its first fraction bits plus the first bits of the word carry.

    ``steps`` is ``2**rand_bits`` and ``unused_bits`` is ``32 - rand_bits``.
    """
    below = np.floor(y)
    fraction = np.floor(y * steps) - below * steps
    return below + 1.0 if fraction + np.float64(np.uint32(word >> unused_bits)) >= steps else below


@njit(cache=True)
def round_real(y: float, rounding: int, word: np.uint32, rand_bits: int) -> float:
    """Return ``y`` rounded by any mode, an integer float64; ``|y| < 2**52``, and ``word`` as in `cut_reals`."""
    if rounding == STOCHASTIC:
        return _round_real_at_random(y, word, np.uint32(32 - rand_bits), 2.0**rand_bits)
    return _round_real(y, rounding)


@njit(cache=True)
def _to_bits(integer: float) -> np.int64:
    """Return an int64 whose low bits are those of an integer float64 (see `LOW_BITS`).

    A plain conversion to int64 is not a vector instruction before AVX-512, one to int32 has no room
    for 32 unsigned bits.
    """
    return np.float64(integer + LOW_BITS).view(np.int64)


@njit(cache=True)
def saturate_reals(
    x: NDArray[np.float64],
    out: NDArray[Any],
    scale: float,
    low: float,
    high: float,
    limit: float,
    rounding: int,
) -> bool:
    """Write the rounded and saturated ``x * scale``; tell whether a NaN or an ``|x| > limit`` was met.

    Deterministic modes, no counters.
    """
    refused = False
    for i in range(x.size):
        value = x[i]
        refused |= not (abs(value) <= limit)
        y = value * scale
        y = y if y > low else low  # a NaN becomes low
        y = y if y < high else high
        out[i] = _to_bits(_round_real(y, rounding))
    return refused


@njit(cache=True)
def _fit_real(
    rounded: float, low: float, high: float, modulus: float, inverse: float, overflow: int
) -> float:
    """Return an integer float64 brought into ``low..high`` by the overflow mode.

    ``modulus`` is ``2**width``, which makes its inverse exact too.
    """
    if overflow == WRAP:
        rest = rounded - np.floor(rounded * inverse) * modulus
        rest = rest if abs(rounded) < ALL_MULTIPLES else 0.0
        return rest if rest <= high else rest - modulus
    rounded = rounded if rounded > low else low
    return rounded if rounded < high else high


@njit(cache=True)
def cut_reals(
    x: NDArray[np.float64],
    out: NDArray[Any],
    scale: float,
    low: float,
    high: float,
    limit: float,
    rounding: int,
    overflow: int,
    prefix: int,
    words: NDArray[np.uint32] | None,
    rand_bits: int,
) -> tuple[bool, int, int]:
    """Write the cut of ``x * scale`` by any mode; return (refused as above, number below, number above).

    Stochastic rounding takes ``words``, or without them the hash of ``prefix`` and the index. They are None
    rather than empty: that compiles to a loop without them, instead of one that must first prove that
    they and ``out`` lie apart.
    """
    refused = False
    n_below = 0
    n_above = 0
    unused_bits = np.uint32(32 - rand_bits)
    steps = 2.0**rand_bits
    modulus = high - low + 1.0
    inverse = 1.0 / modulus
    for i in range(x.size):
        value = x[i]
        refused |= not (abs(value) <= limit)
        y = value * scale
        if rounding == STOCHASTIC:
            word = chain(prefix, np.uint32(i)) if words is None else words[i]
            rounded = _round_real_at_random(y, word, unused_bits, steps)
        else:
            rounded = _round_real(y, rounding)
        rounded = rounded if abs(y) < ALL_INTEGERS else y
        n_below += rounded < low
        n_above += rounded > high
        out[i] = _to_bits(_fit_real(rounded, low, high, modulus, inverse, overflow))
    return refused, n_below, n_above


@njit(cache=True)
def cut_integers(
    raw: NDArray[Any],
    out: NDArray[Any],
    shift: int,
    bound: int,
    raw_min: int,
    raw_max: int,
    width: int,
    signed: bool,
    rounding: int,
    overflow: int,
    prefix: int,
    words: NDArray[np.uint32] | None,
    rand_bits: int,
) -> tuple[int, int]:
    """Write the cut of ``raw``; return (number below the range, number above it).

    ``shift`` is -62 to 62. ``bound`` is the largest size that a left shift keeps inside 64 bits. Larger
    values lie outside the target format and are held at it; `wrap` takes its low bits from the value.
    """
    n_below = 0
    n_above = 0
    for i in range(raw.size):
        n = np.int64(raw[i])
        word = np.uint32(0)
        if rounding == STOCHASTIC:
            word = chain(prefix, np.uint32(i)) if words is None else words[i]
        rounded = round_shift(min(max(n, -bound), bound), shift, rounding, word, rand_bits)
        side = overflow_side(rounded, raw_min, raw_max, overflow)
        n_below += side < 0
        n_above += side > 0
        if overflow == WRAP and shift < 0:
            rounded = n << -shift
        out[i] = fit(rounded, raw_min, raw_max, width, signed, overflow)
    return n_below, n_above
