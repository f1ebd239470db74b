"""The GPU kernel in lanes: a block per network, potentials in registers, the events of some steps in shared memory.

It runs networks without an inhibitory population and without pair-wise learning whose bounds `plan.lane_events` has
proven, with the bits of `tinysnn_hw.engine.cuda.kernel`; that one runs all others.  A step without a spike has one
barrier.  What happens in few steps (a spike, an update, the end of an image) is written by the functions of
`tinysnn_hw.engine.writes` or in 32 bits by `lane_learning`, and noted in shared memory, so that the step itself needs
few registers.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import lanes as L
from tinysnn_hw.engine.cuda import table as T
from tinysnn_hw.engine.cuda.block import find_largest
from tinysnn_hw.engine.cuda.device import is_simulated
from tinysnn_hw.engine.cuda.lane_block import (
    FREE,
    HAS_LEARNED,
    LEARNED,
    LEARNERS,
    N_POST,
    N_WINDOW,
    V_TH,
    begin_block,
    begin_image,
    record_step,
)
from tinysnn_hw.engine.cuda.lane_learning import (
    choose_learners,
    close_window,
    count_window,
    decay_active,
    learn_columns,
    list_events,
    normalize_columns,
)
from tinysnn_hw.engine.cuda.plasticity import forget_thresholds, raise_threshold
from tinysnn_hw.engine.cuda.words import part_of, place_of, right
from tinysnn_hw.fixed.compiled import keep
from tinysnn_hw.fixed.random import Purpose, chain, start

STAGED = 512
"""Events kept in shared memory at a time."""
MAX_REGISTERS, MAX_THREADS = 128, 512
"""A multiprocessor has 65,536 registers."""

_OPTIONS = {"cache": True} if is_simulated() else {"cache": True, "max_registers": MAX_REGISTERS}
_N_SLOTS, _N_ACTIVITIES = B.N_SLOTS, len(P.ACTIVITY)
_N_LANES, _N_STAGED = L.LANES, STAGED
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)


@cuda.jit(device=True)
def _run(
    per_word, learn, record, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta,
    v_th, counts, all_stats, all_activity, scratch, notes, trace, trace_weight,
):  # fmt: skip
    """Run the images of one block; see `train_bytes` for the arguments."""
    of_inputs = cuda.shared.array(0, scratch.dtype)
    slots = cuda.shared.array(_N_SLOTS, np.int64)
    activity = cuda.shared.array(_N_ACTIVITIES, np.int64)
    staged = cuda.shared.array(_N_STAGED, np.uint32)
    v, th = cuda.local.array(_N_LANES, np.int32), cuda.local.array(_N_LANES, np.int32)
    sums = cuda.local.array(_N_LANES, np.uint32)
    places = cuda.local.array(4, np.uint64)
    thread, width, network = np.int32(cuda.threadIdx.x), np.int32(cuda.blockDim.x), cuda.blockIdx.x
    block = cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x
    # In memory, not in registers: they are touched in few steps, and there are many.
    stats = part_of(notes, block * width + thread)
    begin_block(stats, activity)
    row = table[network]
    n, m, n_steps = np.int32(row[T.N_NEURONS]), np.int32(row[T.N_INPUTS]), np.int32(row[T.N_STEPS])
    neuron_at, seed = row[T.NEURON_AT], np.uint32(row[T.SEED])
    exponential = row[T.TRACE] == P.TRACE_EXPONENTIAL
    mem = T.membrane(row)
    lanes, cut = L.make_lanes(mem), L.membrane_cut(mem)
    pool = scratch[block]
    th_raw, free, n_post, n_window = pool[V_TH], pool[FREE], pool[N_POST], pool[N_WINDOW]
    learners, learned, has_learned = pool[LEARNERS], pool[LEARNED], pool[HAS_LEARNED]
    x_pre, c_pre, n_events, active = of_inputs[0:], of_inputs[m:], of_inputs[2 * m :], of_inputs[3 * m :]
    row_words = np.int32(row[T.STRIDE] >> per_word)
    absent = np.int32(0)
    for k in range(4):
        # A lane without a neuron reads the first word of a row, which is then masked.
        word = np.int32(thread + k * width)
        places[k] = place_of(words, (row[T.WEIGHT_AT] >> per_word) + (word if word < row_words else 0))
    for j in range(thread, n, width):
        th_raw[j] = v_th[neuron_at + j]
    cuda.syncthreads()
    for lane in range(L.LANES):
        j = L.lane_neuron(per_word, lane, thread, width)
        if j < n:
            th[lane] = L.threshold_lane(mem, np.int64(th_raw[j]))
        else:
            th[lane] = np.int32(L.LANE_MAX)
            absent = np.int32(absent | (1 << lane))
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    # With a floor nothing falls below the range.
    lowest_free = np.int32(L.LANE_MIN << 1) if mem.has_floor else lanes.v_low
    highest, n_high = np.int32(0), np.int32(0)
    for image in range(cuda.blockIdx.y, n_images, cuda.gridDim.y):
        presentation = np.uint32(row[T.FIRST] + image)
        # More than the range and one is the same as that, and fits a lane.
        exact = T.membrane(row)
        amount = min(schedule[network, 2, image], exact.v_max - exact.v_min + 1) << exact.v_shift
        fall = np.int32(amount)
        count_at = row[T.COUNT_AT] + np.int64(image) * n
        offset_at = row[T.OFFSET_AT] + np.int64(image) * (n_steps + 1)
        begin_image(row, learn, slots, pool, of_inputs, counts, count_at)
        for lane in range(L.LANES):
            v[lane] = np.int32(0)
        held = np.int32(0)
        key_image = chain(key_v_mem, presentation)
        origin = offsets[offset_at]
        last = np.int32(offsets[offset_at + n_steps] - origin)
        begin, end = np.int32(0), np.int32(offsets[offset_at + 1] - origin)
        tile, tile_end, window_begin = np.int32(0), np.int32(0), np.int32(0)
        until_update = np.int32(row[T.UPDATE_STEPS])
        u = np.int32(0)
        for t in range(n_steps):
            # Read a step ahead, so that nothing waits for it.
            following = np.int32(offsets[offset_at + min(t + 2, n_steps)] - origin)
            if learn and exponential:
                list_events(inputs, origin, begin, end, slots, n_events, c_pre, active)
            for k in range(L.LANES):
                sums[k] = np.uint32(0)
            event = begin
            while event < end:
                if event >= tile_end:
                    tile, tile_end = event, np.int32(min(event + _N_STAGED, last))
                    cuda.syncthreads()
                    e = np.int32(thread)
                    while tile + e < tile_end:
                        source = np.uint32(inputs[np.uint64(origin + (tile + e))])
                        staged[np.uint32(e)] = np.uint32(source * np.uint32(row_words))
                        e = np.int32(e + width)
                    cuda.syncthreads()
                stop = min(end, tile_end)
                L.add_rows(
                    per_word, words, places, staged, np.int32(event - tile), np.int32(stop - tile), sums
                )
                event = stop
            L.mask_absent(per_word, absent, sums)
            if lanes.kind == L.PLAIN:
                crossed, highest, n_high = L.integrate_plain(lanes, per_word, sums, v, th, highest, n_high)
            elif lanes.kind == L.DECAY:
                crossed, highest, n_high = L.integrate_decay(
                    lanes, cut, per_word, sums, v, th, highest, n_high
                )
            else:
                key = chain(key_image, np.uint32(t))
                crossed, highest, n_high = L.integrate_general(
                    lanes, cut, per_word, sums, v, th, highest, n_high, key, thread, width
                )
            winner = np.int64(-1)
            # The first barrier of a step in which all threads see what the others did.
            if cuda.syncthreads_or(np.int32(crossed)):
                # Parameters of rare moments are read when they come: registers are scarcer than cached loads.
                exact = T.membrane(row)
                best, who = np.int64(-1), np.int64(-1)
                for lane in range(L.LANES):
                    if v[lane] >= th[lane]:
                        j = L.lane_neuron(per_word, lane, thread, width)
                        raw = np.int64(right(v[lane], lanes.v_shift))
                        margin = writes.threshold_margin(exact, raw, np.int64(th_raw[j]))
                        # Lanes ascend with their neurons, so the lowest index keeps a tie.
                        if margin > best:
                            best, who = margin, j
                winner = find_largest(slots, best, who)
                spared = np.int32(held | absent)
                own, lowest, n_low = np.int32(0), np.int32(L.LANE_MAX), np.int32(0)
                for lane in range(L.LANES):
                    low = np.int32(v[lane] - fall)
                    if L.lane_neuron(per_word, lane, thread, width) == winner:
                        own = np.int32(own | (1 << lane))
                        v[lane] = lanes.v_reset
                    elif not (spared >> lane) & 1:
                        n_low = np.int32(n_low + np.int32(low < lowest_free))
                        low = max(low, lanes.v_floor)
                        lowest = min(lowest, low)
                        v[lane] = low
                if own:
                    lowest, highest = min(lowest, lanes.v_reset), max(highest, lanes.v_reset)
                    cuda.atomic.add(activity, P.ACT_OUTPUT_SPIKES, 1)
                    if row[T.REFRACTORY] > 0:
                        held = np.int32(held | own)
                    free[winner] = t + 1 + row[T.REFRACTORY]
                    counts[count_at + winner] += 1
                    if learn:
                        n_post[winner] += 1
                        n_window[winner] += 1
                        raise_threshold(row, seed, presentation, t, winner, theta, th_raw, stats)
                        raised = L.threshold_lane(exact, np.int64(th_raw[winner]))
                        for lane in range(L.LANES):
                            if (own >> lane) & 1:
                                th[lane] = raised
                if lowest < L.LANE_MAX:
                    writes.note(
                        stats, P.STAT_V_MEM, np.int64(right(lowest, lanes.v_shift)), np.int64(0)
                    )  # fmt: skip
                    stats[P.STAT_V_MEM, P.STAT_LOW] += np.int64(n_low)
            if held:
                for lane in range(L.LANES):
                    if (held >> lane) & 1:
                        v[lane] = np.int32(L.LANE_MIN)
                        if free[L.lane_neuron(per_word, lane, thread, width)] <= t + 1:
                            v[lane] = lanes.v_reset
                            held = np.int32(held & ~(1 << lane))
            if learn:
                if exponential:
                    n_active = np.int32(slots[B.N_SEEN])
                    decay_active(
                        T.trace_of(row), seed, presentation, t, n_active, active, n_events, x_pre, stats
                    )  # fmt: skip
                    cuda.syncthreads()
                until_update = np.int32(until_update - 1)
                if until_update == 0:
                    until_update = np.int32(row[T.UPDATE_STEPS])
                    if not exponential:
                        count_window(inputs, origin, window_begin, end, n_events)
                        window_begin = end
                        cuda.syncthreads()
                        close_window(
                            row, seed, presentation, u, x_scale[network, u], n_events, c_pre, x_pre, stats
                        )  # fmt: skip
                    choose_learners(row, slots, n_post, n_window, learners, learned, has_learned)
                    cuda.syncthreads()
                    eta = schedule[network, 0, image]
                    learn_columns(
                        row, slots, activity, seed, presentation, u, eta, learners, x_pre, weight,
                        row[T.WEIGHT_AT], stats,
                    )  # fmt: skip
                    u = np.int32(u + 1)
            if record:
                record_step(
                    row, learn, per_word, lanes, v, held, pool, of_inputs, theta, t, image, winner, trace
                )
            begin, end = end, following
        if learn:
            cuda.syncthreads()
            if T.synapse(row).weight_sum > 0:
                normalize_columns(
                    row, slots, activity, seed, presentation, learned, weight, row[T.WEIGHT_AT], stats
                )  # fmt: skip
            forget_thresholds(row, seed, presentation, theta, th_raw, stats)
            cuda.syncthreads()
            exact = T.membrane(row)
            for lane in range(L.LANES):
                if not (absent >> lane) & 1:
                    j = L.lane_neuron(per_word, lane, thread, width)
                    th[lane] = L.threshold_lane(exact, np.int64(th_raw[j]))
        if thread == 0:
            activity[P.ACT_INPUT_SPIKES] += np.int64(last)
        if record:
            cuda.syncthreads()
            at = row[T.TRACE_WEIGHT_AT] + np.int64(image) * n * m
            for k in range(thread, n * m, width):
                trace_weight[at + k] = weight[row[T.WEIGHT_AT] + k // n * row[T.STRIDE] + k % n]
    cuda.syncthreads()
    # A run takes the words it ends with into their ranges.
    if cuda.blockIdx.y == 0:
        for i in range(m):
            for j in range(thread, n, width):
                w = np.int64(weight[row[T.WEIGHT_AT] + i * row[T.STRIDE] + j])
                writes.note(stats, P.STAT_WEIGHT, w, np.int64(0))
        for j in range(thread, n, width):
            writes.note(stats, P.STAT_V_TH, np.int64(th_raw[j]), np.int64(0))
            if learn:
                v_th[neuron_at + j] = th_raw[j]
    if n_images > cuda.blockIdx.y:
        writes.note(stats, P.STAT_V_MEM, np.int64(0), np.int64(0))
        writes.note(stats, P.STAT_V_MEM, np.int64(right(highest, lanes.v_shift)), np.int64(0))
        stats[P.STAT_V_MEM, P.STAT_HIGH] += np.int64(n_high)
        if learn:
            writes.note(stats, P.STAT_X_PRE, np.int64(0), np.int64(0))
    cuda.syncthreads()
    B.flush_counts(network, thread == 0, stats, activity, all_stats, all_activity)


@keep
@cuda.jit(**_OPTIONS)
def train_bytes(
    table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th, counts, stats,
    activity, scratch, notes,
):  # fmt: skip
    """Train every network on its images, one block each; weights are of 8 bits.

    The arguments are those of `tinysnn_hw.engine.cuda.kernel.train`, but ``words``: the weights again, as uint32;
    ``scratch``: int32[n_blocks, 7, n_neurons]; ``notes``: int64[n_threads, 7, 4], what each thread noted of the
    registers.
    """
    _run(
        2, True, False, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th,
        counts, stats, activity, scratch, notes, offsets, offsets,
    )  # fmt: skip


@keep
@cuda.jit(**_OPTIONS)
def infer_bytes(
    table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th, counts, stats,
    activity, scratch, notes,
):  # fmt: skip
    """Show images to every network with learning off; weights are of 8 bits."""
    _run(
        2, False, False, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th,
        counts, stats, activity, scratch, notes, offsets, offsets,
    )  # fmt: skip


@keep
@cuda.jit(**_OPTIONS)
def train_halves(
    table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th, counts, stats,
    activity, scratch, notes,
):  # fmt: skip
    """Train every network on its images, one block each; weights are of 16 bits."""
    _run(
        1, True, False, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th,
        counts, stats, activity, scratch, notes, offsets, offsets,
    )  # fmt: skip


@keep
@cuda.jit(**_OPTIONS)
def infer_halves(
    table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th, counts, stats,
    activity, scratch, notes,
):  # fmt: skip
    """Show images to every network with learning off; weights are of 16 bits."""
    _run(
        1, False, False, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th,
        counts, stats, activity, scratch, notes, offsets, offsets,
    )  # fmt: skip


@keep
@cuda.jit(**_OPTIONS)
def observe(
    halves, learn, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta, v_th,
    counts, stats, activity, scratch, notes, trace, trace_weight,
):  # fmt: skip
    """Run as the others do, and record every register after every step; see `kernel.observe`."""
    if halves:
        _run(
            1, learn, True, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta,
            v_th, counts, stats, activity, scratch, notes, trace, trace_weight,
        )  # fmt: skip
    else:
        _run(
            2, learn, True, table, phase, n_images, schedule, x_scale, offsets, inputs, weight, words, theta,
            v_th, counts, stats, activity, scratch, notes, trace, trace_weight,
        )  # fmt: skip


KERNELS = {1: (train_bytes, infer_bytes), 2: (train_halves, infer_halves)}
"""By the bytes of a weight: the kernels of training and of inference."""
