"""Moves of whole vectors: against slices."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.data.moves import COPY, copy_elements
from tinysnn_hw.fixed.compiled import njit


@njit
def copy(target, at, source, begin):
    copy_elements(target, at, source, begin)


@given(st.integers(0, 50), st.integers(0, 70), st.integers(0, 2**32 - 1))
def test_copies_what_a_slice_would(at: int, begin: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, source = (rng.integers(0, 2**16, n, dtype=np.uint16) for n in (50 + COPY, 70 + COPY))
    expected, kept = target.copy(), source.copy()
    expected[at : at + COPY] = source[begin : begin + COPY]
    for copies in (copy, copy.py_func):
        found = target.copy()
        copies(found, at, source, begin)
        assert (found == expected).all() and (source == kept).all()
