"""Rate coding in integers: pixel intensities to spike rasters, every bit a function of seed and indices.

Real functions (powers, logarithms) enter only through tables of integers made once by `encoding_tables`; the tables are
stored with every model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data import spike_kernels
from tinysnn_hw.data.raster import Raster, first_bad_row
from tinysnn_hw.data.spike_kernels import GAIN_BITS, INTERVAL_MAX, QUANTILE_BITS
from tinysnn_hw.errors import DataError
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.random import Purpose, chain, start
from tinysnn_hw.spec.network import EncodingSpec

SPIKES = ("poisson", "regular", "pooled")
_SHUFFLE = np.uint32(Purpose.SHUFFLE)
_PURPOSES = {
    "train": {"poisson": Purpose.TRAIN_SPIKES, "regular": Purpose.TRAIN_PHASES, "pooled": Purpose.TRAIN_POOL},
    "label": {"poisson": Purpose.LABEL_SPIKES, "regular": Purpose.LABEL_PHASES, "pooled": Purpose.LABEL_POOL},
    "test": {"poisson": Purpose.TEST_SPIKES, "regular": Purpose.TEST_PHASES, "pooled": Purpose.TEST_POOL},
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

    def arrays(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Return the tables."""
        return self.interval, self.quantile, self.gain


def encoding_tables(spec: EncodingSpec) -> EncodingTables:
    """Compute the integer tables of an encoding.

    ``interval[p] = nearest(65536 / (rate_max_hz * dt * (p / 255) ** intensity_exponent))`` for p > 0,
    at most ``2**38 - 1``; ``quantile[i] = nearest(-ln((i + 0.5) / 4096) * 4096)``.
    """
    pixel = np.arange(1, 256) / 255.0
    events_per_step = spec.rate_max_hz * spec.dt * pixel**spec.intensity_exponent
    interval = np.zeros(256, np.int64)
    with np.errstate(divide="ignore", over="ignore"):  # a rate that is all but 0 has the longest interval
        interval[1:] = np.minimum(np.rint(65536.0 / events_per_step), float(INTERVAL_MAX)).astype(np.int64)
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
    spikes : {"poisson", "regular", "pooled"}
        A Poisson process per pixel, evenly spaced events, or the Poisson process of all pixels together.
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
    docs/numerics.md, section 3, is the definition.  ``pooled`` has the statistics of ``poisson`` (a superposition of
    Poisson processes is one) at two thirds of its cost, drawn from other random words.  Inputs ascend
    within a step; with ``pooled`` they stand in order of time.
    """
    if images.ndim != 2 or images.dtype != np.uint8:
        raise DataError(f"images: shape {images.shape}, dtype {images.dtype}; uint8[n, n_inputs] is required")
    purpose = np.uint32(spike_purpose(phase, spikes))
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
    quantile = tables.quantile.astype(np.uint16)
    offsets = np.zeros((len(order), tables.n_steps + 1), np.int64)
    capacity = expected_events(images, order, tables)
    depth_bits = spike_kernels.DEPTH_BITS
    while True:
        inputs = np.empty(capacity, np.uint16)
        shared = (images, order, tables.interval, quantile, tables.gain, np.uint32(seed), purpose, first)
        if spikes == "pooled":
            n_events = spike_kernels.pooled(*shared, offsets, inputs)
        else:
            n_events = spike_kernels.renewal(*shared, spikes == "regular", depth_bits, offsets, inputs)
        if n_events >= 0:
            return Raster(images.shape[1], tables.n_steps, offsets, inputs[:n_events])
        if n_events == spike_kernels.SHORT_BUFFER:
            capacity *= 2
        else:
            depth_bits += 1


def spike_purpose(phase: str, spikes: str) -> Purpose:
    """Return what the random words of an encoding are for; refuse an unknown phase or kind of spikes."""
    if phase not in _PURPOSES:
        raise DataError(f"phase = {phase!r}; allowed: {', '.join(_PURPOSES)}")
    if spikes not in SPIKES:
        raise DataError(f"spikes = {spikes!r}; allowed: {', '.join(SPIKES)}")
    return _PURPOSES[phase][spikes]


def expected_events(
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
