"""Random words as a pure function of (seed, purpose, key words).

A word is a chain of mixes, modulo ``2**32``::

    mix32(x):  x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
    start      = mix32(seed + purpose * 0x9E3779B9)
    word       = ... mix32(mix32(start ^ a) ^ b) ...

so any order of evaluation, on any machine, gives the same bits. ``mix32`` is ``lowbias32`` from Chris
Wellons' hash prospector (https://nullprogram.com/blog/2018/07/31/), a bijection of 32 bits.

What 32 bits of state imply: the words of one prefix are all different; two prefixes agree in all but the
low ``k`` bits by a chance of ``2**(k - 32)``, and then give the same words in another order in each aligned
block of ``2**k`` last key words. With seeds below ``2**24``, no two pairs of seed and purpose start alike.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from tinysnn_hw.fixed.checks import checked_int
from tinysnn_hw.fixed.compiled import njit

__all__ = ["Purpose", "chain", "draw3", "draw_array", "mix32", "prefix2", "start"]


class Purpose(IntEnum):
    """What random words are for. The numbers are part of the results: a member is never renumbered."""

    TRAIN_SPIKES = 1
    LABEL_SPIKES = 2
    TEST_SPIKES = 3
    TRAIN_PHASES = 4
    LABEL_PHASES = 5
    TEST_PHASES = 6
    INITIAL_WEIGHTS = 7
    SHUFFLE = 8
    TRAIN_POOL = 9
    LABEL_POOL = 10
    TEST_POOL = 11
    ROUND_WEIGHT = 16
    ROUND_V_MEM = 17
    ROUND_V_TH = 18
    ROUND_THETA = 19
    ROUND_X_PRE = 20
    ROUND_NORMALIZE = 21
    ROUND_ARRAY = 22
    ROUND_X_POST = 23
    ROUND_DEPRESSED = 24
    ROUND_V_INH = 25
    ROUND_V_MEM_LABEL = 49
    ROUND_V_INH_LABEL = 57
    ROUND_V_MEM_TEST = 81
    ROUND_V_INH_TEST = 89


# Numba widens uint32 arithmetic to 64 bits. Casting each step back keeps loops on vectors of 32-bit lanes.
_U32 = np.uint32
_SHIFT_16 = np.uint32(16)
_SHIFT_15 = np.uint32(15)
FACTOR_1 = np.uint32(0x7FEB352D)
FACTOR_2 = np.uint32(0x846CA68B)
_GOLDEN = np.uint32(0x9E3779B9)


@njit(cache=True)
def mix32(x):
    """Return the mix of a uint32 word, a uint32; ``mix32(0)`` is 0."""
    x = _U32(x)
    x = _U32(x ^ _U32(x >> _SHIFT_16))
    x = _U32(x * FACTOR_1)
    x = _U32(x ^ _U32(x >> _SHIFT_15))
    x = _U32(x * FACTOR_2)
    return _U32(x ^ _U32(x >> _SHIFT_16))


@njit(cache=True)
def chain(h, word):
    """Return the uint32 hash ``h`` extended by one key word: ``mix32(h ^ word)``."""
    return mix32(_U32(_U32(h) ^ _U32(word)))


@njit(cache=True)
def start(seed, purpose):
    """Return the uint32 hash before the first key word: ``mix32(seed + purpose * 0x9E3779B9)``."""
    return mix32(_U32(_U32(seed) + _U32(_U32(purpose) * _GOLDEN)))


@njit(cache=True)
def prefix2(seed, purpose, a, b):
    """Return the hash of all but the last key word, so that an inner loop mixes once per element.

    ``chain(prefix2(seed, purpose, a, b), c)`` is ``draw3(seed, purpose, a, b, c)``.
    """
    return chain(chain(start(seed, purpose), a), b)


@njit(cache=True)
def draw3(seed, purpose, a, b, c):
    """Return the random uint32 word of three key words; each argument counts modulo ``2**32``."""
    return chain(prefix2(seed, purpose, a, b), c)


@njit(cache=True)
def _fill(prefix, out):
    for c in range(out.size):
        out[c] = chain(prefix, _U32(c))


def draw_array(seed: int, purpose: int, a: int, b: int, n: int) -> np.ndarray:
    """Return the words ``draw3(seed, purpose, a, b, c)`` of ``c = 0 .. n - 1``.

    Parameters
    ----------
    seed, purpose, a, b : int
        Key, each 0 to ``2**32 - 1``.
    n : int
        Number of words, 0 to ``2**32``.

    Returns
    -------
    ndarray of uint32, shape (n,)

    Raises
    ------
    SpecError
        If an argument is outside its range.
    """
    named = {"seed": seed, "purpose": purpose, "a": a, "b": b}
    key = [checked_int(f"key word {name}", word, 0, 2**32 - 1) for name, word in named.items()]
    out = np.empty(checked_int("number of words", n, 0, 2**32), dtype=np.uint32)
    _fill(prefix2(*key), out)
    return out
