"""Spikes made on the GPU: docs/numerics.md, section 3, with the bits of `tinysnn_hw.data.encode`.

An image's spikes are made twice.  The first time they are counted per step, so that the second time each finds its
place and no buffer is guessed.  Their order within a step is not defined; nothing depends on it.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinysnn_hw.data.spike_kernels import (
    GAIN_BITS,
    INTERVAL_MAX,
    PICK_BITS,
    POOL_BITS,
    QUANTILE_BITS,
    TIME_BITS,
)
from tinysnn_hw.fixed.compiled import keep
from tinysnn_hw.fixed.random import chain, start

POISSON, REGULAR, POOLED = range(3)
_LISTED = 1024
"""Pixels of which the lit ones are listed at a time."""
_TOTAL, _N_LIT = range(2)


@cuda.jit(device=True)
def _gain(total, gain):
    """Return the factor on intervals of an image with a sum of pixels, with `GAIN_BITS` fraction bits."""
    if gain[0] == 0:
        return np.int64(1 << GAIN_BITS)
    return min(max((total << GAIN_BITS) // gain[1], gain[2]), gain[3])


@cuda.jit(device=True)
def _put(fill, row, step, pixel, filled, offsets, inputs):
    """Count one event of a step, or, the second time, put it in its place."""
    place = np.int64(cuda.atomic.add(filled, (row, step), 1))
    if fill:
        inputs[offsets[row, step] + place] = pixel


@cuda.jit(device=True)
def _make(fill, regular, row, p, mean, key, end_time, quantile, filled, offsets, inputs):
    """Make the events of one pixel of a mean interval."""
    word = np.int64(chain(key, np.uint32(0)))
    k = np.int64(0)
    if regular:
        time = (mean * (word >> 8)) >> 24
    else:
        time = (mean * quantile[word >> PICK_BITS]) >> QUANTILE_BITS
    while time < end_time:
        _put(fill, row, time >> TIME_BITS, p, filled, offsets, inputs)
        if regular:
            time += mean
        else:
            k += 1
            word = np.int64(chain(key, np.uint32(k)))
            time += (mean * quantile[word >> PICK_BITS]) >> QUANTILE_BITS


@keep
@cuda.jit(cache=True)
def renewal(
    fill, images, order, interval, quantile, gain, seeds, purpose, first, regular, filled, offsets, inputs,
):  # fmt: skip
    """Make the spikes of one process per pixel: a block per seed and image, threads over pixels.

    Parameters
    ----------
    fill : bool
        Count events into ``filled``, or write them to ``inputs``.
    images : uint8[n, n_inputs]
    order : int64[n_seeds, n_images]
    interval, quantile, gain : int64[...]
        As in `tinysnn_hw.data.encode.EncodingTables`.
    seeds : int64[n_seeds]
    purpose, first : int64
    regular : bool
    filled : int32[n_seeds * n_images, n_steps]
        0 at the start.
    offsets : int64[n_seeds * n_images, n_steps + 1]
    inputs : uint16[n_events]
    """
    # On lines of their own: the simulator tells shared arrays apart by their line.
    lit = cuda.shared.array(_LISTED, np.uint16)
    shared = cuda.shared.array(2, np.int32)
    thread, width, n_inputs = cuda.threadIdx.x, cuda.blockDim.x, images.shape[1]
    number, place = cuda.blockIdx.x, cuda.blockIdx.y
    row = number * order.shape[1] + place
    image = order[number, place]
    if thread == 0:
        shared[_TOTAL] = 0
    cuda.syncthreads()
    total = np.int32(0)
    for p in range(thread, n_inputs, width):
        total += np.int32(images[image, p])
    cuda.atomic.add(shared, _TOTAL, total)
    cuda.syncthreads()
    factor = _gain(np.int64(shared[_TOTAL]), gain)
    end_time = np.int64(filled.shape[1]) << TIME_BITS
    prefix = chain(start(np.uint32(seeds[number]), np.uint32(purpose)), np.uint32(first + place))
    # Threads take lit pixels from a list, so that none waits for its neighbours beside dark ones.
    for begin in range(0, n_inputs, _LISTED):
        if thread == 0:
            shared[_N_LIT] = 0
        cuda.syncthreads()
        for p in range(begin + thread, min(begin + _LISTED, n_inputs), width):
            if interval[images[image, p]] > 0:
                lit[cuda.atomic.add(shared, _N_LIT, 1)] = p
        cuda.syncthreads()
        for k in range(thread, shared[_N_LIT], width):
            p = np.int64(lit[k])
            base = interval[images[image, p]]
            mean = min(max((base * factor) >> GAIN_BITS, 1), INTERVAL_MAX)
            _make(
                fill,
                regular,
                row,
                p,
                mean,
                chain(prefix, np.uint32(p)),
                end_time,
                quantile,
                filled,
                offsets,
                inputs,
            )
        cuda.syncthreads()


@keep
@cuda.jit(cache=True)
def pooled(
    fill, images, order, interval, quantile, gain, seeds, purpose, first, below, filled, offsets, inputs,
):  # fmt: skip
    """Make the spikes of the process of all pixels together, one thread per seed and image.

    ``below`` is int64[n_seeds * n_images, n_inputs]: the sum of the rates up to and with each pixel.  The other
    arguments are those of `renewal`.
    """
    row = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if row >= filled.shape[0]:
        return
    number, place = row // order.shape[1], row % order.shape[1]
    image = order[number, place]
    n_inputs = images.shape[1]
    total, bright = np.int64(0), np.int64(0)
    for p in range(n_inputs):
        bright += np.int64(images[image, p])
        base = interval[images[image, p]]
        if base > 0:
            total += np.int64(1 << 2 * TIME_BITS) // base
        below[row, p] = total
    if total == 0:
        return
    end_time = np.int64(filled.shape[1]) << POOL_BITS
    mean = max((np.int64(1 << (TIME_BITS + POOL_BITS)) // total * _gain(bright, gain)) >> GAIN_BITS, 1)
    key = chain(start(np.uint32(seeds[number]), np.uint32(purpose)), np.uint32(first + place))
    time, k = np.int64(0), np.int64(0)
    while True:
        word = np.int64(chain(key, np.uint32(k)))
        k += 1
        time += (mean * quantile[word >> PICK_BITS]) >> QUANTILE_BITS
        if time >= end_time:
            break
        position = ((word & ((1 << PICK_BITS) - 1)) * total) >> PICK_BITS
        low, high = np.int64(0), np.int64(n_inputs - 1)
        while low < high:
            middle = (low + high) >> 1
            if below[row, middle] > position:
                high = middle
            else:
                low = middle + 1
        _put(fill, row, time >> POOL_BITS, low, filled, offsets, inputs)


@keep
@cuda.jit(cache=True)
def place_events(filled, offsets, totals, largest):
    """Turn the counts of each image into positions from 0; note its events and its fullest step.

    A thread per image.
    """
    row = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if row >= filled.shape[0]:
        return
    position, most = np.int64(0), np.int64(0)
    for step in range(filled.shape[1]):
        offsets[row, step] = position
        count = np.int64(filled[row, step])
        position += count
        most = max(most, count)
        filled[row, step] = 0
    offsets[row, filled.shape[1]] = position
    totals[row] = position
    largest[row] = most


@keep
@cuda.jit(cache=True)
def shift_offsets(offsets, begins):
    """Add to the positions of each image where it begins.  A block per image."""
    row = cuda.blockIdx.x
    for step in range(cuda.threadIdx.x, offsets.shape[1], cuda.blockDim.x):
        offsets[row, step] += begins[row]


@keep
@cuda.jit(cache=True)
def copy_shifted(source, target, at, shift):
    """Copy an array to the place ``at`` of another, with ``shift`` added to each element."""
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for k in range(first, source.shape[0], cuda.gridDim.x * cuda.blockDim.x):
        target[at + k] = source[k] + shift
