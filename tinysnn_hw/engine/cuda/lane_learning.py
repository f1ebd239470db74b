"""Learning beside 32-bit lanes: what `plasticity` does, in 32-bit words where `lower` has proven that they suffice."""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.engine.cuda.block import random_word
from tinysnn_hw.engine.cuda.lanes import extra, make_cut, right
from tinysnn_hw.fixed.random import Purpose, chain, start

_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)


@cuda.jit(device=True)
def settle(totals, stats, register):
    """Add what a thread noted of a register to its block's totals, and forget it.

    Extremes rarely move, so that most threads only look.
    """
    at = 4 * register
    if stats[register, P.STAT_MIN] < totals[at + P.STAT_MIN]:
        cuda.atomic.min(totals, at + P.STAT_MIN, stats[register, P.STAT_MIN])
    if stats[register, P.STAT_MAX] > totals[at + P.STAT_MAX]:
        cuda.atomic.max(totals, at + P.STAT_MAX, stats[register, P.STAT_MAX])
    for side in (P.STAT_LOW, P.STAT_HIGH):
        if stats[register, side] > 0:
            cuda.atomic.add(totals, at + side, stats[register, side])
        stats[register, side] = 0
    stats[register, P.STAT_MIN] = B.HIGHEST
    stats[register, P.STAT_MAX] = B.LOWEST


@cuda.jit(device=True)
def _note_all(stats, register, lowest, highest, n_low, n_high):
    """Note many writes; none was made where ``lowest`` is over ``highest``."""
    if lowest <= highest:
        writes.note(stats, register, np.int64(lowest), np.int64(0))
        writes.note(stats, register, np.int64(highest), np.int64(0))
        stats[register, P.STAT_LOW] += np.int64(n_low)
        stats[register, P.STAT_HIGH] += np.int64(n_high)


@cuda.jit(device=True)
def list_events(inputs, begin, end, slots, n_events, listed, active):
    """Count the events of a step per input; list each input of the image once, in ``active``."""
    for e in range(begin + cuda.threadIdx.x, end, cuda.blockDim.x):
        i = np.int64(inputs[e])
        if cuda.atomic.add(n_events, i, 1) == 0 and listed[i] == 0:
            listed[i] = 1
            active[cuda.atomic.add(slots, B.N_SEEN, 1)] = i


@cuda.jit(device=True)
def decay_active(tra, seed, presentation, t, n_active, active, n_events, x_pre, stats):
    """Advance the exponential traces of the listed inputs: `writes.decay_x_pre` in 32 bits.

    Events are whole multiples of what is cut, so they are added behind the cut; as ``x_frac`` is at least 1 they do
    not change the parity some roundings look at.
    """
    cut = make_cut(P.DECAY_BITS, tra.x_rounding, tra.x_rand_bits)
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(t))
    factor, one, most = np.int32(tra.trace_mul), np.int32(tra.x_one), np.int32(tra.x_max)
    step, set_mode = np.int32(1 << tra.x_frac), tra.set_mode > 0
    highest, n_high = np.int32(0), np.int32(0)
    for k in range(cuda.threadIdx.x, n_active, cuda.blockDim.x):
        i = np.uint64(active[k])
        x, n = np.int32(x_pre[i]), np.int32(n_events[i])
        if set_mode and n > 0:
            x = one
        elif x > 0 or n > 0:
            product = np.int32(x * factor)
            product = np.int32(product + extra(cut, product, right(product, P.DECAY_BITS), key, i))
            x = np.int32(right(product, P.DECAY_BITS) + np.int32(n * step))
            n_high = np.int32(n_high + np.int32(x > most))
            x = min(x, most)
        highest = max(highest, x)
        n_events[i] = 0
        x_pre[i] = x
    _note_all(stats, P.STAT_X_PRE, np.int32(0), highest, np.int32(0), n_high)


@cuda.jit(device=True)
def count_window(inputs, begin, end, n_events):
    """Count the events of a window per input."""
    for e in range(begin + cuda.threadIdx.x, end, cuda.blockDim.x):
        cuda.atomic.add(n_events, np.int64(inputs[e]), 1)


@cuda.jit(device=True)
def close_window(row, seed, presentation, u, scale, n_events, c_pre, x_pre, stats):
    """Turn the counts of the thread's inputs into their traces: `plasticity.read_counts`, in 32 bits where they do."""
    tra = T.trace_of(row)
    cut = make_cut(P.DECAY_BITS, tra.x_rounding, tra.x_rand_bits)
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(u))
    narrow, c_max, one = tra.narrow_counts > 0, np.int32(tra.c_max), np.int32(tra.x_one)
    highest, lowest = np.int32(0), one
    for i in range(cuda.threadIdx.x, row[T.N_INPUTS], cuda.blockDim.x):
        k = np.uint64(i)
        c = min(np.int32((np.int32(c_pre[k]) >> 1) + np.int32(n_events[k])), c_max)
        n_events[k] = 0
        c_pre[k] = c
        if narrow:
            product = np.int32(c * np.int32(scale))
            product = np.int32(product + extra(cut, product, right(product, P.DECAY_BITS), key, i))
            x = min(right(product, P.DECAY_BITS), one)
            lowest, highest = min(lowest, x), max(highest, x)
            x_pre[k] = x
        else:
            x_pre[k] = writes.read_x_pre(tra, np.int64(c), scale, random_word(tra.x_rounding, key, i), stats)
    if narrow and cuda.threadIdx.x < row[T.N_INPUTS]:
        _note_all(stats, P.STAT_X_PRE, lowest, highest, np.int32(0), np.int32(0))


