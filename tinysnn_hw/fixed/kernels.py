"""From reals to raw integers: one pass that reads, rounds, fits, counts and writes.

Reals are cut in float64 (IEEE 754, subnormals included), because each of these steps is exact there:

1. ``y = x * 2**frac_bits`` multiplies by a power of two. It loses no bit unless it overflows, to an
   infinity of the same sign, or falls below ``2**-1022``. The latter needs ``frac_bits < 0``, for which
   the caller lifts tiny values first.
2. The floor ``t`` is exact, and ``y - t >= 0.5`` tells whether the fraction is at least one half: the difference is
   exact but for ``-0.5 < y < 0``, where rounding cannot bring it below one half. ``floor(y + 0.5)`` would not do: it
   rounds 0.5 - 2**-54 to 1. Ties away from zero are ``trunc(y +- (0.5 - 2**-54))``: that sum rounds to the next
   integer from the tie on, and not before it.
3. ``floor(y * 2**b) - t * 2**b`` is an integer in ``[0, 2**b)``: the first ``b`` bits of the fraction.
   Both terms are exact, and so is their difference, which float64 can hold. Where ``floor(y * 2**b)`` and a word of
   ``b`` bits make less than ``2**53``, the floor of ``2**-b`` times their sum is the result too.
4. With its random word given, every mode is monotone and keeps integers, so rounding and clamping to
   integers may change places.
5. To wrap, ``floor(r / 2**w) * 2**w`` is subtracted: a scaling, a floor and a scaling, each exact, and a
   difference that is an integer in ``[0, 2**w)``. What overflowed in step 1 is a multiple of ``2**w``, as is the
   largest float64, which takes its place.
"""

# mypy: disable-error-code="call-arg, no-any-return, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.noise import BLOCK, fill_noise
from tinysnn_hw.fixed.scalar import NEAREST, NEAREST_AWAY, NEAREST_EVEN, STOCHASTIC, TO_ZERO
from tinysnn_hw.fixed.words import as_real, logical_right

__all__ = ["cutter_of_reals", "round_real"]

LOW_BITS = 1.5 * 2.0**52
"""Added to an integer float64 of size below ``2**51``, leaves its two's complement in the low 51 bits."""

ALMOST_HALF = 0.5 - 2.0**-54


@njit(cache=True)
def _round_real(y: float, rounding: int) -> float:
    """Return ``y`` rounded by a deterministic mode."""
    if rounding == NEAREST:
        below = np.floor(y)
        return below + 1.0 if y - below >= 0.5 else below
    if rounding == NEAREST_EVEN:
        return np.rint(y)
    if rounding == NEAREST_AWAY:
        return np.trunc(y + (ALMOST_HALF if y > 0.0 else -ALMOST_HALF))
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
    return below + 1.0 if fraction + as_real(logical_right(word, unused_bits)) >= steps else below


@njit(cache=True)
def round_real(y: float, rounding: int, word: np.uint32, rand_bits: int) -> float:
    """Return ``y`` rounded by any mode, an integer float64; ``word`` is the random word."""
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


@cache
def cutter_of_reals(rounding: int, wraps: bool, counted: bool) -> Callable[..., bool]:
    """Return the kernel of one rounding mode, with or without `wrap` and counters.

    Each is compiled when first called: a loop over all modes would take longer to compile, and to run.

    Returns
    -------
    cut : function
        ``cut(x, out, scale, ends, modulus, limit, prefix, words, rand_bits, counts)`` writes the cut of ``x * scale``
        to ``out`` and tells whether a NaN or an ``|x| > limit`` was met. ``ends`` of the range and ``modulus``,
        ``2**width``, are float64. ``prefix, words`` are as in `fill_noise`; the first ``rand_bits`` bits of a word are
        used. To `wrap`, ``limit`` is the largest float64. With ``counted`` the numbers below and above the range are
        added to ``counts``, int64 of shape (2,).
    """
    stochastic = rounding == STOCHASTIC

    def cut(
        x: NDArray[np.float64],
        out: NDArray[Any],
        scale: float,
        ends: tuple[float, float],
        modulus: float,
        limit: float,
        prefix: int,
        words: NDArray[np.uint32],
        rand_bits: int,
        counts: NDArray[np.int64],
    ) -> bool:
        low, high = ends
        refused = below = above = 0
        inverse = 1.0 / modulus
        noise = np.empty(BLOCK if stochastic else 0, np.uint32)
        unused_bits, steps = np.uint32(32 - rand_bits), 2.0**rand_bits
        step = 1.0 / steps
        fine_scale, fine_low, fine_high = scale * steps, (low - 2.0) * steps, (high + 2.0) * steps
        fine = not wraps and fine_high - fine_low < 2.0**52
        for first in range(0, x.size, BLOCK):
            part, target = x[first : first + BLOCK], out[first : first + BLOCK]
            if stochastic:
                fill_noise(prefix, words, first, noise)
            for k in range(part.size):
                value = part[k]
                refused += not (abs(value) <= limit)
                if not stochastic:
                    rounded = _round_real(value * scale, rounding)
                elif fine:
                    y = value * fine_scale
                    y = y if y > fine_low else fine_low
                    y = y if y < fine_high else fine_high
                    rounded = np.floor((np.floor(y) + as_real(logical_right(noise[k], unused_bits))) * step)
                else:
                    rounded = _round_real_at_random(value * scale, noise[k], unused_bits, steps)
                if counted:
                    below += rounded < low
                    above += rounded > high
                if wraps:
                    fitted = rounded if rounded > -limit else -limit
                    fitted = fitted if fitted < limit else limit
                    fitted = fitted - np.floor(fitted * inverse) * modulus
                    fitted = fitted if fitted <= high else fitted - modulus
                else:
                    fitted = rounded if rounded > low else low  # a NaN becomes low
                    fitted = fitted if fitted < high else high
                # A plain conversion to int64 is not a vector instruction before AVX-512, one to int32 has no room for
                # 32 unsigned bits.
                target[k] = np.float64(fitted + LOW_BITS).view(np.int64)
        if counted:
            counts[0] += below
            counts[1] += above
        return refused > 0

    return njit(cache=True)(cut)
