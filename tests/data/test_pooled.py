"""Pooled spikes: one Poisson process for all pixels has the statistics of one per pixel.

Statistical tests use fixed seeds and bounds at 5 standard deviations: were the seeds drawn anew, one
comparison would fail by chance once in 1.7 million.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine.oracle_encode import encode_image
from tinysnn_hw.spec.network import EncodingSpec

SIGMAS = 5.0


def encoding(**changes) -> EncodingSpec:
    given = {
        "n_steps": 250, "rate_max_hz": 100.0, "train_spikes": "pooled", "inference_spikes": "pooled",
    } | changes  # fmt: skip
    return EncodingSpec.model_validate(given)


def dense(images, spec: EncodingSpec, *, phase="train", seed=1, first=0) -> np.ndarray:
    raster = encode(images, encoding_tables(spec), spikes="pooled", phase=phase, seed=seed, first=first)
    raster.check()
    return raster.to_dense(np.int64)


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["train", "label", "test"]), st.floats(0.01, 16000.0),
    st.sampled_from(["none", "total"]), st.integers(0, 2**32 - 4), st.integers(1, 40),
)  # fmt: skip
def test_every_event_is_the_definitions(
    seed: int, phase: str, rate: float, gain: str, first: int, n_steps: int
) -> None:
    """Every input of every step, in order, against the Python model of docs/numerics.md."""
    rng = np.random.default_rng(seed)
    images = (rng.integers(0, 256, (3, 30)) * (rng.random((3, 30)) < rng.random())).astype(np.uint8)
    spec = encoding(n_steps=n_steps, rate_max_hz=rate, gain=gain, gain_reference=1000)
    raster = encode(images, encoding_tables(spec), spikes="pooled", phase=phase, seed=seed, first=first)
    for i, image in enumerate(images):
        expected = encode_image(spec, image, phase=phase, presentation=first + i, seed=seed)
        starts = raster.offsets[i]
        found = [raster.inputs[a:b].tolist() for a, b in pairwise(starts)]
        assert found == expected


def test_every_pixel_has_its_own_poisson_rate() -> None:
    """Counts of every pixel have mean and variance of its own process, and pixels are independent."""
    spec, n = encoding(), 4000
    image = np.array([255, 200, 128, 40, 5, 1, 0, 255], np.uint8)
    counts = dense(np.tile(image, (n, 1)), spec).sum(axis=1)
    expected = 250 * 0.1 * image / 255
    for pixel, mu in enumerate(expected):
        found = counts[:, pixel]
        assert abs(found.mean() - mu) <= SIGMAS * math.sqrt(mu / n)
        assert abs(found.var() - mu) <= SIGMAS * math.sqrt((mu + 2 * mu**2) / n) + 1e-12
    correlation = np.corrcoef(counts[:, 0], counts[:, 1])[0, 1]
    assert abs(correlation) < SIGMAS / math.sqrt(n)


def test_steps_are_alike_and_independent() -> None:
    per_image = dense(np.full((4000, 5), 255, np.uint8), encoding(n_steps=40)).sum(axis=2)
    per_step = per_image.sum(axis=0)
    expected = 4000 * 0.5
    assert (np.abs(per_step - expected) < SIGMAS * math.sqrt(expected)).all()
    neighbours = np.corrcoef(per_image[:, :-1].ravel(), per_image[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < SIGMAS / math.sqrt(4000 * 39)


def test_gain_makes_bright_and_dim_images_equally_active() -> None:
    bright = np.zeros((1, 100), np.uint8)
    bright[0, :40] = 200
    images = np.repeat(np.concatenate([bright, bright // 2, bright // 4]), 50, axis=0)
    spec = encoding(gain="total", gain_reference=8000, gain_min=0.01, gain_max=100.0)
    counts = dense(images, spec).sum(axis=(1, 2)).reshape(3, 50)
    expected = 250 * 0.1 * 8000 / 255
    # The gain is floored to 1/256: at the dimmest image, 0.25, by less than 0.4 %.
    assert (
        np.abs(counts.mean(axis=1) - expected) < SIGMAS * math.sqrt(expected / 50) + 0.004 * expected
    ).all()


def test_phases_presentations_and_seeds_have_streams_of_their_own() -> None:
    image, spec = np.full((1, 50), 255, np.uint8), encoding()
    trains = [
        dense(image, spec, phase=phase, seed=seed, first=first).tobytes()
        for phase in ("train", "label", "test")
        for seed in (0, 1)
        for first in (0, 1)
    ]
    assert len(set(trains)) == 12


@pytest.mark.parametrize("n_steps", [1, 300])
def test_black_images_and_images_denser_than_a_sample_of_them(n_steps: int) -> None:
    """The first guess of the buffer looks at every second image only, and those are black: it must grow."""
    images = np.zeros((32, 784), np.uint8)
    images[1::2] = 255
    spec = encoding(rate_max_hz=16000.0, n_steps=n_steps)
    tables = encoding_tables(spec)
    raster = encode(images, tables, spikes="pooled", phase="train", seed=3)
    raster.check()
    counts = raster.offsets[:, -1] - raster.offsets[:, 0]
    assert (counts[::2] == 0).all()
    mu = 16.0 * 784 * n_steps
    assert (np.abs(counts[1::2] - mu) < SIGMAS * math.sqrt(mu)).all()
    for i in (1, 31):
        alone = encode(images[[i]], tables, spikes="pooled", phase="train", seed=3, first=i)
        assert raster.slice([i]).inputs.tolist() == alone.inputs.tolist()
