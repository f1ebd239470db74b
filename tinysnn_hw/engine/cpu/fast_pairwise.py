"""The fast kernel of networks that learn pair-wise, with or without an inhibitory layer: the bits of the plain one.

The step is that of `fast`; weights are stored once, as rows, because learning touches few of them at a time.
The potential of an inhibitory neuron is computed only when a spike arrives: until then it can but fall to rest.
Lanes hold `v_mem`, thresholds and `x_pre` under the bounds of `plan_lanes`; weights, `x_post` and `v_inh` are computed
in 64 bits, as `prove` has them.
"""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.fast import (
    draw_noise,
    find_winner_exactly,
    highest_lane,
    make_noise,
    park,
    peak_v_mem,
    threshold_lane,
)
from tinysnn_hw.engine.cpu.fast_learning import forget_thresholds
from tinysnn_hw.engine.cpu.fire import find_winner, inhibit, largest
from tinysnn_hw.engine.cpu.generic_learning import spike_theta
from tinysnn_hw.engine.cpu.integrate import CROSSED, SUSPICIOUS, integrate_counting, lif_pass
from tinysnn_hw.engine.cpu.lanes import VECTOR_BYTES
from tinysnn_hw.engine.cpu.leak import leak_scalars
from tinysnn_hw.engine.cpu.pairwise_learning import (
    advance_x_pre,
    decay_posts,
    depress,
    depression,
    fill_ages,
    normalize,
    potentiate,
    raise_post,
    read_ages,
)
from tinysnn_hw.engine.cpu.storage import aligned_zeros, padded
from tinysnn_hw.engine.writes import note
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import fit, overflow_side, round_shift

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)
_ROUND_V_INH = np.uint32(Purpose.ROUND_V_INH)


def make_scratch(p, plan):
    """Return the working arrays of `run_images` for one network: lanes, traces, lists of neurons."""
    n, m = p.n_neurons, p.n_inputs
    lanes = padded(n)
    th_lane = aligned_zeros(lanes, plan.lane)
    th_lane[:] = highest_lane(th_lane)
    return (
        (aligned_zeros((2, lanes), plan.lane), th_lane, aligned_zeros(VECTOR_BYTES // plan.lane.itemsize, plan.lane),
         make_noise(p, plan, lanes), np.zeros((2, p.n_steps), np.int64)),
        (np.full(m, -1, np.int32), np.zeros(m, np.int32), np.zeros(m, np.int32), np.zeros(m, np.int32),
         np.zeros(p.n_steps, np.int32)),
        (np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)),
        (np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint32),
         np.zeros(m, np.int64)),
        (np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)),
    )  # fmt: skip


@njit(cache=True)
def excite(lay, key_image, t, j, v_inh, last, free_from, stats):
    """Let a spike arrive at inhibitory neuron ``j`` in step ``t``; return whether it fires.

    ``v_inh[j]`` is its potential at the end of step ``last[j]``; what the steps since then would have written lies
    between that and 0, both of which are counted.
    """
    if t < free_from[j]:
        return False
    v = v_inh[j]
    for s in range(last[j] + 1, t + 1):
        n = v + (lay.excitation if s == t else 0)
        if n == 0:
            v = np.int64(0)
            continue
        draw = chain(chain(key_image, np.uint32(s)), np.uint32(j))
        rounded = round_shift(n * lay.leak_mul, P.DECAY_BITS, lay.v_rounding, draw, lay.v_rand_bits)
        v = fit(rounded, lay.v_min, lay.v_max, lay.v_width, True, lay.v_overflow)
        if s == t:
            note(stats, P.STAT_V_INH, v, overflow_side(rounded, lay.v_min, lay.v_max, lay.v_overflow))
    last[j] = t
    fires = v >= lay.v_th
    if fires:
        v = lay.v_reset
        note(stats, P.STAT_V_INH, v, 0)
        free_from[j] = t + lay.refractory + 1
        last[j] = t + lay.refractory
    v_inh[j] = v
    return fires


@njit(cache=True)
def _inhibit_others(mem, n, spared, winners, first, last, v, now, amount, v_floor, lane_min, v_low, lowest):
    """Lower all neurons but ``spared`` and the held ones, which are the winners ``first`` to ``last - 1``.

    Returns the new lowest value and the low saturations.
    """
    kept = v[now, spared]
    park(winners, first, last, v, now, mem.acc_max)
    others = n - (last - first) - 1
    for k in range(first, last):
        others += np.int64(winners[0, k] == spared)
    v[now, spared] = mem.acc_max
    outcome = inhibit(v, now, n, amount, v_floor, lane_min if mem.has_floor else amount + v_low)
    v[now, spared] = kept
    park(winners, first, last, v, now, lane_min)
    if others == 0:
        return lowest, np.int64(0)
    return min(lowest, outcome >> 32), outcome & 0xFFFFFFFF


