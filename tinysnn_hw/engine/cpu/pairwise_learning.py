"""Traces and pair-wise learning of the fast kernel: the sums of `generic_learning`, where something can change.

A trace that is 0 moves no weight, and rounding leaves exact values alone, so that depression visits the few
neurons that have fired lately, and potentiation the inputs that have spiked in this image.
"""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.fast_learning import add_events, decay, decay_drawn, normalize_row, saturate_trace
from tinysnn_hw.engine.writes import note, raise_x_post
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.fixed.scalar import fit, overflow_side, round_shift

_STOCHASTIC = int(Rounding.STOCHASTIC)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_X_POST = np.uint32(Purpose.ROUND_X_POST)


@njit(cache=True)
def fill_ages(tra, ages):
    """Write the trace of an input ``k`` steps after its last event into ``ages[k]``; return whether that defines it.

    It does where an event sets the trace and nothing is drawn: then no trace need be kept.
    """
    ages[0] = tra.x_one
    for k in range(1, ages.shape[0]):
        n = np.int64(ages[k - 1]) * tra.trace_mul
        ages[k] = round_shift(n, P.DECAY_BITS, tra.x_rounding, np.uint32(0), 32)
    return bool(tra.set_mode and tra.x_rounding != _STOCHASTIC)


@njit(cache=True)
def read_ages(t, seen, active, n_active, ages, trace):
    """Fill the traces of the image's inputs from the step of their last event, -1 for none yet."""
    for k in range(n_active):
        last = seen[active[k]]
        trace[k] = ages[t - last] if last >= 0 else 0


@njit(cache=True)
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


@njit(cache=True)
def decay_posts(pair, trace_mul, seed, presentation, t, posts, n_posts, x_post, stats):
    """Advance the post-synaptic traces above 0, all listed in ``posts``; return how many stay above it."""
    key = chain(chain(start(seed, _ROUND_X_POST), presentation), np.uint32(t))
    kept = 0
    for k in range(n_posts):
        j = posts[k]
        draw = chain(key, np.uint32(j))
        rounded = round_shift(x_post[j] * trace_mul, P.DECAY_BITS, pair.y_rounding, draw, pair.y_rand_bits)
        y = fit(rounded, 0, pair.y_max, pair.y_width, False, pair.y_overflow)
        note(stats, P.STAT_X_POST, y, overflow_side(rounded, 0, pair.y_max, pair.y_overflow))
        x_post[j] = y
        if y > 0:
            posts[kept] = j
            kept += 1
    return kept


@njit(cache=True)
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


@njit(cache=True)
def depression(pair, syn, up, bias):
    """Return the numbers `depress` works with: calls in every step are cheap only with few arguments.

    The sixth is how many random bits are drawn, 0 where nothing is; then the last three round.
    """
    shift = np.int64(pair.y_frac + pair.eta_frac)
    bits = np.int64(min(shift, syn.w_rand_bits)) if syn.w_rounding == _STOCHASTIC else np.int64(0)
    return (
        np.int64(pair.soft), np.int64(pair.n_essential), np.int64(syn.w_max), np.int64(up), shift, bits,
        np.int64(bias[0]), np.int64(bias[1]), np.int64(bias[2]),
    )  # fmt: skip


