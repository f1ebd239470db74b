"""Runs in pieces, image by image, on denser rasters and on two threads: the bits of one run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.engine.fast_runs import (
    SEED,
    Bits,
    bits_of,
    differing,
    pinned,
    rasters_of,
)
from tinysnn_hw.data import Raster
from tinysnn_hw.engine import (
    RunResult,
    initial_float_state,
    initial_state,
    lower,
    merge_stats,
    open_session,
    run,
)
from tinysnn_hw.engine.params import ACTIVITY
from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import NetworkSpec, load_network

# --- How a run is divided ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["generic", "fast"])
@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_pieces_of_a_training_are_the_training(name: str, kernel: str) -> None:
    spec = load_network(name, recipe="digits", settings={"formats.v_mem.rounding": "stochastic"})
    lowered = lower(spec)
    n = 8
    raster = rasters_of(spec, n_train=n)["train"]
    seen = []
    for cuts in ([0, n], list(range(n + 1)), [0, 3, 4, n]):
        one_session = open_session(lowered, initial_state(lowered, SEED), raster, kernel=kernel)
        state, counts = initial_state(lowered, SEED), []
        stats = {"runs": state.stats, "session": state.stats}
        activity = np.zeros(len(ACTIVITY), np.int64)
        for first, end in pairwise(cuts):
            piece = raster.slice(slice(first, end))
            arguments: dict[str, Any] = {
                "phase": "train", "seed": SEED, "first": first, "n_presentations": n,
            }  # fmt: skip
            result = run(lowered, state, piece, kernel=kernel, **arguments)
            again = one_session.run(piece, **arguments)
            assert result.counts.tolist() == again.counts.tolist()
            counts.append(result.counts)
            activity += result.activity
            stats = {
                "runs": merge_stats(stats["runs"], result.stats),
                "session": merge_stats(stats["session"], again.stats),
            }
        whole = RunResult(np.concatenate(counts), stats["runs"], activity, kernel, {})
        seen.append(bits_of(whole, state))
        stored = initial_state(lowered, 0)
        one_session.store(stored)
        seen.append(bits_of(RunResult(whole.counts, stats["session"], activity, kernel, {}), stored))
    assert seen[0]["activity"][2] > 10
    for other in seen[1:]:
        assert differing(seen[0], other) == []


@pytest.mark.parametrize("kernel", ["generic", "fast"])
def test_each_image_alone_is_the_pass(kernel: str) -> None:
    """In labelling and test no image leaves anything behind for the next."""
    spec = load_network("tinysnn-wta", recipe="digits", settings={"formats.v_mem.rounding": "stochastic"})
    lowered = lower(spec)
    raster = rasters_of(spec, n_other=6)["test"]
    session = open_session(lowered, initial_state(lowered, SEED), raster, kernel=kernel)
    whole = session.run(raster, phase="test", seed=SEED)
    parts = [session.run(raster.slice([i]), phase="test", seed=SEED, first=i) for i in (4, 0, 5, 1, 3, 2)]
    assert whole.counts[[4, 0, 5, 1, 3, 2]].tolist() == [part.counts[0].tolist() for part in parts]
    stats = parts[0].stats
    for part in parts[1:]:
        stats = merge_stats(stats, part.stats)
    assert stats.tolist() == whole.stats.tolist()
    assert sum(part.activity for part in parts).tolist() == whole.activity.tolist()


def dense_raster(spec: NetworkSpec, per_step: int, n_images: int) -> Raster:
    """A raster with about ``per_step`` events in every step, several of one input among them."""
    rng = np.random.default_rng(per_step)
    shape = (n_images, spec.encoding.n_steps, spec.network.inputs)
    return Raster.from_dense(rng.poisson(per_step / spec.network.inputs, shape))


def test_a_session_moves_to_denser_rasters() -> None:
    """From 16-bit to 32-bit lanes in the middle of a training, without a bit's difference."""
    spec = pinned("tinysnn-wta", recipe="digits")
    lowered = lower(spec)
    rasters = [dense_raster(spec, per_step, 2) for per_step in (4, 60, 300, 5)]
    session = open_session(lowered, initial_state(lowered, SEED), rasters[0])
    state, kernels = initial_state(lowered, SEED), []
    for place, raster in enumerate(rasters):
        arguments: dict[str, Any] = {"phase": "train", "seed": SEED, "first": 2 * place, "n_presentations": 8}
        if raster.max_events_per_step > session.max_events:
            with pytest.raises(SpecError, match=f"{raster.max_events_per_step} events in one step"):
                session.run(raster, **arguments)
        fitting = session.fitting(raster)
        assert (fitting is session) == (raster.max_events_per_step <= session.max_events)
        session = fitting
        kernels.append(session.kernel)
        fast = session.run(raster, **arguments)
        slow = run(lowered, state, raster, kernel="generic", **arguments)
        stored = initial_state(lowered, 0)
        session.store(stored)
        assert differing(bits_of(slow, state), bits_of(fast, stored)) == []
        assert slow.activity[1] > 0
    assert kernels == ["fast w8 l16", "fast w8 l16", "fast w16 l32", "fast w16 l32"]


