"""Where the fast kernel keeps weights and lanes.

Weights are stored twice.  ``rows`` is what a step reads: blocks of 64 neurons, one after another, the last one half
as wide where that is enough; within a block one short row per input.  A column of it, which learning writes, then
lies within one block.  ``master`` is what learning reads and writes: one row of raw weights per neuron.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinysnn_hw.engine.cpu.lanes import BLOCK, HALF_BLOCK, VECTOR_BYTES
from tinysnn_hw.engine.cpu.plan import LanePlan


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


class Weights:
    """Weights of one network in the storage of the fast kernel.

    Parameters
    ----------
    raw : int64[n_inputs, n_neurons]
    plan : LanePlan
    shift : int
        From raw weights to the accumulator grid, on which ``rows`` holds them.

    Attributes
    ----------
    rows : uint8 or uint16 [n_inputs * padded(n_neurons)]
        Weight of input ``i`` and neuron ``j`` at ``origin[j] + i * width[j]``.
    origin, width : int64[n_neurons]
    master : same dtype [n_neurons, n_inputs]
        Raw weights.
    """

    def __init__(self, raw: NDArray[np.int64], plan: LanePlan, shift: int) -> None:
        n_inputs, n = raw.shape
        lanes = padded(n)
        j = np.arange(n, dtype=np.int64)
        block = j // BLOCK
        self.width = np.minimum(lanes - block * BLOCK, BLOCK)
        self.origin = block * BLOCK * n_inputs + _places(j % BLOCK, self.width, plan)
        self.rows = aligned_zeros(n_inputs * lanes, plan.row)
        self.rows[self.origin + np.arange(n_inputs)[:, None] * self.width] = raw << shift
        self.master = np.ascontiguousarray(raw.T).astype(plan.row)


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
