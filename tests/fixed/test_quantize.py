"""From float64 to raw integers: equal to the definition for every kind of float, format and mode."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.errors import FixedPointOverflowError, FormatError, QuantizeError, SpecError
from tinysnn_hw.fixed import LFSR, Format, Overflow, RangeRecord, Rounding, quantize

COUNTING = [overflow for overflow in Overflow if overflow is not Overflow.ERROR]
LARGEST = sys.float_info.max
SMALLEST = 5e-324
ROUND_ARRAY = 22

finite = st.floats(allow_nan=False, allow_infinity=False)
any_format = st.builds(
    lambda signed, width, frac_bits: Format(signed, width - frac_bits, frac_bits),
    st.booleans(),
    st.integers(1, 32),
    st.integers(-480, 480),
)
usual_format = st.builds(
    lambda signed, width, frac_bits: Format(signed, width - frac_bits, frac_bits),
    st.booleans(),
    st.integers(1, 32),
    st.integers(-8, 40),
)


def expected_raw(
    definition: Any,
    x: np.ndarray,
    fmt: Format,
    mode: Rounding,
    overflow: Overflow,
    seed: int = 0,
    rand_bits: int = 32,
) -> tuple[list[int], RangeRecord]:
    words = [definition.word(seed, ROUND_ARRAY, 0, 0, i) for i in range(x.size)]
    rounded = [
        definition.from_real(value, fmt, mode, word, rand_bits)
        for value, word in zip(x.tolist(), words, strict=True)
    ]
    raw = [definition.fitted(n, fmt, overflow) for n in rounded]
    sides = [definition.side(n, fmt, overflow) for n in rounded]
    return raw, RangeRecord(sides.count(-1), sides.count(1), min(raw), max(raw))


@pytest.mark.parametrize("mode", Rounding)
def test_small_formats_are_exact_everywhere(mode: Rounding, definition: Any) -> None:
    """Every sixteenth of an LSB over three times the range of every format up to 8 bits."""
    for fmt in definition.formats(8):
        sixteenths = np.arange(-24 * 2**fmt.width, 24 * 2**fmt.width + 1)
        x = np.ldexp(sixteenths.astype(np.float64), -4 - fmt.frac_bits)
        words = [definition.word(5, ROUND_ARRAY, 0, 0, i) for i in range(x.size)]
        rounded = [
            definition.from_real(value, fmt, mode, word, 3)
            for value, word in zip(x.tolist(), words, strict=True)
        ]
        for overflow in COUNTING:
            raw, record = quantize(x, fmt, mode, overflow, seed=5, rand_bits=3, stats=True)
            expected = [definition.fitted(n, fmt, overflow) for n in rounded]
            assert raw.dtype == fmt.storage_dtype
            assert raw.tolist() == expected, (fmt, overflow)
            sides = [definition.side(n, fmt, overflow) for n in rounded]
            assert record == RangeRecord(sides.count(-1), sides.count(1), min(expected), max(expected))
            assert quantize(x, fmt, mode, overflow, seed=5, rand_bits=3).tolist() == expected


@given(
    x=st.lists(finite, min_size=1, max_size=8),
    fmt=any_format,
    mode=st.sampled_from(Rounding),
    overflow=st.sampled_from(COUNTING),
    seed=st.integers(0, 2**32 - 1),
    rand_bits=st.integers(1, 32),
    stats=st.booleans(),
)
def test_any_float_in_any_format(
    x: list[float],
    fmt: Format,
    mode: Rounding,
    overflow: Overflow,
    seed: int,
    rand_bits: int,
    stats: bool,
    definition: Any,
) -> None:
    expected, record = expected_raw(definition, np.array(x), fmt, mode, overflow, seed, rand_bits)
    got = quantize(x, fmt, mode, overflow, seed=seed, rand_bits=rand_bits, stats=stats)
    assert (got[0].tolist(), got[1]) == (expected, record) if stats else got.tolist() == expected


@given(
    fmt=usual_format,
    half=st.integers(-(2**33), 2**33),
    toward=st.sampled_from([-math.inf, math.inf, None]),
    mode=st.sampled_from(Rounding),
    overflow=st.sampled_from(COUNTING),
    stats=st.booleans(),
)
def test_ties_ends_and_their_neighbours(
    fmt: Format,
    half: int,
    toward: float | None,
    mode: Rounding,
    overflow: Overflow,
    stats: bool,
    definition: Any,
) -> None:
    around = [half, half % 2**fmt.width, 2 * fmt.raw_min + half % 3 - 1, 2 * fmt.raw_max + half % 3 - 1]
    x = np.array([math.ldexp(n, -1 - fmt.frac_bits) for n in around])
    if toward is not None:
        x = np.nextafter(x, toward)
    expected, record = expected_raw(definition, x, fmt, mode, overflow)
    got = quantize(x, fmt, mode, overflow, stats=stats)
    assert (got[0].tolist(), got[1]) == (expected, record) if stats else got.tolist() == expected


HARD = [
    0.0,
    -0.0,
    0.5,
    0.5 - 2.0**-54,  # the largest float64 below one half: floor(x + 0.5) is 1
    -0.5,
    -0.5 + 2.0**-54,  # its floor and fraction round to a tie
    -0.5 - 2.0**-53,
    1.5,
    2.5,
    -1.5,
    -2.5,
    -(2.0**-60),
    2.0**-60,
    SMALLEST,
    -SMALLEST,
    2.0**52 - 0.5,
    2.0**52,
    2.0**52 + 1,
    2.0**52 + 2,
    2.0**53 - 2,
    2.0**53 - 1,
    -(2.0**52) - 2,
    -(2.0**52) + 0.5,
    2.0**63,
    2.0**64 + 2.0**12,
    -(2.0**85),
    2.0**84 + 2.0**32,
    LARGEST,
    -LARGEST,
    127.5,
    -128.5,
    126.5,
    255.5,
    2.0**31 - 0.5,
    2.0**32 - 0.5,
    -(2.0**31) - 0.5,
]


@pytest.mark.parametrize("overflow", COUNTING)
@pytest.mark.parametrize("mode", Rounding)
def test_hard_numbers(mode: Rounding, overflow: Overflow, definition: Any) -> None:
    for name in ("s8.0", "u8.0", "s1.7", "s32.0", "u32.0", "s16.16", "s10.-2", "u-2.10", "s1.0", "u1.0"):
        fmt = Format.parse(name)
        x = np.array(HARD)
        expected, record = expected_raw(definition, x, fmt, mode, overflow)
        assert quantize(x, fmt, mode, overflow).tolist() == expected, fmt
        assert quantize(x, fmt, mode, overflow, stats=True)[1] == record, fmt


def test_just_below_one_half_is_not_rounded_up() -> None:
    assert quantize(0.5 - 2.0**-54, "s8.0").item() == 0
    assert quantize(-0.5 + 2.0**-54, "s8.0", "nearest_away").item() == 0


def test_a_tiny_negative_number_is_below_zero() -> None:
    for frac_bits in (-504, -2, -1, 0, 7, 512):
        fmt = Format(True, 8 - frac_bits, frac_bits)
        for x in (-SMALLEST, -sys.float_info.min, -(2.0**-520)):
            assert quantize(x, fmt, "floor").item() == -1
            assert quantize(x, fmt, "nearest").item() == 0


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 31, 32, 33, 1000])
def test_every_length_of_loop(n: int, definition: Any) -> None:
    """Vector bodies and their remainders agree."""
    x = np.random.default_rng(1).normal(0.0, 0.7, n)
    for mode in Rounding:
        expected = [
            definition.fitted(
                definition.from_real(v, Format(True, 1, 7), mode, definition.word(9, ROUND_ARRAY, 0, 0, i)),
                Format(True, 1, 7),
                Overflow.SATURATE,
            )
            for i, v in enumerate(x.tolist())
        ]
        assert quantize(x, "s1.7", mode, seed=9).tolist() == expected
        assert quantize(x, "s1.7", mode, seed=9, stats=True)[0].tolist() == expected


def test_shapes_and_orders_are_kept() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for view in (x, x.T, x[:, ::2, 1:], np.asfortranarray(x), x[0, 0, 0]):
        for mode in ("nearest", "stochastic"):
            raw = quantize(view / 16, "s8.2", mode)
            assert raw.shape == view.shape
            flat = quantize((view / 16).ravel(order="C"), "s8.2", mode)
            assert raw.ravel(order="C").tolist() == flat.tolist()
    assert quantize([], "s8.8").shape == (0,)
    assert quantize(np.zeros((0, 3)), "s8.8", stats=True)[1] == RangeRecord(0, 0, None, None)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint16", "int32", "int64", "bool"]
)
def test_dtypes_that_float64_holds(dtype: str) -> None:
    x = np.array([0, 1, 1, 0], dtype=dtype)
    assert quantize(x, "s4.4").tolist() == [0, 16, 16, 0]


def test_read_only_and_strided_input() -> None:
    x = np.linspace(-1, 1, 9)
    x.flags.writeable = False
    expected = quantize(x.tolist(), "s1.7").tolist()
    assert quantize(x, "s1.7").tolist() == expected
    assert quantize(x[::-1], "s1.7").tolist() == expected[::-1]


def test_out_is_filled_and_returned() -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    expected = quantize(x, "s1.7")
    for out in (
        np.empty((3, 4), np.int8),
        np.empty((4, 3), np.int8).T,
        np.empty((3, 8), np.int8)[:, ::2],
    ):
        assert quantize(x, "s1.7", out=out) is out
        assert out.tolist() == expected.tolist()
    for first in (0, 12, 84):  # the last one over numbers that are still to be read
        shared = np.linspace(-1, 1, 12)
        part = shared.view(np.int8)[first : first + 12]
        assert quantize(shared, "s1.7", out=part).tolist() == expected.ravel().tolist()


@pytest.mark.parametrize(
    "out",
    [np.empty(3, np.int16), np.empty(4, np.int8), [0, 0, 0], np.frombuffer(b"abc", np.int8)],
)
def test_an_unusable_out_is_refused(out: Any) -> None:
    with pytest.raises(QuantizeError, match=r"^out is .*writable array of shape \(3,\) and dtype int8"):
        quantize([0.0, 0.1, 0.2], "s1.7", out=out)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("stats", [False, True])
@pytest.mark.parametrize("overflow", Overflow)
def test_what_is_not_finite_is_named(bad: float, stats: bool, overflow: Overflow) -> None:
    x = np.zeros((4, 5))
    x[2, 3] = x[3, 0] = bad
    with pytest.raises(QuantizeError) as error:
        quantize(x, "s8.8", overflow=overflow, stats=stats)
    assert f"x[2, 3] = {bad}" in str(error.value)
    assert "2 of 20" in str(error.value)


def test_infinities_saturate_when_asked() -> None:
    x = [math.inf, -math.inf, LARGEST, 0.25]
    for mode in Rounding:
        assert quantize(x, "s1.7", mode, allow_inf=True).tolist() == [127, -128, 127, 32]
        raw, record = quantize(x, "s1.7", mode, "saturate_symmetric", allow_inf=True, stats=True)
        assert raw.tolist() == [127, -127, 127, 32]
        assert record == RangeRecord(1, 2, -127, 127)
    with pytest.raises(QuantizeError, match=r"x\[1\] = nan .* infinities but no NaN"):
        quantize([math.inf, math.nan], "s1.7", allow_inf=True)
    for overflow in ("wrap", "error"):
        with pytest.raises(QuantizeError, match=f"allow_inf needs a saturating .* '{overflow}'"):
            quantize(x, "s1.7", overflow=overflow, allow_inf=True)


@pytest.mark.parametrize("n", [1, 2, 3, 64, 1000])
@pytest.mark.parametrize("mode", ["nearest", "stochastic"])
def test_the_first_overflow_is_named(n: int, mode: str) -> None:
    x = np.linspace(-0.9, 0.9, n)
    assert quantize(x, "s1.7", mode, "error").tolist() == quantize(x, "s1.7", mode).tolist()
    first = n // 3
    x[first:] += 4.0
    with pytest.raises(FixedPointOverflowError) as error:
        quantize(x, "s1.7", mode, "error")
    assert f"x[{first}] = {x[first]}" in str(error.value)
    assert f"{n - first} of {n} values leave s1.7 (-1 to 0.9921875)" in str(error.value)


def test_an_overflow_by_rounding_alone_is_an_overflow() -> None:
    with pytest.raises(FixedPointOverflowError, match=r"x = 0\.997"):
        quantize(0.997, "s1.7", "nearest", "error")
    assert quantize(0.997, "s1.7", "floor", "error").item() == 127


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a"], "dtype <U1"),
        (1j, "complex128"),
        (np.zeros(2, np.longdouble), "float128|longdouble|float96"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
        ([None], "dtype object"),
        (2**53 + 1, r"x = 9007199254740993 lies beyond 2\*\*53"),
        ([0, -(2**53) - 1], r"x\[1\] = -9007199254740993"),
        (np.array([2**64 - 1], np.uint64), r"x\[0\] = 18446744073709551615"),
    ],
)
def test_what_float64_cannot_hold_is_refused(x: Any, message: str) -> None:
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        pytest.skip("long double is float64 here")
    with pytest.raises(QuantizeError, match=message):
        quantize(x, "s8.8")


def test_options_are_checked() -> None:
    with pytest.raises(FormatError, match=r"u0\.40.*40 bits.*1 to 32"):
        quantize(0.5, "u0.40")
    with pytest.raises(FormatError, match="33 bits"):
        quantize(0.5, Format(True, 33, 0))
    with pytest.raises(FormatError, match=r"unknown rounding mode 'nearst'.*did you mean 'nearest'"):
        quantize(0.5, "s1.7", "nearst")
    for seed in (-1, 2**32):
        with pytest.raises(SpecError, match=f"seed is {seed}; allowed: 0 to 4294967295"):
            quantize(0.5, "s1.7", "stochastic", seed=seed)
    for rand_bits in (0, 33):
        with pytest.raises(SpecError, match=f"rand_bits is {rand_bits}; allowed: 1 to 32"):
            quantize(0.5, "s1.7", "stochastic", rand_bits=rand_bits)
    with pytest.raises(SpecError, match=r"rand_bits is 1\.5; it must be an integer"):
        quantize(0.5, "s1.7", "stochastic", rand_bits=1.5)  # type: ignore[call-overload]
    with pytest.raises(SpecError, match="rounding 'floor' takes no random bits"):
        quantize(0.5, "s1.7", "floor", source=LFSR(16))
