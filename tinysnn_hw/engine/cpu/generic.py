"""The plain kernel: docs/numerics.md in int64 loops, every mode, every register recordable, no tricks."""

from __future__ import annotations

import numpy as np
from numba import njit

from tinysnn_hw.engine import params as P
from tinysnn_hw.fixed.modes import Overflow
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import fit, overflow_side, round_shift

_WRAP = int(Overflow.WRAP)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_V_MEM = np.uint32(Purpose.ROUND_V_MEM)
_ROUND_V_TH = np.uint32(Purpose.ROUND_V_TH)
_ROUND_THETA = np.uint32(Purpose.ROUND_THETA)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)


@njit(cache=True)
def note(stats, register, raw, side):
    """Record one write: its raw value and on which side it left the range (-1, 0, +1)."""
    stats[register, P.STAT_MIN] = min(stats[register, P.STAT_MIN], raw)
    stats[register, P.STAT_MAX] = max(stats[register, P.STAT_MAX], raw)
    if side < 0:
        stats[register, P.STAT_LOW] += 1
    elif side > 0:
        stats[register, P.STAT_HIGH] += 1


@njit(cache=True)
def write_v_th(thr, theta, draw, stats):
    """Return ``cut(base + theta)``, the effective threshold (docs/numerics.md, section 6, step 3)."""
    n = thr.th_base + (theta << thr.theta_sum_shift)
    rounded = round_shift(n, thr.th_cut_shift, thr.th_rounding, draw, thr.th_rand_bits)
    raw = fit(rounded, thr.th_min, thr.th_max, thr.th_width, thr.th_signed, thr.th_overflow)
    note(stats, P.STAT_V_TH, raw, overflow_side(rounded, thr.th_min, thr.th_max, thr.th_overflow))
    return raw


@njit(cache=True)
def write_theta(thr, n, shift, clamp, draw, stats):
    """Return ``theta`` cut from the non-negative ``n`` by ``shift`` bits, at most ``clamp``."""
    rounded = round_shift(n, shift, thr.theta_rounding, draw, thr.theta_rand_bits)
    raw = fit(rounded, thr.theta_min, thr.theta_max, thr.theta_width, thr.theta_signed, thr.theta_overflow)
    raw = min(raw, clamp)
    note(stats, P.STAT_THETA, raw, overflow_side(rounded, thr.theta_min, thr.theta_max, thr.theta_overflow))
    return raw


@njit(cache=True)
def spike_theta(thr, seed, presentation, t, j, theta, v_th, stats):
    """Raise the threshold of neuron ``j`` after its spike in step ``t``."""
    draw = chain(chain(chain(start(seed, _ROUND_THETA), presentation), np.uint32(t)), np.uint32(j))
    n = (theta[j] << thr.theta_sum_shift) + thr.theta_plus
    theta[j] = write_theta(thr, n, thr.theta_sum_shift, thr.theta_clamp, draw, stats)
    draw = chain(chain(chain(start(seed, _ROUND_V_TH), presentation), np.uint32(t)), np.uint32(j))
    v_th[j] = write_v_th(thr, theta[j], draw, stats)


@njit(cache=True)
def forget_theta(thr, n_steps, seed, presentation, theta, v_th, stats):
    """Lower every ``theta`` at the end of a training image and compute the thresholds anew."""
    if thr.theta_forget == P.FORGET_NONE:
        return
    key_theta = chain(chain(start(seed, _ROUND_THETA), presentation), np.uint32(n_steps))
    key_th = chain(chain(start(seed, _ROUND_V_TH), presentation), np.uint32(n_steps))
    for j in range(theta.shape[0]):
        draw = chain(key_theta, np.uint32(j))
        if thr.theta_forget == P.FORGET_SUBTRACT:
            n = max((theta[j] << thr.theta_sum_shift) - thr.theta_down, 0)
            theta[j] = write_theta(thr, n, thr.theta_sum_shift, thr.theta_max, draw, stats)
        else:
            theta[j] = write_theta(
                thr, theta[j] * thr.theta_mul, P.THETA_DECAY_BITS, thr.theta_max, draw, stats
            )
        v_th[j] = write_v_th(thr, theta[j], chain(key_th, np.uint32(j)), stats)


@njit(cache=True)
def potentiation(syn, n_post):
    """Return the factor k of Eq. 1, or 1 where it is constant."""
    if syn.eq1 == 0:
        return np.int64(1)
    most = np.int64(0)
    for j in range(n_post.shape[0]):
        most = max(most, np.int64(n_post[j]))
    return (most + syn.n_th - 1) // syn.n_th


