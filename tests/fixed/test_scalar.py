"""The compiled cut equals its definition: exhaustively for small words, at random for wide ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.fixed import Format, Overflow, Rounding
from tinysnn_hw.fixed.scalar import cut, fit, overflow_side, round_shift

DETERMINISTIC = [mode for mode in Rounding if mode is not Rounding.STOCHASTIC]
TEN_BITS = range(-(2**9), 2**9)


def cut_to(n: int, shift: int, fmt: Format, rounding: Rounding, overflow: Overflow, word: int = 0) -> int:
    ends = fmt.raw_min, fmt.raw_max, fmt.width, fmt.signed
    return cut(n, shift, int(rounding), word, 32, *ends, int(overflow))


@pytest.mark.parametrize("mode", DETERMINISTIC)
def test_every_small_word_is_rounded_as_defined(mode: Rounding, definition: Any) -> None:
    for shift in range(12):
        got = [round_shift(n, shift, int(mode), 0, 32) for n in TEN_BITS]
        assert got == [definition.shifted(n, shift, mode) for n in TEN_BITS], f"shift {shift}"


@pytest.mark.parametrize("rand_bits", [1, 3, 8, 32])
def test_every_small_word_and_draw_is_rounded_as_defined(rand_bits: int, definition: Any) -> None:
    mode = Rounding.STOCHASTIC
    for shift in range(6):
        for n in range(-(2**6), 2**6):
            words = [top << 27 | 0x5A5A5A5 for top in range(2**5)]
            got = [round_shift(n, shift, int(mode), word, rand_bits) for word in words]
            assert got == [definition.shifted(n, shift, mode, word, rand_bits) for word in words]


@pytest.mark.parametrize("overflow", Overflow)
def test_every_small_value_is_fitted_as_defined(overflow: Overflow, definition: Any) -> None:
    for fmt in definition.formats(8):
        ends = fmt.raw_min, fmt.raw_max
        got = [fit(n, *ends, fmt.width, fmt.signed, int(overflow)) for n in TEN_BITS]
        assert got == [definition.fitted(n, fmt, overflow) for n in TEN_BITS], fmt
        sides = [overflow_side(n, *ends, int(overflow)) for n in TEN_BITS]
        assert sides == [definition.side(n, fmt, overflow) for n in TEN_BITS], fmt


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("mode", DETERMINISTIC)
def test_cut_rounds_before_it_fits(mode: Rounding, overflow: Overflow, definition: Any) -> None:
    fmt = Format.parse("s1.7")
    for shift in (1, 3):
        for n in range(-(2**11), 2**11, 1):
            expected = definition.fitted(definition.shifted(n, shift, mode), fmt, overflow)
            assert cut_to(n, shift, fmt, mode, overflow) == expected


def test_ties_of_both_parities() -> None:
    ties = [-5, -3, -1, 1, 3, 5]  # in half LSB
    table = {
        Rounding.FLOOR: [-3, -2, -1, 0, 1, 2],
        Rounding.TO_ZERO: [-2, -1, 0, 0, 1, 2],
        Rounding.NEAREST: [-2, -1, 0, 1, 2, 3],
        Rounding.NEAREST_AWAY: [-3, -2, -1, 1, 2, 3],
        Rounding.NEAREST_EVEN: [-2, -2, 0, 0, 2, 2],
    }
    for mode, expected in table.items():
        assert [round_shift(n, 1, int(mode), 0, 32) for n in ties] == expected


def test_the_carry_of_rounding_overflows() -> None:
    fmt = Format.parse("s4.4")
    just_above = 2 * fmt.raw_max + 1  # max + 1/2 LSB, one bit finer
    assert cut_to(just_above, 1, fmt, Rounding.NEAREST, Overflow.SATURATE) == 127
    assert cut_to(just_above, 1, fmt, Rounding.NEAREST, Overflow.WRAP) == -128
    assert cut_to(just_above, 1, fmt, Rounding.FLOOR, Overflow.WRAP) == 127
    just_below = 2 * fmt.raw_min - 1
    assert cut_to(just_below, 1, fmt, Rounding.FLOOR, Overflow.WRAP) == 127
    assert cut_to(just_below, 1, fmt, Rounding.NEAREST, Overflow.WRAP) == -128


@pytest.mark.parametrize("width", [2, 8, 16, 31, 32])
def test_the_square_of_the_smallest_number(width: int, definition: Any) -> None:
    fmt = Format(True, 1, width - 1)
    square = fmt.raw_min * fmt.raw_min  # +1.0, which the format cannot hold
    for mode in Rounding:
        assert cut_to(square, width - 1, fmt, mode, Overflow.SATURATE) == fmt.raw_max
        assert cut_to(square, width - 1, fmt, mode, Overflow.WRAP) == fmt.raw_min


def test_symmetric_saturation_changes_the_smallest_number() -> None:
    fmt = Format.parse("s1.7")
    symmetric = Overflow.SATURATE_SYMMETRIC
    assert cut_to(-128, 0, fmt, Rounding.FLOOR, symmetric) == -127
    assert overflow_side(-128, fmt.raw_min, fmt.raw_max, int(symmetric)) == -1
    assert overflow_side(-127, fmt.raw_min, fmt.raw_max, int(symmetric)) == 0
    unsigned = Format.parse("u0.8")
    assert overflow_side(0, unsigned.raw_min, unsigned.raw_max, int(symmetric)) == 0
    assert overflow_side(-1, unsigned.raw_min, unsigned.raw_max, int(symmetric)) == -1


@given(
    n=st.integers(-(2**63), 2**62),
    shift=st.integers(0, 62),
    mode=st.sampled_from(Rounding),
    word=st.integers(0, 2**32 - 1),
    rand_bits=st.integers(1, 32),
)
def test_wide_words_are_rounded_as_defined(
    n: int, shift: int, mode: Rounding, word: int, rand_bits: int, definition: Any
) -> None:
    got = round_shift(n, shift, int(mode), word, rand_bits)
    assert got == definition.shifted(n, shift, mode, word, rand_bits)


@given(
    middle=st.integers(-(2**40), 2**40),
    shift=st.integers(1, 22),
    offset=st.integers(-2, 2),
    mode=st.sampled_from(DETERMINISTIC),
)
def test_neighbours_of_ties_are_rounded_as_defined(
    middle: int, shift: int, offset: int, mode: Rounding, definition: Any
) -> None:
    n = (middle << shift) + (1 << (shift - 1)) + offset
    assert round_shift(n, shift, int(mode), 0, 32) == definition.shifted(n, shift, mode)


@given(
    n=st.integers(-(2**62), 2**62),
    width=st.integers(1, 63),
    signed=st.booleans(),
    overflow=st.sampled_from(Overflow),
)
def test_wide_values_are_fitted_as_defined(
    n: int, width: int, signed: bool, overflow: Overflow, definition: Any
) -> None:
    fmt = Format(signed, width, 0)
    got = fit(n, fmt.raw_min, fmt.raw_max, width, signed, int(overflow))
    assert got == definition.fitted(n, fmt, overflow)
    side = overflow_side(n, fmt.raw_min, fmt.raw_max, int(overflow))
    assert side == definition.side(n, fmt, overflow)


@given(n=st.integers(-(2**31), 2**31), shift=st.integers(0, 31), mode=st.sampled_from(Rounding))
def test_a_negative_shift_is_exact(n: int, shift: int, mode: Rounding) -> None:
    assert round_shift(n, -shift, int(mode), 2**32 - 1, 32) == n << shift


@pytest.mark.parametrize("mode", Rounding)
def test_members_and_their_numbers_are_the_same_to_a_kernel(mode: Rounding) -> None:
    assert round_shift(-1235, 3, mode, 0x9ABCDEF0, 32) == round_shift(-1235, 3, int(mode), 0x9ABCDEF0, 32)
