"""One write of one register: its new raw value, counted.  CPU and GPU kernels compile these same lines."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.scalar import fit, overflow_side, round_shift

__all__ = [
    "cut_v_inh", "decay_x_post", "decay_x_pre", "depress_weight", "forget_theta", "inhibit_v_mem", "integrate",
    "learn_weight", "normalize_weight", "note", "raise_theta", "raise_x_post", "read_x_pre", "threshold_margin",
    "write_theta", "write_v_th",
]  # fmt: skip


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
def integrate(mem, total, v, draw, stats):
    """Return the new ``v_mem`` of one neuron that received the raw weight sum ``total``."""
    a = (v << mem.v_shift) + (total << mem.sum_shift)
    over = a > mem.acc_max
    a = fit(a, mem.acc_min, mem.acc_max, mem.acc_width, mem.v_signed, mem.v_overflow)
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
    raw = fit(rounded, mem.v_min, mem.v_max, mem.v_width, mem.v_signed, mem.v_overflow)
    note(stats, P.STAT_V_MEM, raw, np.int64(over))
    return raw


@njit(cache=True)
def threshold_margin(mem, v, v_th):
    """Return ``v_mem - v_th`` on the finer grid of the two."""
    return (v << mem.cmp_v_shift) - (v_th << mem.cmp_th_shift)


@njit(cache=True)
def inhibit_v_mem(mem, v, inhibition, stats):
    """Return ``v_mem`` of a neuron lowered by ``inhibition``."""
    low = v - inhibition
    if mem.has_floor:
        low = max(low, mem.v_floor)
    raw = fit(low, mem.v_min, mem.v_max, mem.v_width, mem.v_signed, mem.v_overflow)
    note(stats, P.STAT_V_MEM, raw, overflow_side(low, mem.v_min, mem.v_max, mem.v_overflow))
    return raw


@njit(cache=True)
def cut_v_inh(lay, v, excited, draw, stats):
    """Return ``v_inh`` of an inhibitory neuron that is not held, before it may fire."""
    n = v + (lay.excitation if excited else 0)
    rounded = round_shift(n * lay.leak_mul, P.DECAY_BITS, lay.v_rounding, draw, lay.v_rand_bits)
    raw = fit(rounded, lay.v_min, lay.v_max, lay.v_width, True, lay.v_overflow)
    note(stats, P.STAT_V_INH, raw, overflow_side(rounded, lay.v_min, lay.v_max, lay.v_overflow))
    return raw


@njit(cache=True)
def write_v_th(thr, theta, draw, stats):
    """Return ``cut(base + theta)``, the effective threshold (docs/numerics.md, section 6, step 4)."""
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
def raise_theta(thr, theta, draw, stats):
    """Return ``theta`` of a neuron that fired."""
    n = (theta << thr.theta_sum_shift) + thr.theta_plus
    return write_theta(thr, n, thr.theta_sum_shift, thr.theta_clamp, draw, stats)


@njit(cache=True)
def forget_theta(thr, theta, draw, stats):
    """Return ``theta`` at the end of a training image; the mode is not `FORGET_NONE`."""
    if thr.theta_forget == P.FORGET_SUBTRACT:
        n = max((theta << thr.theta_sum_shift) - thr.theta_down, 0)
        return write_theta(thr, n, thr.theta_sum_shift, thr.theta_max, draw, stats)
    return write_theta(thr, theta * thr.theta_mul, P.THETA_DECAY_BITS, thr.theta_max, draw, stats)


@njit(cache=True)
def read_x_pre(tra, c, x_scale, draw, stats):
    """Return ``x_pre`` of an input with the windowed count ``c``."""
    rounded = round_shift(c * x_scale, P.DECAY_BITS, tra.x_rounding, draw, tra.x_rand_bits)
    raw = min(rounded, tra.x_one)
    note(stats, P.STAT_X_PRE, raw, 0)
    return raw


@njit(cache=True)
def decay_x_pre(tra, x, n_events, draw, stats):
    """Return the exponential trace of an input after a step with ``n_events`` events."""
    if tra.set_mode and n_events > 0:
        note(stats, P.STAT_X_PRE, tra.x_one, 0)
        return tra.x_one
    n = x * tra.trace_mul + (n_events << (tra.x_frac + P.DECAY_BITS))
    rounded = round_shift(n, P.DECAY_BITS, tra.x_rounding, draw, tra.x_rand_bits)
    raw = fit(rounded, 0, tra.x_max, tra.x_width, False, tra.x_overflow)
    note(stats, P.STAT_X_PRE, raw, overflow_side(rounded, 0, tra.x_max, tra.x_overflow))
    return raw


@njit(cache=True)
def decay_x_post(pair, trace_mul, y, draw, stats):
    """Return the post-synaptic trace of a neuron after a step."""
    rounded = round_shift(y * trace_mul, P.DECAY_BITS, pair.y_rounding, draw, pair.y_rand_bits)
    raw = fit(rounded, 0, pair.y_max, pair.y_width, False, pair.y_overflow)
    note(stats, P.STAT_X_POST, raw, overflow_side(rounded, 0, pair.y_max, pair.y_overflow))
    return raw


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
def _write_weight(syn, n, shift, draw, stats):
    rounded = round_shift(n, shift, syn.w_rounding, draw, syn.w_rand_bits)
    raw = min(max(rounded, 0), syn.w_max)
    note(stats, P.STAT_WEIGHT, raw, np.int64(rounded > syn.w_max) - np.int64(rounded < 0))
    return raw


@njit(cache=True)
def learn_weight(syn, soft, k_eta, w, x, draw, stats):
    """Return a weight of a learner; ``soft``: the bounds of pair-wise learning, which skips inputs without trace."""
    shift = syn.x_frac + syn.eta_frac
    if syn.rule == P.RULE_ATTRACT:
        n = (w << shift) + k_eta * (x * syn.w_max - (w << syn.x_frac))
    elif syn.rule == P.RULE_PAIRWISE and x == 0:
        return w
    elif syn.rule == P.RULE_PAIRWISE and not soft:
        n = (w << shift) + k_eta * x * syn.w_max
    else:
        n = (w << shift) + k_eta * x * (syn.w_max - w)
    return _write_weight(syn, n, shift, draw, stats)


@njit(cache=True)
def depress_weight(pair, syn, eta_pre, w, y, draw, stats):
    """Return a weight whose input has an event, of a neuron with the trace ``y``."""
    shift = pair.y_frac + pair.eta_frac
    n = (w << shift) - eta_pre * y * (w if pair.soft else syn.w_max)
    return _write_weight(syn, n, shift, draw, stats)


@njit(cache=True)
def normalize_weight(syn, scale, w, draw, stats):
    """Return a weight multiplied by ``scale``, which has 16 fraction bits."""
    return _write_weight(syn, w * scale, P.DECAY_BITS, draw, stats)
