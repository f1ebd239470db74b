"""Neuron arithmetic in 32-bit lanes: the bits of `tinysnn_hw.engine.writes`, under the bounds of `plan.lane_events`.

A thread keeps the potentials of `LANES` neurons in registers, on the grid of the accumulator.  Held neurons are parked
at `LANE_MIN`, where no input makes them fire or saturate.  Weights are read four (8 bits) or two (16 bits) at a time.
Every 32-bit operation is cast back, because Numba computes in 64 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cuda.words import load_word, odd_bytes, right
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import chain

LANES = 8
"""Neurons per thread."""
LANE_BITS = 30
"""Width of the accumulator at most, and of what is added to it in one step."""
LANE_MIN, LANE_MAX = -(1 << LANE_BITS), 1 << LANE_BITS
MAX_BYTE_SUM = (1 << 16) - 1
"""Largest sum of 8-bit weights: two share a word of 32 bits."""

PLAIN, DECAY, GENERAL = range(3)
"""What a step does to an accumulator: leak by a shift or none, and no cut; the multiply leak, rounded by a constant;
anything."""

_FLOOR, _NEAREST, _STOCHASTIC = (
    int(mode) for mode in (Rounding.FLOOR, Rounding.NEAREST, Rounding.STOCHASTIC)
)
_TO_ZERO, _AWAY, _EVEN = (
    int(mode) for mode in (Rounding.TO_ZERO, Rounding.NEAREST_AWAY, Rounding.NEAREST_EVEN)
)
_BYTE, _HALF, _LOW_HALF = np.uint32(8), np.uint32(16), np.uint32(0xFFFF)
_ONE, _TWO, _THREE, _ALL, _NONE = (np.uint32(word) for word in (1, 2, 3, 0xFFFFFFFF, 0))


class Cut(NamedTuple):
    """A cut: ``n >> shift`` after ``bias + (sign & if_negative) + ((n >> shift) & if_odd)``, or after random bits.

    Stochastic rounding takes the highest ``32 - down`` bits of its random word, ``up`` bits higher.
    """

    shift: int
    bias: int
    if_negative: int
    if_odd: int
    stochastic: int
    down: int
    up: int


class Lanes(NamedTuple):
    """A membrane in lanes: potentials and constants on the grid of the accumulator, ``v_max`` on that of `v_mem`."""

    kind: int
    acc_max: int
    sum_scale: int
    leak: int
    leak_shift: int
    leak_mask: int
    minus_loss: int
    leak_sub: int
    v_shift: int
    v_max: int
    v_reset: int
    v_low: int
    v_floor: int


@cuda.jit(device=True)
def make_cut(shift, rounding, rand_bits):
    """Return the `Cut` of a register; the shift is at most 30."""
    half = np.int32((1 << shift) >> 1)
    bias, if_negative, if_odd = np.int32(0), np.int32(0), np.int32(0)
    if shift > 0:
        if rounding == _TO_ZERO:
            if_negative = np.int32(2 * half - 1)
        elif rounding == _NEAREST:
            bias = half
        elif rounding == _AWAY:
            bias, if_negative = half, np.int32(-1)
        elif rounding == _EVEN:
            bias, if_odd = np.int32(half - 1), np.int32(1)
    bits = min(shift, rand_bits)
    drawn = rounding == _STOCHASTIC and shift > 0
    return Cut(
        np.int32(shift), bias, if_negative, if_odd, np.int32(drawn), np.int32((32 - bits) if drawn else 0),
        np.int32((shift - bits) if drawn else 0),
    )  # fmt: skip


@cuda.jit(device=True)
def extra(cut, n, whole, key, word):
    """Return what is added to ``n`` before its cut; ``whole`` is ``n >> shift``."""
    if cut.stochastic:
        drawn = np.uint32(chain(key, np.uint32(word)) >> np.uint32(cut.down & 31))
        return np.int32(drawn << np.uint32(cut.up & 31))
    return np.int32(np.int32(cut.bias + (right(n, 31) & cut.if_negative)) + (whole & cut.if_odd))


@cuda.jit(device=True)
def make_lanes(mem):
    """Return the `Lanes` of a membrane."""
    shifted = mem.leak == P.LEAK_SHIFT
    kind = GENERAL
    if mem.leak == P.LEAK_MULTIPLY:
        if mem.v_rounding == _FLOOR or mem.v_rounding == _NEAREST:
            kind = DECAY
    elif mem.leak != P.LEAK_SUBTRACT and mem.v_shift == 0:
        kind = PLAIN
    return Lanes(
        np.int32(kind), np.int32(mem.acc_max), np.int32(1 << mem.sum_shift), np.int32(mem.leak),
        np.int32(min(mem.leak_shift, 31)), np.int32(-1 if shifted else 0),
        np.int32(mem.leak_mul - (1 << P.DECAY_BITS)), np.int32(mem.leak_sub), np.int32(mem.v_shift),
        np.int32(mem.v_max), np.int32(mem.v_reset << mem.v_shift), np.int32(mem.v_min << mem.v_shift),
        np.int32((mem.v_floor if mem.has_floor else mem.v_min) << mem.v_shift),
    )  # fmt: skip


@cuda.jit(device=True)
def membrane_cut(mem):
    """Return the `Cut` of `v_mem`, its shift that of the whole cut."""
    shift = mem.v_shift + (P.DECAY_BITS if mem.leak == P.LEAK_MULTIPLY else 0)
    return make_cut(shift, mem.v_rounding, mem.v_rand_bits)


@cuda.jit(device=True)
def threshold_lane(mem, v_th):
    """Return the smallest potential in lanes that is at or over a threshold, bounded to what a lane may reach."""
    shift = mem.th_lane_shift
    on_grid = v_th << shift if shift >= 0 else -((-v_th) >> -shift)
    return np.int32(min(max(on_grid, np.int64(LANE_MIN >> 1)), np.int64(LANE_MAX)))


@cuda.jit(device=True)
def lane_neuron(per_word, lane, thread, width):
    """Return the neuron of a thread's lane; ``per_word`` is the logarithm of the weights in a word."""
    return np.int64((((lane >> per_word) * width + thread) << per_word) + (lane & ((1 << per_word) - 1)))


