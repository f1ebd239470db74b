"""From raw integers to raw integers, in vector lanes of 8 to 64 bits.

A lane holds what the source format can hold, and no sum leaves it, because rounding is done on the dropped bits alone:
with ``whole = n >> shift`` and ``rest = n & (2**shift - 1)`` the result is ``whole + ((rest + extra) >> shift)``, where
``extra`` is at most ``2**shift - 1``. That is `scalar.round_shift`, as ``n`` is ``(whole << shift) + rest``.
"""

# mypy: disable-error-code="arg-type, call-arg, no-any-return, untyped-decorator, var-annotated"

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.modes import Overflow, Rounding, rounding_bias
from tinysnn_hw.fixed.noise import BLOCK, fill_noise
from tinysnn_hw.fixed.words import (
    add,
    arithmetic_right,
    as_word,
    both,
    differing,
    larger,
    left,
    less,
    logical_right,
    sign_bits,
    smaller,
    subtract,
)

__all__ = ["cut_lanes", "cut_left", "cut_right"]

_INT64 = np.iinfo(np.int64)


def cut_lanes(
    raw: NDArray[Any],
    out: NDArray[Any],
    formats: tuple[Format, Format],
    shift: int,
    rounding: Rounding,
    overflow: Overflow,
    draws: tuple[int, NDArray[np.uint32], int],
    counted: bool,
) -> tuple[int, ...]:
    """Write the cut of raw integers; return what was found if ``counted``, else zeros.

    Parameters
    ----------
    raw : ndarray of integers, shape (n,)
        Each one of ``formats[0]``.
    out : ndarray of integers, shape (n,)
        In the storage type of ``formats[1]``; lies apart from ``raw``.
    shift : int
        Bits to drop, -62 to 62.
    draws : (int, ndarray of uint32, int)
        Hash prefix, random words or `NO_WORDS`, and random bits of `stochastic`.

    Returns
    -------
    below, above, lowest, highest : int
        How many lay below and above the range, and the smallest and largest result if there is one.
    """
    plan = _plan(*formats, shift, rounding, overflow, counted, raw.dtype)
    record = np.array([0, 0, _INT64.max, _INT64.min]) if counted else None
    raw, out = raw.view(plan.read), out.view(plan.written)
    if shift < 0:
        cut_left(raw, out, *plan.limits, -shift, plan.ends, plan.wrap, record)
    else:
        noise = None if plan.noise is None else np.empty(BLOCK, plan.noise)
        cut_right(raw, out, *plan.limits, shift, plan.bias, plan.wrap, noise, *draws, record)
    return (0, 0, 0, 0) if record is None else tuple(record.tolist())


class _Plan(NamedTuple):
    """What `cut_lanes` hands to its kernels."""

    read: np.dtype[Any]
    written: np.dtype[Any]
    limits: tuple[Any, Any]
    ends: tuple[int, int]
    bias: tuple[int, int, int]
    wrap: tuple[bool, int, int]
    noise: np.dtype[Any] | None


@lru_cache(maxsize=1024)
def _plan(
    source: Format,
    target: Format,
    shift: int,
    rounding: Rounding,
    overflow: Overflow,
    counted: bool,
    dtype: np.dtype[Any],
) -> _Plan:
    """Choose the narrowest lanes that do.

    They have the bits of the source and more bits than are shifted. A shift to the left, and `wrap`, may use all bits
    of the result; so their lanes have the bits that ``out`` has, and where the smallest and largest result are looked
    for, a sign and room for it. Lanes of 8 bits cannot count to `BLOCK`.
    """
    wraps = overflow is Overflow.WRAP
    bits, signed = max(source.width, abs(shift) + 1, 16 if counted else 8), source.signed
    stored = target.storage_dtype
    if wraps or shift < 0:
        bits = max(bits, 8 * stored.itemsize)
        if counted:
            bits = max(bits, source.width + (not source.signed), target.width + (not target.signed))
            signed = True
    size = next(lane for lane in (8, 16, 32, 64) if lane >= bits)
    lane = np.dtype(f"int{size}" if signed else f"uint{size}")
    # A lane that does not widen sees no sign, so one kernel reads both kinds; and it writes both.
    read = np.dtype(f"{lane.kind}{dtype.itemsize}") if dtype.itemsize >= lane.itemsize else dtype
    low = -target.raw_max if target.signed and overflow is Overflow.SATURATE_SYMMETRIC else target.raw_min
    high = target.raw_max
    bottom, top = (-(-low >> -shift), high >> -shift) if shift < 0 else (low, high)
    held = np.iinfo(lane)
    return _Plan(
        read,
        np.dtype(f"i{stored.itemsize}"),
        (lane.type(max(bottom, int(held.min))), lane.type(min(top, int(held.max)))),
        (low, high),
        rounding_bias(rounding, shift),
        (wraps, (1 << target.width) - 1, 1 << (target.width - 1) if target.signed else 0),
        np.dtype(f"u{lane.itemsize}") if rounding is Rounding.STOCHASTIC and shift > 0 else None,
    )


