"""The plain kernel: docs/numerics.md in int64 loops, every mode, every register recordable, no tricks."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.engine.cpu.generic_learning import (
    decay_x_post,
    decay_x_pre,
    depress,
    forget_theta,
    learn_column,
    normalize_column,
    potentiation,
    read_x_pre,
    spike_theta,
)
from tinysnn_hw.engine.writes import note
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.random import Purpose, chain, start

_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)
_ROUND_V_TH = np.uint32(Purpose.ROUND_V_TH)
_ROUND_V_INH = np.uint32(Purpose.ROUND_V_INH)

__all__ = ["forget_theta", "initialize", "potentiation", "run_images", "spike_theta"]


@njit(cache=True)
def initialize(p, seed, weight, theta, v_th, stats):
    """Fill the initial weights, thetas and thresholds (docs/numerics.md, section 5)."""
    key = start(seed, np.uint32(Purpose.INITIAL_WEIGHTS))
    nobody = np.uint32(P.INIT_PRESENTATION)
    for j in range(p.n_neurons):
        column = chain(key, np.uint32(j))
        for i in range(p.n_inputs):
            draw = np.int64(chain(column, np.uint32(i)))
            # (draw * span) >> 32 in halves: the product of two 32-bit words does not fit a signed 64-bit one.
            high = (draw >> 16) * p.syn.w_init_span
            low = (draw & 0xFFFF) * p.syn.w_init_span
            weight[i, j] = p.syn.w_init_low + ((high + (low >> 16)) >> 16)
        if p.syn.weight_sum > 0:
            normalize_column(p.syn, seed, nobody, j, weight, stats.copy())
        for i in range(p.n_inputs):
            note(stats, P.STAT_WEIGHT, weight[i, j], 0)
        theta[j] = 0
        draw_th = chain(chain(chain(start(seed, _ROUND_V_TH), nobody), np.uint32(0)), np.uint32(j))
        v_th[j] = writes.write_v_th(p.thr, theta[j], draw_th, stats)


@njit(cache=True)
def _find_winner(mem, v, v_th, held):
    """Return the firing neuron: largest margin at or over threshold, lowest index on a tie; else -1."""
    winner = -1
    best = np.int64(-1)
    for j in range(v.shape[0]):
        margin = writes.threshold_margin(mem, v[j], v_th[j])
        if not held[j] and margin >= 0 and margin > best:
            winner = j
            best = margin
    return winner


@njit(cache=True)
def _inhibit(mem, spared, inhibition, v, held, stats):
    """Lower all potentials but those of the neuron ``spared`` and of the held ones."""
    for j in range(v.shape[0]):
        if j != spared and not held[j]:
            v[j] = writes.inhibit_v_mem(mem, v[j], inhibition, stats)


@njit(cache=True)
def step_layer(lay, key, excited, v_inh, count, stats):
    """Advance the inhibitory neurons by one step; return the one that fires or -1."""
    fired = -1
    for j in range(v_inh.shape[0]):
        if count[j] > 0:
            count[j] -= 1
            continue
        v_inh[j] = writes.cut_v_inh(lay, v_inh[j], j == excited, chain(key, np.uint32(j)), stats)
        if v_inh[j] >= lay.v_th:
            fired = j
            v_inh[j] = lay.v_reset
            note(stats, P.STAT_V_INH, v_inh[j], 0)
            count[j] = lay.refractory
    return fired


@njit(cache=True, nogil=True)
def run_images(
    p, learn, phase, seed, first, offsets, inputs, eta, eta_pre, inhibition, x_scale,
    weight, theta, v_th, counts, stats, activity,
    record, records,
):  # fmt: skip
    """Run images one after another; learn in place when ``learn``.

    Parameters
    ----------
    p : Params
    learn : bool
    phase : int64
        0 training, 1 labelling, 2 test.
    seed : uint32
    first : int64
        Presentation number of the first image.
    offsets : int64[n_images, n_steps + 1]
    inputs : uint16[n_events]
    eta, eta_pre, inhibition : int64[n_images]
        Raw learning rate, rate of depression and inhibition of every image.
    x_scale : int64[n_updates]
    weight : int64[n_inputs, n_neurons]
    theta, v_th : int64[n_neurons]
    counts : uint16[n_images, n_neurons]
    stats : int64[7, 4]
    activity : int64[6]
    record : bool
        Whether to fill ``records``.
    records : tuple of int64 arrays
        `v_mem`, refractory count, `v_th`, `theta`, `n_post`, `n_window`, `x_pre`, `c_pre`, each
        [image, step, index]; the weights [image, input, neuron]; the winner [image, step]; `x_post`, `v_inh`,
        `inhibitory_count` [image, step, index], and the inhibitory winner [image, step].  Of any size if nothing
        is recorded.
    """
    (rec_v_mem, rec_refractory, rec_v_th, rec_theta, rec_n_post, rec_n_window, rec_x_pre, rec_c_pre,
     rec_weight, rec_winner, rec_x_post, rec_v_inh, rec_inhibitory, rec_inhibitory_winner) = records  # fmt: skip
    n, m = p.n_neurons, p.n_inputs
    v = np.zeros(n, np.int64)
    total = np.zeros(n, np.int64)
    refractory = np.zeros(n, np.int64)
    held = np.zeros(n, np.bool_)
    n_post = np.zeros(n, np.int64)
    n_window = np.zeros(n, np.int64)
    learned = np.zeros(n, np.bool_)
    x_pre = np.zeros(m, np.int64)
    c_pre = np.zeros(m, np.int64)
    n_events = np.zeros(m, np.int64)
    x_post = np.zeros(n if p.pair.on else 0, np.int64)
    v_inh = np.zeros(n if p.lay.on else 0, np.int64)
    inhibitory_count = np.zeros(n if p.lay.on else 0, np.int64)
    key_v_inh = start(seed, np.uint32(_ROUND_V_INH + np.uint32(P.PHASE_STRIDE * phase)))
    key_v_mem = start(seed, np.uint32(_ROUND_V_MEM + np.uint32(P.PHASE_STRIDE * phase)))
    for image in range(offsets.shape[0]):
        presentation = np.uint32(first + image)
        v[:] = 0
        refractory[:] = 0
        n_post[:] = 0
        n_window[:] = 0
        learned[:] = False
        x_pre[:] = 0
        c_pre[:] = 0
        n_events[:] = 0
        x_post[:] = 0
        v_inh[:] = 0
        inhibitory_count[:] = 0
        winner, inhibitory = -1, -1
        counts[image, :] = 0
        note(stats, P.STAT_V_MEM, 0, 0)
        if learn:
            note(stats, P.STAT_X_PRE, 0, 0)
            if p.pair.on:
                note(stats, P.STAT_X_POST, 0, 0)
        if p.lay.on:
            note(stats, P.STAT_V_INH, 0, 0)
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            activity[P.ACT_INPUT_SPIKES] += end - begin
            total[:] = 0
            arrived, last = begin, end
            if p.lay.on:
                arrived, last = (offsets[image, t - 1], begin) if t > 0 else (begin, begin)
            for e in range(arrived, last):
                i = inputs[e]
                for j in range(n):
                    total[j] += weight[i, j]
            if learn:
                for e in range(begin, end):
                    n_events[inputs[e]] += 1
                if p.trace == P.TRACE_EXPONENTIAL:
                    decay_x_pre(p.tra, seed, presentation, t, n_events, x_pre, stats)
                if p.pair.on:
                    decay_x_post(p.pair, p.tra.trace_mul, seed, presentation, t, x_post, stats)
            for j in range(n):
                held[j] = refractory[j] > 0
            if p.lay.on:
                if inhibitory >= 0:
                    _inhibit(p.mem, inhibitory, inhibition[image], v, held, stats)
                key = chain(chain(key_v_inh, presentation), np.uint32(t))
                inhibitory = step_layer(p.lay, key, winner, v_inh, inhibitory_count, stats)
                activity[P.ACT_INHIBITORY_SPIKES] += inhibitory >= 0
            key = chain(chain(key_v_mem, presentation), np.uint32(t))
            for j in range(n):
                if held[j]:
                    refractory[j] -= 1
                else:
                    v[j] = writes.integrate(p.mem, total[j], v[j], chain(key, np.uint32(j)), stats)
            winner = _find_winner(p.mem, v, v_th, held)
            if winner >= 0:
                if not p.lay.on:
                    _inhibit(p.mem, winner, inhibition[image], v, held, stats)
                v[winner] = p.mem.v_reset
                note(stats, P.STAT_V_MEM, v[winner], 0)
                refractory[winner] = p.refractory
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_window[winner] += 1
                    if p.pair.on:
                        x_post[winner], side = writes.raise_x_post(p.pair, p.tra.set_mode, x_post[winner])
                        note(stats, P.STAT_X_POST, x_post[winner], side)
                    spike_theta(p.thr, seed, presentation, t, winner, theta, v_th, stats)
            if learn and (t + 1) % p.update_steps == 0:
                u = (t + 1) // p.update_steps - 1
                if p.trace == P.TRACE_WINDOW:
                    for i in range(m):
                        c_pre[i] = min((c_pre[i] >> 1) + n_events[i], p.tra.c_max)
                    read_x_pre(p.tra, seed, presentation, u, x_scale, c_pre, x_pre, stats)
                if p.pair.on:
                    activity[P.ACT_DEPRESSIONS] += depress(
                        p.pair,
                        p.syn,
                        seed,
                        presentation,
                        t,
                        eta_pre[image],
                        n_events,
                        n_post,
                        x_post,
                        weight,
                        stats,
                    )
                k_eta = potentiation(p.syn, np.int64(n_post.max())) * eta[image]
                first_learner, last_learner = np.int64(0), np.int64(n)
                if p.learners == P.LEARN_WINNER:
                    first_learner = np.argmax(n_window)
                    last_learner = first_learner + 1
                for j in range(first_learner, last_learner):
                    if n_window[j] > 0 and n_post[j] >= p.pair.n_essential:
                        learn_column(
                            p.syn, p.pair.soft, seed, presentation, u, j, k_eta, weight, x_pre, stats
                        )
                        learned[j] = True
                        activity[P.ACT_UPDATES] += 1
                n_window[:] = 0
            if learn and (p.trace == P.TRACE_EXPONENTIAL or (t + 1) % p.update_steps == 0):
                n_events[:] = 0
            if record:
                rec_v_mem[image, t, :] = v
                rec_refractory[image, t, :] = refractory
                rec_v_th[image, t, :] = v_th
                rec_theta[image, t, :] = theta
                rec_n_post[image, t, :] = n_post
                rec_n_window[image, t, :] = n_window
                rec_x_pre[image, t, :] = x_pre
                rec_c_pre[image, t, :] = c_pre
                rec_winner[image, t] = winner
                if p.pair.on:
                    rec_x_post[image, t, :] = x_post
                if p.lay.on:
                    rec_v_inh[image, t, :] = v_inh
                    rec_inhibitory[image, t, :] = inhibitory_count
                    rec_inhibitory_winner[image, t] = inhibitory
        if learn:
            if p.syn.weight_sum > 0:
                for j in range(n):
                    if learned[j]:
                        normalize_column(p.syn, seed, presentation, j, weight, stats)
                        activity[P.ACT_NORMALIZATIONS] += 1
            forget_theta(p.thr, p.n_steps, seed, presentation, theta, v_th, stats)
        if record:
            rec_weight[image, :, :] = weight