@cuda.jit(device=True)
def _add_bytes(one, two, three, four, sums, k):
    """Add four words of four 8-bit weights to a sum, and their odd bytes to the next one."""
    sums[k] = np.uint32(np.uint32(sums[k] + one) + np.uint32(two + np.uint32(three + four)))
    high = np.uint32(odd_bytes(one) + odd_bytes(two))
    sums[k + 1] = np.uint32(np.uint32(sums[k + 1] + high) + np.uint32(odd_bytes(three) + odd_bytes(four)))


@cuda.jit(device=True)
def _add_halves(one, two, three, four, sums, k):
    """Add four words of two 16-bit weights to two sums."""
    low = np.uint32(np.uint32(one & _LOW_HALF) + np.uint32(two & _LOW_HALF))
    low = np.uint32(low + np.uint32(np.uint32(three & _LOW_HALF) + np.uint32(four & _LOW_HALF)))
    high = np.uint32(np.uint32(one >> _HALF) + np.uint32(two >> _HALF))
    high = np.uint32(high + np.uint32(np.uint32(three >> _HALF) + np.uint32(four >> _HALF)))
    sums[k] = np.uint32(sums[k] + low)
    sums[k + 1] = np.uint32(sums[k + 1] + high)


@cuda.jit(device=True)
def _add_four(per_word, words, place, a, b, c, d, mask_b, mask_c, mask_d, sums, k):
    """Add the words of four rows to the sums ``k`` and ``k + 1``."""
    one, two = load_word(words, place, a), np.uint32(load_word(words, place, b) & mask_b)
    three, four = (
        np.uint32(load_word(words, place, c) & mask_c),
        np.uint32(load_word(words, place, d) & mask_d),
    )
    if per_word == 2:
        _add_bytes(one, two, three, four, sums, k)
    else:
        _add_halves(one, two, three, four, sums, k)


@cuda.jit(device=True)
def _add_all(per_word, words, places, a, b, c, d, mask_b, mask_c, mask_d, sums):
    _add_four(per_word, words, places[0], a, b, c, d, mask_b, mask_c, mask_d, sums, 0)
    _add_four(per_word, words, places[1], a, b, c, d, mask_b, mask_c, mask_d, sums, 2)
    if per_word == 1:
        _add_four(per_word, words, places[2], a, b, c, d, mask_b, mask_c, mask_d, sums, 4)
        _add_four(per_word, words, places[3], a, b, c, d, mask_b, mask_c, mask_d, sums, 6)


@cuda.jit(device=True)
def add_rows(per_word, words, places, staged, begin, end, sums):
    """Add the weights from the events ``begin`` to ``end`` of ``staged`` to the sums of the thread's neurons.

    Parameters
    ----------
    per_word : int
        2: words of four 8-bit weights, of which the thread has two in a row; 1: of two 16-bit ones, of which it has
        four.
    words : uint32[...]
    places : uint64[4]
        Where the thread's words of the first row lie.
    staged : uint32[...]
        Word at which the row of each event begins.
    begin, end : int32
    sums : uint32[8]
        Of bytes: per word the sum of all and that of the odd ones, which `lane_total` takes apart.
    """
    event = begin
    while event + 4 <= end:
        e = np.uint32(event)
        a, b = staged[e], staged[np.uint32(e + _ONE)]
        c, d = staged[np.uint32(e + _TWO)], staged[np.uint32(e + _THREE)]
        _add_all(per_word, words, places, a, b, c, d, _ALL, _ALL, _ALL, sums)
        event = np.int32(event + 4)
    left = np.int32(end - event)
    if left > 0:
        # The last group is filled up with rows that are masked: as many loads are under way at once as can be.
        e = np.uint32(event)
        b, c = e + np.uint32(left > 1), e + np.uint32(2 * np.int32(left > 2))
        mask_b, mask_c = np.uint32(-np.int32(left > 1)), np.uint32(-np.int32(left > 2))
        a, b, c = staged[e], staged[np.uint32(b)], staged[np.uint32(c)]
        _add_all(per_word, words, places, a, b, c, a, mask_b, mask_c, _NONE, sums)


