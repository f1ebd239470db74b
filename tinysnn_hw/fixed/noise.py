"""Random words by the block, for stochastic rounding in vector lanes.

Every word here is `random.chain` of a prefix and an index. Of its steps, the first is the same for a whole block but
for the index itself, and the last changes only the lower half of a word.
"""

# mypy: disable-error-code="call-arg, no-any-return, untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.random import FACTOR_1, FACTOR_2
from tinysnn_hw.fixed.words import add, both, differing, either, logical_right, multiply

__all__ = ["BLOCK", "NO_WORDS", "fill_noise"]

BLOCK = 4096
"""Words in a block; a power of two of at most ``2**16``."""

NO_WORDS = np.empty(0, np.uint32)
"""In place of an array of random words: they are drawn."""

_U32 = np.uint32
_SHIFT_15, _SHIFT_16 = _U32(15), _U32(16)
_UPPER = _U32(0xFFFF0000)


def fill_noise(prefix: int, words: NDArray[np.uint32], first: int, noise: NDArray[Any]) -> None:
    """Write the upper bits of the random words of elements ``first, first + 1, ...``, as many as a lane has.

    Parameters
    ----------
    prefix : int
        Hash of all but the index.
    words : ndarray of uint32
        The words of all elements instead, or `NO_WORDS`.
    first : int
        A multiple of `BLOCK`.
    noise : ndarray of uint8, uint16, uint32 or uint64, shape (BLOCK,)
        Lanes of 64 bits get the whole word as their upper half.
    """
    raise NotImplementedError("called by kernels only")


@overload(fill_noise)
def _fill_noise(prefix, words, first, noise):  # type: ignore[no-untyped-def]
    def quarters(prefix, words, first, noise):  # type: ignore[no-untyped-def]
        wider = np.empty(noise.size, np.uint16)
        fill_noise(prefix, words, first, wider)
        for k in range(noise.size):
            noise[k] = wider[k] >> np.uint16(8)

    def halves(prefix, words, first, noise):  # type: ignore[no-untyped-def]
        if words.size == 0:
            _draw_halves(prefix, first, noise)
            return
        part = words[first : first + noise.size]
        for k in range(part.size):
            noise[k] = part[k] >> _SHIFT_16

    def whole(prefix, words, first, noise):  # type: ignore[no-untyped-def]
        if words.size == 0:
            _draw_words(prefix, first, noise)
            return
        part = words[first : first + noise.size]
        for k in range(part.size):  # an assignment of arrays takes Numba seconds to compile
            noise[k] = part[k]

    def doubled(prefix, words, first, noise):  # type: ignore[no-untyped-def]
        narrower = np.empty(noise.size, np.uint32)
        fill_noise(prefix, words, first, narrower)
        for k in range(noise.size):
            noise[k] = np.uint64(narrower[k]) << np.uint64(32)

    return {8: quarters, 16: halves, 32: whole, 64: doubled}[noise.dtype.bitwidth]


@njit(cache=True)
def _shared(prefix, first):  # type: ignore[no-untyped-def]
    """Return the mix's first step for index 0 of a block: for index ``k`` it differs by ``k``."""
    h = differing(_U32(prefix), _U32(first))
    return differing(h, logical_right(h, _SHIFT_16))


@njit(cache=True)
def _draw_words(prefix, first, out):  # type: ignore[no-untyped-def]
    h = _shared(prefix, first)
    count = _U32(0)  # with a count of 64 bits the lanes would be half as many
    for k in range(out.size):
        x = multiply(differing(h, count), FACTOR_1)
        x = multiply(differing(x, logical_right(x, _SHIFT_15)), FACTOR_2)
        out[k] = differing(x, logical_right(x, _SHIFT_16))
        count = add(count, _U32(1))


@njit(cache=True)
def _draw_halves(prefix, first, out):  # type: ignore[no-untyped-def]
    h = _shared(prefix, first)
    step = FACTOR_1 if h & _U32(1) == 0 else _U32(_U32(0) - FACTOR_1)
    pairs = out.view(np.uint32)  # of a low-endian machine, as are all that Numba knows
    for k in range(pairs.size):
        even = multiply(differing(h, _U32(2 * k)), FACTOR_1)
        odd = add(even, step)  # h ^ (2 * k + 1) is one more, or one less
        even = multiply(differing(even, logical_right(even, _SHIFT_15)), FACTOR_2)
        odd = multiply(differing(odd, logical_right(odd, _SHIFT_15)), FACTOR_2)
        pairs[k] = either(logical_right(even, _SHIFT_16), both(odd, _UPPER))
