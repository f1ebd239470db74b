"""Encoded pictures as the tests of rate coding look at them."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.data import Raster
from tinysnn_hw.data.encode import EncodingTables, encode, encoding_tables
from tinysnn_hw.spec.network import EncodingSpec

SIGMAS = 5.0


def encoding(**changes) -> EncodingSpec:
    given = {
        "n_steps": 250, "rate_max_hz": 100.0, "train_spikes": "poisson", "inference_spikes": "regular",
    } | changes  # fmt: skip
    return EncodingSpec.model_validate(given)


def tables_of(**changes) -> EncodingTables:
    return encoding_tables(encoding(**changes))


def dense(images, tables, *, spikes="poisson", phase="train", seed=1, **arguments) -> np.ndarray:
    """Events per image, step and input, of a raster that passes every check."""
    raster = encode(np.asarray(images, np.uint8), tables, spikes=spikes, phase=phase, seed=seed, **arguments)
    raster.check()
    return raster.to_dense(np.int64)


def trains(events: np.ndarray) -> np.ndarray:
    """Events per step of every input of every image, one train per row."""
    return events.transpose(0, 2, 1).reshape(-1, events.shape[1])


def same(a: Raster, b: Raster) -> bool:
    return a.offsets.tolist() == b.offsets.tolist() and a.inputs.tolist() == b.inputs.tolist()


def pictures(n: int, n_inputs: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (n, n_inputs)) * (rng.random((n, n_inputs)) < 0.6)).astype(np.uint8)
