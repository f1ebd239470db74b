"""The comparison of the kernels can fail: one flipped bit is noticed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.fast_runs import (
    SEED,
    Bits,
    differing,
    rasters_of,
)
from tinysnn_hw.data import Raster
from tinysnn_hw.engine import (
    Lowered,
    initial_state,
    lower,
    open_session,
)
from tinysnn_hw.spec import load_network

# --- The comparison itself can fail --------------------------------------------------------------------


def coarse() -> tuple[Lowered, dict[str, Raster]]:
    """A busy network with coarse words, so that the last bit of any of them decides something."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=20, weight="u0.3", v_mem="s8.2", v_th="s8.2", theta="u8.4"
    )
    return lower(spec), rasters_of(spec, n_train=20, n_other=20)


def present(session: Any, rasters: dict[str, Raster], phase: str) -> Bits:
    """Bits of one pass, read from the results alone: not from the words that were changed."""
    raster = rasters[phase]
    result = session.run(raster, phase=phase, seed=SEED, n_presentations=raster.n_images)
    return {"counts": result.counts, "stats": result.stats, "activity": result.activity}


@pytest.mark.parametrize("phase", ["train", "test"])
def test_the_coarse_network_agrees(phase: str) -> None:
    lowered, rasters = coarse()
    seen = [
        present(
            open_session(lowered, initial_state(lowered, SEED), rasters[phase], kernel=kernel), rasters, phase
        )
        for kernel in ("generic", "fast")
    ]
    assert differing(*seen) == []


@pytest.mark.parametrize(
    ("phase", "register"),
    [("train", "weight"), ("train", "theta"), ("train", "v_th"), ("test", "weight"), ("test", "v_th")],
)
def test_a_flipped_last_bit_is_noticed(phase: str, register: str) -> None:
    lowered, rasters = coarse()
    session = open_session(lowered, initial_state(lowered, SEED), rasters[phase], kernel="generic")
    expected = present(session, rasters, phase)
    state = initial_state(lowered, SEED)
    busiest = int(expected["counts"].sum(axis=0).argmax())
    words = getattr(state, register)
    words[(most_active_input(rasters[phase]), busiest) if register == "weight" else busiest] ^= 1
    faulty = open_session(lowered, state, rasters[phase], kernel="fast")
    assert differing(expected, present(faulty, rasters, phase)) != []


@pytest.mark.parametrize(
    ("phase", "storage"),
    [
        ("train", "rows"), ("train", "master"), ("train", "v_th"), ("train", "theta"),
        ("test", "rows"), ("test", "v_th"),
    ],
)  # fmt: skip
def test_a_flipped_last_bit_of_the_fast_storage_is_noticed(phase: str, storage: str) -> None:
    lowered, rasters = coarse()
    session = open_session(lowered, initial_state(lowered, SEED), rasters[phase], kernel="generic")
    expected = present(session, rasters, phase)
    faulty: Any = open_session(lowered, initial_state(lowered, SEED), rasters[phase], kernel="fast")
    busiest = int(expected["counts"].sum(axis=0).argmax())
    source = most_active_input(rasters[phase])
    weights = faulty.weights
    place: Any = busiest
    if storage == "rows":
        place = weights.origin[busiest] + source * weights.width[busiest]
    elif storage == "master":
        place = (busiest, source)
    (getattr(weights, storage) if hasattr(weights, storage) else getattr(faulty, storage))[place] ^= 1
    assert differing(expected, present(faulty, rasters, phase)) != []


def most_active_input(raster: Raster) -> int:
    return int(np.bincount(raster.inputs, minlength=raster.n_inputs).argmax())
