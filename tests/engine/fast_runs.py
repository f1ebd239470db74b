"""Runs of both kernels on the same rasters, and the comparison of every bit they leave."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import (
    Lowered,
    NetworkState,
    RunResult,
    choose_plan,
    initial_state,
    lower,
    run,
)
from tinysnn_hw.spec import NetworkSpec, load_network

SEED = 11
ROUNDINGS = ["floor", "to_zero", "nearest", "nearest_away", "nearest_even", "stochastic"]
PHASES = ("train", "label", "test")
SATURATED = slice(2, 4)

Bits = dict[str, np.ndarray]


@cache
def pictures(side: int, n: int) -> np.ndarray:
    """Digits of 8 x 8, or enlarged to 28 x 28 with a dark border, uint8[n, side**2]."""
    small = load_dataset("digits").train_images[:n].reshape(n, 8, 8)
    if side == 8:
        return small.reshape(n, -1)
    large = np.zeros((n, 28, 28), np.uint8)
    large[:, 2:26, 2:26] = np.kron(small, np.ones((3, 3), np.uint8))
    return large.reshape(n, -1)


def rasters_of(spec: NetworkSpec, n_train: int = 3, n_other: int = 3) -> dict[str, Raster]:
    side = {784: 28, 64: 8}.get(spec.network.inputs)
    rng = np.random.default_rng(0)
    images = (
        pictures(side, n_train + n_other)
        if side
        else rng.integers(0, 256, (n_train + n_other, spec.network.inputs), np.uint8)
    )
    return rasters_from(spec, images[:n_train], images[n_train:])


def rasters_from(spec: NetworkSpec, train: np.ndarray, other: np.ndarray) -> dict[str, Raster]:
    encoding, tables = spec.encoding, encoding_tables(spec.encoding)
    spikes = dict.fromkeys(PHASES, encoding.inference_spikes) | {"train": encoding.train_spikes}
    return {
        phase: encode(
            train if phase == "train" else other, tables, spikes=spikes[phase], phase=phase, seed=SEED
        )
        for phase in PHASES
    }


def bits_of(result: RunResult, state: NetworkState) -> Bits:
    seen = {"counts": result.counts, "stats": result.stats, "activity": result.activity}
    seen |= {"weight": state.weight, "theta": state.theta, "v_th": state.v_th}
    return {name: np.array(value, np.int64) for name, value in seen.items()}


def differing(a: Bits, b: Bits) -> list[str]:
    assert set(a) == set(b)
    return [name for name in a if a[name].shape != b[name].shape or (a[name] != b[name]).any()]


def run_all(lowered: Lowered, rasters: dict[str, Raster], kernel: str) -> dict[str, Bits]:
    """Train, label and test; return every bit of each phase."""
    state, seen = initial_state(lowered, SEED), {}
    for phase, raster in rasters.items():
        total = raster.n_images if phase == "train" else None
        result = run(lowered, state, raster, phase=phase, seed=SEED, n_presentations=total, kernel=kernel)
        assert result.kernel.startswith(kernel)
        seen[phase] = bits_of(result, state)
    return seen


def compared(
    spec: NetworkSpec, plan: str | None, rasters: dict[str, Raster] | None = None
) -> dict[str, Bits]:
    """Run both kernels, assert that no bit differs and that something happened; return the bits."""
    rasters = rasters_of(spec) if rasters is None else rasters
    lowered = lower(spec)
    for raster in rasters.values():
        chosen = choose_plan(lowered, raster.max_events_per_step)
        assert chosen is not None and plan in (None, chosen.name)
    slow, fast = (run_all(lowered, rasters, kernel) for kernel in ("generic", "fast"))
    for phase in rasters:
        assert differing(slow[phase], fast[phase]) == [], phase
        assert slow[phase]["activity"][1] > 0, f"no output spikes in {phase}"
        assert (slow[phase]["counts"].sum(axis=0) > 0).any()
    assert slow["train"]["activity"][2] > 0, "nothing was learned"
    assert (slow["train"]["weight"] != initial_state(lowered, SEED).weight).any()
    return slow


# Words that put the first network into 32-bit lanes and the second into 16-bit ones, whatever is shipped.
PINNED: dict[str, dict[str, Any]] = {
    "tinysnn": {
        "weight": "u0.8",
        "v_mem": "s9.8",
        "v_th": "s9.8",
        "theta": "u8.16",
        "neuron__v_th_cap": None,
    },
    "tinysnn-wta": {"weight": "u0.8", "v_mem": "s8.8", "v_th": "s8.8", "theta": "u8.16"},
}
PLANS = {"tinysnn": "fast w8 l32", "tinysnn-wta": "fast w8 l16"}


def pinned(name: str, *, recipe: str | None = None, **changes: Any) -> NetworkSpec:
    """Load a network with pinned words; a dotted key is written with two underscores for its dot."""
    changes = PINNED[name] | changes
    settings = {key.replace("__", "."): changes.pop(key) for key in list(changes) if "__" in key}
    return load_network(name, recipe=recipe, settings=settings, **changes)


def compared_network(name: str, plan: str, *, recipe: str | None = None, **changes: Any) -> dict[str, Bits]:
    return compared(pinned(name, recipe=recipe, **changes), plan)
