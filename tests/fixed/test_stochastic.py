"""Stochastic rounding: exact values never move, and the others go up as often as they should.

Seeds are fixed, so the statistical tests pass or fail for good. A true source would fail each with a
probability below one in a million.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tinysnn_hw.fixed import LFSR, Format, Purpose, Rounding, dequantize, draw_array, quantize, requantize
from tinysnn_hw.fixed.scalar import round_shift

P_LIMIT = 1e-6
STOCHASTIC = int(Rounding.STOCHASTIC)


def fair_up(ups: np.ndarray, n: int, chances: np.ndarray) -> float:
    """P value of the numbers of ups among n each, against the chance of each."""
    expected = n * chances
    chi_square = ((ups - expected) ** 2 / (expected * (1 - chances))).sum()
    return float(stats.chi2.sf(chi_square, df=chances.size))


def test_exact_values_never_move_in_ten_million_draws() -> None:
    fmt = Format.parse("s4.4")
    raw = np.arange(10**6) % 256 - 128
    values = dequantize(raw, fmt)
    for seed in range(10):
        for rand_bits in (32, 1):
            assert np.array_equal(quantize(values, fmt, "stochastic", seed=seed, rand_bits=rand_bits), raw)
    shifted = raw * 2**7
    for seed in range(10):
        assert np.array_equal(requantize(shifted, "s8.11", fmt, "stochastic", seed=seed), raw)


@pytest.mark.parametrize("shift", range(1, 9))
def test_every_fraction_goes_up_as_often_as_it_is_large(shift: int) -> None:
    n = 2**13
    fractions = np.arange(1, 2**shift)
    raw = np.repeat(fractions, n).reshape(-1, n) - 2**shift  # between -1 and 0 LSB
    wide, narrow = Format(True, 4, shift), Format(True, 4, 0)
    for seed in (1, 2):
        cut = requantize(raw, wide, narrow, "stochastic", seed=seed)
        assert set(np.unique(cut)) == {-1, 0}
        ups = (cut == 0).sum(axis=1)
        assert fair_up(ups, n, fractions / 2**shift) > P_LIMIT
        assert np.array_equal(quantize(dequantize(raw, wide), narrow, "stochastic", seed=seed), cut)


@pytest.mark.parametrize("rand_bits", range(1, 7))
@pytest.mark.parametrize("shift", [1, 4, 6])
def test_few_random_bits_bias_down_by_less_than_the_last_of_them(shift: int, rand_bits: int) -> None:
    """Exactly: over all words of the used bits, the mean falls short by 0 to 2**-rand_bits LSB."""
    used = min(shift, rand_bits)
    words = [top << (32 - used) for top in range(2**used)]
    for n in range(-(2**shift), 2**shift):
        results = [round_shift(n, shift, STOCHASTIC, word, rand_bits) for word in words]
        shortfall = Fraction(n, 2**shift) - Fraction(sum(results), len(results))
        assert 0 <= shortfall < Fraction(1, 2**rand_bits)
        assert shortfall == Fraction(n % 2 ** (shift - used), 2**shift)


def test_a_tiny_number_is_rarely_rounded_away_from_zero() -> None:
    """2**-40 LSB lies below the 32 bits that are looked at; -2**-40 goes down unless all are ones."""
    n = 10**6
    assert not quantize(np.full(n, 2.0**-40), "s8.0", "stochastic").any()
    words = draw_array(0, Purpose.ROUND_ARRAY, 0, 0, n)
    down = quantize(np.full(n, -(2.0**-40)), "s8.0", "stochastic") == -1
    assert np.array_equal(down, words == 0)


@given(x=st.floats(-300, 300), seed=st.integers(0, 2**32 - 1), rand_bits=st.integers(1, 32))
def test_an_element_depends_on_its_place_alone(x: float, seed: int, rand_bits: int, definition: Any) -> None:
    fmt = Format.parse("s8.3")
    values = np.full((3, 5), x)
    whole = quantize(values, fmt, "stochastic", "wrap", seed=seed, rand_bits=rand_bits)
    for place, raw in enumerate(whole.ravel().tolist()):
        word = definition.word(seed, 22, 0, 0, place)
        rounded = definition.from_real(x, fmt, Rounding.STOCHASTIC, word, rand_bits)
        assert raw == (rounded + 1024) % 2048 - 1024


def test_seeds_differ() -> None:
    x = np.full(1000, 0.5)
    results = [quantize(x, "s8.0", "stochastic", seed=seed) for seed in range(8)]
    for one in range(8):
        for other in range(one):
            agreeing = int((results[one] == results[other]).sum())
            assert stats.binomtest(agreeing, 1000, 0.5).pvalue > P_LIMIT


@pytest.mark.parametrize("kind", ["fibonacci", "galois"])
@pytest.mark.parametrize("rand_bits", [1, 4, 8])
def test_a_shift_register_can_be_the_source(kind: Any, rand_bits: int, definition: Any) -> None:
    fmt = Format.parse("s2.3")
    source, twin = LFSR(16, seed=0xACE1, kind=kind), LFSR(16, seed=0xACE1, kind=kind)
    x = np.linspace(-1.7, 1.7, 60).reshape(6, 10)
    for _ in range(2):  # the register goes on where it stopped
        raw = quantize(x, fmt, "stochastic", rand_bits=rand_bits, source=source)
        words = twin.words(60, rand_bits).tolist()
        expected = [
            definition.from_real(value, fmt, Rounding.STOCHASTIC, word, rand_bits)
            for value, word in zip(x.ravel().tolist(), words, strict=True)
        ]
        assert raw.ravel().tolist() == expected
        assert source.state == twin.state
    wide = np.arange(-50, 50)
    cut = requantize(wide, "s8.6", fmt, "stochastic", rand_bits=rand_bits, source=source)
    words = twin.words(100, rand_bits).tolist()
    assert cut.tolist() == [
        definition.shifted(n, 3, Rounding.STOCHASTIC, word, rand_bits)
        for n, word in zip(wide.tolist(), words, strict=True)
    ]


def test_a_shift_register_over_its_period_is_as_fair_as_it_can_be() -> None:
    """Each word of 8 bits comes 256 times but the word of zeros, which lacks one."""
    n = 2**16 - 1
    for fraction in range(256):
        x = np.full(n, fraction / 256)
        if fraction % 51 == 0:
            ups = int(quantize(x, "u8.0", "stochastic", rand_bits=8, source=LFSR(16)).sum())
            assert ups == 256 * fraction
