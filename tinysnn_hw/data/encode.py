"""Rate coding in integers: pixel intensities to spike rasters, every bit a function of seed and indices.

One pixel is a renewal process: event ``k`` comes one interval after event ``k - 1``.  Real functions
(powers, logarithms) enter only through tables of integers made once by `encoding_tables`; the tables are
stored with every model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from tinysnn_hw.data.raster import Raster, first_bad_row
from tinysnn_hw.errors import DataError
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.spec.network import EncodingSpec

TIME_BITS = 16
"""Fraction bits of event times and intervals: one step is 65536 units."""
QUANTILE_BITS = 12
"""Fraction bits, and log2 of the length, of the table of unit-mean intervals."""
GAIN_BITS = 8
"""Fraction bits of the gain."""
_INTERVAL_MAX = (1 << 38) - 1
_COPY = 32
_SHUFFLE = np.uint32(Purpose.SHUFFLE)

_PHASES = {
    "train": (Purpose.TRAIN_SPIKES, Purpose.TRAIN_PHASES),
    "label": (Purpose.LABEL_SPIKES, Purpose.LABEL_PHASES),
    "test": (Purpose.TEST_SPIKES, Purpose.TEST_PHASES),
}


@dataclass(frozen=True, slots=True)
class EncodingTables:
    """Integer tables that turn pixels into spike times.

    Attributes
    ----------
    interval : int64[256]
        Mean interval of a pixel value [step / 65536]; 0 means the pixel never spikes.
    quantile : int64[4096]
        Unit-mean exponential intervals at the mid-points of 4096 equal probabilities, 12 fraction bits.
    gain : int64[4]
        ``(on, reference, low, high)``; low and high with 8 fraction bits.
    n_steps : int
        Steps per image.
    """

    interval: npt.NDArray[np.int64]
    quantile: npt.NDArray[np.int64]
    gain: npt.NDArray[np.int64]
    n_steps: int


def encoding_tables(spec: EncodingSpec) -> EncodingTables:
    """Compute the integer tables of an encoding.

    ``interval[p] = nearest(65536 / (rate_max_hz * dt * (p / 255) ** intensity_exponent))`` for p > 0,
    at most ``2**38 - 1``; ``quantile[i] = nearest(-ln((i + 0.5) / 4096) * 4096)``.
    """
    pixel = np.arange(1, 256) / 255.0
    events_per_step = spec.rate_max_hz * spec.dt * pixel**spec.intensity_exponent
    interval = np.zeros(256, np.int64)
    with np.errstate(divide="ignore", over="ignore"):  # a rate that is all but 0 has the longest interval
        interval[1:] = np.minimum(np.rint(65536.0 / events_per_step), float(_INTERVAL_MAX)).astype(np.int64)
    size = 1 << QUANTILE_BITS
    quantile = np.rint(-np.log((np.arange(size) + 0.5) / size) * size).astype(np.int64)
    unit = 1 << GAIN_BITS
    gain = np.array(
        [spec.gain == "total", spec.gain_reference, round(spec.gain_min * unit), round(spec.gain_max * unit)],
        np.int64,
    )
    return EncodingTables(interval=interval, quantile=quantile, gain=gain, n_steps=spec.n_steps)


def encode(
    images: npt.NDArray[np.uint8],
    tables: EncodingTables,
    *,
    spikes: str,
    phase: str,
    seed: int,
    first: int = 0,
    order: npt.NDArray[np.int64] | None = None,
) -> Raster:
    """Encode images as spike trains.

    Parameters
    ----------
    images : uint8[n, n_inputs]
        Pixel intensities.
    tables : EncodingTables
    spikes : {"poisson", "regular"}
        Spike statistics.
    phase : {"train", "label", "test"}
        Which random stream; the three never share a bit.
    seed : int
        0 to 2**32 - 1.
    first : int
        Presentation number of the first image; image ``i`` of the result has number ``first + i``.
    order : int64[m], optional
        Rows of ``images`` to present, in order; absent: all, in file order.

    Returns
    -------
    Raster

    Notes
    -----
    With ``g = clip((256 * total) // reference, low, high)`` (256 without gain control), pixel ``i`` of value
    ``p`` has ``T = clip((interval[p] * g) >> 8, 1, 2**38 - 1)``.  ``poisson``: event ``k = 0, 1, ...`` adds
    ``(T * quantile[draw(seed, SPIKES, presentation, i, k) >> 20]) >> 12`` to the time, which starts at 0.
    ``regular``: event 0 is at ``(T * (draw(seed, PHASES, presentation, i, 0) >> 8)) >> 24`` and each further
    one ``T`` later.  An event at time ``t`` belongs to step ``t >> 16``; the first one past the last step
    ends the train.  Several events of a pixel in one step all count.
    """
    if images.ndim != 2 or images.dtype != np.uint8:
        raise DataError(f"images: shape {images.shape}, dtype {images.dtype}; uint8[n, n_inputs] is required")
    if phase not in _PHASES:
        raise DataError(f"phase = {phase!r}; allowed: {', '.join(_PHASES)}")
    if spikes not in ("poisson", "regular"):
        raise DataError(f"spikes = {spikes!r}; allowed: poisson, regular")
    if not 0 <= seed < 1 << 32:
        raise DataError(f"seed = {seed}; 0 to {(1 << 32) - 1} is allowed")
    if order is None:
        order = np.arange(len(images), dtype=np.int64)
    bad = first_bad_row(order, len(images))
    if bad is not None:
        raise DataError(
            f"order: position {bad} selects image {order[bad]}; 0 to {len(images) - 1} is allowed"
        )
    images = np.ascontiguousarray(images).view()
    images.flags.writeable = False  # one Numba specialisation, whoever owns the array
    spike_purpose, phase_purpose = _PHASES[phase]
    offsets = np.zeros((len(order), tables.n_steps + 1), np.int64)
    capacity = _expected_events(images, order, tables)
    depth = 2 * _COPY
    while True:
        inputs = np.empty(capacity, np.uint16)
        n_events = _encode(
            images, order, tables.interval, tables.quantile.astype(np.uint16), tables.gain,
            spikes == "regular", np.uint32(seed), np.uint32(spike_purpose), np.uint32(phase_purpose), first,
            depth, offsets, inputs,
        )  # fmt: skip
        if n_events >= 0:
            return Raster(images.shape[1], tables.n_steps, offsets, inputs[:n_events])
        if n_events == -1:
            capacity *= 2
        else:
            depth *= 2


def _expected_events(
    images: npt.NDArray[np.uint8], order: npt.NDArray[np.int64], tables: EncodingTables
) -> int:
    """Return a first guess of the buffer size: the mean over a few images with room to spare."""
    sample = images[order[:: max(1, len(order) // 16)]]
    rate = np.where(tables.interval > 0, 65536.0 / np.maximum(tables.interval, 1), 0.0)
    events = rate[sample].sum(axis=1) * tables.n_steps
    if tables.gain[0]:
        gain = np.clip(256.0 * sample.sum(axis=1) / tables.gain[1], tables.gain[2], tables.gain[3])
        events = events * 256.0 / np.maximum(gain, 1.0)
    return int(1.25 * float(events.mean() if len(events) else 0.0) * len(order)) + 4096


@njit(cache=True, nogil=True)
def _encode(
    images, order, interval, quantile, gain, regular, seed, spike_purpose, phase_purpose, first,
    depth, offsets, inputs,
):  # fmt: skip
    """Fill ``offsets`` and ``inputs``.

    Events are put into one bucket per step, ``depth`` deep.  Pixels are visited in ascending order, so a
    bucket is ascending too.  Returns the number of events, -1 when ``inputs`` is too short, -2 when a bucket
    is full.
    """
    n_inputs = images.shape[1]
    n_steps = offsets.shape[1] - 1
    end_time = np.int64(n_steps) << TIME_BITS
    capacity = inputs.shape[0]
    bucket = np.empty(n_steps * depth, np.uint16)
    filled = np.empty(n_steps, np.int32)
    base = np.int64(0)
    for i in range(order.shape[0]):
        image = images[order[i]]
        presentation = np.uint32(first + i)
        factor = np.int64(256)
        if gain[0] != 0:
            total = np.int64(0)
            for p in range(n_inputs):
                total += np.int64(image[p])
            factor = min(max((total << GAIN_BITS) // gain[1], gain[2]), gain[3])
        prefix = chain(start(seed, phase_purpose if regular else spike_purpose), presentation)
        filled[:] = 0
        for p in range(n_inputs):
            if interval[image[p]] == 0:
                continue
            mean = min(max((interval[image[p]] * factor) >> GAIN_BITS, 1), _INTERVAL_MAX)
            key = chain(prefix, np.uint32(p))
            if regular:
                time = (mean * (np.int64(chain(key, np.uint32(0))) >> 8)) >> 24
                while time < end_time:
                    step = np.uint64(time >> TIME_BITS)
                    place = filled[step]
                    if place == depth:
                        return -2
                    bucket[step * np.uint64(depth) + np.uint64(place)] = p
                    filled[step] = place + 1
                    time += mean
                continue
            k = np.uint32(0)
            time = (mean * np.int64(quantile[chain(key, k) >> np.uint32(20)])) >> QUANTILE_BITS
            while time < end_time:
                step = np.uint64(time >> TIME_BITS)
                place = filled[step]
                if place == depth:
                    return -2
                bucket[step * np.uint64(depth) + np.uint64(place)] = p
                filled[step] = place + 1
                k = np.uint32(k + np.uint32(1))
                time += (mean * np.int64(quantile[chain(key, k) >> np.uint32(20)])) >> QUANTILE_BITS
        if base + filled.sum() + _COPY > capacity:
            return -1
        offsets[i, 0] = base
        for s in range(n_steps):
            # Unsigned indices: without the test for negative ones the copies become vector moves.
            target = np.uint64(base)
            source = np.uint64(s * depth)
            count = filled[s]
            if count <= _COPY:
                # A fixed length is fastest; what is too much is overwritten by the next step.
                for k in range(np.uint64(_COPY)):
                    inputs[target + k] = bucket[source + k]
            else:
                for k in range(np.uint64(count)):
                    inputs[target + k] = bucket[source + k]
            base += count
            offsets[i, s + 1] = base
    return base


@njit(cache=True)
def shuffle_keys(n, seed, epoch):
    """Return uint32[n] keys whose stable sort gives the order of an epoch."""
    keys = np.empty(n, np.uint32)
    prefix = chain(start(seed, _SHUFFLE), epoch)
    for i in range(n):
        keys[i] = chain(prefix, np.uint32(i))
    return keys


def epoch_order(n: int, *, seed: int, epoch: int, shuffle: bool) -> npt.NDArray[np.int64]:
    """Return the order in which ``n`` images are presented in an epoch.

    Shuffled: the stable ascending sort of ``draw(seed, SHUFFLE, epoch, i)`` over image index ``i``.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return np.argsort(shuffle_keys(n, np.uint32(seed), np.uint32(epoch)), kind="stable").astype(np.int64)
