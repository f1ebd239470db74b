"""Learning on the GPU: traces, depression, updates, normalisation and thresholds of one block's network."""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.engine.cuda.block import find_largest, random_word
from tinysnn_hw.fixed.random import Purpose, chain, start

_ROUND_V_TH = np.uint32(Purpose.ROUND_V_TH)
_ROUND_THETA = np.uint32(Purpose.ROUND_THETA)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_X_POST = np.uint32(Purpose.ROUND_X_POST)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)


@cuda.jit(device=True)
def count_events(row, slots, inputs, begin, end, n_events, seen, parity):
    """Count the events of a step per input; with depression, list each input once."""
    m = row[T.N_INPUTS]
    for e in range(begin + cuda.threadIdx.x, end, cuda.blockDim.x):
        i = np.int64(inputs[e])
        before = cuda.atomic.add(n_events, i, 1)
        if row[T.PAIR_ON] and before == 0:
            seen[parity * m + cuda.atomic.add(slots, B.N_SEEN + parity, 1)] = i


@cuda.jit(device=True)
def decay_traces(row, seed, presentation, t, n_events, x_pre, x_post, stats):
    """Advance the exponential traces of the thread's inputs and, with pair-wise learning, of its neurons."""
    tra = T.trace_of(row)
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(t))
    for i in range(cuda.threadIdx.x, row[T.N_INPUTS], cuda.blockDim.x):
        x, n = np.int64(x_pre[i]), np.int64(n_events[i])
        # A trace of 0 stays 0 whatever the rounding, and the 0 of the onset is counted.
        if x > 0 or n > 0:
            x_pre[i] = writes.decay_x_pre(tra, x, n, random_word(tra.x_rounding, key, i), stats)
            n_events[i] = 0
    if row[T.PAIR_ON]:
        pair = T.pair(row)
        key = chain(chain(start(seed, _ROUND_X_POST), presentation), np.uint32(t))
        for j in range(cuda.threadIdx.x, row[T.N_NEURONS], cuda.blockDim.x):
            y = np.int64(x_post[j])
            if y > 0:
                x_post[j] = writes.decay_x_post(
                    pair, tra.trace_mul, y, random_word(pair.y_rounding, key, j), stats
                )


@cuda.jit(device=True)
def read_counts(row, seed, presentation, u, scale, n_events, c_pre, x_pre, stats):
    """Close a window: the counts of the thread's inputs become their traces."""
    tra = T.trace_of(row)
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(u))
    for i in range(cuda.threadIdx.x, row[T.N_INPUTS], cuda.blockDim.x):
        c = min((np.int64(c_pre[i]) >> 1) + np.int64(n_events[i]), tra.c_max)
        n_events[i] = 0
        c_pre[i] = c
        x_pre[i] = writes.read_x_pre(tra, c, scale, random_word(tra.x_rounding, key, i), stats)


@cuda.jit(device=True)
def depress_rows(
    row, slots, seed, presentation, t, eta_pre, seen, parity, n_post, x_post, weight, at, stats, activity
):
    """Lower the weights from the step's inputs to the thread's neurons."""
    pair, syn, n = T.pair(row), T.synapse(row), row[T.N_NEURONS]
    n_seen = slots[B.N_SEEN + parity]
    key = chain(chain(start(seed, _ROUND_DEPRESSED), presentation), np.uint32(t))
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        if n_post[j] < pair.n_essential:
            continue
        activity[P.ACT_DEPRESSIONS] += n_seen
        y = np.int64(x_post[j])
        if y == 0:
            continue
        column = chain(key, np.uint32(j))
        for e in range(n_seen):
            i = np.int64(seen[parity * row[T.N_INPUTS] + e])
            w = np.int64(weight[at + i * row[T.STRIDE] + j])
            draw = random_word(syn.w_rounding, column, i)
            weight[at + i * row[T.STRIDE] + j] = writes.depress_weight(pair, syn, eta_pre, w, y, draw, stats)


@cuda.jit(device=True)
def choose_learners(row, slots, n_post, n_window, learners, learned, has_learned):
    """List the neurons that learn in this window, and those that did in this image; find the largest spike count.

    Every thread calls it; the lists and `block.MOST` are complete after the next barrier.
    """
    n, essential, winner_only = row[T.N_NEURONS], T.pair(row).n_essential, row[T.LEARNERS] == P.LEARN_WINNER
    most, best, who = np.int64(0), np.int64(-1), np.int64(-1)
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        most = max(most, np.int64(n_post[j]))
        spikes = np.int64(n_window[j])
        if spikes > best and spikes > 0:
            best, who = spikes, np.int64(j)
    if most > 0:
        cuda.atomic.max(slots, B.MOST, most)
    leader = np.int64(-1)
    if winner_only and cuda.syncthreads_or(np.int32(best > 0)):
        leader = find_largest(slots, best, who)
    for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        if n_window[j] > 0 and n_post[j] >= essential and (not winner_only or j == leader):
            learners[cuda.atomic.add(slots, B.N_LEARNERS, 1)] = j
            if has_learned[j] == 0:
                has_learned[j] = 1
                learned[cuda.atomic.add(slots, B.N_LEARNED, 1)] = j
        n_window[j] = 0


