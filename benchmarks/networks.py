"""The networks of tinysnn_hw, loaded and ready to be measured: encoding, training, inference.

Only public calls are used, so the measurements stay the same when the kernels change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from harness import Row, Sample, Work, take_turns

from tinysnn_hw.data import Raster
from tinysnn_hw.data.encode import EncodingTables, encode, encoding_tables
from tinysnn_hw.engine import initial_float_state, initial_state, lower, open_session
from tinysnn_hw.spec import NetworkSpec, load_network

NETWORKS = ("tinysnn-wta", "tinysnn")
ENCODERS = {"renewal": "poisson"}
"""Encoders named in the tables, the default first, and the value of `encoding.train_spikes` that selects each."""
DEFAULT_ENCODER = next(iter(ENCODERS))
LOAD: dict[str, Any] = {
    "encoding.n_steps": 350,
    "encoding.rate_max_hz": 63.75,
    "encoding.intensity_exponent": 1.0,
    "learning.update_steps": 50,
    "neuron.leak": "shift",
    "formats.v_mem.format": "s8.8",
    "formats.v_th.format": "s8.8",
}
"""The stated load: 350 steps, 63.75 Hz, shift leak, 16-bit state, 7 updates and normalisation per image."""
WIDE = {"neuron.leak": "multiply", "formats.v_mem.format": "s10.16", "formats.v_th.format": "s8.8"}
"""On top of the load: multiplicative leak and 32-bit lanes."""


@dataclass
class Prepared:
    """A network with its raster, ready to run; training goes on from call to call."""

    name: str
    neurons: int
    images: np.ndarray
    encoder: str = DEFAULT_ENCODER
    settings: Mapping[str, Any] = field(default_factory=lambda: LOAD)
    recipe: str | None = None
    spec: NetworkSpec = field(init=False)
    tables: EncodingTables = field(init=False)
    raster: Raster = field(init=False)

    def __post_init__(self) -> None:
        settings = dict(self.settings)
        if not self.recipe:
            for phase in ("train", "inference"):
                settings[f"encoding.{phase}_spikes"] = ENCODERS[self.encoder]
        self.spec = load_network(self.name, recipe=self.recipe, neurons=self.neurons, settings=settings)
        self.tables = encoding_tables(self.spec.encoding)
        self.lowered = lower(self.spec)
        self.raster = self.encode()
        self.session = open_session(self.lowered, initial_state(self.lowered, 0), self.raster)

    @property
    def n_images(self) -> int:
        return len(self.images)

    @property
    def kernel(self) -> str:
        return self.session.kernel

    def spikes(self, phase: str) -> str:
        """Return the spike statistics of a phase: the recipe's own, or those of the encoder under the load."""
        if self.recipe:
            return (
                self.spec.encoding.train_spikes if phase == "train" else self.spec.encoding.inference_spikes
            )
        return ENCODERS[self.encoder]

    def encode(self, phase: str = "train") -> Raster:
        return encode(self.images, self.tables, spikes=self.spikes(phase), phase=phase, seed=0)

    def train(self, raster: Raster | None = None) -> Any:
        raster = self.encode() if raster is None else raster
        return self.session.run(raster, phase="train", seed=0, n_presentations=raster.n_images)

    def infer(self, raster: Raster | None = None) -> Any:
        return self.session.run(self.encode("test") if raster is None else raster, phase="test", seed=0)

    def works(self) -> dict[str, Work]:
        """Return what is measured of a network, by name."""
        return {
            "encode": self.encode,
            "train, encoding included": self.train,
            "infer, encoding included": self.infer,
            "train, raster shared": lambda: self.train(self.raster),
            "infer, raster shared": lambda: self.infer(self.raster),
        }

    def float_work(self, n_images: int) -> Work:
        """Return the training of the float64 twin on the first images."""
        raster = self.raster.slice(slice(0, n_images))
        twin = open_session(self.lowered, initial_float_state(self.lowered, 0), raster)
        return lambda: twin.run(raster, phase="train", seed=0, n_presentations=n_images)

    def describe(self) -> str:
        """Return what a row says about its settings."""
        spec = self.spec
        return (
            f"{'recipe ' + self.recipe if self.recipe else 'stated load'}: {spec.encoding.n_steps} steps, "
            f"{spec.encoding.rate_max_hz:g} Hz, {self.spikes('train')} spikes in training, "
            f"{self.spikes('test')} in inference, leak {spec.neuron.leak}, weight {spec.formats.weight.format} "
            f"{spec.formats.weight.rounding.name.lower()}, v_mem {spec.formats.v_mem.format}, v_th "
            f"{spec.formats.v_th.format}, update every {spec.learning.update_steps} steps; kernel {self.kernel}; "
            "saturations counted"
        )


def images_per_repeat(neurons: int, at_400: int) -> int:
    """Return how many images one repeat runs, so that repeats of all sizes take about as long."""
    return max(8, min(2 * at_400, at_400 * 400 // neurons))


def measure(prepared: Prepared, repeats: int, *, twin: bool = False) -> list[Row]:
    """Measure one network: images/s of everything in `Prepared.works`, in turn."""
    works, counts = prepared.works(), {}
    if twin:
        counts["train float64 twin, raster shared"] = n_twin = max(1, prepared.n_images // 8)
        works["train float64 twin, raster shared"] = prepared.float_work(n_twin)
    rows = []
    for what, seconds in take_turns(works, repeats).items():
        rates = Sample(tuple(counts.get(what, prepared.n_images) / taken for taken in seconds))
        rows.append(
            Row("tinysnn_hw", prepared.name, what, "images/s", rates, prepared.neurons, encoder_of(prepared, what),
                settings=prepared.describe())
        )  # fmt: skip
    return rows


def encoder_of(prepared: Prepared, what: str) -> str:
    """Return the encoder a row names: the raster's, also where the raster is shared."""
    if prepared.recipe:
        return prepared.spikes("test" if what.startswith("infer") else "train")
    return prepared.encoder
