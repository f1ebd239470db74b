"""Learning of the fast kernel: the sums of `generic`, one row at a time, in loops that vectorise."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.flags import FLAGS, lowest_bit, take_flags
from tinysnn_hw.engine.cpu.generic import forget_theta
from tinysnn_hw.engine.cpu.inner import fill, inner
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.words import arithmetic_right, left, logical_right

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)


@inner
def _biased(n, shift, bias):
    """Return ``n`` shifted right after the bias of a deterministic rounding mode."""
    return (n + bias[0] + ((n >> 63) & bias[1]) + ((n >> shift) & bias[2])) >> shift


@inner
def _drawn(n, shift, bits, key, index):
    """Return ``n`` shifted right with stochastic rounding of ``bits`` random bits."""
    noise = np.int64(chain(key, np.uint32(index)) >> (np.uint32(32) - bits)) << (shift - np.int64(bits))
    return (n + noise) >> shift


@inner
def _note_row(stats, register, low, high, n_low, n_high):
    stats[register, P.STAT_MIN] = min(stats[register, P.STAT_MIN], low)
    stats[register, P.STAT_MAX] = max(stats[register, P.STAT_MAX], high)
    stats[register, P.STAT_LOW] += n_low
    stats[register, P.STAT_HIGH] += n_high


@inner
def scatter(weights, j):
    """Write the weights of neuron ``j`` into its column of ``rows``."""
    rows, row = weights.rows, weights.master[j]
    at, width = np.uint64(weights.origin[j]), np.uint64(weights.width[j])
    shift = weights.shift
    for i in range(np.uint64(row.shape[0])):
        rows[at + i * width] = np.int64(row[i]) << shift


@inner
def scatter_active(weights, j, active, n_active):
    """Write the weights of the inputs that spike in this image: no other row is read before its end."""
    rows, row = weights.rows, weights.master[j]
    at, width = np.uint64(weights.origin[j]), np.uint64(weights.width[j])
    shift = weights.shift
    for slot in range(np.uint64(n_active)):
        i = np.uint64(active[slot])
        rows[at + i * width] = np.int64(row[i]) << shift


@inner
def learn_row(syn, seed, presentation, u, j, k_eta, row, x_pre, bias, stats):
    """Apply one update to all weights of neuron ``j`` (docs/numerics.md, section 7, step 4)."""
    key = chain(chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(u)), np.uint32(j))
    if syn.narrow_learning:
        _learn_row_narrow(syn, key, k_eta, row, x_pre, bias, stats)
    else:
        _learn_row_wide(syn, key, k_eta, row, x_pre, bias, stats)


@inner
def _learn_row_wide(syn, key, k_eta, row, x_pre, bias, stats):
    """Update a row in 64-bit lanes."""
    shift = syn.x_frac + syn.eta_frac
    w_max = syn.w_max
    low, high = np.int64(w_max), np.int64(0)
    n_low, n_high = np.int64(0), np.int64(0)
    attract = syn.rule == P.RULE_ATTRACT
    stochastic = syn.w_rounding == _STOCHASTIC
    bits = np.uint32(min(shift, syn.w_rand_bits))
    for i in range(row.shape[0]):
        w = np.int64(row[i])
        x = np.int64(x_pre[i])
        n = (w << shift) + k_eta * (x * w_max - (w << syn.x_frac) if attract else x * (w_max - w))
        rounded = _drawn(n, shift, bits, key, i) if stochastic else _biased(n, shift, bias)
        n_low += np.int64(rounded < 0)
        n_high += np.int64(rounded > w_max)
        w = min(max(rounded, np.int64(0)), w_max)
        low = min(low, w)
        high = max(high, w)
        row[i] = w
    _note_row(stats, P.STAT_WEIGHT, low, high, n_low, n_high)


@inner
def _learn_row_narrow(syn, key, k_eta, row, x_pre, bias, stats):
    """Update a row in 32-bit lanes, where the change is proven to fit; every operation is cast back.

    The weight itself lies above the bits that are cut, so only the change is rounded; sign and parity, which some
    modes look at, are those of the sum.
    """
    i32 = np.int32
    shift, w_max, factor = i32(syn.x_frac + syn.eta_frac), i32(syn.w_max), i32(k_eta)
    low, high = i32(w_max), i32(0)
    n_low, n_high = i32(0), i32(0)
    if syn.w_rounding == _STOCHASTIC:
        bits = min(syn.x_frac + syn.eta_frac, syn.w_rand_bits)
        down = np.uint32(32 - bits)
        up = np.uint32(syn.x_frac + syn.eta_frac - bits)
        positive, negative, parity = i32(0), i32(0), i32(0)
    else:
        down, up = np.uint32(31), np.uint32(0)
        positive, negative, parity = i32(bias[0]), i32(bias[0] + bias[1]), i32(bias[2])
    # One draw per weight even where none is needed would cost time only; its bits are masked off.
    mask = i32(-1) if syn.w_rounding == _STOCHASTIC else i32(0)
    # The weight is drawn by a factor of 2**x_frac (attract) or by its x (Eq. 2), selected without a branch.
    attract = syn.rule == P.RULE_ATTRACT
    unit, own = (i32(1 << syn.x_frac), i32(0)) if attract else (i32(0), i32(-1))
    for i in range(row.shape[0]):
        w = i32(row[i])
        x = i32(x_pre[i])
        pull = i32(i32(x * w_max) - i32(w * i32(unit + i32(x & own))))
        change = i32(factor * pull)
        whole = i32(w + arithmetic_right(change, shift))
        noise = i32(left(logical_right(chain(key, np.uint32(i)), down), up)) & mask
        extra = i32((negative if whole < i32(0) else positive) + i32(i32(whole & parity) + noise))
        rounded = i32(w + arithmetic_right(i32(change + extra), shift))
        n_low = i32(n_low + i32(rounded < i32(0)))
        n_high = i32(n_high + i32(rounded > w_max))
        w = min(max(rounded, i32(0)), w_max)
        low = min(low, w)
        high = max(high, w)
        row[i] = w
    _note_row(stats, P.STAT_WEIGHT, np.int64(low), np.int64(high), np.int64(n_low), np.int64(n_high))


@inner
def normalize_row(syn, seed, presentation, j, row, bias, stats):
    """Scale the weights of neuron ``j`` to ``weight_sum`` (docs/numerics.md, section 8, step 1)."""
    total = np.int64(0)
    for i in range(row.shape[0]):
        total += np.int64(row[i])
    if total == 0:
        return
    scale = (syn.weight_sum << P.DECAY_BITS) // total
    key = chain(chain(chain(start(seed, _ROUND_NORMALIZE), presentation), np.uint32(0)), np.uint32(j))
    if scale * syn.w_max + (1 << P.DECAY_BITS) < 1 << 31:
        low, high, n_high = _scale_row_narrow(syn, key, scale, row, bias)
    else:
        low, high, n_high = _scale_row_wide(syn, key, scale, row, bias)
    _note_row(stats, P.STAT_WEIGHT, low, high, np.int64(0), n_high)


@inner
def _scale_row_wide(syn, key, scale, row, bias):
    """Multiply a row by ``scale`` in 64-bit lanes; return the lowest and the highest result, and how many saturated."""
    w_max, shift = np.int64(syn.w_max), np.int64(P.DECAY_BITS)
    low, high, n_high = w_max, np.int64(0), np.int64(0)
    stochastic = syn.w_rounding == _STOCHASTIC
    bits = np.uint32(min(shift, syn.w_rand_bits))
    for i in range(row.shape[0]):
        n = np.int64(row[i]) * scale
        rounded = _drawn(n, shift, bits, key, i) if stochastic else _biased(n, shift, bias)
        n_high += np.int64(rounded > w_max)
        w = min(rounded, w_max)
        low = min(low, w)
        high = max(high, w)
        row[i] = w
    return low, high, n_high


@inner
def _scale_row_narrow(syn, key, scale, row, bias):
    """Do the same in 32-bit lanes, where every product fits; every operation is cast back."""
    i32 = np.int32
    w_max, shift, factor = i32(syn.w_max), i32(P.DECAY_BITS), i32(scale)
    b0, b2 = i32(bias[0]), i32(bias[2])
    # One draw per weight even where none is needed would cost time only; its bits are masked off.
    mask = i32(-1 if syn.w_rounding == _STOCHASTIC else 0)
    bits = np.uint32(min(P.DECAY_BITS, syn.w_rand_bits))
    down, up = np.uint32(np.uint32(32) - bits), np.uint32(np.uint32(P.DECAY_BITS) - bits)
    low, high, n_high = w_max, i32(0), i32(0)
    for i in range(np.uint64(row.shape[0])):
        n = i32(i32(row[i]) * factor)
        noise = i32(left(logical_right(chain(key, np.uint32(i)), down), up)) & mask
        extra = i32(b0 + i32(i32(arithmetic_right(n, shift) & b2) + noise))
        rounded = arithmetic_right(i32(n + extra), shift)
        n_high = i32(n_high + i32(rounded > w_max))
        w = min(rounded, w_max)
        low = min(low, w)
        high = max(high, w)
        row[i] = w
    return np.int64(low), np.int64(high), np.int64(n_high)


@inner
def advance_counts(
    tra, seed, presentation, u, inputs, begin, end, x_scale, slot_of, active, c_pre, trace, n_active, bias, stats,
):  # fmt: skip
    """Advance the windowed counts of the inputs that spike in this image and read their traces from them.

    The others have a count of 0, which reads as 0 in every rounding mode.
    """
    for slot in range(np.uint64(n_active)):
        c_pre[slot] = np.int32(c_pre[slot] >> np.int32(1))
    for e in range(np.uint64(begin), np.uint64(end)):
        c_pre[slot_of[inputs[e]]] += 1
    if n_active < slot_of.shape[0]:
        _note_row(stats, P.STAT_X_PRE, np.int64(0), np.int64(0), np.int64(0), np.int64(0))
    stochastic = tra.x_rounding == _STOCHASTIC
    if tra.narrow_counts and not stochastic:
        _read_counts_narrow(tra, x_scale[u], c_pre, trace, n_active, bias, stats)
        return
    shift = np.int64(P.DECAY_BITS)
    scale = x_scale[u]
    low, high = np.int64(tra.x_max), np.int64(0)
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(u))
    bits = np.uint32(min(shift, tra.x_rand_bits))
    for slot in range(np.uint64(n_active)):
        count = min(np.int64(c_pre[slot]), tra.c_max)
        c_pre[slot] = count
        n = count * scale
        rounded = _drawn(n, shift, bits, key, active[slot]) if stochastic else _biased(n, shift, bias)
        x = min(rounded, tra.x_one)
        low = min(low, x)
        high = max(high, x)
        trace[slot] = x
    _note_row(stats, P.STAT_X_PRE, low, high, np.int64(0), np.int64(0))


@inner
def _read_counts_narrow(tra, x_scale, c_pre, trace, n_active, bias, stats):
    """Read the traces in 32-bit lanes, where the product is proven to fit; every operation is cast back."""
    i32 = np.int32
    shift, scale, x_one = i32(P.DECAY_BITS), i32(x_scale), i32(tra.x_one)
    c_max = i32(min(tra.c_max, np.int64(2**31 - 1)))
    b0, b2 = i32(bias[0]), i32(bias[2])
    low, high = x_one, i32(0)
    for slot in range(np.uint64(n_active)):
        count = min(i32(c_pre[slot]), c_max)
        c_pre[slot] = count
        n = i32(count * scale)
        x = min(i32(i32(n + b0 + i32(i32(n >> shift) & b2)) >> shift), x_one)
        low = min(low, x)
        high = max(high, x)
        trace[slot] = x
    _note_row(stats, P.STAT_X_PRE, np.int64(low), np.int64(high), np.int64(0), np.int64(0))


@inner
def list_active(offsets, inputs, scratch):
    """List the inputs that spike in an image, each with its place in the list; return how many there are."""
    slot_of, active, spiked = scratch.slot_of, scratch.active, scratch.spiked
    for e in range(np.uint64(offsets[0]), np.uint64(offsets[-1])):
        spiked[inputs[e]] = 1
    n_active = np.uint64(0)
    for block in range(spiked.shape[0] // FLAGS):
        found = take_flags(spiked, block)
        while found:
            i = block * FLAGS + lowest_bit(found)
            found &= found - 1
            active[n_active] = i
            slot_of[i] = n_active
            n_active += np.uint64(1)
    return np.int64(n_active)


@inner
def begin_traces(p, scratch, n_active):
    """Set all traces to 0 at the onset of an image."""
    fill(scratch.x_pre, 0)
    if p.trace == P.TRACE_WINDOW:
        fill(scratch.c_pre[:n_active], 0)
    else:
        fill(scratch.trace[:n_active], 0)


@inner
def keep_strongest(n_window, winners, first, last):
    """Forget the spikes of all but the neuron that fired most in a window, the lowest on a tie.

    ``winners[0, first:last]`` are the neurons that fired in it.
    """
    strongest, most = np.int64(-1), np.int32(0)
    for k in range(first, last):
        j = winners[0, k]
        if n_window[j] > most or (n_window[j] == most and j < strongest):
            strongest, most = j, n_window[j]
    for k in range(first, last):
        if winners[0, k] != strongest:
            n_window[winners[0, k]] = 0


@inner
def store_trace(scratch, n_active):
    """Copy the traces of the inputs that spike in this image to their places."""
    for slot in range(n_active):
        scratch.x_pre[scratch.active[slot]] = scratch.trace[slot]


@inner
def decay(trace, n_active, mul, b0, b2):
    """Decay the traces of the inputs that spike in this image, with a deterministic rounding; the others stay 0."""
    i32 = np.int32
    shift = i32(P.DECAY_BITS)
    for slot in range(np.uint64(n_active)):
        n = i32(trace[slot] * mul)
        trace[slot] = i32(i32(n + b0 + i32(i32(n >> shift) & b2)) >> shift)


@inner
def decay_drawn(tra, seed, presentation, t, trace, active, n_active):
    """Decay the traces of the inputs that spike in this image, with stochastic rounding."""
    i32 = np.int32
    mul, bits = i32(tra.trace_mul), np.uint32(min(P.DECAY_BITS, tra.x_rand_bits))
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(t))
    down, up = np.uint32(np.uint32(32) - bits), np.uint32(np.uint32(P.DECAY_BITS) - bits)
    for slot in range(np.uint64(n_active)):
        noise = i32(left(logical_right(chain(key, np.uint32(active[slot])), down), up))
        trace[slot] = i32(i32(i32(trace[slot] * mul) + noise) >> i32(P.DECAY_BITS))


@inner
def add_events(trace, slot_of, inputs, begin, end, unit):
    """Add a step's events to the decayed traces; return the largest trace they reach.

    Adding whole events after the cut gives the bits of adding them before it: they leave the dropped bits unchanged.
    """
    high = np.int32(0)
    for e in range(np.uint64(begin), np.uint64(end)):
        slot = np.uint64(slot_of[inputs[e]])
        value = np.int32(trace[slot] + unit)
        trace[slot] = value
        high = max(high, value)
    return np.int64(high)


@inner
def saturate_trace(trace, slot_of, inputs, begin, end, x_max):
    """Cut the traces of a step's events to their range; return how many left it."""
    n_high = np.int64(0)
    for e in range(np.uint64(begin), np.uint64(end)):
        slot = np.uint64(slot_of[inputs[e]])
        if trace[slot] > x_max:
            trace[slot] = x_max
            n_high += 1
    return n_high


