"""Section 3 of docs/numerics.md in Python: from image to spikes; see `tinysnn_hw.engine.oracle`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, count

from tinysnn_hw.engine.oracle_constants import PHASES, POOL, SHUFFLE, SPIKES, Phase, draw
from tinysnn_hw.spec.network import EncodingSpec

__all__ = ["encode_image", "encoding_tables", "epoch_order"]


def encoding_tables(encoding: EncodingSpec) -> tuple[list[int], list[int]]:
    """Section 3: ``interval[q]``, q = 0..255, in 1/65536 of a step, and ``quantile[m]``, m = 0..4095."""
    interval = [0]
    for q in range(1, 256):
        rate = encoding.rate_max_hz * encoding.dt * (q / 255) ** encoding.intensity_exponent
        interval.append(int(min(round(65536 / rate), 2**38 - 1)))
    return interval, [round(-math.log((m + 0.5) / 4096) * 4096) for m in range(4096)]


def encode_image(
    encoding: EncodingSpec,
    pixels: Sequence[int],
    *,
    phase: Phase,
    presentation: int,
    seed: int,
    tables: tuple[Sequence[int], Sequence[int]] | None = None,
) -> list[list[int]]:
    """Section 3: the input events of one image, a list of input indices (repeats count) for every step."""
    interval, quantile = encoding_tables(encoding) if tables is None else tables
    g = 256
    if encoding.gain == "total":
        low, high = round(256 * encoding.gain_min), round(256 * encoding.gain_max)
        g = max(low, min(256 * sum(map(int, pixels)) // encoding.gain_reference, high))
    kind = encoding.train_spikes if phase == "train" else encoding.inference_spikes
    if kind == "pooled":
        return _pooled(encoding, pixels, phase, presentation, seed, interval, quantile, g)
    end = encoding.n_steps * 65536
    events: list[list[int]] = [[] for _ in range(encoding.n_steps)]
    for i, q in enumerate(pixels):
        if q == 0:
            continue
        mean = max(1, min((int(interval[q]) * g) >> 8, 2**38 - 1))
        if kind == "poisson":
            k = 0
            time = (mean * int(quantile[draw(seed, SPIKES[phase], presentation, i, k) >> 20])) >> 12
            while time < end:
                events[time >> 16].append(i)
                k += 1
                time += (mean * int(quantile[draw(seed, SPIKES[phase], presentation, i, k) >> 20])) >> 12
        else:
            time = (mean * (draw(seed, PHASES[phase], presentation, i, 0) >> 8)) >> 24
            while time < end:
                events[time >> 16].append(i)
                time += mean
    return events


def _pooled(
    encoding: EncodingSpec,
    pixels: Sequence[int],
    phase: Phase,
    presentation: int,
    seed: int,
    interval: Sequence[int],
    quantile: Sequence[int],
    g: int,
) -> list[list[int]]:
    """Section 3, ``pooled``."""
    events: list[list[int]] = [[] for _ in range(encoding.n_steps)]
    rates = [0 if q == 0 else 2**32 // int(interval[q]) for q in pixels]
    if sum(rates) == 0:
        return events
    sums = list(accumulate(rates))
    mean = max(2**40 // sums[-1] * g >> 8, 1)
    time = 0
    for k in count():
        d = draw(seed, POOL[phase], presentation, k)
        time += mean * int(quantile[d >> 20]) >> 12
        if time >= encoding.n_steps * 2**24:
            return events
        position = (d % 2**20) * sums[-1] >> 20
        events[time >> 24].append(next(i for i, total in enumerate(sums) if position < total))
    raise AssertionError("unreachable")


def epoch_order(n: int, seed: int, epoch: int, shuffle: bool) -> list[int]:
    """Section 3, "Order of images": the image indices of one epoch in the order of presentation."""
    if not shuffle:
        return list(range(n))
    return sorted(range(n), key=lambda image: draw(seed, SHUFFLE, epoch, image))
