"""The encoder and the order of images against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.both_sides import events_of
from tests.engine.random_networks import lively_case
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.data.encode import epoch_order as kernel_epoch_order
from tinysnn_hw.engine.oracle import encode_image, epoch_order
from tinysnn_hw.engine.oracle import encoding_tables as oracle_tables
from tinysnn_hw.spec.network import EncodingSpec


def between(draw: st.DrawFn, low: float, high: float) -> float:
    return draw(st.sampled_from([low, high]) | st.floats(low, high))


@st.composite
def encodings(draw: st.DrawFn) -> EncodingSpec:
    return EncodingSpec(
        n_steps=draw(st.integers(1, 60)),
        dt=draw(st.sampled_from([1e-3, 5e-4, 0.004])),
        rate_max_hz=between(draw, 1.0, 1500.0),
        intensity_exponent=between(draw, 0.3, 3.0),
        gain=draw(st.sampled_from(["none", "total"])),
        gain_reference=draw(st.integers(1, 3000)),
        gain_min=between(draw, 0.01, 1.0),
        gain_max=between(draw, 1.0, 8.0),
        train_spikes=draw(st.sampled_from(["poisson", "regular"])),
        inference_spikes=draw(st.sampled_from(["poisson", "regular"])),
    )


@settings(max_examples=40)
@given(
    encoding=encodings(),
    pixels=st.lists(
        st.lists(st.sampled_from([0, 1, 255]) | st.integers(0, 255), min_size=5, max_size=5),
        min_size=1, max_size=3,
    ),
    phase=st.sampled_from(["train", "label", "test"]),
    seed=st.integers(0, 2**32 - 1),
    first=st.sampled_from([0, 1, 59999, 2**31 - 5]),
)  # fmt: skip
def test_encoding_equals_oracle(
    encoding: EncodingSpec, pixels: list[list[int]], phase: Any, seed: int, first: int
) -> None:
    tables = encoding_tables(encoding)
    interval, quantile = oracle_tables(encoding)
    # Powers and logarithms of two libraries may differ in the last bit; the tables are what counts.
    assert np.abs(np.array(tables.interval) - interval).max() <= 1
    assert np.abs(np.array(tables.quantile) - quantile).max() <= 1
    spikes = encoding.train_spikes if phase == "train" else encoding.inference_spikes
    raster = encode(np.array(pixels, np.uint8), tables, spikes=spikes, phase=phase, seed=seed, first=first)
    raster.check()
    for image, row in enumerate(pixels):
        expected = encode_image(
            encoding, row, phase=phase, presentation=first + image, seed=seed,
            tables=(tables.interval.tolist(), tables.quantile.tolist()),
        )  # fmt: skip
        assert events_of(raster, image) == expected


def test_encoding_in_another_order_keys_spikes_by_presentation() -> None:
    encoding = lively_case().spec.encoding
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    order = np.array([2, 0, 3, 1])
    raster = encode(
        pixels, encoding_tables(encoding), spikes="regular", phase="train", seed=3, first=8, order=order
    )
    for place, image in enumerate(order):
        expected = encode_image(
            encoding, pixels[image].tolist(), phase="train", presentation=8 + place, seed=3
        )
        assert events_of(raster, place) == expected


@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    shuffle=st.booleans(),
)
def test_epoch_order_equals_oracle(n: int, seed: int, epoch: int, shuffle: bool) -> None:
    kernel = kernel_epoch_order(n, seed=seed, epoch=epoch, shuffle=shuffle)
    assert kernel.tolist() == epoch_order(n, seed, epoch, shuffle)
