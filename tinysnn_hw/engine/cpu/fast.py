"""The fast kernel: the bits of the plain one, in narrow lanes, under the bounds `plan_lanes` has proven.

What differs from `generic` is only the order of work that cannot change a bit: all neurons advance in one
vector pass per step, a winner is searched only when some neuron crossed its threshold, held neurons are
parked at the lowest lane value, and saturations are counted from vector masks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.fast_learning import (
    advance_counts,
    decay_trace,
    forget_thresholds,
    learn_row,
    normalize_row,
)
from tinysnn_hw.engine.cpu.fire import find_winner, inhibit
from tinysnn_hw.engine.cpu.generic import potentiation, spike_theta
from tinysnn_hw.engine.cpu.integrate import lif_pass
from tinysnn_hw.engine.cpu.lanes import TILE
from tinysnn_hw.engine.cpu.plan import aligned_zeros, padded
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)


@njit(cache=True, inline="always")
def threshold_lane(mem, raw, lane_max):
    """Return the smallest lane value at or over a threshold, clipped to the lane.

    ``v_mem`` on the accumulator grid is compared with ``ceil(v_th)`` on that grid, which is the same question.
    """
    shift = mem.th_lane_shift
    on_grid = raw << shift if shift >= 0 else -((-raw) >> -shift)
    return min(on_grid, lane_max)


@njit(cache=True, inline="always")
def find_winner_exactly(mem, v, th_lane, v_th):
    """Return the firing neuron where lanes cannot hold the thresholds exactly, or -1."""
    winner = np.int64(-1)
    best = np.int64(-1)
    for j in range(v_th.shape[0]):
        if v[j] >= th_lane[j]:
            margin = ((np.int64(v[j]) >> mem.v_shift) << mem.cmp_v_shift) - (v_th[j] << mem.cmp_th_shift)
            if margin > best:
                winner = np.int64(j)
                best = margin
    return winner


@njit(cache=True, inline="always")
def fill_noise(mem, key, noise):
    """Fill the random bits of stochastic `v_mem` rounding for one step."""
    shift = mem.v_shift + (P.DECAY_BITS if mem.leak == P.LEAK_MULTIPLY else 0)
    bits = np.uint32(min(shift, mem.v_rand_bits))
    if shift <= 0:
        return
    for j in range(noise.shape[0]):
        noise[j] = np.int32((chain(key, np.uint32(j)) >> (np.uint32(32) - bits)) << np.uint32(shift - bits))


def make_scratch(p, lane):
    """Return the working arrays of `run_images` for one network: lanes of dtype ``lane``, counters, traces.

    They are made here because compiling each allocation would cost more than all of them at run time.
    """
    n, m = p.n_neurons, p.n_inputs
    lanes = padded(n)
    th_lane = aligned_zeros(lanes, lane)
    th_lane[:] = np.iinfo(lane).max
    return (
        aligned_zeros(lanes, lane), th_lane, aligned_zeros(TILE, lane), aligned_zeros(lanes, np.int32),
        np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.bool_), np.zeros(m, np.int32),
        np.zeros(m, np.int32), np.full(m, -1, np.int32), np.zeros(m, np.int32), np.zeros(m, np.int32),
        np.full(max(p.refractory, 1), -1, np.int64),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def run_images(
    p, biases, learn, phase, seed, first, offsets, inputs, eta, inhibition, x_scale,
    rows, columns, master, scratch, theta, v_th, counts, stats, activity,
):  # fmt: skip
    """Run images one after another; learn in place when ``learn``.

    Arguments are those of `generic.run_images`, and those below.

    Parameters
    ----------
    biases : Biases
        What each deterministic rounding adds before its shift.
    rows : uint8 or uint16 [n_inputs, padded(n_neurons)]
        Weights on the accumulator grid, neuron ``j`` at column ``columns[j]``.
    columns : int64[n_neurons]
    master : same dtype [n_neurons, n_inputs]
        Raw weights, transposed; read and written only when learning.
    scratch : tuple of arrays
        `make_scratch`; not shared between threads.
    """
    v, th_lane, peak, noise, n_post, n_window, learned, x_pre, c_pre, slot_of, active, trace, ring = scratch
    n = p.n_neurons
    n_padded = rows.shape[1]
    wide = v.itemsize == 4
    lane_min = np.int64(-(1 << 30)) if wide else np.int64(-(1 << 15))
    lane_max = np.int64((1 << 31) - 1) if wide else np.int64((1 << 15) - 1)
    exact = p.mem.th_lane_shift >= 0 and (p.thr.th_max << p.mem.th_lane_shift) <= lane_max
    v_reset = p.mem.v_reset << p.mem.v_shift
    v_low = p.mem.v_min << p.mem.v_shift
    v_floor = p.mem.v_floor << p.mem.v_shift
    v_top = p.mem.v_max << p.mem.v_shift
    leak_mul, leak_sub = p.mem.leak_mul, p.mem.leak_sub
    n_tiles = n_padded // TILE
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
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
        held_until = -1
        counts[image, :] = 0
        n_active = 0
        if learn:
            n_post[:] = 0
            n_window[:] = 0
            learned[:] = False
            stats[P.STAT_X_PRE, P.STAT_MIN] = min(stats[P.STAT_X_PRE, P.STAT_MIN], 0)
            stats[P.STAT_X_PRE, P.STAT_MAX] = max(stats[P.STAT_X_PRE, P.STAT_MAX], 0)
            if p.trace == P.TRACE_WINDOW:
                c_pre[:] = 0
            else:
                x_pre[:] = 0
                for e in range(offsets[image, 0], offsets[image, p.n_steps]):
                    i = inputs[e]
                    if slot_of[i] < 0:
                        slot_of[i] = n_active
                        active[n_active] = i
                        trace[n_active] = 0
                        n_active += 1
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        key_image = chain(key_v_mem, presentation)
        window_begin = offsets[image, 0]
        next_update = np.int64(p.update_steps - 1)
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            if learn and n_active > 0:
                decay_trace(
                    p.tra,
                    seed,
                    presentation,
                    t,
                    inputs,
                    begin,
                    end,
                    slot_of,
                    active,
                    trace,
                    n_active,
                    biases.x_pre,
                    stats,
                )
            if stochastic:
                fill_noise(p.mem, chain(key_image, np.uint32(t)), noise)
            outcome = lif_pass(
                v, th_lane, peak, noise, rows, inputs, begin, end, n_tiles, n_padded,
                p.mem.leak, p.mem.leak_shift, leak_mul, leak_sub, p.mem.acc_max, p.mem.v_shift, v_top,
                biases.v_mem[0], biases.v_mem[1], biases.v_mem[2],
            )  # fmt: skip
            n_high += outcome >> 1
            winner = np.int64(-1)
            if t <= held_until:
                for slot in range(p.refractory):
                    if ring[slot] >= 0:
                        v[ring[slot]] = lane_min
            if outcome & 1:
                winner = find_winner(v, th_lane) if exact else find_winner_exactly(p.mem, v, th_lane, v_th)
            if winner >= 0:
                others = n - 1
                if t <= held_until:
                    for slot in range(p.refractory):
                        if ring[slot] >= 0:
                            v[ring[slot]] = p.mem.acc_max
                            others -= 1
                v[winner] = p.mem.acc_max
                step_outcome = inhibit(v, n, amount, v_floor, lane_min if p.mem.has_floor else amount + v_low)
                if others > 0:
                    lowest = min(lowest, step_outcome >> 32)
                    n_low += step_outcome & 0xFFFFFFFF
                if t <= held_until:
                    for slot in range(p.refractory):
                        if ring[slot] >= 0:
                            v[ring[slot]] = lane_min
                v[winner] = v_reset
                lowest = min(lowest, v_reset)
                highest = max(highest, v_reset)
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_window[winner] += 1
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
            if learn and t == next_update:
                u = (t + 1) // p.update_steps - 1
                next_update += p.update_steps
                if p.trace == P.TRACE_WINDOW:
                    advance_counts(
                        p.tra,
                        seed,
                        presentation,
                        u,
                        inputs,
                        window_begin,
                        end,
                        x_scale,
                        c_pre,
                        x_pre,
                        biases.x_pre,
                        stats,
                    )
                    window_begin = end
                elif n_active > 0:
                    for slot in range(n_active):
                        x_pre[active[slot]] = trace[slot]
                k_eta = potentiation(p.syn, n_post) * eta[image]
                first_learner, last_learner = np.int64(0), np.int64(n)
                if p.learners == P.LEARN_WINNER:
                    first_learner = np.argmax(n_window)
                    last_learner = first_learner + 1
                for j in range(first_learner, last_learner):
                    if n_window[j] > 0:
                        learn_row(
                            p.syn, seed, presentation, u, j, k_eta, master[j], x_pre, biases.weight, stats
                        )
                        column = columns[j]
                        for i in range(p.n_inputs):
                            rows[i, column] = np.int64(master[j, i]) << p.mem.sum_shift
                        learned[j] = True
                        activity[P.ACT_UPDATES] += 1
                n_window[:] = 0
        if learn:
            for slot in range(n_active):
                slot_of[active[slot]] = -1
            if p.syn.weight_sum > 0:
                for j in range(n):
                    if learned[j]:
                        normalize_row(p.syn, seed, presentation, j, master[j], biases.normalize, stats)
                        column = columns[j]
                        for i in range(p.n_inputs):
                            rows[i, column] = np.int64(master[j, i]) << p.mem.sum_shift
                        activity[P.ACT_NORMALIZATIONS] += 1
            if p.thr.theta_forget != P.FORGET_NONE:
                forget_thresholds(p.thr, p.n_steps, seed, presentation, theta, v_th, biases.theta, stats)
                for j in range(n):
                    th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    for k in range(TILE):
        highest = max(highest, np.int64(peak[k]))
    stats[P.STAT_V_MEM, P.STAT_MIN] = min(stats[P.STAT_V_MEM, P.STAT_MIN], lowest >> p.mem.v_shift)
    stats[P.STAT_V_MEM, P.STAT_MAX] = max(stats[P.STAT_V_MEM, P.STAT_MAX], highest >> p.mem.v_shift)
    stats[P.STAT_V_MEM, P.STAT_LOW] += n_low
    stats[P.STAT_V_MEM, P.STAT_HIGH] += n_high
