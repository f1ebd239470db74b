"""Shift registers equal a model of single bits, and the tabulated taps give the longest period."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import LFSR
from tinysnn_hw.fixed.lfsr import MAXIMAL_TAPS, fibonacci_next, galois_next, lfsr_word

KINDS = ["fibonacci", "galois"]


def bit_model(width: int, taps: tuple[int, ...], seed: int, kind: str, n_bits: int) -> tuple[list[int], int]:
    """The bits that leave a register kept as a list, flip-flop 1 last; and its final state."""
    flip_flops = [seed >> (width - 1 - i) & 1 for i in range(width)]
    left = []
    for _ in range(n_bits):
        leaving = flip_flops[-1]
        if kind == "fibonacci":
            # Flip-flop t, counted from the input, feeds back.
            entering = sum(flip_flops[tap - 1] for tap in taps) % 2
            flip_flops = [entering, *flip_flops[:-1]]
        else:
            flip_flops = [0, *flip_flops[:-1]]
            if leaving:
                for tap in taps:
                    flip_flops[width - tap] ^= 1
        left.append(leaving)
    return left, int("".join(map(str, flip_flops)), 2)


@st.composite
def registers(draw: st.DrawFn) -> tuple[int, tuple[int, ...], int]:
    width = draw(st.integers(2, 63))
    taps = {width, *draw(st.sets(st.integers(1, width), max_size=5))}
    return width, tuple(taps), draw(st.integers(1, 2**width - 1))


@given(
    register=registers(),
    kind=st.sampled_from(KINDS),
    rand_bits=st.integers(1, 32),
    n=st.integers(0, 5),
)
def test_words_are_the_bits_that_leave(
    register: tuple[int, tuple[int, ...], int], kind: Any, rand_bits: int, n: int
) -> None:
    width, taps, seed = register
    source = LFSR(width, taps, seed, kind)
    words = source.words(n, rand_bits)
    bits, state = bit_model(width, taps, seed, kind, n * rand_bits)
    assert words.dtype == np.uint32
    assert source.state == state
    packed = [int("".join(map(str, bits[i * rand_bits : (i + 1) * rand_bits])), 2) for i in range(n)]
    assert words.tolist() == [word << (32 - rand_bits) for word in packed]


def test_the_textbook_register() -> None:
    """x^16 + x^14 + x^13 + x^11 + 1 from 0xACE1, both ways."""
    assert [fibonacci_next(0xACE1, 0b101101, 16), galois_next(0xACE1, 0xB400)] == [0x5670, 0xE270]
    assert LFSR(16, (16, 14, 13, 11), 0xACE1).words(2, 8).tolist() == [0x87 << 24, 0x35 << 24]
    assert lfsr_word(0xACE1, 0b101101, 16, False, 8)[0] == 0x87 << 24


def test_a_wide_fibonacci_register_shows_its_word_in_parallel() -> None:
    source = LFSR(16, seed=0xACE1)
    for _ in range(50):
        reversed_state = int(f"{source.state:016b}"[::-1], 2)
        assert source.words(1, 8).item() >> 24 == reversed_state >> 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", range(2, 17))
def test_period_of_tabulated_taps_is_the_longest(width: int, kind: Any) -> None:
    n = 2**width - 1
    source = LFSR(width, seed=1, kind=kind)
    seen = set()
    for _ in range(n):
        seen.add(source.state)
        source.words(1, 1)
    assert source.state == 1
    assert len(seen) == n


def times_x(poly: int, modulus: int, width: int) -> int:
    poly <<= 1
    return poly ^ modulus if poly >> width else poly


def product(left: int, right: int, modulus: int, width: int) -> int:
    total = 0
    while right:
        if right & 1:
            total ^= left
        left, right = times_x(left, modulus, width), right >> 1
    return total


def power_of_x(exponent: int, modulus: int, width: int) -> int:
    result, base = 1, 2
    while exponent:
        if exponent & 1:
            result = product(result, base, modulus, width)
        base, exponent = product(base, base, modulus, width), exponent >> 1
    return result


def prime_factors(n: int) -> set[int]:
    factors, divisor = set(), 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            factors.add(divisor)
            n //= divisor
        divisor += 1
    return factors | ({n} if n > 1 else set())


@pytest.mark.parametrize("width", MAXIMAL_TAPS)
def test_tabulated_polynomials_are_primitive(width: int) -> None:
    """x has the order 2**width - 1 modulo the polynomial, and no divisor of it."""
    order = 2**width - 1
    modulus = 1 | sum(1 << tap for tap in MAXIMAL_TAPS[width])
    assert power_of_x(order, modulus, width) == 1
    for prime in prime_factors(order):
        if prime != order:
            assert power_of_x(order // prime, modulus, width) != 1


@pytest.mark.parametrize("kind", KINDS)
def test_one_period_holds_every_word_equally_often(kind: Any) -> None:
    words = LFSR(16, kind=kind).words(2**16 - 1, 8) >> 24
    assert np.bincount(words).tolist() == [255] + [256] * 255


def test_both_kinds_give_the_same_recurrence() -> None:
    """Bits of either kind are one sequence, read from different places."""
    bits = {kind: (LFSR(8, kind=kind).words(3 * 255, 1) >> 31).tolist() for kind in KINDS}
    one, other = "".join(map(str, bits["fibonacci"])), "".join(map(str, bits["galois"]))
    assert one[:255] in other or one[:255] in other[::-1]


def test_reset_and_repr() -> None:
    source = LFSR(8, seed=0x2D, kind="galois")
    assert repr(source) == "LFSR(8, (8, 6, 5, 4), seed=0x2d, kind='galois'; state 0x2d)"
    first = source.words(5, 7).tolist()
    assert source.state != 0x2D
    source.reset()
    assert source.words(5, 7).tolist() == first
    assert source.words(0, 7).tolist() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 1}, "LFSR width is 1; allowed: 2 to 63"),
        ({"width": 64}, "LFSR width is 64; allowed: 2 to 63"),
        ({"width": 8.0}, r"LFSR width is 8\.0; it must be an integer"),
        ({"width": 33}, "no taps are known for an LFSR of 33 bits .*give taps="),
        ({"width": 16, "seed": 0}, "LFSR seed is 0; allowed: 1 to 65535"),
        ({"width": 16, "seed": 65536}, "LFSR seed is 65536; allowed: 1 to 65535"),
        ({"width": 16, "taps": (17,)}, "LFSR tap is 17; allowed: 1 to 16"),
        ({"width": 16, "taps": (16, 0)}, "LFSR tap is 0"),
        ({"width": 16, "taps": (14, 13)}, r"LFSR taps are \(14, 13\); .* contain the width, 16"),
        ({"width": 16, "taps": (16, 14, 14)}, "must be distinct"),
        ({"width": 16, "taps": ()}, "contain the width"),
        (
            {"width": 16, "kind": "fibonaci"},
            "LFSR kind 'fibonaci' is unknown; allowed: 'fibonacci', 'galois'",
        ),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        LFSR(**arguments)


def test_word_requests_are_checked() -> None:
    for rand_bits in (0, 33):
        with pytest.raises(SpecError, match="rand_bits is"):
            LFSR(16).words(1, rand_bits)
    with pytest.raises(SpecError, match="number of words is -1"):
        LFSR(16).words(-1, 8)