@njit(cache=True)
def read_x_pre(tra, seed, presentation, u, x_scale, c_pre, x_pre, stats):
    """Turn the windowed counts of update ``u`` into ``x_pre``."""
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(u))
    for i in range(x_pre.shape[0]):
        draw = chain(key, np.uint32(i))
        rounded = round_shift(
            np.int64(c_pre[i]) * x_scale[u], P.DECAY_BITS, tra.x_rounding, draw, tra.x_rand_bits
        )
        rounded = min(rounded, tra.x_one)
        x_pre[i] = rounded
        note(stats, P.STAT_X_PRE, rounded, 0)


@njit(cache=True)
def decay_x_pre(tra, seed, presentation, t, n_events, x_pre, stats):
    """Advance the exponential trace by one step with ``n_events[i]`` new events."""
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(t))
    for i in range(x_pre.shape[0]):
        n = np.int64(x_pre[i]) * tra.trace_mul + (np.int64(n_events[i]) << (tra.x_frac + P.DECAY_BITS))
        rounded = round_shift(n, P.DECAY_BITS, tra.x_rounding, chain(key, np.uint32(i)), tra.x_rand_bits)
        x_pre[i] = fit(rounded, 0, tra.x_max, tra.x_width, False, tra.x_overflow)
        note(stats, P.STAT_X_PRE, x_pre[i], overflow_side(rounded, 0, tra.x_max, tra.x_overflow))


@njit(cache=True)
def _learn_column(syn, seed, presentation, u, j, k_eta, weight, x_pre, stats):
    key = chain(chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(u)), np.uint32(j))
    shift = syn.x_frac + syn.eta_frac
    for i in range(weight.shape[0]):
        w = weight[i, j]
        if syn.rule == P.RULE_ATTRACT:
            n = (w << shift) + k_eta * (x_pre[i] * syn.w_max - (w << syn.x_frac))
        else:
            n = (w << shift) + k_eta * x_pre[i] * (syn.w_max - w)
        rounded = round_shift(n, shift, syn.w_rounding, chain(key, np.uint32(i)), syn.w_rand_bits)
        weight[i, j] = min(max(rounded, 0), syn.w_max)
        note(stats, P.STAT_WEIGHT, weight[i, j], np.int64(rounded > syn.w_max) - np.int64(rounded < 0))


@njit(cache=True)
def _normalize_column(syn, seed, presentation, j, weight, stats):
    total = np.int64(0)
    for i in range(weight.shape[0]):
        total += weight[i, j]
    if total == 0:
        return
    scale = (syn.weight_sum << P.DECAY_BITS) // total
    key = chain(chain(chain(start(seed, _ROUND_NORMALIZE), presentation), np.uint32(0)), np.uint32(j))
    for i in range(weight.shape[0]):
        draw = chain(key, np.uint32(i))
        rounded = round_shift(weight[i, j] * scale, P.DECAY_BITS, syn.w_rounding, draw, syn.w_rand_bits)
        weight[i, j] = min(rounded, syn.w_max)
        note(stats, P.STAT_WEIGHT, weight[i, j], np.int64(rounded > syn.w_max))


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
            _normalize_column(p.syn, seed, nobody, j, weight, stats.copy())
        for i in range(p.n_inputs):
            note(stats, P.STAT_WEIGHT, weight[i, j], 0)
        theta[j] = 0
        draw_th = chain(chain(chain(start(seed, _ROUND_V_TH), nobody), np.uint32(0)), np.uint32(j))
        v_th[j] = write_v_th(p.thr, theta[j], draw_th, stats)


@njit(cache=True)
def _integrate(mem, total, v, draw, stats):
    """Return the new ``v_mem`` of one neuron that received the raw weight sum ``total``."""
    a = (v << mem.v_shift) + (total << mem.sum_shift)
    over = a > mem.acc_max
    a = fit(a, -mem.acc_max - 1, mem.acc_max, mem.acc_width, True, mem.v_overflow)
    shift = mem.v_shift
    if mem.leak == P.LEAK_SHIFT:
        a = a - (a >> mem.leak_shift)
    elif mem.leak == P.LEAK_MULTIPLY:
        a = a * mem.leak_mul
        shift += P.DECAY_BITS
    elif mem.leak == P.LEAK_SUBTRACT:
        a = max(a - mem.leak_sub, 0) if a >= 0 else min(a + mem.leak_sub, 0)
    rounded = round_shift(a, shift, mem.v_rounding, draw, mem.v_rand_bits)
    over = over or rounded > mem.v_max
    raw = fit(rounded, mem.v_min, mem.v_max, mem.v_width, True, mem.v_overflow)
    note(stats, P.STAT_V_MEM, raw, np.int64(over))
    return raw


