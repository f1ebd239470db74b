"""Where the fast kernel keeps weights and lanes.

Weights are stored twice.  ``rows`` is what a step reads.  Small networks have it in blocks of 64 neurons, one after
another, the last one half as wide where that is enough; within a block one short row per input: a column, which
learning writes, then lies within few pages.  Large networks, whose rows do not stay in the second cache, have long
rows of all neurons, which a core fetches ahead.  ``master`` is what learning reads and writes: one row of raw weights
per neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinysnn_hw.engine.cpu.lanes import BLOCK, HALF_BLOCK, VECTOR_BYTES
from tinysnn_hw.engine.cpu.plan import LanePlan

IN_BLOCKS_BYTES = 2 << 20
"""Largest ``rows`` that are stored in blocks (784-1600 is faster in blocks, 784-6400 in long rows)."""


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros that start on a whole vector, so that no load or store of a lane vector splits a cache line."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(n_bytes + VECTOR_BYTES, np.uint8)
    start = -raw.ctypes.data % VECTOR_BYTES
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def padded(n: int) -> int:
    """Return ``n`` rounded up to whole half blocks."""
    return -(-n // HALF_BLOCK) * HALF_BLOCK


class Weights(NamedTuple):
    """Weights of one network in the storage of the fast kernel."""

    rows: NDArray[Any]
    """uint8 or uint16 [n_inputs * padded(n_neurons)]: weight of input ``i`` and neuron ``j`` on the accumulator grid,
    at ``origin[j] + i * width[j]``."""
    origin: NDArray[np.int64]
    width: NDArray[np.int64]
    master: NDArray[Any]
    """Same dtype [n_neurons, n_inputs]: raw weights."""
    block_step: int
    """From a block of 64 neurons to the next, in elements of ``rows``."""
    row_step: int
    """From an input to the next; the last block may be half as wide."""

    def gathered(self) -> NDArray[np.int64]:
        """Return what ``rows`` holds as int64[n_inputs, n_neurons]."""
        n_inputs = self.master.shape[1]
        return self.rows[self.origin + np.arange(n_inputs)[:, None] * self.width].astype(np.int64)

    def extremes(self) -> NDArray[np.int64]:
        """Return the smallest and the largest weight in ``rows``, those of padding left out."""
        n_inputs, width = self.master.shape[1], self.width[-1]
        tail = len(self.rows) - n_inputs * width
        used = self.origin[self.origin >= tail] - tail
        parts = (self.rows[:tail], self.rows[tail:].reshape(n_inputs, width)[:, used])
        ends = [(part.min(), part.max()) for part in parts if part.size]
        return np.array([min(low for low, _ in ends), max(high for _, high in ends)], np.int64)


def store_weights(raw: NDArray[np.int64], plan: LanePlan, shift: int) -> Weights:
    """Return raw weights int64[n_inputs, n_neurons] in that storage; ``shift`` leads to the accumulator grid."""
    n_inputs, n = raw.shape
    lanes = padded(n)
    in_blocks = n_inputs * lanes * plan.row.itemsize <= IN_BLOCKS_BYTES
    block_step, row_step = (BLOCK * n_inputs, BLOCK) if in_blocks else (BLOCK, lanes)
    j = np.arange(n, dtype=np.int64)
    block = j // BLOCK
    filled = np.minimum(lanes - block * BLOCK, BLOCK)
    width = np.minimum(filled, row_step) if in_blocks else np.full(n, lanes)
    origin = block * block_step + _places(j % BLOCK, filled, plan)
    rows = aligned_zeros(n_inputs * lanes, plan.row)
    rows[origin + np.arange(n_inputs)[:, None] * width] = raw << shift
    return Weights(rows, origin, width, np.ascontiguousarray(raw.T).astype(plan.row), block_step, row_step)


def _places(within: NDArray[np.int64], width: NDArray[np.int64], plan: LanePlan) -> NDArray[np.int64]:
    """Return where the neurons of a block stand in its rows.

    With two weights per lane a word vector holds the neurons of two lane vectors, low halves first; a half block
    that is a single lane vector is not paired.
    """
    count = VECTOR_BYTES // plan.lane.itemsize
    if plan.lane.itemsize != 2 * plan.row.itemsize:
        return within
    pair = 2 * count
    return np.where(
        width < pair, within, within - within % pair + 2 * (within % pair % count) + within % pair // count
    )
