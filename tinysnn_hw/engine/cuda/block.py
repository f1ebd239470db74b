"""What the parts of a GPU kernel share: a block's working memory, its reductions, its records and counts."""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import chain

_STOCHASTIC = int(Rounding.STOCHASTIC)
LOWEST, HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
NOBODY = 1 << 30

# Parts of a block's working memory, in units of n_neurons, then of n_inputs.
# `FREE` and `INHIBITORY_FREE` hold the first step in which a neuron is not held any more; `SEEN` has room for two
# steps.
(V_MEM, V_TH, FREE, V_INH, INHIBITORY_FREE,
 N_POST, N_WINDOW, X_POST, LEARNERS, LEARNED, HAS_LEARNED) = range(11)  # fmt: skip
NEURON_WORDS_TEST, NEURON_WORDS_TRAIN = 5, 11
X_PRE, C_PRE, N_EVENTS, SEEN = range(4)
INPUT_WORDS_TRAIN = 5
# Words that all threads of a block share.
BEST, WHO, MOST, SUM, N_LEARNERS, N_LEARNED, N_SEEN, FIRED, N_SLOTS = 0, 1, 2, 3, 4, 5, 6, 8, 11
TRACE_NEURON_WORDS, TRACE_INPUT_WORDS, TRACE_WORDS = 9, 2, 2


@cuda.jit(device=True)
def random_word(rounding, key, word):
    """Return the random word of a cut, or 0 where its rounding reads none."""
    return chain(key, np.uint32(word)) if rounding == _STOCHASTIC else np.uint32(0)


@cuda.jit(device=True)
def find_largest(slots, value, index):
    """Return the index of the largest value of all threads, the lowest on a tie; every thread calls it.

    ``value`` is a thread's own largest, at least 0, or -1.  Some thread has one that is at least 0.
    """
    if value >= 0:
        cuda.atomic.max(slots, BEST, value)
    cuda.syncthreads()
    if value >= 0 and value == slots[BEST]:
        cuda.atomic.min(slots, WHO, np.int64(index))
    cuda.syncthreads()
    found = slots[WHO]
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        slots[BEST] = -1
        slots[WHO] = NOBODY
    return found


@cuda.jit(device=True)
def sum_rows(weight, at, stride, j, inputs, begin, end):
    """Return the sum of the weights from the events ``begin`` to ``end`` to neuron ``j``."""
    # Unsigned indices: signed ones are tested for the negative ones of Python.
    column, stride = np.uint64(at + j), np.uint64(stride)
    total = np.int64(0)
    for e in range(begin, end):
        total += np.int64(weight[column + np.uint64(inputs[np.uint64(e)]) * stride])
    return total


@cuda.jit(device=True)
def begin_image(row, learn, slots, pool, counts, count_at, stats):
    """Set the registers of an image's onset.  Every thread calls it; it ends with a barrier."""
    n, m = row[T.N_NEURONS], row[T.N_INPUTS]
    cuda.syncthreads()
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        counts[count_at + j] = 0
        for k in range(NEURON_WORDS_TRAIN if learn else NEURON_WORDS_TEST):
            if k != V_TH:
                pool[k * n + j] = 0
    if learn:
        for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
            for k in range(SEEN):
                pool[NEURON_WORDS_TRAIN * n + k * m + i] = 0
    if cuda.threadIdx.x == 0:
        for k in range(N_SLOTS):
            slots[k] = 0
        slots[BEST] = -1
        slots[WHO] = NOBODY
        for k in range(3):
            slots[FIRED + k] = -1
        writes.note(stats, P.STAT_V_MEM, np.int64(0), np.int64(0))
        if learn:
            writes.note(stats, P.STAT_X_PRE, np.int64(0), np.int64(0))
            if row[T.PAIR_ON]:
                writes.note(stats, P.STAT_X_POST, np.int64(0), np.int64(0))
        if row[T.LAYER_ON]:
            writes.note(stats, P.STAT_V_INH, np.int64(0), np.int64(0))
    cuda.syncthreads()


@cuda.jit(device=True)
def record_step(row, learn, pool, theta, t, image, winner, inhibitory, trace):
    """Write every register of the thread's neurons and inputs as it is after a step."""
    n, m = row[T.N_NEURONS], row[T.N_INPUTS]
    words = TRACE_NEURON_WORDS * n + TRACE_INPUT_WORDS * m + TRACE_WORDS
    at = row[T.TRACE_AT] + (np.int64(image) * row[T.N_STEPS] + t) * words
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        trace[at + j] = pool[V_MEM * n + j]
        trace[at + n + j] = max(np.int64(pool[FREE * n + j]) - (t + 1), 0)
        trace[at + 2 * n + j] = pool[V_TH * n + j]
        trace[at + 3 * n + j] = theta[row[T.NEURON_AT] + j]
        trace[at + 4 * n + j] = pool[V_INH * n + j]
        trace[at + 5 * n + j] = max(np.int64(pool[INHIBITORY_FREE * n + j]) - (t + 1), 0)
        for k in range(3):
            trace[at + (6 + k) * n + j] = pool[(N_POST + k) * n + j] if learn else 0
    at += TRACE_NEURON_WORDS * n
    for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
        for k in range(TRACE_INPUT_WORDS):
            trace[at + k * m + i] = pool[NEURON_WORDS_TRAIN * n + k * m + i] if learn else 0
    if cuda.threadIdx.x == 0:
        trace[at + TRACE_INPUT_WORDS * m] = winner
        trace[at + TRACE_INPUT_WORDS * m + 1] = inhibitory


@cuda.jit(device=True)
def flush_counts(network, counts, stats, activity, all_stats, all_activity):
    """Add what a thread noted, and what it counted if it is one that ``counts``, to the counts of its network."""
    for register in range(len(P.STAT_REGISTERS)):
        if stats[register, P.STAT_MIN] <= stats[register, P.STAT_MAX]:
            cuda.atomic.min(all_stats, (network, register, P.STAT_MIN), stats[register, P.STAT_MIN])
            cuda.atomic.max(all_stats, (network, register, P.STAT_MAX), stats[register, P.STAT_MAX])
            for side in (P.STAT_LOW, P.STAT_HIGH):
                if stats[register, side] > 0:
                    cuda.atomic.add(all_stats, (network, register, side), stats[register, side])
    for kind in range(len(P.ACTIVITY)):
        if counts and activity[kind] > 0:
            cuda.atomic.add(all_activity, (network, kind), activity[kind])