@njit(cache=True)
def _bring_up_to_date(record: NDArray[np.int64], below: int, above: int, lowest: int, highest: int) -> None:
    record[0] += below
    record[1] += above
    record[2] = min(record[2], lowest)
    record[3] = max(record[3], highest)


@njit(cache=True)
def cut_right(
    raw: NDArray[Any],
    out: NDArray[Any],
    least: Any,
    most: Any,
    shift: int,
    bias: tuple[int, int, int],
    wrap: tuple[bool, int, int],
    noise: NDArray[Any] | None,
    prefix: int,
    words: NDArray[np.uint32],
    rand_bits: int,
    record: NDArray[np.int64] | None,
) -> None:
    """Write the cut of ``raw * 2**-shift``, 0 <= shift < bits of a lane.

    Parameters
    ----------
    raw, out
        As in `cut_lanes`; ``out`` takes the low bits of a lane.
    least, most : a NumPy integer of the lane's type
        Ends of the range, as far as a lane has them.
    bias : tuple of int
        `modes.rounding_bias`; not read with ``noise``.
    wrap : (bool, int, int)
        Whether the mode is `wrap`, ``2**width - 1``, and ``2**(width - 1)`` if signed, else 0.
    noise : ndarray of unsigned lanes, shape (BLOCK,), or None
        Room for random words; None unless the mode is `stochastic` and ``shift`` above 0.
    prefix, words, rand_bits
        As in `fill_noise`; the first ``rand_bits`` bits of a word are used.
    record : ndarray of int64, shape (4,), or None
        As in `cut_lanes`; brought up to date.
    """
    drop, mask = as_word(shift, least), as_word((1 << shift) - 1, least)
    added, by_sign, parity = as_word(bias[0], least), as_word(bias[1], least), as_word(bias[2], least)
    wraps, kept, flip = wrap[0], as_word(wrap[1], least), as_word(wrap[2], least)
    for first in range(0, raw.size, BLOCK):
        part, target = raw[first : first + BLOCK], out[first : first + BLOCK]
        if noise is not None:
            bits = 8 * noise.itemsize
            down = as_word(bits - shift, noise[0])
            fill_noise(prefix, words, first, noise)
            if rand_bits < shift:
                used = as_word(-1 << (bits - rand_bits), noise[0])
                for k in range(noise.size):
                    noise[k] = both(noise[k], used)
        below = above = as_word(0, least)
        lowest, highest = most, least
        for k in range(part.size):
            n = as_word(part[k], least)
            whole = arithmetic_right(n, drop)
            if noise is not None:
                extra = as_word(logical_right(noise[k], down), least)
            else:
                extra = add(added, add(both(sign_bits(n), by_sign), both(whole, parity)))
            rounded = add(whole, logical_right(add(both(n, mask), extra), drop))
            if wraps:
                fitted = subtract(differing(both(rounded, kept), flip), flip)
            else:
                fitted = smaller(larger(rounded, least), most)
            if record is not None:
                below, above = add(below, less(rounded, least)), add(above, less(most, rounded))
                lowest, highest = smaller(lowest, fitted), larger(highest, fitted)
            target[k] = as_word(fitted, target[0])
        if record is not None:
            _bring_up_to_date(record, below, above, lowest, highest)


@njit(cache=True)
def cut_left(
    raw: NDArray[Any],
    out: NDArray[Any],
    bottom: Any,
    top: Any,
    shift: int,
    ends: tuple[int, int],
    wrap: tuple[bool, int, int],
    record: NDArray[np.int64] | None,
) -> None:
    """Write the cut of ``raw * 2**shift``, 0 < shift < bits of a lane.

    ``bottom`` and ``top``, of the lane's type, are what can be shifted without leaving the range, whose ends are
    ``ends``; the others are as in `cut_right`.
    """
    lift, least, most = as_word(shift, top), as_word(ends[0], top), as_word(ends[1], top)
    wraps, kept, flip = wrap[0], as_word(wrap[1], top), as_word(wrap[2], top)
    for first in range(0, raw.size, BLOCK):
        part, target = raw[first : first + BLOCK], out[first : first + BLOCK]
        below = above = as_word(0, top)
        lowest, highest = most, least
        for k in range(part.size):
            n = as_word(part[k], top)
            lifted = left(n, lift)
            if wraps:
                lifted = subtract(differing(both(lifted, kept), flip), flip)
            else:
                lifted = most if n > top else lifted
                lifted = least if n < bottom else lifted
            if record is not None:
                below, above = add(below, less(n, bottom)), add(above, less(top, n))
                lowest, highest = smaller(lowest, lifted), larger(highest, lifted)
            target[k] = as_word(lifted, target[0])
        if record is not None:
            _bring_up_to_date(record, below, above, lowest, highest)