@inner
def forget_thresholds(thr, n_steps, seed, presentation, theta, v_th, bias, stats):
    """Do what `generic.forget_theta` does, in one vector loop where nothing is drawn."""
    if thr.theta_rounding == _STOCHASTIC or thr.th_rounding == _STOCHASTIC:
        forget_theta(thr, n_steps, seed, presentation, theta, v_th, stats)
        return
    if thr.theta_forget == P.FORGET_MULTIPLY:
        factor, down, shift = thr.theta_mul, np.int64(0), np.int64(P.THETA_DECAY_BITS)
    else:
        factor, down, shift = np.int64(1) << thr.theta_sum_shift, thr.theta_down, thr.theta_sum_shift
    b0, b2 = bias[0], bias[2]
    th_shift = thr.th_cut_shift
    t0, t2 = thr.th_bias0, thr.th_bias2
    low, high = np.int64(thr.theta_max), np.int64(0)
    th_low, th_high = np.int64(thr.th_max), np.int64(0)
    n_high, n_th_high = np.int64(0), np.int64(0)
    for j in range(theta.shape[0]):
        n = max(theta[j] * factor - down, np.int64(0))
        value = (n + b0 + ((n >> shift) & b2)) >> shift
        n_high += np.int64(value > thr.theta_max)
        value = min(value, thr.theta_max)
        theta[j] = value
        low = min(low, value)
        high = max(high, value)
        n = thr.th_base + (value << thr.theta_sum_shift)
        raw = (n + t0 + ((n >> th_shift) & t2)) >> th_shift
        n_th_high += np.int64(raw > thr.th_max)
        raw = min(raw, thr.th_max)
        v_th[j] = raw
        th_low = min(th_low, raw)
        th_high = max(th_high, raw)
    _note_row(stats, P.STAT_THETA, low, high, np.int64(0), n_high)
    _note_row(stats, P.STAT_V_TH, th_low, th_high, np.int64(0), n_th_high)
