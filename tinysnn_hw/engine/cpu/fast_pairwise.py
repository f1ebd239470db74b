"""The fast kernel of networks that learn pair-wise, with or without an inhibitory layer: the bits of the plain one.

The step is that of `fast`; weights are stored once, as rows, because learning touches few of them at a time.
The potential of an inhibitory neuron is computed only when a spike arrives: until then it can but fall to rest.
Lanes hold `v_mem`, thresholds and `x_pre` under the bounds of `plan_lanes`; weights, `x_post` and `v_inh` are computed
in 64 bits, as `prove` has them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.fast import fill_noise, find_winner_exactly, threshold_lane
from tinysnn_hw.engine.cpu.fast_learning import forget_thresholds
from tinysnn_hw.engine.cpu.fire import find_winner, inhibit
from tinysnn_hw.engine.cpu.generic_learning import note, spike_theta
from tinysnn_hw.engine.cpu.integrate import lif_pass
from tinysnn_hw.engine.cpu.lanes import TILE
from tinysnn_hw.engine.cpu.pairwise_learning import (
    advance_x_pre,
    decay_posts,
    depress,
    normalize,
    potentiate,
    raise_post,
)
from tinysnn_hw.engine.cpu.plan import aligned_zeros, padded
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import fit, overflow_side, round_shift

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)
_ROUND_V_INH = np.uint32(Purpose.ROUND_V_INH)


def make_scratch(p, lane):
    """Return the working arrays of `run_images` for one network: lanes of dtype ``lane``, traces, lists of neurons."""
    n, m = p.n_neurons, p.n_inputs
    lanes = padded(n)
    th_lane = aligned_zeros(lanes, lane)
    th_lane[:] = np.iinfo(lane).max
    return (
        (aligned_zeros(lanes, lane), th_lane, aligned_zeros(TILE, lane), aligned_zeros(lanes, np.int32),
         np.full(max(p.refractory, 1), -1, np.int64)),
        (np.full(m, -1, np.int32), np.zeros(m, np.int32), np.zeros(m, np.int32), np.zeros(m, np.int32)),
        (np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)),
        (np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint32), np.zeros(m, np.int64)),
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
def _park(v, ring, value):
    """Write ``value`` into the lanes of the held neurons; return their number."""
    n_held = 0
    for slot in range(ring.shape[0]):
        if ring[slot] >= 0:
            v[ring[slot]] = value
            n_held += 1
    return n_held


@njit(cache=True)
def _inhibit_others(mem, n, spared, held, ring, v, amount, v_floor, lane_min, v_low, lowest):
    """Lower all neurons but ``spared`` and the held ones; return the new lowest value and the low saturations."""
    kept = v[spared]
    n_held = _park(v, ring, mem.acc_max) if held else 0
    others = n - n_held - (0 if n_held > 0 and _is_held(ring, spared) else 1)
    v[spared] = mem.acc_max
    outcome = inhibit(v, n, amount, v_floor, lane_min if mem.has_floor else amount + v_low)
    v[spared] = kept
    if held:
        _park(v, ring, lane_min)
    if others == 0:
        return lowest, np.int64(0)
    return min(lowest, outcome >> 32), outcome & 0xFFFFFFFF


@njit(cache=True)
def _is_held(ring, j):
    for slot in range(ring.shape[0]):
        if ring[slot] == j:
            return True
    return False


@njit(cache=True, nogil=True)
def run_images(
    p, biases, bias_depress, learn, phase, seed, first, offsets, inputs, eta, eta_pre, inhibition,
    rows, columns, scratch, theta, v_th, counts, stats, activity,
):  # fmt: skip
    """Run images one after another; learn in place when ``learn``.

    Arguments are those of `generic.run_images`, and those below.

    Parameters
    ----------
    biases : Biases
        What each deterministic rounding adds before its shift; ``bias_depress`` that of depression.
    rows : uint8 or uint16 [n_inputs, padded(n_neurons)]
        Weights on the accumulator grid, neuron ``j`` at column ``columns[j]``.
    columns : int64[n_neurons]
    scratch : tuple of tuples of arrays
        `make_scratch`; not shared between threads.
    """
    (v, th_lane, peak, noise, ring), (slot_of, active, trace, seen), of_neurons, working, layer = scratch
    n_post, x_post, posts, learned = of_neurons
    places, factors, keys, buffer = working
    v_inh, inh_last, inh_free = layer
    n, n_padded = p.n_neurons, rows.shape[1]
    wide = v.itemsize == 4
    lane_min = np.int64(-(1 << 30)) if wide else np.int64(-(1 << 15))
    lane_max = np.int64((1 << 31) - 1) if wide else np.int64((1 << 15) - 1)
    exact = p.mem.th_lane_shift >= 0 and (p.thr.th_max << p.mem.th_lane_shift) <= lane_max
    v_reset, v_low = p.mem.v_reset << p.mem.v_shift, p.mem.v_min << p.mem.v_shift
    v_floor, v_top = p.mem.v_floor << p.mem.v_shift, p.mem.v_max << p.mem.v_shift
    n_tiles = n_padded // TILE
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    key_v_inh = start(seed, np.uint32(_ROUND_V_INH + np.uint32(P.PHASE_STRIDE * phase)))
    stochastic = p.mem.v_rounding == _STOCHASTIC
    lowest, highest = np.int64(0), np.int64(0)
    n_high, n_low = np.int64(0), np.int64(0)
    for j in range(n):
        th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    for image in range(offsets.shape[0]):
        presentation = np.uint32(first + image)
        # The plan allows more than the range only with a floor, where it is the same as the range.
        amount = min(inhibition[image], p.mem.v_max - p.mem.v_min) << p.mem.v_shift
        v[:] = 0
        ring[:] = -1
        held_until = np.int64(-1)
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
        n_essential = np.int64(n if p.pair.n_essential == 0 else 0)
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        key_image, key_layer = chain(key_v_mem, presentation), chain(key_v_inh, presentation)
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            if learn:
                advance_x_pre(
                    p.tra, seed, presentation, t, inputs, begin, end, slot_of, active, trace, n_active, biases.x_pre,
                    stats,
                )  # fmt: skip
                n_posts = decay_posts(
                    p.pair, p.tra.trace_mul, seed, presentation, t, posts, n_posts, x_post, stats
                )
            arrived, last = begin, end
            if p.lay.on:
                arrived, last = (offsets[image, t - 1], begin) if t > 0 else (begin, begin)
                if inhibitory >= 0:
                    lowest, below = _inhibit_others(
                        p.mem,
                        n,
                        inhibitory,
                        t <= held_until,
                        ring,
                        v,
                        amount,
                        v_floor,
                        lane_min,
                        v_low,
                        lowest,
                    )
                    n_low += below
                inhibitory = np.int64(-1)
                if winner >= 0 and excite(p.lay, key_layer, t, winner, v_inh, inh_last, inh_free, stats):
                    inhibitory = winner
                    activity[P.ACT_INHIBITORY_SPIKES] += 1
            if stochastic:
                fill_noise(p.mem, chain(key_image, np.uint32(t)), noise)
            outcome = lif_pass(
                v, th_lane, peak, noise, rows, inputs, arrived, last, n_tiles, n_padded,
                p.mem.leak, p.mem.leak_shift, p.mem.leak_mul, p.mem.leak_sub, p.mem.acc_max, p.mem.v_shift, v_top,
                biases.v_mem[0], biases.v_mem[1], biases.v_mem[2],
            )  # fmt: skip
            n_high += outcome >> 1
            winner = np.int64(-1)
            if t <= held_until:
                _park(v, ring, lane_min)
            if outcome & 1:
                winner = find_winner(v, th_lane) if exact else find_winner_exactly(p.mem, v, th_lane, v_th)
            if winner >= 0:
                if not p.lay.on:
                    lowest, below = _inhibit_others(
                        p.mem, n, winner, t <= held_until, ring, v, amount, v_floor, lane_min, v_low, lowest
                    )
                    n_low += below
                v[winner] = v_reset
                lowest, highest = min(lowest, v_reset), max(highest, v_reset)
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_essential += np.int64(n_post[winner] == p.pair.n_essential)
                    n_posts = raise_post(p.pair, p.tra.set_mode, winner, posts, n_posts, x_post, stats)
                    spike_theta(p.thr, seed, presentation, t, winner, theta, v_th, stats)
                    th_lane[winner] = threshold_lane(p.mem, v_th[winner], lane_max)
            if p.refractory > 0:
                slot = t % p.refractory
                if ring[slot] >= 0:
                    v[ring[slot]] = v_reset
                ring[slot] = winner
                if winner >= 0:
                    v[winner] = lane_min
                    held_until = t + p.refractory
            if learn:
                activity[P.ACT_DEPRESSIONS] += n_essential * depress(
                    p, seed, presentation, t, eta_pre[image], inputs, begin, end, seen, posts, n_posts, n_post, x_post,
                    rows, columns, places, factors, keys, bias_depress, stats,
                )  # fmt: skip
                if winner >= 0 and n_post[winner] >= p.pair.n_essential:
                    potentiate(
                        p, seed, presentation, t, winner, eta[image], active, trace, n_active, rows, columns[winner],
                        buffer, biases.weight, stats,
                    )  # fmt: skip
                    learned[winner] = True
                    activity[P.ACT_UPDATES] += 1
        if learn:
            for k in range(n_active):
                slot_of[active[k]] = -1
            for j in range(n if p.syn.weight_sum > 0 else 0):
                if learned[j]:
                    normalize(p, seed, presentation, j, rows, columns[j], buffer, biases.normalize, stats)
                    activity[P.ACT_NORMALIZATIONS] += 1
            if p.thr.theta_forget != P.FORGET_NONE:
                forget_thresholds(p.thr, p.n_steps, seed, presentation, theta, v_th, biases.theta, stats)
                for j in range(n):
                    th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    for k in range(TILE):
        highest = max(highest, np.int64(peak[k]))
    note(stats, P.STAT_V_MEM, lowest >> p.mem.v_shift, 0)
    note(stats, P.STAT_V_MEM, highest >> p.mem.v_shift, 0)
    stats[P.STAT_V_MEM, P.STAT_LOW] += n_low
    stats[P.STAT_V_MEM, P.STAT_HIGH] += n_high
