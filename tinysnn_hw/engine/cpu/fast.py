"""The fast kernel: the bits of the plain one, in narrow lanes, under the bounds `plan_lanes` has proven.

What differs from `generic` is only the order of work that cannot change a bit: all neurons advance in one
vector pass per step, a winner is searched only when some neuron crossed its threshold, held neurons are
parked at the lowest lane value, and saturations are counted only in steps in which one was possible.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.fast_learning import (
    add_events,
    advance_counts,
    begin_traces,
    decay,
    decay_drawn,
    forget_thresholds,
    keep_strongest,
    learn_row,
    list_active,
    normalize_row,
    saturate_trace,
    scatter,
    scatter_active,
    store_trace,
)
from tinysnn_hw.engine.cpu.fire import find_winner, inhibit, largest
from tinysnn_hw.engine.cpu.flags import FLAGS
from tinysnn_hw.engine.cpu.generic import potentiation, spike_theta
from tinysnn_hw.engine.cpu.inner import fill, inner
from tinysnn_hw.engine.cpu.integrate import CROSSED, SUSPICIOUS, integrate_counting, lif_pass
from tinysnn_hw.engine.cpu.lanes import VECTOR_BYTES
from tinysnn_hw.engine.cpu.leak import leak_scalars
from tinysnn_hw.engine.cpu.plan import NOISE_THRESHOLDS, LanePlan
from tinysnn_hw.engine.cpu.storage import aligned_zeros, padded
from tinysnn_hw.engine.params import Params
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.words import left, logical_right

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)


class Scratch(NamedTuple):
    """Working arrays of one running network, not shared between threads.

    They are made outside the kernel because compiling each allocation would cost more than all of them at run time.
    """

    v: NDArray[Any]
    """`v_mem` on the accumulator grid, in lanes: two rows that steps read and write in turn."""
    th_lane: NDArray[Any]
    """Thresholds on that grid."""
    peak: NDArray[Any]
    noise: NDArray[Any] | tuple[()] | None
    n_post: NDArray[np.int32]
    n_window: NDArray[np.int32]
    learned: NDArray[np.bool_]
    x_pre: NDArray[np.int32]
    spiked: NDArray[np.uint8]
    """Flags of inputs, in whole blocks; 0 outside of `list_active`."""
    active: NDArray[np.uint16]
    """The inputs that spike in this image."""
    slot_of: NDArray[np.uint16]
    """Where such an input stands in ``active``, ``trace`` and ``c_pre``."""
    trace: NDArray[np.int32]
    c_pre: NDArray[np.int32]
    winners: NDArray[np.int64]
    """[2, n_steps]: the neurons that fired in this image, and when."""


def make_noise(p: Params, plan: LanePlan, lanes: int) -> NDArray[Any] | tuple[()] | None:
    """Return what a pass reads per neuron before it cuts; stochastic rounding fills it anew in each step.

    Without a cut it is nothing but a type, that the kind of leak is told by: `integrate.leak_kind`.
    """
    if plan.noise is None:
        return () if p.mem.leak == P.LEAK_NONE else None
    noise = aligned_zeros(lanes, plan.noise)
    noise[:] = NOISE_THRESHOLDS[Rounding(p.mem.v_rounding)] if plan.noise == np.uint16 else 0
    return noise


def make_scratch(p: Params, plan: LanePlan) -> Scratch:
    """Return the working arrays of `run_images` for one network."""
    n, m = p.n_neurons, p.n_inputs
    lanes = padded(n)
    th_lane = aligned_zeros(lanes, plan.lane)
    th_lane[:] = highest_lane(th_lane)
    return Scratch(
        v=aligned_zeros((2, lanes), plan.lane),
        th_lane=th_lane,
        peak=aligned_zeros(VECTOR_BYTES // plan.lane.itemsize, plan.lane),
        noise=make_noise(p, plan, lanes),
        n_post=np.zeros(n, np.int32),
        n_window=np.zeros(n, np.int32),
        learned=np.zeros(n, np.bool_),
        x_pre=np.zeros(m, np.int32),
        spiked=aligned_zeros(-(-m // FLAGS) * FLAGS, np.uint8),
        active=np.zeros(m, np.uint16),
        slot_of=np.zeros(m, np.uint16),
        trace=np.zeros(m, np.int32),
        c_pre=np.zeros(m, np.int32),
        winners=np.zeros((2, p.n_steps), np.int64),
    )


@njit(cache=True)
def highest_lane(lanes):
    """Return the largest threshold a lane may hold: 32-bit lanes are subtracted without saturation."""
    return np.int64(1 << 30) if lanes.itemsize == 4 else np.int64((1 << 15) - 1)


@njit(cache=True, inline="always")
def threshold_lane(mem, raw, lane_max):
    """Return the smallest lane value at or over a threshold, clipped to the lane.

    ``v_mem`` on the accumulator grid is compared with ``ceil(v_th)`` on that grid, which is the same question.
    """
    shift = mem.th_lane_shift
    on_grid = raw << shift if shift >= 0 else -((-raw) >> -shift)
    return min(on_grid, lane_max)


@inner
def find_winner_exactly(mem, v, now, th_lane, v_th):
    """Return the firing neuron where lanes cannot hold the thresholds exactly, or -1."""
    winner = np.int64(-1)
    best = np.int64(-1)
    for j in range(v_th.shape[0]):
        if v[now, j] >= th_lane[j]:
            margin = ((np.int64(v[now, j]) >> mem.v_shift) << mem.cmp_v_shift) - (v_th[j] << mem.cmp_th_shift)
            if margin > best:
                winner = np.int64(j)
                best = margin
    return winner


def draw_noise(mem, key, noise):
    """Fill the random bits of stochastic `v_mem` rounding for one step, where anything is rounded."""


@overload(draw_noise)
def _overload_draw_noise(mem, key, noise):
    if isinstance(noise, types.NoneType | types.BaseTuple):
        return lambda mem, key, noise: None

    def fill(mem, key, noise):
        shift = mem.v_shift + (P.DECAY_BITS if mem.leak == P.LEAK_MULTIPLY else 0)
        if shift > 0:
            bits = np.uint32(min(shift, mem.v_rand_bits))
            down, up = np.uint32(np.uint32(32) - bits), np.uint32(np.uint32(shift) - bits)
            for j in range(noise.shape[0]):
                noise[j] = left(logical_right(chain(key, np.uint32(j)), down), up)

    return fill


@inner
def peak_v_mem(mem, accumulated, bias):
    """Return the `v_mem` written for an accumulator; with a deterministic rounding it never falls as that rises."""
    shift, a = mem.v_shift, min(accumulated, mem.acc_max)
    if mem.leak == P.LEAK_SHIFT:
        a = a - (a >> mem.leak_shift)
    elif mem.leak == P.LEAK_MULTIPLY:
        a = a * mem.leak_mul
        shift += P.DECAY_BITS
    elif mem.leak == P.LEAK_SUBTRACT:
        a = max(a - mem.leak_sub, 0)
    return min((a + bias[0] + ((a >> shift) & bias[2])) >> shift, mem.v_max)


@inner
def park(winners, first, last, v, now, value):
    """Set the held neurons, which are the winners ``first`` to ``last - 1``, to a lane value."""
    for k in range(first, last):
        v[now, winners[0, k]] = value


@njit(cache=True, nogil=True)
def run_images(
    p, biases, learn, phase, seed, first, offsets, inputs, eta, inhibition, x_scale,
    weights, scratch, theta, v_th, counts, stats, activity,
):  # fmt: skip
    """Run images one after another; learn in place when ``learn``.

    Arguments are those of `generic.run_images`, and those below.

    Parameters
    ----------
    biases : Biases
        What each deterministic rounding adds before its shift.
    weights : tinysnn_hw.engine.cpu.storage.Weights
        ``master`` is read and written only when learning.
    scratch : Scratch
    """
    mem = p.mem
    v, th_lane, noise, winners = scratch.v, scratch.th_lane, scratch.noise, scratch.winners
    n_post, n_window, learned, x_pre = scratch.n_post, scratch.n_window, scratch.learned, scratch.x_pre
    n = p.n_neurons
    lane_min = np.int64(-(1 << 30)) if v.itemsize == 4 else np.int64(-(1 << 15))
    lane_max = highest_lane(v)
    exact = mem.th_lane_shift >= 0 and (p.thr.th_max << mem.th_lane_shift) <= lane_max
    v_reset = mem.v_reset << mem.v_shift
    v_low = mem.v_min << mem.v_shift
    v_floor = mem.v_floor << mem.v_shift
    leak = leak_scalars(mem, biases.v_mem)
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    stochastic = mem.v_rounding == _STOCHASTIC
    trace, slot_of = scratch.trace, scratch.slot_of
    trace_mul, trace_unit = np.int32(p.tra.trace_mul), np.int32(1 << p.tra.x_frac)
    trace_bias, trace_even = np.int32(biases.x_pre[0]), np.int32(biases.x_pre[2])
    lowest, highest, highest_trace = np.int64(0), np.int64(0), np.int64(0)
    n_high, n_low, n_spikes = np.int64(0), np.int64(0), np.int64(0)
    for j in range(n):
        th_lane[j] = threshold_lane(mem, v_th[j], lane_max)
    for image in range(offsets.shape[0]):
        presentation = np.uint32(first + image)
        # The plan allows more than the range only with a floor, where it is the same as the range.
        amount = min(inhibition[image], mem.v_max - mem.v_min) << mem.v_shift
        fill(v[1], 0)  # which the first step reads
        # Winners first_held to n_fired - 1 are still refractory.
        first_held, n_fired = np.int64(0), np.int64(0)
        # Those from fired_before on fired in this window.
        fired_before, most_spikes = np.int64(0), np.int64(0)
        fill(counts[image], 0)
        n_active = np.int64(0)
        if learn:
            fill(n_post, 0)
            fill(n_window, 0)
            n_active = list_active(offsets[image], inputs, scratch)
            begin_traces(p, scratch, n_active)
        key_image = chain(key_v_mem, presentation)
        window_begin = offsets[image, 0]
        next_update = p.update_steps - 1
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            if n_active > 0 and p.trace == P.TRACE_EXPONENTIAL:
                if p.tra.x_rounding == _STOCHASTIC:
                    decay_drawn(p.tra, seed, presentation, t, trace, scratch.active, n_active)
                else:
                    decay(trace, n_active, trace_mul, trace_bias, trace_even)
                high = add_events(trace, slot_of, inputs, begin, end, trace_unit)
                if high > p.tra.x_max:
                    stats[P.STAT_X_PRE, P.STAT_HIGH] += saturate_trace(
                        trace, slot_of, inputs, begin, end, p.tra.x_max
                    )
                    high = p.tra.x_max
                highest_trace = max(highest_trace, high)
            if stochastic:
                draw_noise(mem, chain(key_image, np.uint32(t)), noise)
            now = t & 1
            outcome = lif_pass(
                v, th_lane, scratch.peak, noise, weights.rows, inputs, now, begin, end, weights.block_step,
                weights.row_step, weights.sum_shift, leak,
            )  # fmt: skip
            if outcome & SUSPICIOUS:
                n_high += integrate_counting(
                    v, noise, weights.rows, inputs, now, begin, end, weights.block_step, weights.row_step,
                    weights.sum_shift, leak,
                )  # fmt: skip
            if stochastic:
                highest = max(highest, largest(v, now))
            # What `park` does: a call in every step would cost more than the loop.
            for k in range(first_held, n_fired):
                v[now, winners[0, k]] = lane_min
            winner = np.int64(-1)
            if outcome & CROSSED:
                winner = (
                    find_winner(v, now, th_lane) if exact else find_winner_exactly(mem, v, now, th_lane, v_th)
                )
            if winner >= 0:
                park(winners, first_held, n_fired, v, now, mem.acc_max)
                v[now, winner] = mem.acc_max
                inhibited = inhibit(v, now, n, amount, v_floor, lane_min if mem.has_floor else amount + v_low)
                if n - 1 > n_fired - first_held:
                    lowest = min(lowest, inhibited >> 32)
                    n_low += inhibited & 0xFFFFFFFF
                park(winners, first_held, n_fired, v, now, lane_min)
                v[now, winner] = v_reset
                lowest = min(lowest, v_reset)
                highest = max(highest, v_reset)
                counts[image, winner] += 1
                if learn:
                    n_post[winner] += 1
                    most_spikes = max(most_spikes, np.int64(n_post[winner]))
                    n_window[winner] += 1
                    spike_theta(p.thr, seed, presentation, t, winner, theta, v_th, stats)
                    th_lane[winner] = threshold_lane(mem, v_th[winner], lane_max)
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
            if learn and t == next_update:
                u = (t + 1) // p.update_steps - 1
                next_update += p.update_steps
                if p.trace == P.TRACE_WINDOW:
                    advance_counts(
                        p.tra, seed, presentation, u, inputs, window_begin, end, x_scale, slot_of, scratch.active,
                        scratch.c_pre, trace, n_active, biases.x_pre, stats,
                    )  # fmt: skip
                    window_begin = end
                store_trace(scratch, n_active)
                k_eta = potentiation(p.syn, most_spikes) * eta[image]
                if p.learners == P.LEARN_WINNER:
                    keep_strongest(n_window, winners, fired_before, n_fired)
                for k in range(fired_before, n_fired):
                    j = winners[0, k]
                    if n_window[j] > 0:
                        learn_row(
                            p.syn,
                            seed,
                            presentation,
                            u,
                            j,
                            k_eta,
                            weights.master[j],
                            x_pre,
                            biases.weight,
                            stats,
                        )
                        # After the last step whole columns are written, once.
                        if t < p.n_steps - 1:
                            scatter_active(weights, j, scratch.active, n_active)
                        learned[j] = True
                        activity[P.ACT_UPDATES] += 1
                        n_window[j] = 0
                fired_before = n_fired
        n_spikes += n_fired
        if learn:
            for k in range(n_fired):
                j = winners[0, k]
                if learned[j]:
                    learned[j] = False
                    if p.syn.weight_sum > 0:
                        normalize_row(
                            p.syn, seed, presentation, j, weights.master[j], biases.normalize, stats
                        )
                        activity[P.ACT_NORMALIZATIONS] += 1
                    scatter(weights, j)
            if p.thr.theta_forget != P.FORGET_NONE:
                forget_thresholds(p.thr, p.n_steps, seed, presentation, theta, v_th, biases.theta, stats)
                for j in range(n):
                    th_lane[j] = threshold_lane(mem, v_th[j], lane_max)
    if not stochastic:
        for k in range(scratch.peak.shape[0]):
            highest = max(highest, peak_v_mem(mem, np.int64(scratch.peak[k]), biases.v_mem) << mem.v_shift)
    activity[P.ACT_INPUT_SPIKES] += offsets[-1, p.n_steps] - offsets[0, 0]
    activity[P.ACT_OUTPUT_SPIKES] += n_spikes
    if learn:
        stats[P.STAT_X_PRE, P.STAT_MIN] = min(stats[P.STAT_X_PRE, P.STAT_MIN], 0)
        stats[P.STAT_X_PRE, P.STAT_MAX] = max(stats[P.STAT_X_PRE, P.STAT_MAX], highest_trace)
    stats[P.STAT_V_MEM, P.STAT_MIN] = min(stats[P.STAT_V_MEM, P.STAT_MIN], lowest >> mem.v_shift)
    stats[P.STAT_V_MEM, P.STAT_MAX] = max(stats[P.STAT_V_MEM, P.STAT_MAX], highest >> mem.v_shift)
    stats[P.STAT_V_MEM, P.STAT_LOW] += n_low
    stats[P.STAT_V_MEM, P.STAT_HIGH] += n_high
