"""Whole arrays: from float64 to raw integers and back, and from one format to another."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Literal, NoReturn, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysnn_hw.errors import FixedPointOverflowError, FormatError, QuantizeError, SpecError
from tinysnn_hw.fixed import kernels
from tinysnn_hw.fixed.checks import checked_int, checked_out, checked_raw, checked_reals, element
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.lanes import cut_lanes
from tinysnn_hw.fixed.lfsr import LFSR
from tinysnn_hw.fixed.modes import Overflow, Rounding
from tinysnn_hw.fixed.noise import NO_WORDS
from tinysnn_hw.fixed.random import Purpose, prefix2
from tinysnn_hw.fixed.ranges import RangeRecord

__all__ = ["dequantize", "quantize", "requantize"]

Raw = NDArray[Any]

_SATURATING = (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)
_SHIFT_MAX = 62
_SIZE_MAX = 1 << _SHIFT_MAX  # largest integer that `round_shift` takes
_TINY = 2.0**-500  # with any |frac_bits| <= 512, both tiny itself and its product stay normal float64
_EXACT_WIDTH = 53


@overload
def quantize(
    x: ArrayLike,
    fmt: Format | str,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    *,
    seed: int = ...,
    rand_bits: int = ...,
    source: LFSR | None = ...,
    allow_inf: bool = ...,
    stats: Literal[False] = ...,
    out: Raw | None = ...,
) -> Raw: ...


@overload
def quantize(
    x: ArrayLike,
    fmt: Format | str,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    *,
    seed: int = ...,
    rand_bits: int = ...,
    source: LFSR | None = ...,
    allow_inf: bool = ...,
    stats: Literal[True],
    out: Raw | None = ...,
) -> tuple[Raw, RangeRecord]: ...


def quantize(
    x: ArrayLike,
    fmt: Format | str,
    rounding: Rounding | str = Rounding.NEAREST,
    overflow: Overflow | str = Overflow.SATURATE,
    *,
    seed: int = 0,
    rand_bits: int = 32,
    source: LFSR | None = None,
    allow_inf: bool = False,
    stats: bool = False,
    out: Raw | None = None,
) -> Raw | tuple[Raw, RangeRecord]:
    """Return real numbers as raw integers of a format.

    Exact for every float64: the result is ``x * 2**frac_bits`` as a real number, rounded once by the
    mode, then fitted to the range.

    Parameters
    ----------
    x : array_like of real numbers, any shape
        Numbers that float64 holds exactly.
    fmt : Format or str
        Format of the result, 1 to 32 bits.
    rounding : Rounding or str
        Rounding mode.
    overflow : Overflow or str
        Overflow mode.
    seed : int
        0 to ``2**32 - 1``. Element ``i`` in C order is rounded with the word
        ``draw3(seed, Purpose.ROUND_ARRAY, 0, 0, i)``, so neither order nor threads matter.
    rand_bits : int
        Random bits ``b`` of `stochastic` rounding, 1 to 32. The first ``b`` bits of the fraction are
        compared: with the fraction ``f`` in LSB, the probability of rounding up is
        ``floor(f * 2**b) / 2**b``. It is exact where ``f`` has at most ``b`` bits, else too small by
        less than ``2**-b``; the mean error of the result is that many LSB.
    source : LFSR, optional
        Takes the random bits from a shift register instead, ``rand_bits`` per element in C order, and
        advances it.
    allow_inf : bool
        Saturate infinities instead of refusing them; only with a saturating mode.
    stats : bool
        Also return what was cut.
    out : ndarray of ``fmt.storage_dtype``, the shape of ``x``, optional
        Where to write. Its content is undefined after an error.

    Returns
    -------
    raw : ndarray of ``fmt.storage_dtype``, the shape of ``x``
    record : RangeRecord
        Only with ``stats``.

    Raises
    ------
    QuantizeError
        If a number is NaN or infinite, or an array cannot be used.
    FixedPointOverflowError
        If the overflow mode is `error` and a rounded number leaves the range.
    FormatError, SpecError
        If a format, mode or option is not valid.

    See Also
    --------
    requantize : from raw integers of another format, without a detour over float64.

    Examples
    --------
    >>> quantize([0.5, -1.0, 0.99609375, 7.0], "s1.7")
    array([  64, -128,  127,  127], dtype=int8)
    """
    fmt = Format.parse(fmt)
    rounding, overflow = Rounding.parse(rounding), Overflow.parse(overflow)
    if allow_inf and overflow not in _SATURATING:
        raise QuantizeError(f"allow_inf needs a saturating overflow mode; this one is {overflow.text!r}")
    reals = checked_reals(x)
    raw, flat = _target(out, reals, fmt)
    draws = _draws(reals.size, rounding, seed, rand_bits, source)

    values = reals.reshape(-1)
    if fmt.frac_bits < 0:
        values = _lift_tiny(values)
    ends = float(_lowest(fmt, overflow)), float(fmt.raw_max)
    limit = math.inf if allow_inf else sys.float_info.max
    counted = stats or overflow is Overflow.ERROR
    kernel = kernels.cutter_of_reals(int(rounding), overflow is Overflow.WRAP, counted)
    stored = flat.view(f"i{flat.itemsize}")  # the bits are the same, and so is the kernel

    def cut(n: int) -> tuple[int, int]:
        """Cut the first n values."""
        counts = np.zeros(2, np.int64)
        if kernel(values[:n], stored, 2.0**fmt.frac_bits, ends, 2.0**fmt.width, limit, *draws, counts):
            _refuse_not_finite(reals, allow_inf)
        return int(counts[0]), int(counts[1])

    below, above = cut(values.size)
    if overflow is Overflow.ERROR and below + above:
        _refuse_overflow(reals, "x", fmt, lambda n: sum(cut(n)))
    _hand_over(raw, flat)
    if not stats:
        return raw
    extremes = (int(flat.min()), int(flat.max())) if flat.size else (None, None)
    return raw, RangeRecord(below, above, *extremes)


@overload
def requantize(
    raw: ArrayLike,
    fmt_from: Format | str,
    fmt_to: Format | str,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    *,
    seed: int = ...,
    rand_bits: int = ...,
    source: LFSR | None = ...,
    stats: Literal[False] = ...,
    out: Raw | None = ...,
) -> Raw: ...


@overload
def requantize(
    raw: ArrayLike,
    fmt_from: Format | str,
    fmt_to: Format | str,
    rounding: Rounding | str = ...,
    overflow: Overflow | str = ...,
    *,
    seed: int = ...,
    rand_bits: int = ...,
    source: LFSR | None = ...,
    stats: Literal[True],
    out: Raw | None = ...,
) -> tuple[Raw, RangeRecord]: ...


def requantize(
    raw: ArrayLike,
    fmt_from: Format | str,
    fmt_to: Format | str,
    rounding: Rounding | str = Rounding.NEAREST,
    overflow: Overflow | str = Overflow.SATURATE,
    *,
    seed: int = 0,
    rand_bits: int = 32,
    source: LFSR | None = None,
    stats: bool = False,
    out: Raw | None = None,
) -> Raw | tuple[Raw, RangeRecord]:
    """Return raw integers of one format as raw integers of another, computed in integers.

    The result is `scalar.cut` of each with ``shift = fmt_from.frac_bits - fmt_to.frac_bits``, for any
    shift.

    Parameters
    ----------
    raw : array_like of integers, any shape
        Raw integers of ``fmt_from``.
    fmt_from : Format or str
        Their format; a `Format` may have up to 63 bits if signed, 62 if not.
    fmt_to : Format or str
        Format of the result, 1 to 32 bits.
    rounding, overflow, seed, source, stats, out
        As in `quantize`.
    rand_bits : int
        Random bits of `stochastic` rounding, see `scalar.round_shift`.

    Returns
    -------
    raw : ndarray of ``fmt_to.storage_dtype``, the shape of ``raw``
    record : RangeRecord
        Only with ``stats``.

    Raises
    ------
    QuantizeError
        If an integer is not one of ``fmt_from``, or an array cannot be used.
    FixedPointOverflowError
        If the overflow mode is `error` and a rounded number leaves the range.
    FormatError, SpecError
        If a format, mode or option is not valid.
    """
    fmt_from, fmt_to = _carried(fmt_from), Format.parse(fmt_to)
    rounding, overflow = Rounding.parse(rounding), Overflow.parse(overflow)
    source_raw = checked_raw(raw, fmt_from)
    target, flat = _target(out, source_raw, fmt_to)
    draws = _draws(source_raw.size, rounding, seed, rand_bits, source)

    values = source_raw.reshape(-1)
    shift = fmt_from.frac_bits - fmt_to.frac_bits
    if shift > _SHIFT_MAX:
        values = _squeeze(values, shift - _SHIFT_MAX)
    shift = min(max(shift, -_SHIFT_MAX), _SHIFT_MAX)
    case = (fmt_from, fmt_to), shift, rounding, overflow

    def cut(n: int) -> tuple[int, ...]:
        """Cut the first n values."""
        return cut_lanes(values[:n], flat, *case, draws, stats or overflow is Overflow.ERROR)

    below, above, *extremes = cut(values.size)
    if overflow is Overflow.ERROR and below + above:
        _refuse_overflow(source_raw, "raw", fmt_to, lambda n: sum(cut(n)[:2]))
    _hand_over(target, flat)
    if not stats:
        return target
    return target, RangeRecord(below, above, *(extremes if flat.size else (None, None)))


def dequantize(raw: ArrayLike, fmt: Format | str) -> NDArray[np.float64]:
    """Return the values of raw integers, ``raw * 2**-frac_bits``; exact.

    Parameters
    ----------
    raw : array_like of integers, any shape
        Raw integers of the format.
    fmt : Format or str
        Their format; a `Format` may have up to 53 bits.

    Raises
    ------
    QuantizeError
        If an integer is not one of the format.
    FormatError
        If the format has more bits than float64 holds exactly.
    """
    fmt = fmt if isinstance(fmt, Format) else Format.parse(fmt)
    if fmt.width > _EXACT_WIDTH:
        raise FormatError(f"number format {str(fmt)!r} has {fmt.width} bits; float64 holds {_EXACT_WIDTH}")
    return np.asarray(np.multiply(checked_raw(raw, fmt), fmt.lsb, dtype=np.float64))


def _target(out: Raw | None, source: Raw, fmt: Format) -> tuple[Raw, Raw]:
    """Return (array of the result, flat array that the kernel writes: a view of it where possible)."""
    if out is None:
        raw = np.empty(source.shape, dtype=fmt.storage_dtype)
        return raw, raw.reshape(-1)
    raw = checked_out(out, source.shape, fmt)
    if raw.flags.c_contiguous and not np.may_share_memory(raw, source):
        return raw, raw.reshape(-1)
    return raw, np.empty(raw.size, dtype=raw.dtype)


def _hand_over(raw: Raw, flat: Raw) -> None:
    """Copy what the kernel wrote, unless ``flat`` is a view of the result."""
    if not np.may_share_memory(raw, flat):
        raw[...] = flat.reshape(raw.shape)


def _draws(
    n: int, rounding: Rounding, seed: int, rand_bits: int, source: LFSR | None
) -> tuple[int, NDArray[np.uint32], int]:
    """Return (hash prefix, words, rand_bits): what the kernels take their random bits from."""
    seed = checked_int("seed", seed, 0, 2**32 - 1)
    rand_bits = checked_int("rand_bits", rand_bits, 1, 32)
    if rounding is not Rounding.STOCHASTIC:
        if source is not None:
            raise SpecError(f"source is given, but rounding {rounding.text!r} takes no random bits")
        return 0, NO_WORDS, rand_bits
    if source is not None:
        return 0, source.words(n, rand_bits), rand_bits
    if n > 2**32:
        raise SpecError(f"stochastic rounding has words for 2**32 elements, not {n}; split the array")
    return int(prefix2(seed, int(Purpose.ROUND_ARRAY), 0, 0)), NO_WORDS, rand_bits


def _lowest(fmt: Format, overflow: Overflow) -> int:
    symmetric = fmt.signed and overflow is Overflow.SATURATE_SYMMETRIC
    return -fmt.raw_max if symmetric else fmt.raw_min


def _carried(fmt: Format | str) -> Format:
    fmt = fmt if isinstance(fmt, Format) else Format.parse(fmt)
    if max(fmt.raw_max, -fmt.raw_min) > _SIZE_MAX:
        raise FormatError(
            f"number format {str(fmt)!r} has {fmt.width} bits; requantize takes up to 63, or 62 if unsigned"
        )
    return fmt


def _lift_tiny(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values with tiny ones made larger, so that a factor below 1 cannot lose them.

    Tiny numbers of one sign all round alike: their scaled fraction is nothing, or all ones if negative.
    """
    tiny = (np.abs(values) < _TINY) & (values != 0.0)
    return np.where(tiny, np.copysign(_TINY, values), values)