@njit(cache=True)
def _find_winner(mem, v, v_th, held):
    """Return the firing neuron: largest margin at or over threshold, lowest index on a tie; else -1."""
    winner = -1
    best = np.int64(-1)
    for j in range(v.shape[0]):
        margin = (v[j] << mem.cmp_v_shift) - (v_th[j] << mem.cmp_th_shift)
        if not held[j] and margin >= 0 and margin > best:
            winner = j
            best = margin
    return winner


@njit(cache=True)
def _inhibit(mem, winner, inhibition, v, held, stats):
    for j in range(v.shape[0]):
        if j != winner and not held[j]:
            low = v[j] - inhibition
            if mem.has_floor:
                low = max(low, mem.v_floor)
            v[j] = fit(low, mem.v_min, mem.v_max, mem.v_width, True, mem.v_overflow)
            note(stats, P.STAT_V_MEM, v[j], overflow_side(low, mem.v_min, mem.v_max, mem.v_overflow))


@njit(cache=True, nogil=True)
def run_images(
    p, learn, phase, seed, first, offsets, inputs, eta, inhibition, x_scale,
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
    eta, inhibition : int64[n_images]
        Raw learning rate and inhibition of every image.
    x_scale : int64[n_updates]
    weight : int64[n_inputs, n_neurons]
    theta, v_th : int64[n_neurons]
    counts : uint16[n_images, n_neurons]
    stats : int64[5, 4]
    activity : int64[4]
    record : bool
        Whether to fill ``records``.
    records : tuple of int64 arrays
        `v_mem`, refractory count, `v_th`, `theta`, `n_post`, `n_window`, `x_pre`, `c_pre`, each
        [image, step, index]; the weights [image, input, neuron]; the winner [image, step].  Of any size
        if nothing is recorded.
    """
    (rec_v_mem, rec_refractory, rec_v_th, rec_theta, rec_n_post, rec_n_window, rec_x_pre, rec_c_pre,
     rec_weight, rec_winner) = records  # fmt: skip
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
        counts[image, :] = 0
        note(stats, P.STAT_V_MEM, 0, 0)
        if learn:
            note(stats, P.STAT_X_PRE, 0, 0)
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            activity[P.ACT_INPUT_SPIKES] += end - begin
            total[:] = 0
            for e in range(begin, end):
                i = inputs[e]
                for j in range(n):
                    total[j] += weight[i, j]
            if learn:
                for e in range(begin, end):
                    n_events[inputs[e]] += 1
                if p.trace == P.TRACE_EXPONENTIAL:
                    decay_x_pre(p.tra, seed, presentation, t, n_events, x_pre, stats)
                    n_events[:] = 0
            key = chain(chain(key_v_mem, presentation), np.uint32(t))
            for j in range(n):
                held[j] = refractory[j] > 0
                if held[j]:
                    refractory[j] -= 1
                else:
                    v[j] = _integrate(p.mem, total[j], v[j], chain(key, np.uint32(j)), stats)
            winner = _find_winner(p.mem, v, v_th, held)
            if winner >= 0:
                _inhibit(p.mem, winner, inhibition[image], v, held, stats)
                v[winner] = p.mem.v_reset
                note(stats, P.STAT_V_MEM, v[winner], 0)
                refractory[winner] = p.refractory
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_window[winner] += 1
                    spike_theta(p.thr, seed, presentation, t, winner, theta, v_th, stats)
            if learn and (t + 1) % p.update_steps == 0:
                u = (t + 1) // p.update_steps - 1
                if p.trace == P.TRACE_WINDOW:
                    for i in range(m):
                        c_pre[i] = min((c_pre[i] >> 1) + n_events[i], p.tra.c_max)
                    n_events[:] = 0
                    read_x_pre(p.tra, seed, presentation, u, x_scale, c_pre, x_pre, stats)
                k_eta = potentiation(p.syn, n_post) * eta[image]
                first_learner, last_learner = np.int64(0), np.int64(n)
                if p.learners == P.LEARN_WINNER:
                    first_learner = np.argmax(n_window)
                    last_learner = first_learner + 1
                for j in range(first_learner, last_learner):
                    if n_window[j] > 0:
                        _learn_column(p.syn, seed, presentation, u, j, k_eta, weight, x_pre, stats)
                        learned[j] = True
                        activity[P.ACT_UPDATES] += 1
                n_window[:] = 0
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
        if learn:
            if p.syn.weight_sum > 0:
                for j in range(n):
                    if learned[j]:
                        _normalize_column(p.syn, seed, presentation, j, weight, stats)
                        activity[P.ACT_NORMALIZATIONS] += 1
            forget_theta(p.thr, p.n_steps, seed, presentation, theta, v_th, stats)
        if record:
            rec_weight[image, :, :] = weight