@njit(cache=True, nogil=True)
def run_images(
    p, biases, bias_depress, learn, phase, seed, first, offsets, inputs, eta, eta_pre, inhibition,
    weights, scratch, theta, v_th, counts, stats, activity,
):  # fmt: skip
    """Run images one after another; learn in place when ``learn``.

    Arguments are those of `generic.run_images`, and those below.

    Parameters
    ----------
    biases : Biases
        What each deterministic rounding adds before its shift; ``bias_depress`` that of depression.
    weights : tinysnn_hw.engine.cpu.storage.Weights
        Only ``rows`` is used.
    scratch : tuple of tuples of arrays
        `make_scratch`; not shared between threads.
    """
    (v, th_lane, peak, noise, winners), (slot_of, active, trace, seen, ages), of_neurons, working, layer = (
        scratch
    )
    n_post, x_post, posts, learned = of_neurons
    places, widths, factors, keys, buffer = working
    v_inh, inh_last, inh_free = layer
    n = p.n_neurons
    lane_min = np.int64(-(1 << 30)) if v.itemsize == 4 else np.int64(-(1 << 15))
    lane_max = highest_lane(v)
    exact = p.mem.th_lane_shift >= 0 and (p.thr.th_max << p.mem.th_lane_shift) <= lane_max
    v_reset, v_low = p.mem.v_reset << p.mem.v_shift, p.mem.v_min << p.mem.v_shift
    v_floor, leak = p.mem.v_floor << p.mem.v_shift, leak_scalars(p.mem, biases.v_mem)
    rule = depression(p.pair, p.syn, weights.shift, bias_depress)
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    key_v_inh = start(seed, np.uint32(_ROUND_V_INH + np.uint32(P.PHASE_STRIDE * phase)))
    stochastic = p.mem.v_rounding == _STOCHASTIC
    by_age = fill_ages(p.tra, ages)
    lowest, highest = np.int64(0), np.int64(0)
    n_high, n_low = np.int64(0), np.int64(0)
    for j in range(n):
        th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    for image in range(offsets.shape[0]):
        presentation = np.uint32(first + image)
        # The plan allows more than the range only with a floor, where it is the same as the range.
        amount = min(inhibition[image], p.mem.v_max - p.mem.v_min) << p.mem.v_shift
        v[:] = 0
        # Winners first_held to n_fired - 1 are still refractory.
        first_held, n_fired = np.int64(0), np.int64(0)
        counts[image, :] = 0
        winner, inhibitory = np.int64(-1), np.int64(-1)
        n_active, n_posts = 0, 0
        if p.lay.on:
            v_inh[:] = 0
            inh_last[:] = -1
            inh_free[:] = 0
            note(stats, P.STAT_V_INH, 0, 0)
        if learn:
            n_post[:] = 0
            x_post[:] = 0
            learned[:] = False
            seen[:] = -1
            note(stats, P.STAT_X_PRE, 0, 0)
            note(stats, P.STAT_X_POST, 0, 0)
            for e in range(offsets[image, 0], offsets[image, p.n_steps]):
                i = inputs[e]
                if slot_of[i] < 0:
                    slot_of[i] = n_active
                    active[n_active] = i
                    trace[n_active] = 0
                    n_active += 1
            if by_age and n_active > 0:
                note(stats, P.STAT_X_PRE, np.int64(p.tra.x_one), 0)
        n_essential = np.int64(n if p.pair.n_essential == 0 else 0)
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        key_depress = chain(start(seed, _ROUND_DEPRESSED), presentation)
        key_image, key_layer = chain(key_v_mem, presentation), chain(key_v_inh, presentation)
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            if learn:
                if not by_age:
                    advance_x_pre(
                        p.tra, seed, presentation, t, inputs, begin, end, slot_of, active, trace, n_active,
                        biases.x_pre, stats,
                    )  # fmt: skip
                n_posts = decay_posts(
                    p.pair, p.tra.trace_mul, seed, presentation, t, posts, n_posts, x_post, stats
                )
            arrived, last = begin, end
            if p.lay.on:
                arrived, last = (offsets[image, t - 1], begin) if t > 0 else (begin, begin)
                if inhibitory >= 0:
                    # It acts on the potentials that this step is about to read.
                    lowest, below = _inhibit_others(
                        p.mem, n, inhibitory, winners, first_held, n_fired, v, (t & 1) ^ 1, amount, v_floor, lane_min,
                        v_low, lowest,
                    )  # fmt: skip
                    n_low += below
                inhibitory = np.int64(-1)
                if winner >= 0 and excite(p.lay, key_layer, t, winner, v_inh, inh_last, inh_free, stats):
                    inhibitory = winner
                    activity[P.ACT_INHIBITORY_SPIKES] += 1
            if stochastic:
                draw_noise(p.mem, chain(key_image, np.uint32(t)), noise)
            now = t & 1
            outcome = lif_pass(
                v, th_lane, peak, noise, weights.rows, inputs, now, arrived, last, weights.block_step,
                weights.row_step, weights.sum_shift, leak,
            )  # fmt: skip
            if outcome & SUSPICIOUS:
                n_high += integrate_counting(
                    v, noise, weights.rows, inputs, now, arrived, last, weights.block_step, weights.row_step,
                    weights.sum_shift, leak,
                )  # fmt: skip
            if stochastic:
                highest = max(highest, largest(v, now))
            park(winners, first_held, n_fired, v, now, lane_min)
            winner = np.int64(-1)
            if outcome & CROSSED:
                winner = (
                    find_winner(v, now, th_lane)
                    if exact
                    else find_winner_exactly(p.mem, v, now, th_lane, v_th)
                )
            if winner >= 0:
                if not p.lay.on:
                    lowest, below = _inhibit_others(
                        p.mem, n, winner, winners, first_held, n_fired, v, now, amount, v_floor, lane_min, v_low,
                        lowest,
                    )  # fmt: skip
                    n_low += below
                v[now, winner] = v_reset
                lowest, highest = min(lowest, v_reset), max(highest, v_reset)
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_essential += np.int64(n_post[winner] == p.pair.n_essential)
                    n_posts = raise_post(p.pair, p.tra.set_mode, winner, posts, n_posts, x_post, stats)
                    spike_theta(p.thr, seed, presentation, t, winner, theta, v_th, stats)
                    th_lane[winner] = threshold_lane(p.mem, v_th[winner], lane_max)
            if first_held < n_fired and winners[1, first_held] + p.refractory == t:
                v[now, winners[0, first_held]] = v_reset
                first_held += 1
            if winner >= 0:
                winners[0, n_fired] = winner
                winners[1, n_fired] = t
                n_fired += 1
                if p.refractory > 0:
                    v[now, winner] = lane_min
                else:
                    first_held = n_fired
            if learn:
                activity[P.ACT_DEPRESSIONS] += n_essential * depress(
                    rule, key_depress, t, eta_pre[image], inputs, begin, end, seen, posts, n_posts, n_post, x_post,
                    weights.rows, weights.origin, weights.width, places, widths, factors, keys, stats,
                )  # fmt: skip
                if winner >= 0 and n_post[winner] >= p.pair.n_essential:
                    if by_age:
                        read_ages(t, seen, active, n_active, ages, trace)
                    potentiate(
                        p, seed, presentation, t, winner, eta[image], active, trace, n_active, weights, buffer,
                        biases.weight, stats,
                    )  # fmt: skip
                    learned[winner] = True
                    activity[P.ACT_UPDATES] += 1
        if learn:
            for k in range(n_active):
                slot_of[active[k]] = -1
            for j in range(n if p.syn.weight_sum > 0 else 0):
                if learned[j]:
                    normalize(p, seed, presentation, j, weights, buffer, biases.normalize, stats)
                    activity[P.ACT_NORMALIZATIONS] += 1
            if p.thr.theta_forget != P.FORGET_NONE:
                forget_thresholds(p.thr, p.n_steps, seed, presentation, theta, v_th, biases.theta, stats)
                for j in range(n):
                    th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    if not stochastic:
        for k in range(peak.shape[0]):
            highest = max(highest, peak_v_mem(p.mem, np.int64(peak[k]), biases.v_mem) << p.mem.v_shift)
    note(stats, P.STAT_V_MEM, lowest >> p.mem.v_shift, 0)
    note(stats, P.STAT_V_MEM, highest >> p.mem.v_shift, 0)
    stats[P.STAT_V_MEM, P.STAT_LOW] += n_low
    stats[P.STAT_V_MEM, P.STAT_HIGH] += n_high
