"""Linear feedback shift registers: the random bits of an FPGA."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed.checks import checked_int
from tinysnn_hw.fixed.compiled import njit

__all__ = ["LFSR", "MAXIMAL_TAPS", "fibonacci_next", "galois_next", "lfsr_word"]

WIDTH_MAX = 63

MAXIMAL_TAPS: dict[int, tuple[int, ...]] = {
    2: (2, 1),
    3: (3, 2),
    4: (4, 3),
    5: (5, 3),
    6: (6, 5),
    7: (7, 6),
    8: (8, 6, 5, 4),
    9: (9, 5),
    10: (10, 7),
    11: (11, 9),
    12: (12, 6, 4, 1),
    13: (13, 4, 3, 1),
    14: (14, 5, 3, 1),
    15: (15, 14),
    16: (16, 14, 13, 11),
    17: (17, 14),
    18: (18, 11),
    19: (19, 6, 2, 1),
    20: (20, 17),
    21: (21, 19),
    22: (22, 21),
    23: (23, 18),
    24: (24, 23, 22, 17),
    25: (25, 22),
    26: (26, 6, 2, 1),
    27: (27, 5, 2, 1),
    28: (28, 25),
    29: (29, 27),
    30: (30, 6, 4, 1),
    31: (31, 28),
    32: (32, 22, 2, 1),
}
"""Taps of a primitive polynomial for each width: the state repeats after ``2**width - 1`` clocks."""


@njit(cache=True)
def fibonacci_next(state: int, mask: int, width: int) -> int:
    """Return the state after one clock of a Fibonacci register; the bit that leaves is ``state & 1``.

    All bits move one place down; the exclusive or of the bits in ``mask`` enters at bit ``width - 1``.
    A tap ``t`` is bit ``width - t`` of ``mask``.
    """
    parity = state & mask
    parity ^= parity >> 32
    parity ^= parity >> 16
    parity ^= parity >> 8
    parity ^= parity >> 4
    parity ^= parity >> 2
    parity ^= parity >> 1
    return (state >> 1) | ((parity & 1) << (width - 1))


@njit(cache=True)
def galois_next(state: int, mask: int) -> int:
    """Return the state after one clock of a Galois register; the bit that leaves is ``state & 1``.

    All bits move one place down; if the bit that leaves is 1, the bits in ``mask`` are inverted.
    A tap ``t`` is bit ``t - 1`` of ``mask``.
    """
    return (state >> 1) ^ (-(state & 1) & mask)


@njit(cache=True)
def lfsr_word(state: int, mask: int, width: int, galois: bool, rand_bits: int) -> tuple[np.uint32, int]:
    """Return (word, next state) after ``rand_bits`` clocks.

    The bits that leave fill the uint32 word from bit 31 downwards, first bit first; the rest is 0.
    """
    word = 0
    for _ in range(rand_bits):
        word = (word << 1) | (state & 1)
        state = galois_next(state, mask) if galois else fibonacci_next(state, mask, width)
    return np.uint32(word << (32 - rand_bits)), state


@njit(cache=True)
def _fill(out: NDArray[np.uint32], state: int, mask: int, width: int, galois: bool, rand_bits: int) -> int:
    for i in range(out.size):
        out[i], state = lfsr_word(state, mask, width, galois, rand_bits)
    return state


class LFSR:
    """A linear feedback shift register that hands out random words and remembers its state.

    Parameters
    ----------
    width : int
        Bits of the register, 2 to 63.
    taps : sequence of int, optional
        Exponents of the feedback polynomial without its constant term: ``(16, 14, 13, 11)`` is
        ``x**16 + x**14 + x**13 + x**11 + 1``. They are distinct, 1 to ``width``, and contain ``width``.
        Default: `MAXIMAL_TAPS`, known up to 32 bits.
    seed : int
        First state, 1 to ``2**width - 1``; a register of zeros would stay so.
    kind : {"fibonacci", "galois"}
        One wide exclusive or into the first bit, or one narrow one per tap.

    Raises
    ------
    SpecError
        If an argument is outside these limits.

    Notes
    -----
    Each word takes ``rand_bits`` clocks and holds the bits that leave the register, first bit highest.
    A Fibonacci register of at least ``rand_bits`` bits shows these bits in parallel, lowest bit first,
    before the clocks. The word of zeros is one time in ``2**width`` rarer than the others, because the
    register never holds only zeros.

    Examples
    --------
    >>> source = LFSR(16, (16, 14, 13, 11), seed=0xACE1)
    >>> [hex(word) for word in source.words(2, rand_bits=8)]
    ['0x87000000', '0x35000000']
    """

    __slots__ = ("_kind", "_mask", "_seed", "_state", "_taps", "_width")

    def __init__(
        self,
        width: int,
        taps: Sequence[int] | None = None,
        seed: int = 1,
        kind: Literal["fibonacci", "galois"] = "fibonacci",
    ) -> None:
        self._width = checked_int("LFSR width", width, 2, WIDTH_MAX)
        self._taps = _checked_taps(self._width, taps)
        if kind not in ("fibonacci", "galois"):
            raise SpecError(f"LFSR kind {kind!r} is unknown; allowed: 'fibonacci', 'galois'")
        self._kind = kind
        places = [tap - 1 if kind == "galois" else self._width - tap for tap in self._taps]
        self._mask = sum(1 << place for place in places)
        self._seed = checked_int("LFSR seed", seed, 1, (1 << self._width) - 1)
        self._state = self._seed

    @property
    def state(self) -> int:
        """Content of the register now."""
        return self._state

    def reset(self) -> None:
        """Load the seed again."""
        self._state = self._seed

    def words(self, n: int, rand_bits: int) -> NDArray[np.uint32]:
        """Return the next ``n`` random words, shape (n,), uint32, and advance the register.

        Parameters
        ----------
        n : int
            Number of words, at least 0.
        rand_bits : int
            Random bits per word, 1 to 32; they are the highest of each word, the others are 0.
        """
        rand_bits = checked_int("rand_bits", rand_bits, 1, 32)
        out = np.empty(checked_int("number of words", n, 0, 2**40), dtype=np.uint32)
        galois = self._kind == "galois"
        self._state = int(_fill(out, self._state, self._mask, self._width, galois, rand_bits))
        return out

    def __repr__(self) -> str:
        return (
            f"LFSR({self._width}, {self._taps}, seed={self._seed:#x}, kind={self._kind!r}; "
            f"state {self._state:#x})"
        )


def _checked_taps(width: int, taps: Sequence[int] | None) -> tuple[int, ...]:
    if taps is None:
        if width not in MAXIMAL_TAPS:
            raise SpecError(f"no taps are known for an LFSR of {width} bits (2 to 32 are); give taps=")
        return MAXIMAL_TAPS[width]
    checked = tuple(sorted((checked_int("LFSR tap", tap, 1, width) for tap in taps), reverse=True))
    if len(set(checked)) < len(checked) or width not in checked:
        raise SpecError(
            f"LFSR taps are {tuple(taps)}; they must be distinct and contain the width, {width}, "
            "whose absence would leave the last bit without use"
        )
    return checked
