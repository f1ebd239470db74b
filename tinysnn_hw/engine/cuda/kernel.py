"""The GPU kernel: a block per network (and, with learning off, per group of images), threads over neurons and inputs.

A thread owns the neurons and the inputs whose index is its own modulo the block width, so most of a step needs no
barrier.  A step without learning has one, to find out whether any neuron crossed its threshold.  Every register is
written by the functions of `tinysnn_hw.engine.writes`, which the plain CPU kernel compiles too.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.engine.cuda.block import (
    begin_image,
    find_largest,
    flush_counts,
    random_word,
    record_step,
    sum_rows,
)
from tinysnn_hw.engine.cuda.device import is_simulated
from tinysnn_hw.engine.cuda.plasticity import (
    choose_learners,
    count_events,
    decay_traces,
    depress_rows,
    forget_thresholds,
    learn_columns,
    normalize_columns,
    raise_threshold,
    read_counts,
)
from tinysnn_hw.fixed.compiled import keep
from tinysnn_hw.fixed.random import Purpose, chain, start

# Without the limit a block of `train` would have a multiprocessor to itself.
_OPTIONS = {"cache": True} if is_simulated() else {"cache": True, "max_registers": 128}
# Array shapes have to be constants that Numba sees as such.
_N_SLOTS, _N_REGISTERS, _N_ACTIVITIES = B.N_SLOTS, len(P.STAT_REGISTERS), len(P.ACTIVITY)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)
_ROUND_V_INH = np.uint32(Purpose.ROUND_V_INH)


@cuda.jit(device=True)
def _run(
    learn, record, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts,
    all_stats, all_activity, scratch, use_shared, trace, trace_weight,
):  # fmt: skip
    """Run the images of one block; see `train` for the arguments."""
    shared = cuda.shared.array(0, scratch.dtype)
    slots = cuda.shared.array(_N_SLOTS, np.int64)
    stats = cuda.local.array((_N_REGISTERS, 4), np.int64)
    activity = cuda.local.array(_N_ACTIVITIES, np.int64)
    for register in range(_N_REGISTERS):
        stats[register, P.STAT_MIN] = B.HIGHEST
        stats[register, P.STAT_MAX] = B.LOWEST
        stats[register, P.STAT_LOW] = 0
        stats[register, P.STAT_HIGH] = 0
    for kind in range(_N_ACTIVITIES):
        activity[kind] = 0
    thread, width, network = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    row = table[network]
    n, m, n_steps = row[T.N_NEURONS], row[T.N_INPUTS], row[T.N_STEPS]
    weight_at, neuron_at, seed = row[T.WEIGHT_AT], row[T.NEURON_AT], np.uint32(row[T.SEED])
    exponential, paired, layered = (
        row[T.TRACE] == P.TRACE_EXPONENTIAL,
        row[T.PAIR_ON] > 0,
        row[T.LAYER_ON] > 0,
    )
    mem = T.membrane(row)
    if use_shared:
        pool = shared[0 : scratch.shape[1]]
    else:
        pool = scratch[cuda.blockIdx.y * cuda.gridDim.x + network]
    # With learning off, what lies behind the first five arrays is never touched.
    v, th, free = pool[0:n], pool[B.V_TH * n : (B.V_TH + 1) * n], pool[B.FREE * n : (B.FREE + 1) * n]
    v_inh = pool[B.V_INH * n : (B.V_INH + 1) * n]
    inhibitory_free = pool[B.INHIBITORY_FREE * n : (B.INHIBITORY_FREE + 1) * n]
    n_post = pool[B.N_POST * n : (B.N_POST + 1) * n]
    n_window = pool[B.N_WINDOW * n : (B.N_WINDOW + 1) * n]
    x_post = pool[B.X_POST * n : (B.X_POST + 1) * n]
    learners = pool[B.LEARNERS * n : (B.LEARNERS + 1) * n]
    learned = pool[B.LEARNED * n : (B.LEARNED + 1) * n]
    has_learned = pool[B.HAS_LEARNED * n : (B.HAS_LEARNED + 1) * n]
    of_inputs = pool[B.NEURON_WORDS_TRAIN * n :]
    x_pre, c_pre = of_inputs[0:m], of_inputs[B.C_PRE * m : (B.C_PRE + 1) * m]
    n_events, seen = of_inputs[B.N_EVENTS * m : (B.N_EVENTS + 1) * m], of_inputs[B.SEEN * m :]
    for j in range(thread, n, width):
        th[j] = v_th[neuron_at + j]
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    key_v_inh = start(seed, np.uint32(_ROUND_V_INH + np.uint32(P.PHASE_STRIDE * phase)))
    for image in range(cuda.blockIdx.y, n_images, cuda.gridDim.y):
        presentation = np.uint32(row[T.FIRST] + image)
        eta, eta_pre, inhibition = (
            schedule[network, 0, image],
            schedule[network, 1, image],
            schedule[network, 2, image],
        )
        count_at = row[T.COUNT_AT] + np.int64(image) * n
        offset_at = row[T.OFFSET_AT] + np.int64(image) * (n_steps + 1)
        begin_image(row, learn, slots, pool, counts, count_at, stats)
        winner, inhibitory = np.int64(-1), np.int64(-1)
        begin = end = offsets[offset_at]
        for t in range(n_steps):
            before, begin, end = begin, end, offsets[offset_at + t + 1]
            parity = t & 1
            if thread == 0:
                activity[P.ACT_INPUT_SPIKES] += end - begin
            if learn:
                count_events(row, slots, inputs, begin, end, n_events, seen, parity)
                if exponential:
                    cuda.syncthreads()
                    decay_traces(row, seed, presentation, t, n_events, x_pre, x_post, stats)
                    if thread == 0:
                        slots[B.N_SEEN + 1 - parity] = 0
            arrived, last = (before, begin) if layered else (begin, end)
            key = chain(chain(key_v_mem, presentation), np.uint32(t))
            key_inh = chain(chain(key_v_inh, presentation), np.uint32(t))
            best, who = np.int64(-1), np.int64(-1)
            for j in range(thread, n, width):
                k = np.uint64(j)
                held = free[k] > t
                raw = np.int64(v[k])
                if layered:
                    # Read anew where it is needed: registers are scarcer than cached loads.
                    lay = T.layer(row)
                    if inhibitory >= 0 and j != inhibitory and not held:
                        raw = writes.inhibit_v_mem(mem, raw, inhibition, stats)
                    if inhibitory_free[k] <= t:
                        draw = random_word(lay.v_rounding, key_inh, j)
                        y = writes.cut_v_inh(lay, np.int64(v_inh[k]), j == winner, draw, stats)
                        if y >= lay.v_th:
                            y = lay.v_reset
                            writes.note(stats, P.STAT_V_INH, y, np.int64(0))
                            inhibitory_free[k] = t + 1 + lay.refractory
                            slots[B.FIRED + t % 3] = j
                            activity[P.ACT_INHIBITORY_SPIKES] += 1
                        v_inh[k] = y
                if not held:
                    total = sum_rows(weight, weight_at, row[T.STRIDE], j, inputs, arrived, last)
                    raw = writes.integrate(mem, total, raw, random_word(mem.v_rounding, key, j), stats)
                    margin = writes.threshold_margin(mem, raw, np.int64(th[k]))
                    if margin > best:
                        best, who = margin, np.int64(j)
                    v[k] = raw
            # The first barrier of a step in which all threads see what the others did.
            if cuda.syncthreads_or(np.int32(best >= 0)):
                winner = find_largest(slots, best, who)
            else:
                winner = np.int64(-1)
            if layered:
                inhibitory = slots[B.FIRED + t % 3]
                if thread == 0:
                    slots[B.FIRED + (t + 2) % 3] = -1
            elif winner >= 0:
                for j in range(thread, n, width):
                    if j != winner and free[j] <= t:
                        v[j] = writes.inhibit_v_mem(mem, np.int64(v[j]), inhibition, stats)
            if winner >= 0 and winner % width == thread:
                v[winner] = mem.v_reset
                writes.note(stats, P.STAT_V_MEM, mem.v_reset, np.int64(0))
                free[winner] = t + 1 + row[T.REFRACTORY]
                counts[count_at + winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_window[winner] += 1
                    if paired:
                        set_mode = T.trace_of(row).set_mode
                        y, side = writes.raise_x_post(T.pair(row), set_mode, np.int64(x_post[winner]))
                        x_post[winner] = y
                        writes.note(stats, P.STAT_X_POST, y, side)
                    raise_threshold(row, seed, presentation, t, winner, theta, th, stats)
            if learn and (t + 1) % row[T.UPDATE_STEPS] == 0:
                u = (t + 1) // row[T.UPDATE_STEPS] - 1
                if not exponential:
                    scale = x_scale[network, u]
                    read_counts(row, seed, presentation, u, scale, n_events, c_pre, x_pre, stats)
                if paired:
                    depress_rows(
                        row, slots, seed, presentation, t, eta_pre, seen, parity, n_post, x_post, weight,
                        weight_at, stats, activity,
                    )  # fmt: skip
                # A window of one step in which nobody fired has no learner.
                if not paired or winner >= 0:
                    choose_learners(row, slots, n_post, n_window, learners, learned, has_learned)
                    cuda.syncthreads()
                    learn_columns(
                        row, slots, seed, presentation, u, eta, learners, x_pre, weight, weight_at, stats,
                        activity,
                    )  # fmt: skip
            if record:
                record_step(row, learn, pool, theta, t, image, winner, inhibitory, trace)
        if learn:
            cuda.syncthreads()
            if T.synapse(row).weight_sum > 0:
                normalize_columns(row, slots, seed, presentation, learned, weight, weight_at, stats, activity)
            forget_thresholds(row, seed, presentation, theta, th, stats)
        if record:
            cuda.syncthreads()
            at = row[T.TRACE_WEIGHT_AT] + np.int64(image) * n * m
            for k in range(thread, n * m, width):
                trace_weight[at + k] = weight[weight_at + k // n * row[T.STRIDE] + k % n]
    cuda.syncthreads()
    # A run takes the words it ends with into their ranges.
    if cuda.blockIdx.y == 0:
        for k in range(thread, n * m, width):
            w = np.int64(weight[weight_at + k // n * row[T.STRIDE] + k % n])
            writes.note(stats, P.STAT_WEIGHT, w, np.int64(0))
        for j in range(thread, n, width):
            writes.note(stats, P.STAT_V_TH, np.int64(th[j]), np.int64(0))
            if learn:
                v_th[neuron_at + j] = th[j]
    flush_counts(network, True, stats, activity, all_stats, all_activity)


@keep
@cuda.jit(**_OPTIONS)
def train(
    table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts, stats, activity,
    scratch, use_shared,
):  # fmt: skip
    """Train every network on its images, one block each.

    Parameters
    ----------
    table : int64[n_networks, N_COLUMNS]
    phase : int64
        0 training, 1 labelling, 2 test.
    n_images : int64
    schedule : int64[n_networks, 3, n_images]
        Raw learning rate, rate of depression and inhibition of every image.
    x_scale : int64[n_networks, n_updates]
    offsets : int64[...]
        Of each raster row by row ``n_steps + 1`` positions in ``inputs``.
    inputs : uint16[n_events]
    weight : uint8, uint16 or uint32[...]
        Per network ``[n_inputs, n_neurons]``.
    theta, v_th : int32 or int64[...]
    counts : uint16[...]
        Per network ``[n_images, n_neurons]``.
    stats : int64[n_networks, 7, 4]
    activity : int64[n_networks, 6]
    scratch : int32 or int64[n_blocks, words]
        Working memory, in place of shared memory where that is too small.
    use_shared : bool
    """
    _run(
        True, False, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts,
        stats, activity, scratch, use_shared, offsets, offsets,
    )  # fmt: skip


@keep
@cuda.jit(**_OPTIONS)
def infer(
    table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts, stats, activity,
    scratch, use_shared,
):  # fmt: skip
    """Show images to every network with learning off; the blocks of a network share its images."""
    _run(
        False, False, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts,
        stats, activity, scratch, use_shared, offsets, offsets,
    )  # fmt: skip


@keep
@cuda.jit(**_OPTIONS)
def observe(
    learn, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts, stats,
    activity, scratch, use_shared, trace, trace_weight,
):  # fmt: skip
    """Run as `train` or `infer` does, and record every register after every step.

    ``trace`` is int64[...], per network ``[n_images, n_steps, 9 * n_neurons + 2 * n_inputs + 2]``: `v_mem`, refractory
    count, `v_th`, `theta`, `v_inh`, `inhibitory_count`, `n_post`, `n_window`, `x_post`; `x_pre`, `c_pre`; both winners.
    ``trace_weight`` is int64[...], per network ``[n_images, n_inputs, n_neurons]``.
    """
    _run(
        learn, True, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, theta, v_th, counts,
        stats, activity, scratch, use_shared, trace, trace_weight,
    )  # fmt: skip
