"""The definition of a cut, in exact fractions, as the numeric contract states it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor

import pytest

from tinysnn_hw.fixed import Format, Overflow, Rounding

HALF = Fraction(1, 2)
MASK32 = 2**32 - 1


class Definition:
    """Rounding, fitting and random words, sharing no arithmetic with the package."""

    @staticmethod
    def rounded(value: Fraction, mode: Rounding, random: Fraction = Fraction(0)) -> int:
        """``value`` in LSB, rounded; ``random`` in [0, 1) is used by the stochastic mode."""
        below = floor(value)
        rest = value - below
        up = {
            Rounding.FLOOR: False,
            Rounding.TO_ZERO: value < 0 and rest > 0,
            Rounding.NEAREST: rest >= HALF,
            Rounding.NEAREST_AWAY: rest > HALF or (rest == HALF and value >= 0),
            Rounding.NEAREST_EVEN: rest > HALF or (rest == HALF and below % 2 == 1),
            Rounding.STOCHASTIC: rest + random >= 1,
        }[mode]
        return below + up

    @staticmethod
    def shift_random(shift: int, word: int, rand_bits: int) -> Fraction:
        """The random number of an integer cut: the first ``min(shift, rand_bits)`` bits of the word."""
        bits = min(shift, rand_bits)
        return Fraction(word >> (32 - bits), 2**bits) if bits else Fraction(0)

    def shifted(self, n: int, shift: int, mode: Rounding, word: int = 0, rand_bits: int = 32) -> int:
        return self.rounded(Fraction(n, 2**shift), mode, self.shift_random(shift, word, rand_bits))

    def from_real(self, x: float, fmt: Format, mode: Rounding, word: int = 0, rand_bits: int = 32) -> int:
        """``x`` in LSB, rounded; the stochastic mode sees the first ``rand_bits`` bits of the fraction."""
        value = Fraction(x) * Fraction(2) ** fmt.frac_bits
        if mode is Rounding.STOCHASTIC:
            value = Fraction(floor(value * 2**rand_bits), 2**rand_bits)
        return self.rounded(value, mode, Fraction(word >> (32 - rand_bits), 2**rand_bits))

    @staticmethod
    def side(n: int, fmt: Format, overflow: Overflow) -> int:
        low, high = Definition.limits(fmt, overflow)
        return (n > high) - (n < low)

    @staticmethod
    def limits(fmt: Format, overflow: Overflow) -> tuple[int, int]:
        if not fmt.signed:
            return 0, 2**fmt.width - 1
        high = 2 ** (fmt.width - 1) - 1
        return (-high if overflow is Overflow.SATURATE_SYMMETRIC else -high - 1), high

    @staticmethod
    def fitted(n: int, fmt: Format, overflow: Overflow) -> int:
        low, high = Definition.limits(fmt, overflow)
        if overflow is not Overflow.WRAP:
            return min(max(n, low), high)
        return (n - low) % 2**fmt.width + low

    @staticmethod
    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D & MASK32
        x ^= x >> 15
        x = x * 0x846CA68B & MASK32
        return x ^ x >> 16

    def word(self, seed: int, purpose: int, *key: int) -> int:
        h = self.mix((seed + purpose * 0x9E3779B9) & MASK32)
        for part in key:
            h = self.mix(h ^ part)
        return h

    @staticmethod
    def formats(widest: int) -> Iterator[Format]:
        """Both signs of every width, with the point in varying places, outside the word too."""
        for width in range(1, widest + 1):
            for signed in (True, False):
                frac_bits = (width * 5) % 13 - 2
                yield Format(signed, width - frac_bits, frac_bits)


@pytest.fixture(scope="session")
def definition() -> Definition:
    return Definition()
