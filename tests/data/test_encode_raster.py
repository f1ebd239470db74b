"""Rate coding: gain, and the shape of a raster and its buffers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.encoded import SIGMAS, dense, encoding, pictures, same, tables_of
from tinysnn_hw.data.encode import encode, encoding_tables

# --- Gain ----------------------------------------------------------------------------------------------


def counted(images, **changes) -> np.ndarray:
    spec = encoding(gain="total", gain_reference=5000, n_steps=4000, **changes)
    return dense(images, encoding_tables(spec), spikes="regular").sum(axis=(1, 2))


def test_gain_makes_bright_and_dim_images_equally_active() -> None:
    """Intervals grow with an image's total intensity: at exponent 1 every image has the same rate in all."""
    bright = np.zeros((1, 100), np.uint8)
    bright[0, :40] = 200
    images = np.concatenate([bright, bright // 2, bright // 4])
    counts = counted(images, gain_min=0.01, gain_max=100.0)
    # sum(pixel / 255) * 0.1 * 4000 * 5000 / sum(pixel), whatever the image; a train may miss one event.
    expected = 0.1 * 4000 * 5000 / 255
    assert (np.abs(counts - expected) <= 40 + 0.02 * expected).all()


def test_gain_is_clipped_at_both_ends() -> None:
    images = np.zeros((4, 100), np.uint8)
    images[0, :5] = 10  # total 50: gain 0.01 of the reference, clipped to 0.5
    images[1, :5] = 200  # total 1000: 0.2, clipped to 0.5
    images[2] = 150  # total 15000: 3, clipped to 2
    images[3, :25] = 200  # total 5000: 1
    counts = counted(images, gain_min=0.5, gain_max=2.0)
    rates = 0.1 * 4000 * images.sum(axis=1) / 255
    for count, rate, gain in zip(counts, rates, (0.5, 0.5, 2.0, 1.0), strict=True):
        assert abs(count - rate / gain) <= 100 + 0.01 * rate / gain


def test_gain_is_cut_to_256ths() -> None:
    """g = (256 * S) // reference: up to 1/256 below the exact quotient, never above."""
    spec = encoding(gain="total", gain_reference=999, n_steps=2000, rate_max_hz=500.0)
    tables = encoding_tables(spec)
    for pixel in (37, 85, 255):
        factor = min(max((256 * 4 * pixel) // 999, 64), 1024)
        interval = (int(tables.interval[pixel]) * factor) >> 8
        events = dense(np.full((1, 4), pixel), tables, spikes="regular")
        expected = Fraction(2000 * 65536, interval)
        counts = events.sum(axis=1)
        assert math.floor(expected) <= counts.min() and counts.max() <= math.ceil(expected)


def test_a_black_image_has_no_spikes() -> None:
    images = np.zeros((3, 20), np.uint8)
    images[1] = 255
    for gain in ("none", "total"):
        raster = encode(images, tables_of(gain=gain), spikes="poisson", phase="test", seed=0)
        counts = raster.to_dense(np.int64).sum(axis=(1, 2))
        assert counts[0] == counts[2] == 0 < counts[1]
    black = encode(images[:1], tables_of(gain="total"), spikes="regular", phase="test", seed=0)
    assert black.n_events == 0 and black.max_events_per_step == 0


# --- Shape of the raster, and its buffers --------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from(["poisson", "regular"]), st.floats(1.0, 16000.0))
def test_inputs_ascend_within_a_step(seed: int, spikes: str, rate: float) -> None:
    raster = encode(
        pictures(3, 90, seed),
        tables_of(rate_max_hz=rate, n_steps=20),
        spikes=spikes,
        phase="label",
        seed=seed,
    )
    raster.check()
    assert (raster.n_images, raster.n_steps, raster.n_inputs) == (3, 20, 90)
    same_step = np.repeat(np.arange(60), np.diff(raster.offsets, axis=1).ravel())
    descents = np.diff(raster.inputs.astype(np.int64)) < 0
    assert (np.diff(same_step)[descents] > 0).all()


def test_several_events_of_a_pixel_in_a_step_all_count() -> None:
    tables = tables_of(rate_max_hz=16000.0, n_steps=30)
    events = dense(np.full((2, 5), 255), tables, spikes="regular")
    assert int(tables.interval[255]) == 4096
    assert (events == 16).all()
    events = dense(np.full((40, 50), 255), tables)
    assert abs(events.mean() - 16.0) < SIGMAS * math.sqrt(16.0 / events.size)
    assert events.max() > 25


@pytest.mark.parametrize("spikes", ["poisson", "regular"])
def test_steps_with_very_many_events(spikes: str) -> None:
    """More than 12,000 events in a step: the buckets grow, and the bits are those of each input alone."""
    tables = tables_of(rate_max_hz=16000.0, n_steps=4)
    images = np.full((2, 784), 255, np.uint8)
    raster = encode(images, tables, spikes=spikes, phase="train", seed=3)
    raster.check()
    assert raster.max_events_per_step > 12_000
    events = raster.to_dense(np.int64)
    alone = np.zeros_like(images)
    alone[:, [0, 783]] = 255
    few = encode(alone, tables, spikes=spikes, phase="train", seed=3)
    assert few.max_events_per_step < 100
    assert few.to_dense(np.int64)[:, :, [0, 783]].tolist() == events[:, :, [0, 783]].tolist()


@pytest.mark.parametrize("gain", ["none", "total"])
def test_images_denser_than_a_sample_of_them(gain: str) -> None:
    """The first guess of the buffer looks at every second image only, and those are black: it must grow."""
    images = np.zeros((32, 200), np.uint8)
    images[1::2] = 255
    tables = tables_of(gain=gain, rate_max_hz=1000.0)
    raster = encode(images, tables, spikes="poisson", phase="train", seed=3)
    raster.check()
    assert raster.n_events > 16 * 4096
    for i in (0, 1, 17, 31):
        assert same(
            raster.slice([i]), encode(images[[i]], tables, spikes="poisson", phase="train", seed=3, first=i)
        )


def test_one_pixel_and_one_step() -> None:
    raster = encode(
        np.array([[255]], np.uint8), tables_of(n_steps=1, rate_max_hz=2000.0), spikes="regular", phase="test",
        seed=0,
    )  # fmt: skip
    assert raster.offsets.tolist() == [[0, 2]] and raster.inputs.tolist() == [0, 0]


def test_how_the_images_lie_in_memory_does_not_matter() -> None:
    images, tables = pictures(5, 24), tables_of()
    expected = encode(images, tables, spikes="poisson", phase="train", seed=3)
    frozen = images.copy()
    frozen.flags.writeable = False
    wide = np.zeros((10, 48), np.uint8)
    wide[::2, ::2] = images
    turned = np.asfortranarray(images)
    backwards = images[::-1].copy()[::-1]
    for other in (frozen, wide[::2, ::2], turned, backwards):
        assert same(expected, encode(other, tables, spikes="poisson", phase="train", seed=3))
    assert images.flags.writeable and not frozen.flags.writeable
    images[:] = 0  # the raster owns its events
    assert expected.n_events > 0