@cuda.jit(device=True)
def mask_absent(per_word, absent, sums):
    """Set the sums of words to 0 whose lanes, the bits of ``absent``, have no neuron."""
    for k in range(LANES >> per_word):
        kept = np.uint32(((absent >> (k << per_word)) & 1) - 1)
        sums[2 * k] = np.uint32(sums[2 * k] & kept)
        sums[2 * k + 1] = np.uint32(sums[2 * k + 1] & kept)


@cuda.jit(device=True)
def lane_total(per_word, sums, lane):
    """Return the weight sum of a lane."""
    if per_word == 1:
        return np.int32(sums[lane])
    k, byte = 2 * (lane >> 2), lane & 3
    odd = sums[k + 1]
    # The sum of all bytes is that of the even ones plus 256 times that of the odd ones.
    pair = odd if byte & 1 else np.uint32(sums[k] - np.uint32(odd << _BYTE))
    return np.int32(pair >> _HALF) if byte & 2 else np.int32(pair & _LOW_HALF)


@cuda.jit(device=True)
def _accumulate(lanes, per_word, sums, v, lane):
    return np.int32(v[lane] + np.int32(lane_total(per_word, sums, lane) * lanes.sum_scale))


@cuda.jit(device=True)
def integrate_plain(lanes, per_word, sums, v, v_th, highest, n_high):
    """Integrate a step where nothing is cut.

    Returns
    -------
    tuple
        Whether a lane reached its threshold, the largest potential so far, and how many were cut at the top.
    """
    crossed = False
    for lane in range(LANES):
        a = _accumulate(lanes, per_word, sums, v, lane)
        n_high = np.int32(n_high + np.int32(a > lanes.acc_max))
        a = min(a, lanes.acc_max)
        a = np.int32(a - (right(a, lanes.leak_shift) & lanes.leak_mask))
        highest = max(highest, a)
        crossed |= a >= v_th[lane]
        v[lane] = a
    return crossed, highest, n_high


@cuda.jit(device=True)
def integrate_decay(lanes, cut, per_word, sums, v, v_th, highest, n_high):
    """Integrate a step of the multiply leak with a constant bias: ``a * mul = (a << 16) + a * minus_loss``."""
    crossed = False
    for lane in range(LANES):
        a = _accumulate(lanes, per_word, sums, v, lane)
        over = a > lanes.acc_max
        a = min(a, lanes.acc_max)
        fall = np.int64(cut.bias) + np.int64(a) * np.int64(lanes.minus_loss)
        raw = right(np.int32(a + np.int32(fall >> P.DECAY_BITS)), lanes.v_shift)
        n_high = np.int32(n_high + np.int32(over | (raw > lanes.v_max)))
        a = np.int32(min(raw, lanes.v_max) << (lanes.v_shift & 31))
        highest = max(highest, a)
        crossed |= a >= v_th[lane]
        v[lane] = a
    return crossed, highest, n_high


@cuda.jit(device=True)
def integrate_general(lanes, cut, per_word, sums, v, v_th, highest, n_high, key, thread, width):
    """Integrate a step of any leak and rounding."""
    crossed = False
    for lane in range(LANES):
        a = _accumulate(lanes, per_word, sums, v, lane)
        over = a > lanes.acc_max
        a = min(a, lanes.acc_max)
        j = lane_neuron(per_word, lane, thread, width)
        if lanes.leak == P.LEAK_MULTIPLY:
            product = np.int64(a) * np.int64(lanes.minus_loss)
            whole = right(np.int32(a + np.int32(product >> P.DECAY_BITS)), lanes.v_shift)
            fall = np.int64(extra(cut, a, whole, key, j)) + product
            a = np.int32(a + np.int32(fall >> P.DECAY_BITS))
        else:
            if lanes.leak == P.LEAK_SUBTRACT:
                lower = max(np.int32(a - lanes.leak_sub), np.int32(0))
                a = lower if a >= 0 else min(np.int32(a + lanes.leak_sub), np.int32(0))
            else:
                a = np.int32(a - (right(a, lanes.leak_shift) & lanes.leak_mask))
            a = np.int32(a + extra(cut, a, right(a, lanes.v_shift), key, j))
        raw = right(a, lanes.v_shift)
        n_high = np.int32(n_high + np.int32(over | (raw > lanes.v_max)))
        a = np.int32(min(raw, lanes.v_max) << (lanes.v_shift & 31))
        highest = max(highest, a)
        crossed |= a >= v_th[lane]
        v[lane] = a
    return crossed, highest, n_high
