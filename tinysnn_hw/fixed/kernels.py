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

# mypy: disable-error-code="call-arg, no-any-return, untyped-decorator"

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
from tinysnn_hw.fixed.words import arithmetic_right, left, logical_right

__all__ = [
    "cut_integers", "cut_reals", "cut_words", "round_real", "saturate_halfwords", "saturate_reals",
]  # fmt: skip

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
def saturate_halfwords(
    raw: NDArray[np.int16], out: NDArray[Any], shift: int, half: int, parity: int, low: int, high: int
) -> None:
    """Write the rounded and saturated ``raw * 2**-shift`` in 16-bit lanes, twice as many as `cut_words` has.

    For modes that do not look at the sign, without counters; ``shift`` is 0 to 14, ``half`` and ``parity`` are the
    outer terms of `modes.rounding_bias`.  What rounding adds is computed from the fraction alone, so that no sum
    passes 16 bits.
    """
    i16 = np.int16
    drop, mask = i16(shift), i16((1 << shift) - 1)
    added, odd = i16(half), i16(parity)
    least, most = i16(max(low, -(1 << 15))), i16(min(high, (1 << 15) - 1))
    for i in range(raw.size):
        n = i16(raw[i])
        whole: Any = arithmetic_right(n, drop)
        extra = i16(added + i16(whole & odd))
        rounded = i16(whole + arithmetic_right(i16(i16(n & mask) + extra), drop))
        out[i] = min(max(rounded, least), most)


@njit(cache=True)
def cut_words(
    raw: NDArray[Any],
    out: NDArray[Any],
    shift: int,
    bias: tuple[int, int, int],
    low: int,
    high: int,
    prefix: int,
    words: NDArray[np.uint32] | None,
    rand_bits: int,
) -> tuple[int, int]:
    """Write the cut of ``raw`` by a saturating mode in 32-bit lanes; return (number below, number above the range).

    Every sum must fit 32 bits.  ``bias`` is `modes.rounding_bias`; stochastic rounding has ``rand_bits`` above 0 and
    takes its words as in `cut_reals`.  64-bit lanes have no arithmetic shift before AVX-512.
    """
    i32 = np.int32
    drop, lift = i32(max(shift, 0)), np.uint32(max(-shift, 0))
    positive, negative, parity = i32(bias[0]), i32(bias[0] + bias[1]), i32(bias[2])
    least, most = i32(low), i32(high)
    bits = min(rand_bits, max(shift, 0))
    unused, above_bits = np.uint32(min(32 - bits, 31)), np.uint32(max(shift, 0) - bits)
    n_below, n_above = i32(0), i32(0)
    for i in range(raw.size):
        n = i32(left(np.uint32(raw[i]), lift))
        if bits > 0:
            word = chain(prefix, np.uint32(i)) if words is None else words[i]
            extra = i32(left(logical_right(word, unused), above_bits))
        else:
            extra = i32((negative if n < i32(0) else positive) + i32(arithmetic_right(n, drop) & parity))
        n = arithmetic_right(i32(n + extra), drop)
        n_below = i32(n_below + i32(n < least))
        n_above = i32(n_above + i32(n > most))
        out[i] = min(max(n, least), most)
    return n_below, n_above  # type: ignore[return-value]


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
