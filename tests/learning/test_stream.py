"""Streams: every presentation once, in order, within its epoch, with the spikes of its number."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.data import Raster, make_dataset, make_spike_dataset
from tinysnn_hw.data.encode import encode, encoding_tables, epoch_order
from tinysnn_hw.errors import DataError
from tinysnn_hw.learning.stream import CHUNK, Stream, ahead, check_data
from tinysnn_hw.spec import load_network

RNG = np.random.default_rng(0)
N = 2 * CHUNK + 11


def spec_of(*, shuffle: bool = False):
    return load_network(
        inputs=6, neurons=3,
        settings={"learning.shuffle": shuffle, "encoding.n_steps": 12, "learning.update_steps": 6,
                  "encoding.rate_max_hz": 500.0, "encoding.gain": "none"},
    )  # fmt: skip


IMAGES = RNG.integers(0, 256, (N, 6), np.uint8)
LABELS = RNG.integers(0, 4, N)
DATA = make_dataset("toy", IMAGES, LABELS, IMAGES[::-1], LABELS[::-1], n_classes=4)


def stream_of(
    phase: str = "train", *, shuffle: bool = False, n_images: int = N, epochs: int = 1, seed: int = 4
):
    spec = spec_of(shuffle=shuffle)
    return Stream(DATA, spec, encoding_tables(spec.encoding), seed, phase, n_images, epochs)


def same(a: Raster, b: Raster) -> bool:
    return a.offsets.tolist() == b.offsets.tolist() and a.inputs.tolist() == b.inputs.tolist()


@given(st.integers(1, N), st.integers(1, 4))
def test_chunks_cover_every_presentation_once(n_images: int, epochs: int) -> None:
    stream = stream_of(n_images=n_images, epochs=epochs)
    chunks = list(stream.chunks())
    assert stream.total == n_images * epochs
    covered = [p for first, length in chunks for p in range(first, first + length)]
    assert covered == list(range(stream.total))
    for first, length in chunks:
        assert 1 <= length <= CHUNK
        assert first // n_images == (first + length - 1) // n_images  # within one epoch


def test_chunks_from_the_middle() -> None:
    stream = stream_of(epochs=2)
    assert next(iter(stream.chunks(N + 3))) == (N + 3, CHUNK)
    assert sum(length for _, length in stream.chunks(N + 3)) == N - 3
    assert list(stream.chunks(2 * N)) == []


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_training_presents_its_images_in_order(shuffle: bool) -> None:
    stream = stream_of(shuffle=shuffle, epochs=2)
    for first, length in stream.chunks():
        epoch, begin = divmod(first, N)
        order = epoch_order(N, seed=4, epoch=epoch, shuffle=shuffle)[begin : begin + length]
        expected = encode(
            IMAGES[order], stream.tables, spikes="poisson", phase="train", seed=4, first=first
        )  # fmt: skip
        assert same(stream.raster(first, length), expected)


@pytest.mark.parametrize("phase", ["label", "test"])
def test_labelling_and_test_are_in_file_order(phase: str) -> None:
    """Shuffling is for training; labelling shows the training images, test the test images."""
    stream = stream_of(phase, shuffle=True)
    images = DATA.test_images if phase == "test" else DATA.train_images
    expected = encode(images[3:9], stream.tables, spikes="regular", phase=phase, seed=4, first=3)
    assert same(stream.raster(3, 6), expected)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_encoding_ahead_keeps_the_order(threads: int) -> None:
    stream = stream_of(epochs=3)
    seen = list(ahead(stream, threads))
    assert [first for first, _ in seen] == [first for first, _ in stream.chunks()]
    for (first, length), (_, raster) in zip(stream.chunks(), seen, strict=True):
        assert same(raster, stream.raster(first, length))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stream_left_early_stops_its_thread(threads: int) -> None:
    running = threading.active_count()
    rasters = ahead(stream_of(epochs=50), threads)
    next(rasters)
    rasters.close()
    assert threading.active_count() == running


def test_only_a_few_chunks_are_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow simulation is not overrun: memory holds a handful of chunks, not an epoch."""
    made: list[int] = []
    raster = Stream.raster

    def counted(self: Stream, first: int, length: int) -> Raster:
        made.append(first)
        return raster(self, first, length)

    monkeypatch.setattr(Stream, "raster", counted)
    rasters = ahead(stream_of(epochs=20), 2)
    next(rasters)
    time.sleep(0.2)
    assert 1 <= len(made) <= 4
    rasters.close()


def test_an_error_while_encoding_ahead_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Stream, first: int, length: int) -> Raster:
        raise DataError(f"chunk {first} is bad")

    monkeypatch.setattr(Stream, "raster", broken)
    for threads in (1, 2):
        with pytest.raises(DataError, match="chunk 0 is bad"):
            list(ahead(stream_of(), threads))


def test_a_users_spikes_are_cut_not_encoded() -> None:
    spec = spec_of(shuffle=True)
    raster = Raster.from_dense(RNG.integers(0, 3, (N, 12, 6)))
    other = Raster.from_dense(RNG.integers(0, 3, (5, 12, 6)))
    data = make_spike_dataset("own", raster, LABELS, other, LABELS[:5], n_classes=4)
    stream = Stream(data, spec, None, 4, "train", N, 2)
    for first, length in stream.chunks():
        epoch, begin = divmod(first, N)
        order = epoch_order(N, seed=4, epoch=epoch, shuffle=True)[begin : begin + length]
        assert same(stream.raster(first, length), raster.slice(order))
    test = Stream(data, spec, None, 4, "test", 5)
    assert same(test.raster(1, 3), other.slice(slice(1, 4)))


def test_images_need_tables() -> None:
    with pytest.raises(DataError, match="needs encoding tables"):
        Stream(DATA, spec_of(), None, 4, "train", N).raster(0, 1)


def test_data_must_fit_the_network() -> None:
    check_data(spec_of(), DATA)
    with pytest.raises(
        DataError, match=r"'toy' has 6 inputs per image; .* choose the recipe .* set inputs=6"
    ):
        check_data(load_network(), DATA)
    raster = Raster.from_dense(np.zeros((2, 13, 6), np.int64))
    data = make_spike_dataset("own", raster, [0, 1], raster, [0, 1])
    with pytest.raises(DataError, match=r"'own' has 13 steps per image; .* encoding\.n_steps = 12"):
        check_data(spec_of(), data)
