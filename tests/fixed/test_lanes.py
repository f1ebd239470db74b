"""The loops over arrays become vector instructions; without them quantize takes ten times as long."""

from __future__ import annotations

import platform
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from tinysnn_hw.fixed import Format, Overflow, RangeRecord, Rounding, kernels, lanes, noise, requantize
from tinysnn_hw.fixed.noise import BLOCK, NO_WORDS

PLAIN = (False, 255, 128)
ROUND_ARRAY = 22
x86_only = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="how wide the vectors are, and what they can do, is known for x86-64",
)


def compiled(kernel: Any, *arguments: Any) -> str:
    """Optimised code of a kernel, compiled anew because that from the disk cache cannot be read."""
    fresh = njit(kernel.py_func)
    fresh(*arguments)
    (code,) = fresh.inspect_llvm().values()
    return str(code)


@x86_only
@pytest.mark.parametrize("mode", Rounding)
@pytest.mark.parametrize(("wraps", "counted"), [(False, False), (True, True)])
def test_reals_are_cut_in_vectors(mode: Rounding, wraps: bool, counted: bool) -> None:
    arguments = (1.0, (-128.0, 127.0), 256.0, 9.0, 0, NO_WORDS, 32, np.zeros(2, np.int64))
    kernel = kernels.cutter_of_reals(int(mode), wraps, counted)
    code = compiled(kernel, np.zeros(8), np.zeros(8, np.int8), *arguments)
    assert re.search(r"store <\d+ x i8>", code)
    assert not re.search(r"[us]itofp i\d+ %(?!arg\.)\S+ to double(?s:.*)store <\d+ x i8>", code)


@x86_only
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("lane", [np.int8, np.int16, np.uint16, np.int32])
def test_integers_are_cut_in_lanes_of_their_width(lane: Any, random: bool) -> None:
    """Arithmetic shifts of all the lanes of a vector at once, and no wider ones."""
    size = np.dtype(lane).itemsize
    words = np.empty(BLOCK, f"u{size}") if random else None
    raw, out = np.zeros(8, lane), np.zeros(8, np.int8)
    arguments = (lane(0), lane(100), 3, (4, 0, 0), PLAIN, words, 0, NO_WORDS, 32, None)
    code = compiled(lanes.cut_right, raw, out, *arguments)
    shifted = {int(bits) for bits in re.findall(r"[la]shr (?:exact )?<\d+ x i(\d+)>", code)}
    assert 8 * size in shifted
    assert all(re.search(r"noise|zext", code) or bits == 8 * size for bits in shifted - {32})
    assert re.search(r"store <\d+ x i8>", code)


@x86_only
def test_a_shift_to_the_left_is_done_in_lanes_of_its_width() -> None:
    arguments = (np.int16(-9), np.int16(9), 3, (-72, 72), PLAIN, None)
    code = compiled(lanes.cut_left, np.zeros(8, np.int8), np.zeros(8, np.int16), *arguments)
    assert re.search(r"shl <\d+ x i16>", code)


@x86_only
@pytest.mark.parametrize("kernel", [noise._draw_words, noise._draw_halves])
def test_random_words_are_drawn_in_lanes_of_32_bits(kernel: Any) -> None:
    out = np.zeros(BLOCK, np.uint32 if kernel is noise._draw_words else np.uint16)
    assert re.search(r"mul [a-z ]*<(8|16|32) x i32>|mul [a-z ]*<4 x i32>", compiled(kernel, 5, 0, out))