def _squeeze(values: Raw, bits: int) -> NDArray[np.int64]:
    """Return integers with their low bits replaced by one that tells whether any of them was set.

    62 further bits are dropped afterwards: no mode looks closer.
    """
    bits = min(bits, 63)
    wide = values.astype(np.int64)
    dropped: NDArray[np.int64] = ((wide & ((1 << bits) - 1)) != 0).astype(np.int64)
    return (wide >> bits) | dropped


def _refuse_not_finite(reals: NDArray[np.float64], allow_inf: bool) -> NoReturn:
    refused = np.isnan(reals) if allow_inf else ~np.isfinite(reals)
    first = int(refused.argmax())
    allowed = "infinities but no NaN" if allow_inf else "finite numbers (allow_inf=True saturates infinities)"
    raise QuantizeError(
        f"{element(reals, first, 'x')} is not allowed: quantize takes {allowed}; "
        f"refused are {int(refused.sum())} of {reals.size} values"
    )


def _refuse_overflow(source: Raw, name: str, fmt: Format, n_outside: Callable[[int], int]) -> NoReturn:
    """Name the first value outside the range; ``n_outside(n)`` counts those among the first n."""
    first = bisect_left(range(1, source.size + 1), 1, key=n_outside)
    raise FixedPointOverflowError(
        f"{n_outside(source.size)} of {source.size} values leave {fmt} ({fmt.min:.10g} to {fmt.max:.10g}) "
        f"once rounded; the first is {element(source, first, name)}; "
        "take more integer bits or another overflow mode"
    )