@pytest.mark.parametrize("per_step", [128, 129, 200, 257, 258, 700])
def test_full_weights_in_dense_steps(per_step: int) -> None:
    """Sums of bytes up to the last that fits 16 bits, and beyond it."""
    spec = pinned("tinysnn-wta", recipe="digits", neurons=70, v_mem="s12.8", v_th="s12.8")
    lowered = lower(spec)
    rng = np.random.default_rng(per_step)
    sizes = 2, spec.encoding.n_steps, spec.network.inputs
    raster = Raster.from_dense(rng.multinomial(per_step, [1 / sizes[2]] * sizes[2], sizes[:2]))
    seen = []
    for kernel in ("generic", "fast"):
        state = initial_state(lowered, SEED)
        state.weight[:] = lowered.params.syn.w_max
        result = run(lowered, state, raster, phase="train", seed=SEED, n_presentations=2, kernel=kernel)
        seen.append(bits_of(result, state))
    assert result.kernel == ("fast w8 l32" if per_step <= 257 else "fast w16 l32")
    assert differing(*seen) == [] and result.activity[1] > 0


# --- Threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["generic", "fast"])
def test_two_threads_on_one_session(kernel: str) -> None:
    spec = load_network("tinysnn-wta", recipe="digits", settings={"formats.v_mem.rounding": "stochastic"})
    lowered = lower(spec)
    raster = rasters_of(spec, n_other=64)["test"]
    session = open_session(lowered, initial_state(lowered, SEED), raster, kernel=kernel)
    parts = [raster.slice(slice(i, i + 4)) for i in range(0, 64, 4)]

    def show(place: int) -> RunResult:
        return session.run(parts[place], phase="test", seed=SEED, first=4 * place)

    serial = [show(place) for place in range(len(parts))]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            for one, other in zip(serial, pool.map(show, range(len(parts))), strict=True):
                assert one.counts.tolist() == other.counts.tolist()
                assert one.stats.tolist() == other.stats.tolist()
                assert one.activity.tolist() == other.activity.tolist()


def test_two_trainings_at_once() -> None:
    spec = load_network("tinysnn-wta", recipe="digits")
    lowered = lower(spec)
    raster = rasters_of(spec, n_train=60)["train"]

    def train(seed: int) -> Bits:
        state = initial_state(lowered, seed)
        result = run(lowered, state, raster, phase="train", seed=seed, n_presentations=60)
        return bits_of(result, state)

    serial = [train(seed) for seed in range(4)]
    assert differing(serial[0], serial[1]) != []
    with ThreadPoolExecutor(2) as pool:
        for one, other in zip(serial, pool.map(train, range(4)), strict=True):
            assert differing(one, other) == []


def test_the_float_twin_learns_in_pieces_too() -> None:
    spec = load_network("tinysnn-wta", recipe="digits")
    lowered = lower(spec)
    raster = rasters_of(spec, n_train=6)["train"]
    whole, pieces = initial_float_state(lowered, SEED), initial_float_state(lowered, SEED)
    session = open_session(lowered, whole, raster)
    counts = session.run(raster, phase="train", seed=SEED, n_presentations=6).counts
    session.store(whole)
    session = open_session(lowered, pieces, raster)
    parts = [
        session.run(raster.slice([i]), phase="train", seed=SEED, first=i, n_presentations=6).counts
        for i in range(6)
    ]
    session.store(pieces)
    assert np.concatenate(parts).tolist() == counts.tolist()
    for name in ("weight", "theta", "v_th"):
        assert getattr(whole, name).tobytes() == getattr(pieces, name).tobytes()
