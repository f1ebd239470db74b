"""Outside judges: APyTypes and fxpmath cut as we do, wherever their definitions are the same as ours.

APyTypes has signed formats only and is fed raw integers, because its conversion from float rounds ties
away. fxpmath is fed values; its default rounding is not ours, so the mode is always named.
"""

from __future__ import annotations

from typing import Any

import apytypes
import fxpmath
import numpy as np
import pytest

from tinysnn_hw.fixed import Format, Overflow, Rounding, quantize, requantize

APY_ROUNDING = {
    Rounding.FLOOR: "TRN",
    Rounding.TO_ZERO: "TRN_ZERO",
    Rounding.NEAREST: "RND",
    Rounding.NEAREST_AWAY: "RND_INF",
    Rounding.NEAREST_EVEN: "RND_CONV",
}
APY_OVERFLOW = {Overflow.SATURATE: "SAT", Overflow.WRAP: "WRAP"}
FXP_ROUNDING = {
    Rounding.FLOOR: "bit_trunc",
    Rounding.TO_ZERO: "fix",
    Rounding.NEAREST: "nearest_posinf",
    Rounding.NEAREST_AWAY: "nearest_away",
    Rounding.NEAREST_EVEN: "around",
}
FXP_OVERFLOW = {Overflow.SATURATE: "saturate", Overflow.WRAP: "wrap"}

every_mode = pytest.mark.parametrize("mode", list(APY_ROUNDING), ids=str)
every_overflow = pytest.mark.parametrize("overflow", list(APY_OVERFLOW), ids=str)


def apy_array(raw: np.ndarray, fmt: Format) -> Any:
    patterns = (raw.astype(np.int64) % 2**fmt.width).tolist()
    return apytypes.APyFixedArray(patterns, int_bits=fmt.int_bits, frac_bits=fmt.frac_bits)


def apy_cast(array: Any, fmt: Format, mode: Rounding, overflow: Overflow) -> list[int]:
    cast = array.cast(
        int_bits=fmt.int_bits,
        frac_bits=fmt.frac_bits,
        quantization=getattr(apytypes.QuantizationMode, APY_ROUNDING[mode]),
        overflow=getattr(apytypes.OverflowMode, APY_OVERFLOW[overflow]),
    )
    sign = 2 ** (fmt.width - 1)
    return [(int(bits) + sign) % 2**fmt.width - sign for bits in cast.to_bits()]


def fxp_raw(x: np.ndarray, fmt: Format, mode: Rounding, overflow: Overflow) -> list[int]:
    number = fxpmath.Fxp(
        x,
        signed=fmt.signed,
        n_word=fmt.width,
        n_frac=fmt.frac_bits,
        rounding=FXP_ROUNDING[mode],
        overflow=FXP_OVERFLOW[overflow],
    )
    return [int(raw) for raw in np.atleast_1d(number.val)]


def signed_formats() -> list[Format]:
    """Formats up to 8 bits around an s5.4 source, the point outside the word too."""
    return [
        Format(True, width - frac_bits, frac_bits)
        for width in range(1, 9)
        for frac_bits in (-1, 0, 2, 3, 5, 9)
    ]


@every_overflow
@every_mode
def test_apytypes_casts_every_nine_bit_word_as_we_do(mode: Rounding, overflow: Overflow) -> None:
    source = Format(True, 5, 4)
    raw = np.arange(source.raw_min, source.raw_max + 1)
    theirs = apy_array(raw, source)
    for fmt in signed_formats():
        ours = requantize(raw, source, fmt, mode, overflow)
        assert ours.tolist() == apy_cast(theirs, fmt, mode, overflow), fmt


@every_overflow
@every_mode
def test_apytypes_cuts_every_product_as_we_do(mode: Rounding, overflow: Overflow) -> None:
    """All 65,536 products of two 8-bit words, cut to 8 bits once."""
    fmt, product = Format.parse("s4.4"), Format.parse("s8.8")
    raw = np.arange(-128, 128)
    left, right = (side.ravel() for side in np.meshgrid(raw, raw))
    theirs = apy_array(left, fmt) * apy_array(right, fmt)
    ours = requantize(left * right, product, fmt, mode, overflow)
    assert ours.tolist() == apy_cast(theirs, fmt, mode, overflow)


@every_overflow
@every_mode
def test_apytypes_casts_wide_words_as_we_do(mode: Rounding, overflow: Overflow) -> None:
    source, fmt = Format(True, 12, 50), Format.parse("s8.24")
    rng = np.random.default_rng(11)
    raw = rng.integers(source.raw_min, source.raw_max, 2000, endpoint=True)
    raw[:500] &= -(2**25)  # ties
    raw[250:500] >>= 4
    assert requantize(raw, source, fmt, mode, overflow).tolist() == apy_cast(
        apy_array(raw, source), fmt, mode, overflow
    )


@every_overflow
@every_mode
@pytest.mark.parametrize("name", ["s1.7", "s4.4", "u0.8", "u4.2", "s6.-2", "s-1.5", "s1.2"])
def test_fxpmath_quantizes_as_we_do(name: str, mode: Rounding, overflow: Overflow) -> None:
    """Every quarter of an LSB over twice the range."""
    fmt = Format.parse(name)
    quarters = np.arange(4 * (fmt.raw_min - 2 ** (fmt.width - 1)), 4 * (fmt.raw_max + 2 ** (fmt.width - 1)))
    x = quarters * fmt.lsb / 4
    assert quantize(x, fmt, mode, overflow).tolist() == fxp_raw(x, fmt, mode, overflow)


@every_overflow
@every_mode
def test_fxpmath_quantizes_noise_as_we_do(mode: Rounding, overflow: Overflow) -> None:
    x = np.random.default_rng(3).normal(0.0, 90.0, 500)
    for name in ("s8.8", "s8.16", "u8.8"):
        fmt = Format.parse(name)
        assert quantize(x, fmt, mode, overflow).tolist() == fxp_raw(x, fmt, mode, overflow), name
