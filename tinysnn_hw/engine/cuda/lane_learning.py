"""Learning beside 32-bit lanes: what `plasticity` does, in 32-bit words where `lower` has proven that they suffice."""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.engine.cuda.block import find_largest, random_word
from tinysnn_hw.engine.cuda.lanes import extra, make_cut
from tinysnn_hw.engine.cuda.words import right
from tinysnn_hw.fixed.random import Purpose, chain, start

_DECAY = np.int32(P.DECAY_BITS)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)


@cuda.jit(device=True)
def _note_all(stats, register, lowest, highest, n_low, n_high):
    """Note many writes; none was made where ``lowest`` is over ``highest``."""
    if lowest <= highest:
        writes.note(stats, register, np.int64(lowest), np.int64(0))
        writes.note(stats, register, np.int64(highest), np.int64(0))
        stats[register, P.STAT_LOW] += np.int64(n_low)
        stats[register, P.STAT_HIGH] += np.int64(n_high)


@cuda.jit(device=True)
def list_events(inputs, origin, begin, end, slots, n_events, listed, active):
    """Count the events of a step per input; list each input of the image once, in ``active``."""
    e = np.int32(begin + cuda.threadIdx.x)
    while e < end:
        i = np.uint64(inputs[np.uint64(origin + e)])
        if cuda.atomic.add(n_events, i, 1) == 0 and listed[i] == 0:
            listed[i] = 1
            active[np.uint64(cuda.atomic.add(slots, B.N_SEEN, 1))] = i
        e = np.int32(e + cuda.blockDim.x)


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
    k = np.int32(cuda.threadIdx.x)
    while k < n_active:
        i = np.uint64(active[np.uint64(k)])
        x, n = np.int32(x_pre[i]), np.int32(n_events[i])
        if set_mode and n > 0:
            x = one
        elif x > 0 or n > 0:
            product = np.int32(x * factor)
            product = np.int32(product + extra(cut, product, right(product, _DECAY), key, i))
            x = np.int32(right(product, _DECAY) + np.int32(n * step))
            n_high = np.int32(n_high + np.int32(x > most))
            x = min(x, most)
        highest = max(highest, x)
        n_events[i] = 0
        x_pre[i] = x
        k = np.int32(k + cuda.blockDim.x)
    _note_all(stats, P.STAT_X_PRE, np.int32(0), highest, np.int32(0), n_high)


@cuda.jit(device=True)
def count_window(inputs, origin, begin, end, n_events):
    """Count the events of a window per input."""
    e = np.int32(begin + cuda.threadIdx.x)
    while e < end:
        cuda.atomic.add(n_events, np.uint64(inputs[np.uint64(origin + e)]), 1)
        e = np.int32(e + cuda.blockDim.x)


@cuda.jit(device=True)
def close_window(row, seed, presentation, u, scale, n_events, c_pre, x_pre, stats):
    """Turn the counts of the thread's inputs into their traces: `plasticity.read_counts`, in 32 bits where they do."""
    tra, m = T.trace_of(row), np.int32(row[T.N_INPUTS])
    cut = make_cut(P.DECAY_BITS, tra.x_rounding, tra.x_rand_bits)
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(u))
    narrow, c_max, one = tra.narrow_counts > 0, np.int32(tra.c_max), np.int32(tra.x_one)
    highest, lowest = np.int32(0), one
    i = np.int32(cuda.threadIdx.x)
    while i < m:
        k = np.uint64(i)
        c = min(np.int32((np.int32(c_pre[k]) >> 1) + np.int32(n_events[k])), c_max)
        n_events[k] = 0
        c_pre[k] = c
        if narrow:
            product = np.int32(c * np.int32(scale))
            product = np.int32(product + extra(cut, product, right(product, _DECAY), key, i))
            x = min(right(product, _DECAY), one)
            lowest, highest = min(lowest, x), max(highest, x)
            x_pre[k] = x
        else:
            x_pre[k] = writes.read_x_pre(tra, np.int64(c), scale, random_word(tra.x_rounding, key, i), stats)
        i = np.int32(i + cuda.blockDim.x)
    if narrow and cuda.threadIdx.x < m:
        _note_all(stats, P.STAT_X_PRE, lowest, highest, np.int32(0), np.int32(0))