@njit(cache=True)
def depress(
    rule, key_image, t, eta_pre, inputs, begin, end, seen, posts, n_posts, n_post, x_post, rows, origin, width,
    places, widths, factors, keys, stats,
):  # fmt: skip
    """Lower the weights of the step's inputs to the neurons in ``posts``; return the number of different inputs.

    ``rule``: `depression`; ``seen[i]`` is the last step in which input ``i`` was met; ``places``, ``widths``,
    ``factors`` and ``keys`` are working space.
    """
    soft, n_essential, w_max, up, shift, bits, b0, b1, b2 = rule
    n_inputs = 0
    n_hit = 0
    key = chain(key_image, np.uint32(t))
    for k in range(n_posts):
        j = posts[k]
        if n_post[j] >= n_essential and x_post[j] > 0:
            places[n_hit] = origin[j]
            widths[n_hit] = width[j]
            factors[n_hit] = eta_pre * x_post[j]
            keys[n_hit] = chain(key, np.uint32(j))
            n_hit += 1
    low, high, n_low = w_max, np.int64(-1), np.int64(0)
    for e in range(begin, end):
        i = inputs[e]
        if seen[i] == t:
            continue
        seen[i] = t
        n_inputs += 1
        for k in range(n_hit):
            place = places[k] + i * widths[k]
            w = np.int64(rows[place]) >> up
            n = (w << shift) - factors[k] * (w if soft else w_max)
            if bits > 0:
                n += np.int64(chain(keys[k], np.uint32(i)) >> np.uint32(32 - bits)) << (shift - bits)
            else:
                n += b0 + ((n >> np.int64(63)) & b1) + ((n >> shift) & b2)
            rounded = n >> shift
            n_low += np.int64(rounded < 0)
            w = max(rounded, np.int64(0))
            low = min(low, w)
            high = max(high, w)
            rows[place] = w << up
    if high >= 0:
        note(stats, P.STAT_WEIGHT, low, 0)
        note(stats, P.STAT_WEIGHT, high, 0)
        stats[P.STAT_WEIGHT, P.STAT_LOW] += n_low
    return n_inputs


@njit(cache=True)
def potentiate(
    p, seed, presentation, t, j, eta, active, trace, n_active, weights, buffer, bias, stats
):  # fmt: skip
    """Raise the weights of neuron ``j`` by the traces of its inputs: gather, a loop that vectorises, scatter."""
    syn, up, rows = p.syn, weights.shift, weights.rows
    origin, width = weights.origin[j], weights.width[j]
    for k in range(n_active):
        buffer[k] = np.int64(rows[origin + active[k] * width]) >> up
    key = chain(chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(t)), np.uint32(j))
    _raise(syn, p.pair.soft, key, eta, active[:n_active], trace[:n_active], buffer[:n_active], bias, stats)
    for k in range(n_active):
        rows[origin + active[k] * width] = buffer[k] << up


@njit(cache=True)
def _raise(syn, soft, key, eta, active, trace, weights, bias, stats):
    shift = np.int64(syn.x_frac + syn.eta_frac)
    bits = np.int64(min(shift, syn.w_rand_bits))
    stochastic = syn.w_rounding == _STOCHASTIC and shift > 0
    w_max = np.int64(syn.w_max)
    factor, constant = (-eta, eta * w_max) if soft else (np.int64(0), eta * w_max)
    b0, b2 = np.int64(bias[0]), np.int64(bias[2])
    mask = np.int64(-1) if stochastic else np.int64(0)
    down, left = np.uint32(32 - bits if stochastic else 31), shift - bits
    low, high, n_high = w_max, np.int64(-1), np.int64(0)
    for k in range(weights.shape[0]):
        w, x = weights[k], np.int64(trace[k])
        n = (w << shift) + x * (constant + factor * w)
        noise = (np.int64(chain(key, np.uint32(active[k])) >> down) << left) & mask
        rounded = (n + b0 + ((n >> shift) & b2) + noise) >> shift
        n_high += np.int64(rounded > w_max)
        w = min(rounded, w_max)
        low = min(low, w if x > 0 else w_max)
        high = max(high, w if x > 0 else np.int64(-1))
        weights[k] = w
    if high >= 0:
        note(stats, P.STAT_WEIGHT, low, 0)
        note(stats, P.STAT_WEIGHT, high, 0)
        stats[P.STAT_WEIGHT, P.STAT_HIGH] += n_high


@njit(cache=True)
def normalize(p, seed, presentation, j, weights, buffer, bias, stats):
    """Scale the weights of neuron ``j`` to ``weight_sum``."""
    up, rows = weights.shift, weights.rows
    origin, width = weights.origin[j], weights.width[j]
    for i in range(p.n_inputs):
        buffer[i] = np.int64(rows[origin + i * width]) >> up
    normalize_row(p.syn, seed, presentation, j, buffer, bias, stats)
    for i in range(p.n_inputs):
        rows[origin + i * width] = buffer[i] << up
