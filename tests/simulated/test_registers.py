"""The GPU kernel against the oracle: every register of every step, all rules and rounding modes, mixed launches."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.engine.both_sides import (
    ACTIVITY,
    COUNTED,
    differences,
    kernel_registers,
    oracle_run,
    oracle_stats,
)
from tests.engine.random_networks import ROUNDINGS, network, random_raster
from tinysnn_hw.data import Raster
from tinysnn_hw.engine import Lowered, initial_state, lower, merge_stats
from tinysnn_hw.engine.cuda import batch as batch_module
from tinysnn_hw.engine.cuda.batch import CudaBatch
from tinysnn_hw.engine.cuda.plan import Storage, choose_storage
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import FixedPointOverflowError, SpecError
from tinysnn_hw.spec.network import NetworkSpec

# Scalars of NumPy warn where a word of the hash wraps around, as it is meant to.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

Case = tuple[Lowered, int, Raster, Raster]
N_TRAINING = 2


def make_case(
    number: int, *, rounding: str | None = None, pairwise: bool | None = None, plain: bool = False
) -> Case | None:
    """Return a random network with its rasters, or None where it is refused."""
    chance = Random(number)
    pairwise = number % 2 == 1 if pairwise is None else pairwise
    sizes = chance.randint(1, 6), chance.randint(1, 5), chance.randint(3, 9)
    spec = network(chance, *sizes, plain=plain, pairwise=pairwise)
    if rounding is not None:
        values = spec.model_dump()
        for register in values["formats"].values():
            if isinstance(register, dict):
                register["rounding"] = rounding
        spec = NetworkSpec.model_validate(values)
    rng = np.random.default_rng(number)
    rasters = [random_raster(rng, n, spec) for n in (N_TRAINING, 1)]
    try:
        lowered = lower(spec, max_events=max(raster.max_events_per_step for raster in rasters))
    except SpecError:
        return None
    return lowered, chance.getrandbits(32), rasters[0], rasters[1]


def cases(numbers: range, **how: Any) -> dict[Storage, list[Case]]:
    """Return random cases in groups that one launch can take."""
    groups: dict[Storage, list[Case]] = {}
    for number in numbers:
        if (case := make_case(number, **how)) is not None:
            groups.setdefault(choose_storage(case[0]), []).append(case)
    return groups


def compare(group: list[Case], tally: Counter[str]) -> None:
    """Train and test the networks of a group in one launch each; every register must be the oracle's."""
    oracles = [Oracle(lowered.spec, seed) for lowered, seed, _, _ in group]
    states = [initial_state(lowered, seed) for lowered, seed, _, _ in group]
    initial = [
        (oracle_stats(oracle), state.stats.copy()) for oracle, state in zip(oracles, states, strict=True)
    ]
    expected = [oracle_run(o, case[2], "train", 3, 9) for o, case in zip(oracles, group, strict=True)]
    sound = [k for k, oracle in enumerate(oracles) if not oracle.refused]
    for k in set(range(len(group))) - set(sound):
        alone = CudaBatch([group[k][0]], [states[k]], [group[k][1]], record=True)
        with pytest.raises(FixedPointOverflowError):
            alone.run([group[k][2]], [0], phase="train", first=3, n_presentations=[9])
        tally["refused"] += 1
    if not sound:
        return
    chosen = [group[k] for k in sound]
    kept = [states[k] for k in sound]
    together = CudaBatch([case[0] for case in chosen], kept, [case[1] for case in chosen], record=True)
    places = list(range(len(sound)))
    results = together.run(
        [case[2] for case in chosen], places, phase="train", first=3, n_presentations=[9] * len(sound)
    )
    together.store(kept)
    for place, k in enumerate(sound):
        actual, wanted = kernel_registers(results[place], kept[place]), expected[k]
        wanted["stats"], actual["stats"] = (
            merge_stats(before, seen["stats"])
            for before, seen in zip(initial[k], (wanted, actual), strict=True)
        )
        assert not (found := differences(wanted, actual)), f"train, {group[k][0].spec}: {found}"
        count(tally, "train", results[place].activity, results[place].stats)
    wanted_tests = [oracle_run(oracles[k], group[k][3], "test", 5, None) for k in sound]
    if any(oracles[k].refused for k in sound):
        tally["refused"] += 1
        return
    results = together.run([case[3] for case in chosen], places, phase="test", first=5)
    for place, wanted in enumerate(wanted_tests):
        actual = kernel_registers(results[place], kept[place])
        assert not (found := differences(wanted, actual)), f"test, {chosen[place][0].spec}: {found}"
        count(tally, "test", results[place].activity, results[place].stats)
        tally["compared"] += 1
        tally[together.kernel] += 1


