"""Traces and pair-wise learning of the fast kernel: the sums of `generic_learning`, where something can change.

A trace that is 0 moves no weight, and rounding leaves exact values alone, so that depression visits the few
neurons that have fired lately, and potentiation the inputs that have spiked in this image.
"""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.cuts import cut_drawn
from tinysnn_hw.engine.cpu.fast_learning import add_events, decay, decay_drawn, normalize_row, saturate_trace
from tinysnn_hw.engine.cpu.inner import inlined, inner
from tinysnn_hw.engine.writes import note, raise_x_post
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import round_shift
from tinysnn_hw.fixed.words import arithmetic_right, left, logical_right

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_X_POST = np.uint32(Purpose.ROUND_X_POST)


@inner
def fill_ages(tra, n_steps, ages):
    """Write the trace of an input ``k`` steps after its last event into ``ages[k]``; return whether that defines it.

    It does where an event sets the trace and nothing is drawn: then no trace need be kept.  The second half stays 0:
    an input that has been silent counts as met ``n_steps`` before the image.
    """
    ages[0] = tra.x_one
    for k in range(1, n_steps):
        n = np.int64(ages[k - 1]) * tra.trace_mul
        ages[k] = round_shift(n, P.DECAY_BITS, tra.x_rounding, np.uint32(0), 32)
    return bool(tra.set_mode and tra.x_rounding != _STOCHASTIC)


@inlined
def read_ages(t, seen, active, n_active, ages, trace):
    """Fill the traces of the image's inputs from the step of their last event."""
    for slot in range(np.uint64(n_active)):
        trace[slot] = ages[np.uint64(t - seen[active[slot]])]


@inner
def advance_x_pre(
    tra, seed, presentation, t, inputs, begin, end, slot_of, active, trace, n_active, bias, stats
):
    """Decay the traces of the image's inputs, then add or set those of the step's events."""
    if n_active == 0:
        return
    if tra.x_rounding == _STOCHASTIC:
        decay_drawn(tra, seed, presentation, t, trace, active, n_active)
    else:
        decay(trace, n_active, np.int32(tra.trace_mul), np.int32(bias[0]), np.int32(bias[2]))
    if begin == end:
        return
    if tra.set_mode:
        for e in range(begin, end):
            trace[slot_of[inputs[e]]] = tra.x_one
        note(stats, P.STAT_X_PRE, np.int64(tra.x_one), 0)
        return
    high = add_events(trace, slot_of, inputs, begin, end, np.int32(1 << tra.x_frac))
    if high > tra.x_max:
        stats[P.STAT_X_PRE, P.STAT_HIGH] += saturate_trace(trace, slot_of, inputs, begin, end, tra.x_max)
    note(stats, P.STAT_X_PRE, min(high, np.int64(tra.x_max)), 0)


@inlined
def decay_posts(cut, trace_mul, seed, presentation, t, posts, n_posts, x_post):
    """Advance the post-synaptic traces above 0, all listed in ``posts``; return how many stay above it.

    Nothing is counted: a trace never rises by it, and 0 has been written at the onset of the image.
    """
    key = np.uint32(0)
    if cut.bits > 0:
        key = chain(chain(start(seed, _ROUND_X_POST), presentation), np.uint32(t))
    kept = np.uint64(0)
    for k in range(np.uint64(n_posts)):
        j = np.uint64(posts[k])
        y = cut_drawn(cut, x_post[j] * trace_mul, key, j)
        x_post[j] = y
        posts[kept] = j
        kept += np.uint64(y > 0)
    return np.int64(kept)


@inlined
def raise_post(pair, set_mode, j, posts, n_posts, x_post, stats):
    """Raise the post-synaptic trace of the neuron that fired; return the new length of the list."""
    before = x_post[j]
    x_post[j], side = raise_x_post(pair, set_mode, before)
    note(stats, P.STAT_X_POST, x_post[j], side)
    if before > 0 or x_post[j] == 0:
        # A sum that wraps to 0 stays in the list until the next decay; it moves nothing.
        return n_posts
    posts[n_posts] = j
    return n_posts + 1


@inlined
def meet_inputs(t, inputs, begin, end, seen, met):
    """List the different inputs of a step in ``met`` and note the step in ``seen``; return how many there are."""
    n_met = np.uint64(0)
    for e in range(np.uint64(begin), np.uint64(end)):
        i = inputs[e]
        met[n_met] = i
        n_met += np.uint64(seen[i] != t)
        seen[i] = t
    return np.int64(n_met)


