"""The cut: drop bits with a rounding mode, then fit with an overflow mode.

These functions take and return int64 scalars. They are plain integer code without exceptions or
objects, so that CPU and CUDA kernels compile the same lines. Modes are numbers of `Rounding` and
`Overflow`.
"""

from __future__ import annotations

import numpy as np

from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.modes import Overflow, Rounding

__all__ = ["cut", "fit", "overflow_side", "round_shift"]

TO_ZERO = int(Rounding.TO_ZERO)
NEAREST = int(Rounding.NEAREST)
NEAREST_AWAY = int(Rounding.NEAREST_AWAY)
NEAREST_EVEN = int(Rounding.NEAREST_EVEN)
STOCHASTIC = int(Rounding.STOCHASTIC)
WRAP = int(Overflow.WRAP)
SATURATE_SYMMETRIC = int(Overflow.SATURATE_SYMMETRIC)


@njit(cache=True)
def round_shift(n, shift, rounding, draw, rand_bits):
    """Return ``n / 2**shift`` as an integer, rounded by the mode.

    Every mode is ``(n + bias) >> shift``. With ``f = n & (2**shift - 1)``, ``h = 2**(shift - 1)`` and
    ``b = min(shift, rand_bits)``:

    ============  =======================================  ==================================
    mode          bias                                     hence 1 more than ``n >> shift`` if
    ============  =======================================  ==================================
    floor         ``0``                                    never
    to_zero       ``2**shift - 1`` if ``n < 0`` else 0     ``n < 0`` and ``f > 0``
    nearest       ``h``                                    ``f >= h``
    nearest_away  ``h - 1`` if ``n < 0`` else ``h``        ``f > h``, or tie and ``n >= 0``
    nearest_even  ``h - 1 + ((n >> shift) & 1)``           ``f > h``, or tie and odd
    stochastic    ``(draw >> (32 - b)) << (shift - b)``    ``f + bias >= 2**shift``
    ============  =======================================  ==================================

    Parameters
    ----------
    n : int64
        From ``-2**63`` to ``2**62``, so that no sum leaves 64 bits.
    shift : int64
        Bits to drop, at most 62. Negative: an exact left shift; its result must fit 64 bits.
    rounding : int64
        A number of `Rounding`.
    draw : uint32
        Random word; only `stochastic` reads it.
    rand_bits : int64
        Random bits that `stochastic` uses, 1 to 32, the highest of ``draw``. The probability of
        rounding up is ``floor(f / 2**(shift - b)) / 2**b``: exactly ``f / 2**shift`` if
        ``rand_bits >= shift``, else too small by less than ``2**-b``. Exact values never move.
    """
    n = np.int64(n)
    shift = np.int64(shift)
    if shift <= 0:
        return n << -shift
    one = np.int64(1)
    half = one << (shift - one)
    bias = np.int64(0)
    if rounding == NEAREST:
        bias = half
    elif rounding == STOCHASTIC:
        b = min(shift, np.int64(rand_bits))
        bias = (np.int64(draw) >> (np.int64(32) - b)) << (shift - b)
    elif rounding == NEAREST_EVEN:
        bias = half - one + ((n >> shift) & one)
    elif rounding == NEAREST_AWAY:
        bias = half + (n >> np.int64(63))
    elif rounding == TO_ZERO:
        bias = (n >> np.int64(63)) & (half + half - one)
    return (n + bias) >> shift


@njit(cache=True)
def fit(n, raw_min, raw_max, width, signed, overflow):
    """Return ``n`` brought into the range of a format by the overflow mode.

    Parameters
    ----------
    n : int64
        A rounded value.
    raw_min, raw_max, width, signed : int64
        Those of the format; ``width`` at most 63.
    overflow : int64
        A number of `Overflow`. `error` saturates here: kernels cannot raise, so they count with
        `overflow_side` and their caller raises.
    """
    n = np.int64(n)
    if overflow == WRAP:
        spare = np.int64(64) - np.int64(width)
        if signed:
            return (n << spare) >> spare
        return n & ((np.int64(1) << np.int64(width)) - np.int64(1))
    low = np.int64(raw_min)
    high = np.int64(raw_max)
    if overflow == SATURATE_SYMMETRIC and low < 0:
        low = -high
    return min(max(n, low), high)


@njit(cache=True)
def overflow_side(n, raw_min, raw_max, overflow):
    """Return -1, 0 or 1: the rounded value ``n`` lies below, inside or above the range.

    The range of a signed format starts at ``-raw_max`` under `saturate_symmetric`: ``raw_min`` is then
    changed, so it counts as below.
    """
    n = np.int64(n)
    low = np.int64(raw_min)
    high = np.int64(raw_max)
    if overflow == SATURATE_SYMMETRIC and low < 0:
        low = -high
    return np.int64(n > high) - np.int64(n < low)


@njit(cache=True)
def cut(n, shift, rounding, draw, rand_bits, raw_min, raw_max, width, signed, overflow):
    """Return `fit` of `round_shift`: what a register holds after ``n`` is written to it.

    Rounding comes first, so a carry out of the rounding is an overflow. Parameters are those of the two.
    """
    return fit(round_shift(n, shift, rounding, draw, rand_bits), raw_min, raw_max, width, signed, overflow)