@cuda.jit(device=True)
def learn_columns(row, slots, seed, presentation, u, eta, learners, x_pre, weight, at, stats, activity):
    """Update the columns of the learners.  Every thread calls it, behind a barrier; it ends with one."""
    syn, soft = T.synapse(row), T.pair(row).soft
    n_learners = slots[B.N_LEARNERS]
    k_eta = eta
    if syn.eq1:
        k_eta = eta * ((slots[B.MOST] + syn.n_th - 1) // syn.n_th)
    key = chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(u))
    for number in range(n_learners):
        j = np.int64(learners[number])
        column = chain(key, np.uint32(j))
        for i in range(cuda.threadIdx.x, row[T.N_INPUTS], cuda.blockDim.x):
            place = at + i * row[T.STRIDE] + j
            w, x = np.int64(weight[place]), np.int64(x_pre[i])
            draw = random_word(syn.w_rounding, column, i)
            weight[place] = writes.learn_weight(syn, soft, k_eta, w, x, draw, stats)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        activity[P.ACT_UPDATES] += n_learners
        slots[B.N_LEARNERS] = 0


@cuda.jit(device=True)
def normalize_columns(row, slots, seed, presentation, learned, weight, at, stats, activity):
    """Scale the columns that learned in this image.  Every thread calls it, behind a barrier."""
    syn, m = T.synapse(row), row[T.N_INPUTS]
    key = chain(chain(start(seed, _ROUND_NORMALIZE), presentation), np.uint32(0))
    for number in range(slots[B.N_LEARNED]):
        j = np.int64(learned[number])
        part = np.int64(0)
        for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
            part += np.int64(weight[at + i * row[T.STRIDE] + j])
        cuda.atomic.add(slots, B.SUM, part)
        cuda.syncthreads()
        total = slots[B.SUM]
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            slots[B.SUM] = 0
            activity[P.ACT_NORMALIZATIONS] += 1
        if total > 0:
            scale = (syn.weight_sum << P.DECAY_BITS) // total
            column = chain(key, np.uint32(j))
            for i in range(cuda.threadIdx.x, m, cuda.blockDim.x):
                w = np.int64(weight[at + i * row[T.STRIDE] + j])
                draw = random_word(syn.w_rounding, column, i)
                weight[at + i * row[T.STRIDE] + j] = writes.normalize_weight(syn, scale, w, draw, stats)
        cuda.syncthreads()


@cuda.jit(device=True)
def raise_threshold(row, seed, presentation, t, j, theta, v_th, stats):
    """Write ``theta`` and ``v_th`` of the neuron that fired."""
    thr = T.threshold(row)
    key = chain(chain(start(seed, _ROUND_THETA), presentation), np.uint32(t))
    at = row[T.NEURON_AT] + j
    theta[at] = writes.raise_theta(thr, np.int64(theta[at]), random_word(thr.theta_rounding, key, j), stats)
    key = chain(chain(start(seed, _ROUND_V_TH), presentation), np.uint32(t))
    v_th[j] = writes.write_v_th(thr, np.int64(theta[at]), random_word(thr.th_rounding, key, j), stats)


@cuda.jit(device=True)
def forget_thresholds(row, seed, presentation, theta, v_th, stats):
    """Lower ``theta`` of the thread's neurons at the end of an image and compute ``v_th`` anew."""
    thr = T.threshold(row)
    if thr.theta_forget == P.FORGET_NONE:
        return
    t = np.uint32(row[T.N_STEPS])
    key_theta = chain(chain(start(seed, _ROUND_THETA), presentation), t)
    key_th = chain(chain(start(seed, _ROUND_V_TH), presentation), t)
    for j in range(cuda.threadIdx.x, row[T.N_NEURONS], cuda.blockDim.x):
        at = row[T.NEURON_AT] + j
        draw = random_word(thr.theta_rounding, key_theta, j)
        theta[at] = writes.forget_theta(thr, np.int64(theta[at]), draw, stats)
        v_th[j] = writes.write_v_th(thr, np.int64(theta[at]), random_word(thr.th_rounding, key_th, j), stats)
