"""Working memory of a block in lanes: what it holds, how an image begins, what is recorded of a step."""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import lanes as L
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.engine.cuda.words import right

# Parts of a block's device memory, in units of n_neurons: what few steps touch; and of its
# shared memory, in units of n_inputs: traces, their counts (or which inputs are listed), events, the list.
V_TH, FREE, N_POST, N_WINDOW, LEARNERS, LEARNED, HAS_LEARNED = range(7)
NEURON_WORDS = 7
INPUT_WORDS_WINDOW, INPUT_WORDS_EXPONENTIAL = 3, 4

_N_SLOTS, _N_REGISTERS, _N_ACTIVITIES = B.N_SLOTS, len(P.STAT_REGISTERS), len(P.ACTIVITY)


@cuda.jit(device=True)
def begin_block(stats, activity):
    """Set the notes of a thread and the counts of a block to what they are before any write."""
    for register in range(_N_REGISTERS):
        stats[register, P.STAT_MIN] = B.HIGHEST
        stats[register, P.STAT_MAX] = B.LOWEST
        stats[register, P.STAT_LOW] = 0
        stats[register, P.STAT_HIGH] = 0
    if cuda.threadIdx.x == 0:
        for kind in range(_N_ACTIVITIES):
            activity[kind] = 0


@cuda.jit(device=True)
def begin_image(row, learn, slots, pool, of_inputs, counts, count_at):
    """Set the registers of an image's onset but the potentials.  Every thread calls it; it ends with a barrier."""
    thread, width = cuda.threadIdx.x, cuda.blockDim.x
    n, m = np.int32(row[T.N_NEURONS]), np.int32(row[T.N_INPUTS])
    cuda.syncthreads()
    for j in range(thread, n, width):
        counts[count_at + j] = 0
        for k in range(1, NEURON_WORDS):
            pool[k, j] = 0
    if learn:
        parts = INPUT_WORDS_EXPONENTIAL if row[T.TRACE] == P.TRACE_EXPONENTIAL else INPUT_WORDS_WINDOW
        for k in range(thread, parts * m, width):
            of_inputs[k] = 0
    if thread == 0:
        for k in range(_N_SLOTS):
            slots[k] = 0
        slots[B.BEST] = -1
        slots[B.WHO] = B.NOBODY
    cuda.syncthreads()


@cuda.jit(device=True)
def record_step(row, learn, per_word, lanes, v, held, pool, of_inputs, theta, t, image, winner, trace):
    """Write every register of the thread's neurons and inputs as it is after a step, as `block.record_step` does."""
    n, m, thread, width = row[T.N_NEURONS], row[T.N_INPUTS], cuda.threadIdx.x, cuda.blockDim.x
    words = B.TRACE_NEURON_WORDS * n + B.TRACE_INPUT_WORDS * m + B.TRACE_WORDS
    at = row[T.TRACE_AT] + (np.int64(image) * row[T.N_STEPS] + t) * words
    for lane in range(L.LANES):
        j = L.lane_neuron(per_word, lane, thread, width)
        if j < n:
            raw = lanes.v_reset if (held >> lane) & 1 else v[lane]
            trace[at + j] = np.int64(right(raw, lanes.v_shift))
    for j in range(thread, n, width):
        trace[at + n + j] = max(np.int64(pool[FREE, j]) - (t + 1), 0)
        trace[at + 2 * n + j] = pool[V_TH, j]
        trace[at + 3 * n + j] = theta[row[T.NEURON_AT] + j]
        for k in (4, 5, 8):
            trace[at + k * n + j] = 0
        trace[at + 6 * n + j] = pool[N_POST, j] if learn else 0
        trace[at + 7 * n + j] = pool[N_WINDOW, j] if learn else 0
    at += B.TRACE_NEURON_WORDS * n
    counted = learn and row[T.TRACE] != P.TRACE_EXPONENTIAL
    for i in range(thread, m, width):
        trace[at + i] = of_inputs[i] if learn else 0
        trace[at + m + i] = of_inputs[m + i] if counted else 0
    if thread == 0:
        trace[at + B.TRACE_INPUT_WORDS * m] = winner
        trace[at + B.TRACE_INPUT_WORDS * m + 1] = -1
