"""The hash: its bits are pinned, equal to a plain Python model, and show no bias in any key word.

Statistical tests run on fixed keys, so they pass or fail for good. A fair source would fail each of them
with a probability below one in a million, stated where the limit is set.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from scipy import stats

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Purpose, draw_array
from tinysnn_hw.fixed.random import chain, draw3, mix32, prefix2, start

word = st.integers(0, 2**32 - 1)

KEY = (1, 16, 3, 5, 7)  # seed, purpose, a, b, c
POSITIONS = {"seed": 0, "a": 2, "b": 3, "c": 4}

# A normal deviate passes this with probability 1e-9; up to 1024 of them are looked at together.
SIGMA_LIMIT = 6.1
# A chi-square this unlikely is taken for a bias.
P_LIMIT = 1e-6


@njit
def _draws(keys: np.ndarray) -> np.ndarray:
    out = np.empty(keys.shape[0], np.uint32)
    for i in range(keys.shape[0]):
        out[i] = draw3(keys[i, 0], keys[i, 1], keys[i, 2], keys[i, 3], keys[i, 4])
    return out


def words_along(position: int, n: int, key: tuple[int, ...] = KEY) -> np.ndarray:
    """Words of sequential values of one key word, the others fixed."""
    keys = np.tile(np.array(key, np.int64), (n, 1))
    keys[:, position] += np.arange(n)
    return _draws(keys)


def bits_of(words: np.ndarray) -> np.ndarray:
    return (words[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)


def uniformity(categories: np.ndarray, n_categories: int) -> float:
    counts = np.bincount(categories, minlength=n_categories)
    return float(stats.chisquare(counts).pvalue)


@given(seed=word, purpose=word, a=word, b=word, c=word)
def test_compiled_words_equal_the_definition(
    seed: int, purpose: int, a: int, b: int, c: int, definition: Any
) -> None:
    expected = definition.word(seed, purpose, a, b, c)
    assert mix32(a) == definition.mix(a)
    assert start(seed, purpose) == definition.word(seed, purpose)
    assert prefix2(seed, purpose, a, b) == definition.word(seed, purpose, a, b)
    assert chain(prefix2(seed, purpose, a, b), c) == expected
    assert draw3(seed, purpose, a, b, c) == expected
    assert draw3(*(np.uint32(part) for part in (seed, purpose, a, b, c))) == expected


@given(seed=word, purpose=word, a=word, b=word, n=st.integers(0, 70))
def test_arrays_of_words_equal_the_definition(
    seed: int, purpose: int, a: int, b: int, n: int, definition: Any
) -> None:
    words = draw_array(seed, purpose, a, b, n)
    assert words.dtype == np.uint32
    assert words.tolist() == [definition.word(seed, purpose, a, b, c) for c in range(n)]


def test_the_bits_never_change() -> None:
    """A change here is a change of every stochastic result, and of the numeric version."""
    mixed = {0: 0, 1: 1753845952, 2: 3507691905, 2**31: 3427483940, 2**32 - 1: 1734902346}
    assert {x: mix32(x) for x in mixed} == mixed
    assert draw3(0, 1, 0, 0, 0) == 1106484830
    assert draw3(2**32 - 1, 81, 2**32 - 1, 0, 5) == 3727652885
    words = [1041371211, 840181652, 2338538599, 1709163610]
    assert draw_array(42, Purpose.ROUND_WEIGHT, 1, 2, 4).tolist() == words


def test_purposes_are_pinned() -> None:
    numbers = {purpose.name: int(purpose) for purpose in Purpose}
    assert numbers == {
        "TRAIN_SPIKES": 1,
        "LABEL_SPIKES": 2,
        "TEST_SPIKES": 3,
        "TRAIN_PHASES": 4,
        "LABEL_PHASES": 5,
        "TEST_PHASES": 6,
        "INITIAL_WEIGHTS": 7,
        "SHUFFLE": 8,
        "TRAIN_POOL": 9,
        "LABEL_POOL": 10,
        "TEST_POOL": 11,
        "ROUND_WEIGHT": 16,
        "ROUND_V_MEM": 17,
        "ROUND_V_TH": 18,
        "ROUND_THETA": 19,
        "ROUND_X_PRE": 20,
        "ROUND_NORMALIZE": 21,
        "ROUND_ARRAY": 22,
        "ROUND_X_POST": 23,
        "ROUND_DEPRESSED": 24,
        "ROUND_V_INH": 25,
        "ROUND_V_MEM_LABEL": 49,
        "ROUND_V_INH_LABEL": 57,
        "ROUND_V_MEM_TEST": 81,
        "ROUND_V_INH_TEST": 89,
    }


def test_small_seeds_never_share_a_stream() -> None:
    """Two pairs start alike only if the seeds differ by a multiple of the constant, modulo 2**32."""
    for one, other in itertools.permutations(Purpose, 2):
        assert (one - other) * 0x9E3779B9 % 2**32 >= 2**24


@given(x=word)
def test_the_mix_can_be_undone(x: int) -> None:
    """So it is a bijection, and the words of one prefix are all different."""
    y = int(mix32(x))
    y ^= y >> 16
    y = y * pow(0x846CA68B, -1, 2**32) % 2**32
    y ^= y >> 15 ^ y >> 30
    y = y * pow(0x7FEB352D, -1, 2**32) % 2**32
    assert y ^ y >> 16 == x


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_every_bit_is_balanced(position: int) -> None:
    n = 2**19
    ones = bits_of(words_along(position, n)).sum(axis=0)
    deviations = (ones - n / 2) / np.sqrt(n / 4)
    assert np.abs(deviations).max() < SIGMA_LIMIT


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_every_key_bit_flips_every_word_bit_half_the_time(position: int) -> None:
    n = 2**15
    rng = np.random.default_rng(position)
    keys = rng.integers(0, 2**32, (n, 5), dtype=np.int64)
    before = _draws(keys)
    for bit in range(32):
        flipped = keys.copy()
        flipped[:, position] ^= 1 << bit
        flips = bits_of(before ^ _draws(flipped)).sum(axis=0)
        deviations = (flips - n / 2) / np.sqrt(n / 4)
        assert np.abs(deviations).max() < SIGMA_LIMIT, f"key bit {bit}"


PARTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "first byte": lambda words: words >> np.uint32(24),
    "last byte": lambda words: words & np.uint32(255),
    "first half-bytes of neighbours": lambda words: (words[:-1] >> 28) * 16 + (words[1:] >> 28),
    "first bits of eight neighbours": lambda words: np.packbits(words >> 31),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_sequential_words_are_uniform(position: int, part: str) -> None:
    for low in range(4):
        key = tuple(value + 1000 * low for value in KEY)
        words = words_along(position, 2**16, key)
        assert uniformity(PARTS[part](words).astype(np.int64), 256) > P_LIMIT, f"key {key}"


@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_neighbouring_streams_do_not_agree(position: int) -> None:
    """The words of key word k and of k + 1 differ in a uniform pattern."""
    other = list(KEY)
    other[position] += 1
    along = 4 if position != 4 else 3
    difference = words_along(along, 2**16) ^ words_along(along, 2**16, tuple(other))
    for part in ("first byte", "last byte"):
        assert uniformity(PARTS[part](difference).astype(np.int64), 256) > P_LIMIT


def test_seeds_and_purposes_do_not_agree() -> None:
    streams = [draw_array(seed, purpose, 0, 0, 2**12) for seed in range(4) for purpose in Purpose]
    for one, other in itertools.combinations(streams, 2):
        ones = int(np.bitwise_count(one ^ other).sum())
        n_bits = 32 * one.size
        assert abs(ones - n_bits / 2) < SIGMA_LIMIT * np.sqrt(n_bits / 4)


def test_loops_over_the_last_key_word_stay_on_32_bit_lanes() -> None:
    @njit
    def fill(prefix: int, out: np.ndarray) -> None:
        for c in range(out.size):
            out[c] = chain(prefix, np.uint32(c))

    fill(1, np.empty(4, np.uint32))
    (code,) = fill.inspect_llvm().values()
    products = set(re.findall(r"= mul [a-z ]*<\d+ x (i\d+)>", code))
    assert products == {"i32"}


@pytest.mark.parametrize("key", [(-1, 0, 0, 0), (0, 2**32, 0, 0), (0, 0, 0.5, 0), (0, 0, 0, None)])
def test_key_words_are_checked(key: tuple[Any, ...]) -> None:
    with pytest.raises(
        SpecError, match=r"key word (seed|purpose|a|b) is .*(allowed: 0 to 4294967295|integer)"
    ):
        draw_array(*key, 1)


def test_number_of_words_is_checked() -> None:
    with pytest.raises(SpecError, match="number of words is -1; allowed: 0 to"):
        draw_array(0, 0, 0, 0, -1)