@inlined
def depress(cut, pair, w_max, key, eta_pre, met, n_met, posts, n_posts, n_post, x_post, weights, stats):
    """Lower the weights of the step's inputs to the neurons in ``posts``, one column after another.

    ``key`` is that of the step.
    """
    rows, up = weights.rows, weights.shift
    low, high, n_low = np.int64(w_max), np.int64(-1), np.int64(0)
    for k in range(np.uint64(n_posts)):
        j = np.uint64(posts[k])
        if x_post[j] == 0 or n_post[j] < pair.n_essential:
            continue
        origin, width = np.uint64(weights.origin[j]), np.uint64(weights.width[j])
        fall = eta_pre * x_post[j]
        factor = (np.int64(1) << cut.shift) - (fall if pair.soft else np.int64(0))
        constant = np.int64(0) if pair.soft else fall * w_max
        column_key = chain(key, np.uint32(j))
        for slot in range(np.uint64(n_met)):
            i = np.uint64(met[slot])
            place = origin + i * width
            n = (np.int64(rows[place]) >> up) * factor - constant
            rounded = cut_drawn(cut, n, column_key, i)
            n_low += np.int64(rounded < 0)
            w = max(rounded, np.int64(0))
            low = min(low, w)
            high = max(high, w)
            rows[place] = w << up
    if high >= 0:
        note(stats, P.STAT_WEIGHT, low, 0)
        note(stats, P.STAT_WEIGHT, high, 0)
        stats[P.STAT_WEIGHT, P.STAT_LOW] += n_low


@inlined
def potentiate(cut, narrow, soft, w_max, key, j, eta, active, trace, n_active, weights, buffer, stats):
    """Raise the weights of neuron ``j`` by the traces of its inputs: gather, a loop that vectorises, scatter.

    ``key`` is that of the step and the neuron.
    """
    rows, up = weights.rows, weights.shift
    origin, width = np.uint64(weights.origin[j]), np.uint64(weights.width[j])
    for slot in range(np.uint64(n_active)):
        buffer[slot] = np.int64(rows[origin + np.uint64(active[slot]) * width]) >> up
    if narrow:
        low, high, n_high = _raise_narrow(cut, soft, w_max, key, eta, active, trace, buffer, n_active)
    else:
        low, high, n_high = _raise_wide(cut, soft, w_max, key, eta, active, trace, buffer, n_active)
    for slot in range(np.uint64(n_active)):
        rows[origin + np.uint64(active[slot]) * width] = np.int64(buffer[slot]) << up
    if high >= 0:
        note(stats, P.STAT_WEIGHT, low, 0)
        note(stats, P.STAT_WEIGHT, high, 0)
        stats[P.STAT_WEIGHT, P.STAT_HIGH] += n_high


@inlined
def _raise_narrow(cut, soft, w_max, key, eta, active, trace, weights, n_active):
    """Raise the weights in 32-bit lanes, where the change is proven to fit; every operation is cast back.

    The weight itself lies above the bits that are cut, so only the change is rounded.
    Returns the lowest and the highest weight written, -1 for none, and how many saturated.
    """
    i32 = np.int32
    shift, top, factor, own = i32(cut.shift), i32(w_max), i32(eta), i32(-1 if soft else 0)
    b0, b2 = i32(cut.b0), i32(cut.b2)
    # One draw per weight even where none is needed would cost time only; its bits are masked off.
    mask = i32(-1 if cut.bits > 0 else 0)
    down, up = np.uint32(32 - cut.bits if cut.bits > 0 else 31), np.uint32(cut.shift - cut.bits)
    low, high, n_high = top, i32(-1), i32(0)
    for slot in range(np.uint64(n_active)):
        w, x = i32(weights[slot]), i32(trace[slot])
        change = i32(factor * i32(x * i32(top - i32(w & own))))
        whole = i32(w + arithmetic_right(change, shift))
        noise = i32(left(logical_right(chain(key, np.uint32(active[slot])), down), up)) & mask
        rounded = i32(w + arithmetic_right(i32(change + i32(b0 + i32(i32(whole & b2) + noise))), shift))
        n_high = i32(n_high + i32(rounded > top))
        w = min(rounded, top)
        low = min(low, w if x > i32(0) else top)
        high = max(high, w if x > i32(0) else i32(-1))
        weights[slot] = w
    return np.int64(low), np.int64(high), np.int64(n_high)


@inner
def _raise_wide(cut, soft, w_max, key, eta, active, trace, weights, n_active):
    """Do the same in 64 bits."""
    factor, constant = (-eta if soft else np.int64(0)), eta * w_max
    low, high, n_high = np.int64(w_max), np.int64(-1), np.int64(0)
    for slot in range(np.uint64(n_active)):
        w, x = np.int64(weights[slot]), np.int64(trace[slot])
        rounded = cut_drawn(cut, (w << cut.shift) + x * (constant + factor * w), key, active[slot])
        n_high += np.int64(rounded > w_max)
        w = min(rounded, w_max)
        low = min(low, w if x > 0 else w_max)
        high = max(high, w if x > 0 else np.int64(-1))
        weights[slot] = w
    return low, high, n_high


@inlined
def normalize(syn, n_inputs, seed, presentation, j, weights, buffer, bias, stats):
    """Scale the weights of neuron ``j`` to ``weight_sum``."""
    rows, up = weights.rows, weights.shift
    origin, width = np.uint64(weights.origin[j]), np.uint64(weights.width[j])
    for i in range(np.uint64(n_inputs)):
        buffer[i] = np.int64(rows[origin + i * width]) >> up
    normalize_row(syn, seed, presentation, j, buffer, bias, stats)
    for i in range(np.uint64(n_inputs)):
        rows[origin + i * width] = np.int64(buffer[i]) << up
