"""Spikes made on the GPU, and whole runs through `tinysnn_hw.learning`, against the CPU."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinysnn_hw.data import Raster, load_dataset, make_spike_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine.cuda.spikes import DeviceImages, copy_rasters, join_spikes
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import evaluate_many, train_many
from tinysnn_hw.spec import load_network
from tinysnn_hw.spec.network import EncodingSpec

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")


def events(raster: Raster) -> list[list[int]]:
    ends = zip(raster.offsets[:, :-1].ravel(), raster.offsets[:, 1:].ravel(), strict=True)
    return [sorted(raster.inputs[a:b].tolist()) for a, b in ends]


@pytest.mark.parametrize("gain", ["none", "total"])
@pytest.mark.parametrize("spikes", ["poisson", "regular", "pooled"])
def test_spikes_are_those_of_the_cpu(spikes: str, gain: str) -> None:
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (3, 6)) * (rng.random((3, 6)) < 0.7)).astype(np.uint8)
    spec = EncodingSpec(
        n_steps=20, rate_max_hz=600.0, gain=gain, gain_reference=500, train_spikes=spikes,
        inference_spikes=spikes,
    )  # fmt: skip
    tables, orders, seeds = encoding_tables(spec), np.array([[2, 0], [1, 2]]), [5, 2**32 - 1]
    made = DeviceImages(images, tables).encode(orders, seeds, spikes=spikes, phase="label", first=7)
    assert made.n_rasters == 2
    for k in (0, 1):
        expected = encode(
            images, tables, spikes=spikes, phase="label", seed=seeds[k], first=7, order=orders[k]
        )
        assert expected.n_events > 10
        assert events(made.raster(k)) == events(expected)
        assert made.max_events_per_step[k] == expected.max_events_per_step


def test_a_dark_image_has_no_spikes() -> None:
    spec = EncodingSpec(n_steps=4, rate_max_hz=100.0, train_spikes="pooled", inference_spikes="pooled")
    tables = encoding_tables(spec)
    dark = DeviceImages(np.zeros((1, 3), np.uint8), tables)
    made = dark.encode(np.zeros((1, 1), np.int64), [0], spikes="pooled", phase="test")
    assert made.raster(0).n_events == 0 and made.max_events_per_step == (0,)


def test_rasters_joined_and_reordered() -> None:
    rng = np.random.default_rng(1)
    rasters = [Raster.from_dense(rng.integers(0, 3, (2, steps, 4))) for steps in (3, 5, 2)]
    joined = join_spikes([copy_rasters(rasters[:2]), copy_rasters(rasters[2:])]).reordered([2, 0, 1])
    for k, source in enumerate((2, 0, 1)):
        assert events(joined.raster(k)) == events(rasters[source])
    with pytest.raises(SpecError, match=r"same number of images, not \[1, 2\]"):
        copy_rasters([rasters[0], rasters[1].slice(slice(0, 1))])


SHORT = {
    "encoding.n_steps": 8, "learning.update_steps": 4, "learning.epochs": 1, "encoding.rate_max_hz": 900.0
}  # fmt: skip


def networks() -> list[Any]:
    """Return networks with other widths, encodings, orders and storages."""
    return [
        load_network(name, recipe="digits", neurons=neurons, settings=SHORT | more)
        for name, neurons, more in (
            ("tinysnn-wta", 3, {"learning.shuffle": True}),
            ("tinysnn-wta", 4, {"formats.weight.format": "u0.10"}),
            ("tinysnn", 2, {"encoding.rate_max_hz": 700.0}),
            ("baseline", 2, {"learning.update_steps": 1}),
        )
    ]


def generic_session(warmed: Any, stream: Any, lowered: Any, state: Any, kernel: str, seed: int) -> Any:
    assert kernel == "auto"
    return warmed(stream, lowered, state, "generic", seed)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU run its plain kernel, since the fast one needs the compiler, and make short chunks."""
    for name in ("train", "present"):
        module = sys.modules[f"tinysnn_hw.learning.{name}"]
        monkeypatch.setattr(module, "warmed_session", partial(generic_session, module.warmed_session))
    for name in ("stream", "gpu"):
        monkeypatch.setattr(sys.modules[f"tinysnn_hw.learning.{name}"], "CHUNK", 2)


def same(a: Any, b: Any) -> None:
    assert a.registers == b.registers and a.activity == b.activity


def test_whole_runs_are_those_of_the_cpu(plain: None) -> None:
    data = load_dataset("digits").limit(3, 2)
    seen: list[tuple[str, int, int]] = []
    models = {
        backend: train_many(
            networks(), data, seeds=[3], threads=1, backend=backend, progress=lambda *said: seen.append(said)
        )
        for backend in ("cuda", "cpu")
    }
    assert [model.kernel.split()[0] for model in models["cuda"]] == ["cuda"] * 4
    assert {model.kernel for model in models["cpu"]} == {"generic"}
    assert seen.count(("train", 12, 12)) == 2
    for a, b in zip(models["cuda"], models["cpu"], strict=True):
        same(a, b)
        assert a.activity.updates > 0
        for name in ("weight", "theta", "v_th"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    found = {
        backend: evaluate_many(models["cpu"][:2], data, threads=1, backend=backend)
        for backend in ("cuda", "cpu")
    }
    for a, b in zip(found["cuda"], found["cpu"], strict=True):
        same(a, b)
        assert a.readouts == b.readouts and a.spikes_per_image == b.spikes_per_image


def test_spikes_given_by_the_user(plain: None) -> None:
    rng = np.random.default_rng(2)
    rasters = [Raster.from_dense(rng.integers(0, 2, (n, 8, 64))) for n in (3, 2)]
    data = make_spike_dataset("mine", rasters[0], [0, 1, 0], rasters[1], [0, 1])
    models = [train_many(networks()[:1], data, threads=1, backend=b)[0] for b in ("cuda", "cpu")]
    same(*models)
    np.testing.assert_array_equal(models[0].weight, models[1].weight)
