"""Spike trains of images, compiled: docs/numerics.md, section 3."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.data.moves import COPY, copy_elements
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.random import chain, start

TIME_BITS = 16
"""Fraction bits of event times and intervals of one pixel: one step is 65536 units."""
POOL_BITS = 24
"""Fraction bits of the event times of all pixels together."""
QUANTILE_BITS = 12
"""Fraction bits, and log2 of the length, of the table of unit-mean intervals."""
GAIN_BITS = 8
"""Fraction bits of the gain."""
PICK_BITS = 32 - QUANTILE_BITS
"""Bits of a random word below those that draw an interval; in `pooled` they pick the pixel."""
INTERVAL_MAX = (1 << 38) - 1
FULL_BUCKET, SHORT_BUFFER = -2, -1
"""What a kernel returns when it has to be called again with more room."""
DEPTH_BITS = 6
"""log2 of the room for the events of one step that `renewal` is given first."""
_WORDS = 32
"""Random words drawn at once, in vector code; those behind the last event are not used."""
_GUIDE_BITS = 11


@njit(cache=True)
def _gain(image, gain):
    """Return the factor on intervals, with `GAIN_BITS` fraction bits."""
    if gain[0] == 0:
        return np.int64(1 << GAIN_BITS)
    total = np.int64(0)
    for p in range(image.shape[0]):
        total += np.int64(image[p])
    return min(max((total << GAIN_BITS) // gain[1], gain[2]), gain[3])


@njit(cache=True)
def _list_pixels(image, pixel):
    """List the pixels that are not 0; return their number."""
    n = np.uint64(0)
    for p in range(np.uint64(image.shape[0])):
        pixel[n] = p
        n += np.uint64(image[p] > 0)
    return n


@njit(cache=True, nogil=True)
def renewal(
    images, order, interval, quantile, gain, seed, purpose, first, regular, depth_bits, offsets, inputs,
):  # fmt: skip
    """Fill ``offsets`` and ``inputs`` with one process per pixel.

    Events are put into one bucket per step, which has room for less than ``2**depth_bits``.  Pixels are visited in
    ascending order, so a bucket is ascending too.  Returns the number of events, `SHORT_BUFFER` when ``inputs`` is too
    short, `FULL_BUCKET` when a bucket is full.
    """
    n_inputs = images.shape[1]
    n_steps = offsets.shape[1] - 1
    end_time = np.int64(n_steps) << TIME_BITS
    bucket = np.empty((n_steps << depth_bits) + COPY, np.uint16)
    full = np.uint64((1 << depth_bits) - 1)
    # The next free place of each bucket.
    free = np.empty(n_steps, np.int64)
    pixel = np.empty(n_inputs, np.uint16)
    base = np.int64(0)
    for i in range(order.shape[0]):
        image = images[order[i]]
        factor = _gain(image, gain)
        prefix = chain(start(seed, purpose), np.uint32(first + i))
        for s in range(n_steps):
            free[s] = s << depth_bits
        for m in range(_list_pixels(image, pixel)):
            p = pixel[m]
            if interval[image[p]] == 0:
                continue
            mean = min(max((interval[image[p]] * factor) >> GAIN_BITS, 1), INTERVAL_MAX)
            key = chain(prefix, np.uint32(p))
            k = np.uint32(0)
            word = chain(key, k)
            if regular:
                time = (mean * (np.int64(word) >> 8)) >> 24
            else:
                time = (mean * np.int64(quantile[word >> np.uint32(PICK_BITS)])) >> QUANTILE_BITS
            while time < end_time:
                step = np.uint64(time >> TIME_BITS)
                place = np.uint64(free[step])
                if place & full == full:
                    return np.int64(FULL_BUCKET)
                bucket[place] = p
                free[step] = place + np.uint64(1)
                if regular:
                    time += mean
                else:
                    k = np.uint32(k + np.uint32(1))
                    word = chain(key, k)
                    time += (mean * np.int64(quantile[word >> np.uint32(PICK_BITS)])) >> QUANTILE_BITS
        offsets[i, 0] = base
        for s in range(n_steps):
            begin = s << depth_bits
            count = free[s] - begin
            if base + count + COPY > inputs.shape[0]:
                return np.int64(SHORT_BUFFER)
            # Fixed lengths are fastest; what is too much is overwritten by the next step.
            for done in range(0, count, COPY):
                copy_elements(inputs, base + done, bucket, begin + done)
            base += count
            offsets[i, s + 1] = base
    return base


@njit(cache=True)
def _list_rates(image, rates, pixel, below):
    """List the pixels that are not 0 and the sum of the rates before each; return their number and the sum of all."""
    n, total = _list_pixels(image, pixel), np.uint64(0)
    for k in range(n):
        below[k] = total
        total += rates[image[pixel[k]]]
    below[n] = total
    return n, total


@njit(cache=True)
def _fill_guide(n, below, shift, guide):
    """Note, for every ``2**shift``-th position, the pixel it belongs to."""
    part, round_up = np.uint64(0), np.uint64((np.uint64(1) << shift) - np.uint64(1))
    for k in range(n):
        end = (below[k + np.uint64(1)] + round_up) >> shift
        while part < end:
            # A fixed length is fastest; what is too much is overwritten by the next pixel.
            for m in range(np.uint64(COPY)):
                guide[part + m] = k
            part += np.uint64(COPY)
        part = end


@njit(cache=True)
def _draw_words(key, k, words):
    """Fill ``words`` with the random words of events ``k``, ``k + 1``, ... of a key."""
    for n in range(words.shape[0]):
        words[n] = chain(key, np.uint32(np.uint32(k) + np.uint32(n)))


@njit(cache=True, nogil=True)
def pooled(images, order, interval, quantile, gain, seed, purpose, first, offsets, inputs):
    """Fill ``offsets`` and ``inputs`` with the process of all pixels together, in order of time.

    Returns the number of events, or `SHORT_BUFFER` when ``inputs`` is too short.
    """
    n_inputs = images.shape[1]
    n_steps = offsets.shape[1] - 1
    end_time = np.uint64(n_steps) << np.uint64(POOL_BITS)
    pixel = np.empty(n_inputs + 1, np.uint16)
    below = np.empty(n_inputs + 1, np.uint64)
    guide = np.empty((1 << _GUIDE_BITS) + COPY, np.uint16)
    end = np.empty(n_steps, np.int64)
    words = np.empty(_WORDS, np.uint32)
    rates = np.zeros(256, np.uint64)
    for q in range(256):
        if interval[q] > 0:
            rates[q] = np.int64(1 << 2 * TIME_BITS) // interval[q]
    one = np.uint64(1)
    base = np.int64(0)
    for i in range(order.shape[0]):
        image = images[order[i]]
        n_active, total = _list_rates(image, rates, pixel, below)
        end[:] = base
        offsets[i, 0] = base
        if total > 0:
            shift = np.uint64(0)
            while total >> shift > np.uint64(1 << _GUIDE_BITS):
                shift += one
            _fill_guide(n_active, below, shift, guide)
            mean = (np.uint64(1 << (TIME_BITS + POOL_BITS)) // total) * np.uint64(_gain(image, gain))
            mean = max(mean >> np.uint64(GAIN_BITS), one)
            key = chain(start(seed, purpose), np.uint32(first + i))
            time, k, event = np.uint64(0), 0, np.uint64(base)
            while time < end_time:
                if np.int64(event) + _WORDS > inputs.shape[0]:
                    return np.int64(SHORT_BUFFER)
                _draw_words(key, k, words)
                k += _WORDS
                for n in range(np.uint64(_WORDS)):
                    word = np.uint64(words[n])
                    time += (mean * np.uint64(quantile[word >> np.uint64(PICK_BITS)])) >> np.uint64(
                        QUANTILE_BITS
                    )
                    if time >= end_time:
                        break
                    position = ((word & np.uint64((1 << PICK_BITS) - 1)) * total) >> np.uint64(PICK_BITS)
                    place = np.uint64(guide[position >> shift])
                    # One step without a branch, which would be guessed wrong too often.
                    place += np.uint64(below[place + one] <= position)
                    while below[place + one] <= position:
                        place += one
                    inputs[event] = pixel[place]
                    event += one
                    end[time >> np.uint64(POOL_BITS)] = event
            base = np.int64(event)
        position_so_far = offsets[i, 0]
        for s in range(n_steps):
            position_so_far = max(position_so_far, end[s])
            offsets[i, s + 1] = position_so_far
    return base
