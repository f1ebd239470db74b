"""From one format to another, and back to float64."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.errors import FixedPointOverflowError, FormatError, QuantizeError, SpecError
from tinysnn_hw.fixed import LFSR, Format, Overflow, RangeRecord, Rounding, dequantize, quantize, requantize

COUNTING = [overflow for overflow in Overflow if overflow is not Overflow.ERROR]
ROUND_ARRAY = 22


def expected_raw(
    definition: Any,
    raw: list[int],
    fmt_from: Format,
    fmt_to: Format,
    mode: Rounding,
    overflow: Overflow,
    seed: int = 0,
    rand_bits: int = 32,
) -> tuple[list[int], RangeRecord]:
    shift = fmt_from.frac_bits - fmt_to.frac_bits
    rounded = [
        definition.shifted(n, shift, mode, definition.word(seed, ROUND_ARRAY, 0, 0, i), rand_bits)
        if shift > 0
        else n << -shift
        for i, n in enumerate(raw)
    ]
    fitted = [definition.fitted(n, fmt_to, overflow) for n in rounded]
    sides = [definition.side(n, fmt_to, overflow) for n in rounded]
    return fitted, RangeRecord(sides.count(-1), sides.count(1), min(fitted), max(fitted))


@pytest.mark.parametrize("overflow", COUNTING)
@pytest.mark.parametrize("mode", Rounding)
def test_every_word_of_nine_bits_into_every_small_format(
    mode: Rounding, overflow: Overflow, definition: Any
) -> None:
    fmt_from = Format(True, 5, 4)
    raw = list(range(fmt_from.raw_min, fmt_from.raw_max + 1))
    for fmt_to in definition.formats(8):
        expected, record = expected_raw(definition, raw, fmt_from, fmt_to, mode, overflow, 3, 2)
        got, counted = requantize(raw, fmt_from, fmt_to, mode, overflow, seed=3, rand_bits=2, stats=True)
        assert got.dtype == fmt_to.storage_dtype
        assert got.tolist() == expected, fmt_to
        assert counted == record, fmt_to


@st.composite
def conversions(draw: st.DrawFn) -> tuple[Format, Format, list[int]]:
    signed = draw(st.booleans())
    width = draw(st.integers(1, 63 if signed else 62))
    frac_bits = draw(st.integers(-500 + width, 500) | st.integers(-40, 40))
    fmt_from = Format(signed, width - frac_bits, frac_bits)
    near = st.integers(frac_bits - 70, frac_bits + 70).filter(lambda f: abs(f) <= 480)
    fmt_to = draw(
        st.builds(
            lambda signed, width, frac_bits: Format(signed, width - frac_bits, frac_bits),
            st.booleans(),
            st.integers(1, 32),
            near | st.integers(-480, 480),
        )
    )
    values = st.integers(fmt_from.raw_min, fmt_from.raw_max)
    ends = st.sampled_from([fmt_from.raw_min, fmt_from.raw_max, 0])
    return fmt_from, fmt_to, draw(st.lists(values | ends, min_size=1, max_size=6))


@given(
    conversion=conversions(),
    mode=st.sampled_from(Rounding),
    overflow=st.sampled_from(COUNTING),
    rand_bits=st.integers(1, 32),
)
def test_any_conversion(
    conversion: tuple[Format, Format, list[int]],
    mode: Rounding,
    overflow: Overflow,
    rand_bits: int,
    definition: Any,
) -> None:
    fmt_from, fmt_to, raw = conversion
    expected, record = expected_raw(definition, raw, fmt_from, fmt_to, mode, overflow, 1, rand_bits)
    got, counted = requantize(
        np.array(raw, fmt_from.storage_dtype),
        fmt_from,
        fmt_to,
        mode,
        overflow,
        seed=1,
        rand_bits=rand_bits,
        stats=True,
    )
    assert (got.tolist(), counted) == (expected, record)


@given(
    fmt=st.builds(
        lambda signed, width, frac_bits: Format(signed, width - frac_bits, frac_bits),
        st.booleans(),
        st.integers(1, 32),
        st.integers(-480, 480),
    ),
    data=st.data(),
    mode=st.sampled_from(Rounding),
)
def test_values_come_back(fmt: Format, data: st.DataObject, mode: Rounding) -> None:
    raw = data.draw(st.lists(st.integers(fmt.raw_min, fmt.raw_max), min_size=1, max_size=8))
    values = dequantize(raw, fmt)
    assert [Fraction(v) for v in values.tolist()] == [n / Fraction(2) ** fmt.frac_bits for n in raw]
    assert quantize(values, fmt, mode, "error").tolist() == raw
    assert requantize(raw, fmt, fmt, mode, "error").tolist() == raw


@given(raw=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), mode=st.sampled_from(Rounding))
def test_both_ways_to_a_narrower_format_agree(raw: list[int], mode: Rounding) -> None:
    wide, narrow = Format.parse("s16.16"), Format.parse("s6.4")
    direct = requantize(raw, wide, narrow, mode, seed=8)
    assert direct.tolist() == quantize(dequantize(raw, wide), narrow, mode, seed=8).tolist()


@pytest.mark.parametrize("mode", Rounding)
def test_the_widest_words_and_shifts(mode: Rounding, definition: Any) -> None:
    """Around one half after 63 dropped bits, and far beyond 64 bits after a left shift."""
    wide = Format(True, 63, 0)
    raw = [-(2**62), -(2**62) + 1, -(2**62) + 2, -1, 0, 1, 2**62 - 1, 2**42 + 1, -(2**42) - 1, 2**32, 3]
    for shift in (-450, -64, -63, -62, -61, -32, -31, -20, -1, 31, 61, 62, 63, 64, 125, 126, 450):
        for fmt_to in (Format(True, 8 + shift, -shift), Format(False, 32 + shift, -shift)):
            for overflow in COUNTING:
                expected, record = expected_raw(definition, raw, wide, fmt_to, mode, overflow)
                got, counted = requantize(raw, wide, fmt_to, mode, overflow, stats=True)
                assert (got.tolist(), counted) == (expected, record), (fmt_to, overflow)


def test_in_place() -> None:
    raw = quantize(np.linspace(-2, 2, 50), "s8.8")
    expected = requantize(raw, "s8.8", "s10.6", "nearest_even").tolist()
    assert requantize(raw, "s8.8", "s10.6", "nearest_even", out=raw) is raw
    assert raw.tolist() == expected


@pytest.mark.parametrize("mode", ["floor", "stochastic"])
def test_the_first_overflow_is_named(mode: str) -> None:
    raw = np.zeros((10, 10), np.int16)
    raw[4, 2:] = 300
    with pytest.raises(FixedPointOverflowError, match=r"^8 of 100 values leave s1\.7 .* raw\[4, 2\] = 300;"):
        requantize(raw, "s8.8", "s1.7", mode, "error")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([0, 128], r"raw\[1\] = 128 is no raw value of s1\.7; allowed: -128 to 127"),
        ([-129], r"raw\[0\] = -129 is no raw value"),
        (np.array([200], np.uint8), r"raw\[0\] = 200"),
        ([0.0], "raw is of dtype float64"),
        ([True], "raw is of dtype bool"),
        ([2**70], "raw is of dtype object"),
    ],
)
def test_what_is_no_raw_value_is_refused(raw: Any, message: str) -> None:
    with pytest.raises(QuantizeError, match=message):
        requantize(raw, "s1.7", "s1.3")
    with pytest.raises(QuantizeError, match=message):
        dequantize(raw, "s1.7")


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_the_ends_of_every_format_in_every_storage(dtype: str) -> None:
    held = np.iinfo(dtype)
    for width, signed in product((1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 53), (True, False)):
        fmt = Format(signed, width, 0)
        for n in {
            fmt.raw_min - 1,
            fmt.raw_min,
            -1,
            0,
            fmt.raw_max,
            fmt.raw_max + 1,
            int(held.min),
            int(held.max),
        }:
            if not held.min <= n <= held.max:
                continue
            if fmt.raw_min <= n <= fmt.raw_max:
                assert dequantize(np.array([0, n], dtype), fmt).tolist() == [0, n]
            else:
                with pytest.raises(QuantizeError, match=rf"raw\[1\] = {n} is no raw value of"):
                    dequantize(np.array([0, n], dtype), fmt)


def test_negative_numbers_are_no_unsigned_raw_values() -> None:
    with pytest.raises(QuantizeError, match=r"raw\[1\] = -1 is no raw value of u0\.8; allowed: 0 to 255"):
        dequantize(np.array([1, -1], np.int8), "u0.8")


def test_unsigned_sources_are_not_taken_for_signed() -> None:
    assert requantize(np.array([255, 128], np.uint8), "u8.0", "s9.1").tolist() == [510, 256]
    largest = np.array([2**62 - 1], np.uint64)
    for overflow, expected in (("saturate", 2**32 - 1), ("wrap", 0)):
        assert requantize(largest, Format(False, 62, 0), "u62.-30", overflow=overflow).tolist() == [expected]


def test_formats_are_checked() -> None:
    with pytest.raises(FormatError, match=r"s64\.0.* 64 bits; requantize takes up to 63, or 62 if unsigned"):
        requantize([0], Format(True, 64, 0), "s1.7")
    with pytest.raises(FormatError, match=r"u63\.0"):
        requantize([0], Format(False, 63, 0), "s1.7")
    with pytest.raises(FormatError, match=r"s40\.0.*1 to 32"):
        requantize([0], "s1.7", Format(True, 40, 0))
    with pytest.raises(FormatError, match=r"s54\.0.* 54 bits; float64 holds 53"):
        dequantize([0], Format(True, 54, 0))
    with pytest.raises(SpecError, match="takes no random bits"):
        requantize([0], "s1.7", "s1.3", source=LFSR(8))
    assert dequantize([], "s1.7").dtype == np.float64
    assert dequantize([2**52 - 1, -(2**52)], Format(True, 60, -7)).tolist() == [2.0**59 - 128, -(2.0**59)]