def count(tally: Counter[str], phase: str, activity: np.ndarray, stats: np.ndarray) -> None:
    for name, amount in zip(ACTIVITY, activity, strict=True):
        tally[f"{phase} {name}"] += int(amount)
    for name, (low, high) in zip(COUNTED, stats[:, 2:], strict=True):
        tally[f"{name} low"] += int(low)
        tally[f"{name} high"] += int(high)


def test_random_networks_in_mixed_launches() -> None:
    tally: Counter[str] = Counter()
    groups = cases(range(20))
    assert len(groups) > 1 and max(len(group) for group in groups.values()) > 3
    for group in groups.values():
        compare(group, tally)
    assert tally["compared"] >= 10, tally
    for name in ("output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions"):
        assert tally[f"train {name}"] > 0, tally
    assert tally["test output_spikes"] > 0 and tally["v_mem high"] > 0 and tally["weight high"] > 0, tally


def test_networks_in_lanes() -> None:
    """Formats that 32-bit lanes hold: every leak, cut or not, weights of 8 and of 16 bits."""
    tally: Counter[str] = Counter()
    for group in cases(range(214, 231), plain=True, pairwise=False).values():
        compare(group, tally)
        for lowered, *_ in group:
            tally[f"leak {lowered.spec.neuron.leak}"] += choose_storage(lowered).lanes
            tally["cut"] += choose_storage(lowered).lanes and lowered.params.mem.v_shift > 0
    assert tally["cuda w8 l32"] >= 5, tally
    assert min(tally[f"leak {leak}"] for leak in ("none", "shift", "multiply", "subtract")) > 0, tally
    assert tally["cut"] > 0 and tally["train output_spikes"] > 0 and tally["train updates"] > 0, tally


def test_the_other_kernel_runs_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a step has more events than lanes are proven for, the other kernel goes on."""
    monkeypatch.setattr(batch_module, "lane_events", lambda lowered: 0)
    tally: Counter[str] = Counter()
    for group in cases(range(216, 219), plain=True, pairwise=False).values():
        compare(group, tally)
    assert tally["cuda w8 r32"] >= 2 and not tally["cuda w8 l32"], tally


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_one_rounding_for_every_register(rounding: str) -> None:
    tally: Counter[str] = Counter()
    for pairwise in (False, True):
        for group in cases(range(100, 103), rounding=rounding, pairwise=pairwise).values():
            compare(group, tally)
    assert tally["compared"] >= 3 and tally["train updates"] > 0, tally


def test_working_memory_outside_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "fits_shared", lambda words, storage: False)
    tally: Counter[str] = Counter()
    for group in cases(range(40, 44)).values():
        compare(group, tally)
    assert tally["compared"] >= 2, tally


@pytest.mark.parametrize("register", ["weight", "theta", "v_th"])
def test_one_flipped_bit_is_seen(register: str) -> None:
    case = make_case(2)
    assert case is not None
    lowered, seed, training, _ = case
    runs = []
    for flip in (0, 1):
        state = initial_state(lowered, seed)
        getattr(state, register).flat[0] ^= flip
        batch = CudaBatch([lowered], [state], [seed], record=True)
        (result,) = batch.run([training], [0], phase="train", n_presentations=[N_TRAINING])
        batch.store([state])
        runs.append(kernel_registers(result, state))
    assert differences(*runs)


def test_networks_of_different_storage_are_refused() -> None:
    chosen = [group[0] for group in cases(range(30)).values()][:2]
    with pytest.raises(SpecError, match="need one storage, not cuda w"):
        CudaBatch([c[0] for c in chosen], [initial_state(c[0], 0) for c in chosen], [0, 0])
