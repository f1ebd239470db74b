"""Flags read as bits: against NumPy's packing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.engine.cpu.flags import FLAGS, lowest_bit, take_flags
from tinysnn_hw.engine.cpu.storage import aligned_zeros
from tinysnn_hw.fixed.compiled import njit


@njit
def take(flags, block):
    return take_flags(flags, block)


@njit
def lowest(bits):
    return lowest_bit(bits)


@given(st.integers(1, 5), st.data())
def test_a_block_becomes_one_word_and_is_cleared(blocks: int, data: st.DataObject) -> None:
    flags = aligned_zeros(blocks * FLAGS, np.uint8)
    flags[:] = data.draw(st.lists(st.integers(0, 1), min_size=len(flags), max_size=len(flags)))
    block = data.draw(st.integers(0, blocks - 1))
    part = slice(block * FLAGS, (block + 1) * FLAGS)
    expected, left = flags.copy(), flags.copy()
    left[part] = 0
    found = np.int64(take(flags, block))
    assert found == np.packbits(expected[part], bitorder="little").view(np.int64)[0]
    assert (flags == left).all()


@given(st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_lowest_bit(bits: int) -> None:
    assert lowest(np.int64(bits)) == (bits & -bits).bit_length() - 1