@pytest.mark.parametrize("given_words", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("first", [0, BLOCK, 2**16 - BLOCK, 5 * 2**16, 2**32 - BLOCK])
def test_noise_is_the_top_of_the_words(first: int, dtype: Any, given_words: bool, definition: Any) -> None:
    @njit
    def filled(prefix: int, words: Any, first: int, out: Any) -> None:
        noise.fill_noise(prefix, words, first, out)

    lane = 8 * np.dtype(dtype).itemsize
    if given_words:
        first = min(first, BLOCK)
        words = np.random.default_rng(3).integers(0, 2**32, first + 9, np.uint32)
        expected = words[first:].tolist()
    else:
        words = NO_WORDS
        places = [*range(5), BLOCK // 2, BLOCK - 1]
    for prefix in (0, 1, 0x9ABCDEF1, 2**32 - 1):
        out = np.zeros(BLOCK, dtype)
        filled(prefix, words, first, out)
        if given_words:
            got = out[:9].tolist()
        else:
            expected = [definition.mix(prefix ^ (first + k)) for k in places]
            got = out[places].tolist()
        assert got == [word >> (32 - lane) if lane <= 32 else word << 32 for word in expected]


def formats(widest: int) -> st.SearchStrategy[Format]:
    return st.builds(
        lambda signed, width, frac_bits: Format(signed, width - frac_bits, frac_bits),
        st.booleans(),
        st.sampled_from([1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 62]).filter(lambda width: width <= widest),
        st.integers(-20, 40),
    )


@pytest.mark.slow
@given(
    fmt_from=formats(62),
    fmt_to=formats(32),
    stored=st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]),
    mode=st.sampled_from(Rounding),
    overflow=st.sampled_from([overflow for overflow in Overflow if overflow is not Overflow.ERROR]),
    n=st.integers(0, 70) | st.integers(BLOCK - 3, BLOCK + 40),
    offset=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
    rand_bits=st.sampled_from([1, 5, 16, 17, 32]),
    stats=st.booleans(),
)
def test_every_lane_follows_the_definition(
    fmt_from: Format,
    fmt_to: Format,
    stored: str,
    mode: Rounding,
    overflow: Overflow,
    n: int,
    offset: int,
    seed: int,
    rand_bits: int,
    stats: bool,
    definition: Any,
) -> None:
    """Any storage that holds the numbers, lengths around a block, arrays that start anywhere."""
    held = np.iinfo(stored)
    low, high = max(fmt_from.raw_min, int(held.min)), min(fmt_from.raw_max, int(held.max))
    rng = np.random.default_rng([seed, n])
    raw = rng.integers(low, high, n + offset, endpoint=True, dtype=np.int64)
    raw[rng.random(raw.size) < 0.2] = low
    raw[rng.random(raw.size) < 0.2] = high
    raw = raw.astype(stored)[offset:]
    before = raw.copy()
    got = requantize(raw, fmt_from, fmt_to, mode, overflow, seed=seed, rand_bits=rand_bits, stats=stats)
    assert np.array_equal(raw, before)
    shift = fmt_from.frac_bits - fmt_to.frac_bits
    looked_at = [k for k in range(n) if k < 70 or k > BLOCK - 4]
    rounded = [
        definition.shifted(int(raw[k]), shift, mode, definition.word(seed, ROUND_ARRAY, 0, 0, k), rand_bits)
        if shift > 0
        else int(raw[k]) << -shift
        for k in looked_at
    ]
    fitted = [definition.fitted(value, fmt_to, overflow) for value in rounded]
    result = got[0] if stats else got
    assert result.dtype == fmt_to.storage_dtype
    assert result[looked_at].tolist() == fitted
    if stats and n <= 70:
        sides = [definition.side(value, fmt_to, overflow) for value in rounded]
        extremes = (min(fitted), max(fitted)) if n else (None, None)
        assert got[1] == RangeRecord(sides.count(-1), sides.count(1), *extremes)


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("names", [("s4.4", "s4.2"), ("s2.14", "s2.9"), ("s2.6", "s6.8"), ("u8.24", "s8.20")])
def test_counts_go_beyond_what_a_lane_holds(names: tuple[str, str], overflow: str) -> None:
    fmt_from, fmt_to = Format.parse(names[0]), Format.parse(names[1])
    raw = np.full(300_001, fmt_from.raw_max, fmt_from.storage_dtype)
    raw[:100] = 0
    narrow = Format(fmt_to.signed, 0, fmt_to.frac_bits)
    _, record = requantize(raw, fmt_from, narrow, "floor", overflow, stats=True)
    assert (record.saturated_low, record.saturated_high) == (0, 299_901)


def test_arrays_in_the_other_byte_order_are_read_as_what_they_are() -> None:
    raw = np.array([1, 256, -300])
    for dtype in (">i2", "<i2", ">i4", "<i4"):
        assert requantize(raw.astype(dtype), "s8.8", "s8.6").tolist() == [0, 64, -75]
