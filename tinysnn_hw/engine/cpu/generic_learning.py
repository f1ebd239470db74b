"""Traces, thresholds and weights of the plain kernel: every write of a register that learning has, counted."""

from __future__ import annotations

import numpy as np
from numba import njit

from tinysnn_hw.engine import params as P
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import fit, overflow_side, round_shift

_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_V_TH = np.uint32(Purpose.ROUND_V_TH)
_ROUND_THETA = np.uint32(Purpose.ROUND_THETA)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)
_ROUND_X_POST = np.uint32(Purpose.ROUND_X_POST)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)


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
        if tra.set_mode and n_events[i] > 0:
            x_pre[i] = tra.x_one
            note(stats, P.STAT_X_PRE, tra.x_one, 0)
            continue
        n = np.int64(x_pre[i]) * tra.trace_mul + (np.int64(n_events[i]) << (tra.x_frac + P.DECAY_BITS))
        rounded = round_shift(n, P.DECAY_BITS, tra.x_rounding, chain(key, np.uint32(i)), tra.x_rand_bits)
        x_pre[i] = fit(rounded, 0, tra.x_max, tra.x_width, False, tra.x_overflow)
        note(stats, P.STAT_X_PRE, x_pre[i], overflow_side(rounded, 0, tra.x_max, tra.x_overflow))


@njit(cache=True)
def learn_column(syn, soft, seed, presentation, u, j, k_eta, weight, x_pre, stats):
    """Apply one update to all weights of neuron ``j``; ``soft``: the bounds of pair-wise learning."""
    key = chain(chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(u)), np.uint32(j))
    shift = syn.x_frac + syn.eta_frac
    for i in range(weight.shape[0]):
        w = weight[i, j]
        if syn.rule == P.RULE_ATTRACT:
            n = (w << shift) + k_eta * (x_pre[i] * syn.w_max - (w << syn.x_frac))
        elif syn.rule == P.RULE_PAIRWISE and x_pre[i] == 0:
            continue
        elif syn.rule == P.RULE_PAIRWISE and not soft:
            n = (w << shift) + k_eta * x_pre[i] * syn.w_max
        else:
            n = (w << shift) + k_eta * x_pre[i] * (syn.w_max - w)
        rounded = round_shift(n, shift, syn.w_rounding, chain(key, np.uint32(i)), syn.w_rand_bits)
        weight[i, j] = min(max(rounded, 0), syn.w_max)
        note(stats, P.STAT_WEIGHT, weight[i, j], np.int64(rounded > syn.w_max) - np.int64(rounded < 0))


@njit(cache=True)
def normalize_column(syn, seed, presentation, j, weight, stats):
    """Scale the weights of neuron ``j`` to ``weight_sum``."""
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
def decay_x_post(pair, trace_mul, seed, presentation, t, x_post, stats):
    """Advance the post-synaptic trace by one step."""
    key = chain(chain(start(seed, _ROUND_X_POST), presentation), np.uint32(t))
    for j in range(x_post.shape[0]):
        draw = chain(key, np.uint32(j))
        rounded = round_shift(x_post[j] * trace_mul, P.DECAY_BITS, pair.y_rounding, draw, pair.y_rand_bits)
        x_post[j] = fit(rounded, 0, pair.y_max, pair.y_width, False, pair.y_overflow)
        note(stats, P.STAT_X_POST, x_post[j], overflow_side(rounded, 0, pair.y_max, pair.y_overflow))


@njit(cache=True)
def raise_x_post(pair, set_mode, y):
    """Return the post-synaptic trace ``y`` after a spike, and whether it left its range."""
    if set_mode:
        return np.int64(pair.y_one), np.int64(0)
    n = y + (np.int64(1) << pair.y_frac)
    return (
        fit(n, 0, pair.y_max, pair.y_width, False, pair.y_overflow),
        overflow_side(n, 0, pair.y_max, pair.y_overflow),
    )


@njit(cache=True)
def depress(pair, syn, seed, presentation, t, eta_pre, n_events, n_post, x_post, weight, stats):
    """Lower the weights of the step's inputs to neurons with a trace; return how many synapses that concerns."""
    n_inputs = np.int64(0)
    shift = pair.y_frac + pair.eta_frac
    key = chain(chain(start(seed, _ROUND_DEPRESSED), presentation), np.uint32(t))
    for i in range(weight.shape[0]):
        if n_events[i] == 0:
            continue
        n_inputs += 1
        for j in range(weight.shape[1]):
            if x_post[j] == 0 or n_post[j] < pair.n_essential:
                continue
            w = weight[i, j]
            n = (w << shift) - eta_pre * x_post[j] * (w if pair.soft else syn.w_max)
            draw = chain(chain(key, np.uint32(j)), np.uint32(i))
            rounded = round_shift(n, shift, syn.w_rounding, draw, syn.w_rand_bits)
            weight[i, j] = min(max(rounded, 0), syn.w_max)
            note(stats, P.STAT_WEIGHT, weight[i, j], np.int64(rounded > syn.w_max) - np.int64(rounded < 0))
    n_essential = np.int64(0)
    for j in range(n_post.shape[0]):
        n_essential += np.int64(n_post[j] >= pair.n_essential)
    return n_inputs * n_essential
