"""One row of integers per network: what a GPU kernel reads in place of `Params`.

All networks of a launch run the same compiled kernel; widths, roundings, rules, seeds and sizes are data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import cuda

from tinysnn_hw.engine.params import (
    LayerParams,
    MembraneParams,
    PairParams,
    Params,
    SynapseParams,
    ThresholdParams,
    TraceParams,
)

(N_INPUTS, N_NEURONS, N_STEPS, REFRACTORY, TRACE, LEARNERS, UPDATE_STEPS) = range(7)
N_PLAIN = 7
MEM_AT = N_PLAIN
THR_AT = MEM_AT + len(MembraneParams._fields)
SYN_AT = THR_AT + len(ThresholdParams._fields)
TRA_AT = SYN_AT + len(SynapseParams._fields)
LAY_AT = TRA_AT + len(TraceParams._fields)
PAIR_AT = LAY_AT + len(LayerParams._fields)
N_PARAMS = PAIR_AT + len(PairParams._fields)

(SEED, FIRST, STRIDE, WEIGHT_AT, NEURON_AT, COUNT_AT, OFFSET_AT, TRACE_AT, TRACE_WEIGHT_AT) = range(
    N_PARAMS, N_PARAMS + 9
)
"""Seed, presentation number of the first image, weights from one row to the next, and where the network's part of each
flat array begins."""
N_COLUMNS = N_PARAMS + 9

LAYER_ON = LAY_AT + LayerParams._fields.index("on")
PAIR_ON = PAIR_AT + PairParams._fields.index("on")


def pack_params(p: Params) -> npt.NDArray[np.int64]:
    """Return int64[N_COLUMNS] with the parameters of a network; the columns from `SEED` on are 0."""
    groups = (p.mem, p.thr, p.syn, p.tra, p.lay, p.pair)
    row = np.zeros(N_COLUMNS, np.int64)
    row[:N_PARAMS] = [*p[:N_PLAIN], *(value for group in groups for value in group)]
    return row


@cuda.jit(device=True)
def membrane(r):
    """Return the `MembraneParams` of a row."""
    k = MEM_AT
    return MembraneParams(
        r[k], r[k + 1], r[k + 2], r[k + 3], r[k + 4], r[k + 5], r[k + 6], r[k + 7], r[k + 8], r[k + 9], r[k + 10],
        r[k + 11], r[k + 12], r[k + 13], r[k + 14], r[k + 15], r[k + 16], r[k + 17], r[k + 18], r[k + 19],
        r[k + 20], r[k + 21],
    )  # fmt: skip


@cuda.jit(device=True)
def threshold(r):
    """Return the `ThresholdParams` of a row."""
    k = THR_AT
    return ThresholdParams(
        r[k], r[k + 1], r[k + 2], r[k + 3], r[k + 4], r[k + 5], r[k + 6], r[k + 7], r[k + 8], r[k + 9], r[k + 10],
        r[k + 11], r[k + 12], r[k + 13], r[k + 14], r[k + 15], r[k + 16], r[k + 17], r[k + 18], r[k + 19],
        r[k + 20], r[k + 21], r[k + 22], r[k + 23],
    )  # fmt: skip


@cuda.jit(device=True)
def synapse(r):
    """Return the `SynapseParams` of a row."""
    k = SYN_AT
    return SynapseParams(
        r[k], r[k + 1], r[k + 2], r[k + 3], r[k + 4], r[k + 5], r[k + 6], r[k + 7], r[k + 8], r[k + 9], r[k + 10],
        r[k + 11],
    )  # fmt: skip


@cuda.jit(device=True)
def trace_of(r):
    """Return the `TraceParams` of a row."""
    k = TRA_AT
    return TraceParams(
        r[k], r[k + 1], r[k + 2], r[k + 3], r[k + 4], r[k + 5], r[k + 6], r[k + 7], r[k + 8], r[k + 9], r[k + 10],
    )  # fmt: skip


@cuda.jit(device=True)
def layer(r):
    """Return the `LayerParams` of a row."""
    k = LAY_AT
    return LayerParams(
        r[k], r[k + 1], r[k + 2], r[k + 3], r[k + 4], r[k + 5], r[k + 6], r[k + 7], r[k + 8], r[k + 9], r[k + 10],
        r[k + 11],
    )  # fmt: skip


@cuda.jit(device=True)
def pair(r):
    """Return the `PairParams` of a row."""
    k = PAIR_AT
    return PairParams(
        r[k], r[k + 1], r[k + 2], r[k + 3], r[k + 4], r[k + 5], r[k + 6], r[k + 7], r[k + 8], r[k + 9], r[k + 10],
    )  # fmt: skip
