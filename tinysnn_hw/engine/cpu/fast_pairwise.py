"""The fast kernel of networks that learn pair-wise, with or without an inhibitory layer: the bits of the plain one.

The step is that of `fast`; weights are stored once, as rows, because learning touches few of them at a time.
The potential of an inhibitory neuron is computed only when a spike arrives: until then it can but fall to rest.
Lanes hold `v_mem`, thresholds and `x_pre` under the bounds of `plan_lanes`; weights, `x_post` and `v_inh` are computed
in 64 bits, as `prove` has them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.cuts import cut_drawn, make_cut
from tinysnn_hw.engine.cpu.fast import (
    draw_noise,
    find_winner_exactly,
    highest_lane,
    make_noise,
    park,
    peak_v_mem,
    threshold_lane,
)
from tinysnn_hw.engine.cpu.fast_learning import forget_thresholds, list_active
from tinysnn_hw.engine.cpu.fire import find_winner, inhibit, largest
from tinysnn_hw.engine.cpu.flags import FLAGS
from tinysnn_hw.engine.cpu.generic_learning import spike_theta
from tinysnn_hw.engine.cpu.inner import fill, inlined
from tinysnn_hw.engine.cpu.integrate import CROSSED, SUSPICIOUS, integrate_counting, lif_pass
from tinysnn_hw.engine.cpu.lanes import VECTOR_BYTES
from tinysnn_hw.engine.cpu.leak import leak_scalars
from tinysnn_hw.engine.cpu.pairwise_learning import (
    advance_x_pre,
    decay_posts,
    depress,
    fill_ages,
    meet_inputs,
    normalize,
    potentiate,
    raise_post,
    read_ages,
)
from tinysnn_hw.engine.cpu.plan import LanePlan
from tinysnn_hw.engine.cpu.storage import aligned_zeros, padded
from tinysnn_hw.engine.params import Params
from tinysnn_hw.engine.writes import note
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import fit, overflow_side

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)
_ROUND_V_INH = np.uint32(Purpose.ROUND_V_INH)


class Scratch(NamedTuple):
    """Working arrays of one running network, not shared between threads: lanes, traces, lists of neurons."""

    v: NDArray[Any]
    """`v_mem` on the accumulator grid, in lanes: two rows that steps read and write in turn."""
    th_lane: NDArray[Any]
    peak: NDArray[Any]
    noise: NDArray[Any] | tuple[()] | None
    winners: NDArray[np.int64]
    """[2, n_steps]: the neurons that fired in this image, and when."""
    spiked: NDArray[np.uint8]
    """Flags of inputs, in whole blocks; 0 outside of `list_active`."""
    active: NDArray[np.uint16]
    """The inputs that spike in this image."""
    slot_of: NDArray[np.uint16]
    """Where such an input stands in ``active``, ``trace`` and ``buffer``."""
    trace: NDArray[np.int32]
    buffer: NDArray[np.int32]
    seen: NDArray[np.int32]
    """The last step in which an input was met."""
    met: NDArray[np.uint16]
    """The different inputs of a step."""
    ages: NDArray[np.int32]
    """The trace of an input by the steps since its last event, and as many zeros."""
    n_post: NDArray[np.int64]
    x_post: NDArray[np.int64]
    posts: NDArray[np.int64]
    """The neurons whose post-synaptic trace is above 0."""
    learned: NDArray[np.bool_]
    v_inh: NDArray[np.int64]
    inh_last: NDArray[np.int64]
    """The step at whose end an inhibitory neuron had the potential ``v_inh``."""
    inh_free: NDArray[np.int64]
    """The step from which it is no longer refractory."""


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
        winners=np.zeros((2, p.n_steps), np.int64),
        spiked=aligned_zeros(-(-m // FLAGS) * FLAGS, np.uint8),
        active=np.zeros(m, np.uint16),
        slot_of=np.zeros(m, np.uint16),
        trace=np.zeros(m, np.int32),
        buffer=np.zeros(m, np.int32),
        seen=np.zeros(m, np.int32),
        met=np.zeros(m + 1, np.uint16),
        ages=np.zeros(2 * p.n_steps, np.int32),
        n_post=np.zeros(n, np.int64),
        x_post=np.zeros(n, np.int64),
        posts=np.zeros(n, np.int64),
        learned=np.zeros(n, np.bool_),
        v_inh=np.zeros(n, np.int64),
        inh_last=np.zeros(n, np.int64),
        inh_free=np.zeros(n, np.int64),
    )


@inlined
def excite(lay, cut, key_image, t, j, v_inh, last, free_from, stats):
    """Let a spike arrive at inhibitory neuron ``j`` in step ``t``; return whether it fires.

    ``v_inh[j]`` is its potential at the end of step ``last[j]``; what the steps since then would have written lies
    between that and 0, both of which are counted.
    """
    if t < free_from[j]:
        return False
    v, key = v_inh[j], np.uint32(0)
    for s in range(last[j] + 1, t):
        if v == 0:
            break
        if cut.bits > 0:
            key = chain(key_image, np.uint32(s))
        v = cut_drawn(cut, v * lay.leak_mul, key, j)
    if cut.bits > 0:
        key = chain(key_image, np.uint32(t))
    excited = cut_drawn(cut, (v + lay.excitation) * lay.leak_mul, key, j)
    v = fit(excited, lay.v_min, lay.v_max, lay.v_width, True, lay.v_overflow)
    note(stats, P.STAT_V_INH, v, overflow_side(excited, lay.v_min, lay.v_max, lay.v_overflow))
    last[j] = t
    fires = v >= lay.v_th
    if fires:
        v = np.int64(lay.v_reset)
        note(stats, P.STAT_V_INH, v, 0)
        free_from[j] = t + lay.refractory + 1
        last[j] = t + lay.refractory
    v_inh[j] = v
    return fires


@inlined
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
    p, biases, learn, phase, seed, first, offsets, inputs, eta, eta_pre, inhibition,
    weights, scratch, theta, v_th, counts, stats, activity,
):  # fmt: skip
    """Run images one after another; learn in place when ``learn``.

    Arguments are those of `generic.run_images`, and those below.

    Parameters
    ----------
    biases : Biases
        What each deterministic rounding adds before its shift.
    weights : tinysnn_hw.engine.cpu.storage.Weights
        Only ``rows`` is used.
    scratch : Scratch
    """
    v, th_lane, noise, winners = scratch.v, scratch.th_lane, scratch.noise, scratch.winners
    n_post, x_post, posts, learned = scratch.n_post, scratch.x_post, scratch.posts, scratch.learned
    active, trace, seen, met = scratch.active, scratch.trace, scratch.seen, scratch.met
    n = p.n_neurons
    lane_min = np.int64(-(1 << 30)) if v.itemsize == 4 else np.int64(-(1 << 15))
    lane_max = highest_lane(v)
    exact = p.mem.th_lane_shift >= 0 and (p.thr.th_max << p.mem.th_lane_shift) <= lane_max
    v_reset, v_low = p.mem.v_reset << p.mem.v_shift, p.mem.v_min << p.mem.v_shift
    v_floor, leak = p.mem.v_floor << p.mem.v_shift, leak_scalars(p.mem, biases.v_mem)
    depressed = make_cut(
        p.pair.y_frac + p.pair.eta_frac, p.syn.w_rounding, p.syn.w_rand_bits, biases.depressed
    )
    raised = make_cut(p.syn.x_frac + p.syn.eta_frac, p.syn.w_rounding, p.syn.w_rand_bits, biases.weight)
    decayed = make_cut(P.DECAY_BITS, p.pair.y_rounding, p.pair.y_rand_bits, biases.x_post)
    leaked = make_cut(P.DECAY_BITS, p.lay.v_rounding, p.lay.v_rand_bits, biases.v_inh)
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    key_v_inh = start(seed, np.uint32(_ROUND_V_INH + np.uint32(P.PHASE_STRIDE * phase)))
    stochastic = p.mem.v_rounding == _STOCHASTIC
    by_age = fill_ages(p.tra, p.n_steps, scratch.ages)
    lowest, highest = np.int64(0), np.int64(0)
    n_high, n_low = np.int64(0), np.int64(0)
    for j in range(n):
        th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    for image in range(offsets.shape[0]):
        presentation = np.uint32(first + image)
        # The plan allows more than the range only with a floor, where it is the same as the range.
        amount = min(inhibition[image], p.mem.v_max - p.mem.v_min) << p.mem.v_shift
        fill(v[1], 0)  # which the first step reads
        # Winners first_held to n_fired - 1 are still refractory.
        first_held, n_fired = np.int64(0), np.int64(0)
        fill(counts[image], 0)
        winner, inhibitory = np.int64(-1), np.int64(-1)
        n_active, n_posts = 0, 0
        if p.lay.on:
            fill(scratch.v_inh, 0)
            fill(scratch.inh_last, -1)
            fill(scratch.inh_free, 0)
            note(stats, P.STAT_V_INH, 0, 0)
        if learn:
            fill(n_post, 0)
            fill(x_post, 0)
            fill(seen, -p.n_steps)
            note(stats, P.STAT_X_PRE, 0, 0)
            note(stats, P.STAT_X_POST, 0, 0)
            n_active = list_active(offsets[image], inputs, scratch)
            fill(trace[:n_active], 0)
            if by_age and n_active > 0:
                note(stats, P.STAT_X_PRE, np.int64(p.tra.x_one), 0)
        n_essential = np.int64(n if p.pair.n_essential == 0 else 0)
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        key_depress = chain(start(seed, _ROUND_DEPRESSED), presentation)
        key_raise = chain(start(seed, _ROUND_WEIGHT), presentation)
        key_image, key_layer = chain(key_v_mem, presentation), chain(key_v_inh, presentation)
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            if learn:
                if not by_age:
                    advance_x_pre(
                        p.tra, seed, presentation, t, inputs, begin, end, scratch.slot_of, active, trace,
                        n_active, biases.x_pre, stats,
                    )  # fmt: skip
                n_posts = decay_posts(decayed, p.tra.trace_mul, seed, presentation, t, posts, n_posts, x_post)
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
                if winner >= 0 and excite(
                    p.lay, leaked, key_layer, t, winner, scratch.v_inh, scratch.inh_last, scratch.inh_free, stats
                ):  # fmt: skip
                    inhibitory = winner
                    activity[P.ACT_INHIBITORY_SPIKES] += 1
            if stochastic:
                draw_noise(p.mem, chain(key_image, np.uint32(t)), noise)
            now = t & 1
            outcome = lif_pass(
                v, th_lane, scratch.peak, noise, weights.rows, inputs, now, arrived, last, weights.block_step,
                weights.row_step, weights.sum_shift, leak,
            )  # fmt: skip
            if outcome & SUSPICIOUS:
                n_high += integrate_counting(
                    v, noise, weights.rows, inputs, now, arrived, last, weights.block_step, weights.row_step,
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
                n_met = meet_inputs(t, inputs, begin, end, seen, met)
                activity[P.ACT_DEPRESSIONS] += n_essential * n_met
                if n_posts > 0:
                    depress(
                        depressed, p.pair, p.syn.w_max, chain(key_depress, np.uint32(t)), eta_pre[image], met, n_met,
                        posts, n_posts, n_post, x_post, weights, stats,
                    )  # fmt: skip
                if winner >= 0 and n_post[winner] >= p.pair.n_essential:
                    if by_age:
                        read_ages(t, seen, active, n_active, scratch.ages, trace)
                    key = chain(chain(key_raise, np.uint32(t)), np.uint32(winner))
                    potentiate(
                        raised, p.syn.narrow_learning, p.pair.soft, p.syn.w_max, key, winner, eta[image], active,
                        trace, n_active, weights, scratch.buffer, stats,
                    )  # fmt: skip
                    learned[winner] = True
                    activity[P.ACT_UPDATES] += 1
        if learn:
            for k in range(n_fired):
                j = winners[0, k]
                if learned[j] and p.syn.weight_sum > 0:
                    normalize(
                        p.syn, p.n_inputs, seed, presentation, j, weights, scratch.buffer, biases.normalize, stats
                    )  # fmt: skip
                    activity[P.ACT_NORMALIZATIONS] += 1
                learned[j] = False
            if p.thr.theta_forget != P.FORGET_NONE:
                forget_thresholds(p.thr, p.n_steps, seed, presentation, theta, v_th, biases.theta, stats)
                for j in range(n):
                    th_lane[j] = threshold_lane(p.mem, v_th[j], lane_max)
    if not stochastic:
        for k in range(scratch.peak.shape[0]):
            highest = max(
                highest, peak_v_mem(p.mem, np.int64(scratch.peak[k]), biases.v_mem) << p.mem.v_shift
            )
    note(stats, P.STAT_V_MEM, lowest >> p.mem.v_shift, 0)
    note(stats, P.STAT_V_MEM, highest >> p.mem.v_shift, 0)
    stats[P.STAT_V_MEM, P.STAT_LOW] += n_low
    stats[P.STAT_V_MEM, P.STAT_HIGH] += n_high