@cuda.jit(device=True)
def choose_learners(row, slots, n_post, n_window, learners, learned, has_learned):
    """List who learns in this window and who did in this image; see `plasticity.choose_learners`."""
    n, winner_only = np.int32(row[T.N_NEURONS]), row[T.LEARNERS] == P.LEARN_WINNER
    most, best, who = np.int32(0), np.int32(0), np.int32(-1)
    j = np.int32(cuda.threadIdx.x)
    while j < n:
        k = np.uint64(j)
        most = max(most, np.int32(n_post[k]))
        if n_window[k] > best:
            best, who = np.int32(n_window[k]), j
        j = np.int32(j + cuda.blockDim.x)
    if most > 0:
        cuda.atomic.max(slots, B.MOST, np.int64(most))
    leader = np.int32(-1)
    if winner_only and cuda.syncthreads_or(np.int32(best > 0)):
        leader = np.int32(find_largest(slots, np.int64(best if who >= 0 else -1), np.int64(who)))
    j = np.int32(cuda.threadIdx.x)
    while j < n:
        k = np.uint64(j)
        if n_window[k] > 0:
            if not winner_only or j == leader:
                learners[np.uint64(cuda.atomic.add(slots, B.N_LEARNERS, 1))] = j
                if has_learned[k] == 0:
                    has_learned[k] = 1
                    learned[np.uint64(cuda.atomic.add(slots, B.N_LEARNED, 1))] = j
            n_window[k] = 0
        j = np.int32(j + cuda.blockDim.x)


@cuda.jit(device=True)
def learn_columns(row, slots, activity, seed, presentation, u, eta, learners, x_pre, weight, at, stats):
    """Update the columns of the learners.  Every thread calls it, behind a barrier; it ends with one."""
    syn, stride, m = T.synapse(row), row[T.STRIDE], np.int32(row[T.N_INPUTS])
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
        i = np.int32(cuda.threadIdx.x)
        while i < m:
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
            i = np.int32(i + cuda.blockDim.x)
    if syn.narrow_learning and n_learners > 0 and cuda.threadIdx.x < m:
        _note_all(stats, P.STAT_WEIGHT, lowest, highest, n_low, n_high)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        activity[P.ACT_UPDATES] += n_learners
        slots[B.N_LEARNERS] = 0


@cuda.jit(device=True)
def normalize_columns(row, slots, activity, seed, presentation, learned, weight, at, stats):
    """Scale the columns that learned in this image.  Every thread calls it, behind a barrier; it ends with one."""
    syn, stride, m = T.synapse(row), row[T.STRIDE], np.int32(row[T.N_INPUTS])
    key = chain(chain(start(seed, _ROUND_NORMALIZE), presentation), np.uint32(0))
    cut = make_cut(P.DECAY_BITS, syn.w_rounding, syn.w_rand_bits)
    w_max = np.int32(syn.w_max)
    n_learned = slots[B.N_LEARNED]
    for number in range(n_learned):
        j = np.int64(learned[number])
        part = np.int64(0)
        i = np.int32(cuda.threadIdx.x)
        while i < m:
            part += np.int64(weight[np.uint64(at + i * stride + j)])
            i = np.int32(i + cuda.blockDim.x)
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
            i = np.int32(cuda.threadIdx.x)
            while i < m:
                place = np.uint64(at + i * stride + j)
                if narrow:
                    product = np.int32(np.int32(weight[place]) * factor)
                    product = np.int32(product + extra(cut, product, right(product, _DECAY), column, i))
                    w = right(product, _DECAY)
                    n_high = np.int32(n_high + np.int32(w > w_max))
                    w = min(w, w_max)
                    lowest, highest = min(lowest, w), max(highest, w)
                    weight[place] = w
                else:
                    draw = random_word(syn.w_rounding, column, i)
                    weight[place] = writes.normalize_weight(syn, scale, np.int64(weight[place]), draw, stats)
                i = np.int32(i + cuda.blockDim.x)
            if narrow and cuda.threadIdx.x < m:
                _note_all(stats, P.STAT_WEIGHT, lowest, highest, np.int32(0), n_high)
        cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        activity[P.ACT_NORMALIZATIONS] += n_learned