@cuda.jit(device=True)
def learn_columns(row, slots, totals, seed, presentation, u, eta, learners, x_pre, weight, at, stats):
    """Update the columns of the learners.  Every thread calls it, behind a barrier; it ends with one."""
    syn, stride, m = T.synapse(row), row[T.STRIDE], row[T.N_INPUTS]
    n_learners = slots[B.N_LEARNERS]
    k_eta = eta
    if syn.eq1:
        k_eta = eta * ((slots[B.MOST] + syn.n_th - 1) // syn.n_th)
    key = chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(u))
    cut = make_cut(min(syn.x_frac + syn.eta_frac, 30), syn.w_rounding, syn.w_rand_bits)
    attract, w_max, x_frac = syn.rule == P.RULE_ATTRACT, np.int32(syn.w_max), np.int32(syn.x_frac)
    factor = np.int32(k_eta) if syn.narrow_learning else np.int32(0)
    lowest, highest, n_low, n_high = w_max, np.int32(0), np.int32(0), np.int32(0)
    for number in range(n_learners):
        j = np.int64(learners[number])
        column = chain(key, np.uint32(j))
        for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
            place, k = np.uint64(at + i * stride + j), np.uint64(i)
            if syn.narrow_learning:
                # The weight lies above the bits that are cut, so only the change is rounded; sign and parity are those
                # of the sum.
                w, x = np.int32(weight[place]), np.int32(x_pre[k])
                if attract:
                    pull = np.int32(np.int32(x * w_max) - np.int32(w << (x_frac & 31)))
                else:
                    pull = np.int32(x * np.int32(w_max - w))
                change = np.int32(factor * pull)
                whole = np.int32(w + right(change, cut.shift))
                change = np.int32(change + extra(cut, whole, whole, column, i))
                w = np.int32(w + right(change, cut.shift))
                n_low = np.int32(n_low + np.int32(w < 0))
                n_high = np.int32(n_high + np.int32(w > w_max))
                w = min(max(w, np.int32(0)), w_max)
                lowest, highest = min(lowest, w), max(highest, w)
                weight[place] = w
            else:
                draw = random_word(syn.w_rounding, column, i)
                weight[place] = writes.learn_weight(
                    syn, np.int64(0), k_eta, np.int64(weight[place]), np.int64(x_pre[k]), draw, stats
                )
    if syn.narrow_learning and n_learners > 0 and cuda.threadIdx.x < m:
        _note_all(stats, P.STAT_WEIGHT, lowest, highest, n_low, n_high)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        totals[B.ACTIVITY_AT + P.ACT_UPDATES] += n_learners
        slots[B.N_LEARNERS] = 0


@cuda.jit(device=True)
def normalize_columns(row, slots, totals, seed, presentation, learned, weight, at, stats):
    """Scale the columns that learned in this image.  Every thread calls it, behind a barrier; it ends with one."""
    syn, stride, m = T.synapse(row), row[T.STRIDE], row[T.N_INPUTS]
    key = chain(chain(start(seed, _ROUND_NORMALIZE), presentation), np.uint32(0))
    cut = make_cut(P.DECAY_BITS, syn.w_rounding, syn.w_rand_bits)
    w_max = np.int32(syn.w_max)
    n_learned = slots[B.N_LEARNED]
    for number in range(n_learned):
        j = np.int64(learned[number])
        part = np.int64(0)
        for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
            part += np.int64(weight[np.uint64(at + i * stride + j)])
        cuda.atomic.add(slots, B.SUM, part)
        cuda.syncthreads()
        total = slots[B.SUM]
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            slots[B.SUM] = 0
        if total > 0:
            scale = (syn.weight_sum << P.DECAY_BITS) // total
            narrow = scale * syn.w_max + (1 << P.DECAY_BITS) < 1 << 31
            factor = np.int32(scale) if narrow else np.int32(0)
            column = chain(key, np.uint32(j))
            lowest, highest, n_high = w_max, np.int32(0), np.int32(0)
            for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
                place = np.uint64(at + i * stride + j)
                if narrow:
                    product = np.int32(np.int32(weight[place]) * factor)
                    product = np.int32(product + extra(cut, product, right(product, P.DECAY_BITS), column, i))
                    w = right(product, P.DECAY_BITS)
                    n_high = np.int32(n_high + np.int32(w > w_max))
                    w = min(w, w_max)
                    lowest, highest = min(lowest, w), max(highest, w)
                    weight[place] = w
                else:
                    draw = random_word(syn.w_rounding, column, i)
                    weight[place] = writes.normalize_weight(syn, scale, np.int64(weight[place]), draw, stats)
            if narrow and cuda.threadIdx.x < m:
                _note_all(stats, P.STAT_WEIGHT, lowest, highest, np.int32(0), n_high)
        cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        totals[B.ACTIVITY_AT + P.ACT_NORMALIZATIONS] += n_learned
