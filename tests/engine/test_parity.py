"""The kernels against the oracle: every register of every step, on random small networks and rasters."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.engine.both_sides import (
    ACTIVITY,
    COUNTED,
    RECORDED,
    differences,
    kernel_registers,
    lower_or_discard,
    oracle_run,
    oracle_stats,
    passes,
    state_of,
)
from tests.engine.random_networks import Case, cases, lively_case
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import Lowered, choose_plan, initial_state, lower, merge_stats, run
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import FixedPointOverflowError, SpecError
from tinysnn_hw.spec import list_networks, load_network

# --- Generic against oracle ----------------------------------------------------------------------------


def compare_with_oracle(case: Case, lowered: Lowered, tally: Counter[str]) -> None:
    oracle = Oracle(case.spec, case.seed)
    state = initial_state(lowered, case.seed)
    assert not (found := differences(state_of(oracle), state_of(state))), f"initial: {found}"
    trained = [oracle_stats(oracle), state.stats.copy()]
    for phase, raster, first, total in passes(case):
        expected = oracle_run(oracle, raster, phase, first, total)
        arguments: dict[str, Any] = {"phase": phase, "seed": case.seed, "first": first, "record": True}
        arguments |= {"n_presentations": total, "kernel": "generic"}
        if oracle.refused:
            tally["overflow refused"] += 1
            with pytest.raises(FixedPointOverflowError, match=rf"\b({'|'.join(oracle.refused)})\b"):
                run(lowered, state, raster, **arguments)
            return
        result = run(lowered, state, raster, **arguments)
        actual = kernel_registers(result, state)
        if phase == "train":
            # How a training is divided into runs decides which run counts the words it starts from.
            trained = [
                merge_stats(before, seen.pop("stats"))
                for before, seen in zip(trained, (expected, actual), strict=True)
            ]
            expected["stats"], actual["stats"] = trained
        assert not (found := differences(expected, actual)), f"{phase}: {found}"
        for name, amount in zip(ACTIVITY, result.activity, strict=True):
            tally[f"{phase} {name}"] += int(amount)
        for name, (low, high) in zip(COUNTED, result.stats[:, 2:], strict=True):
            tally[f"{name} low"] += int(low)
            tally[f"{name} high"] += int(high)
    tally["compared"] += 1


def test_generic_equals_oracle() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=250)
    @given(cases())
    def check(case: Case) -> None:
        compare_with_oracle(case, lower_or_discard(case, tally), tally)

    check()
    # Most networks must have been compared to the end, and something must have happened in them.
    assert tally["compared"] >= 0.7 * tally["drawn"], tally
    for phase in ("train", "label", "test"):
        assert tally[f"{phase} output_spikes"] > 100, tally
    for name in ("train updates", "train normalizations", "overflow refused"):
        assert tally[name] > 0, tally
    for name in ("weight low", "weight high", "v_mem low", "v_mem high", "theta high", "x_pre high"):
        assert tally[name] > 0, tally


def test_generic_equals_oracle_with_a_layer_and_pairwise_learning() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=300)
    @given(cases(pairwise=True))
    def check(case: Case) -> None:
        compare_with_oracle(case, lower_or_discard(case, tally), tally)

    check()
    assert tally["compared"] >= 0.7 * tally["drawn"], tally
    for phase in ("train", "label", "test"):
        assert tally[f"{phase} output_spikes"] > 100, tally
        assert tally[f"{phase} inhibitory_spikes"] > 50, tally
    for name in ("train updates", "train normalizations", "train depressions", "overflow refused"):
        assert tally[name] > 0, tally
    assert tally["label depressions"] == tally["test depressions"] == 0
    for name in ("weight low", "weight high", "v_mem low", "v_mem high", "v_inh high", "x_post high"):
        assert tally[name] > 0, tally


@pytest.mark.parametrize("name", list_networks())
def test_shipped_networks_equal_oracle(name: str) -> None:
    spec = load_network(name, recipe="digits", neurons=20)
    tables, rng = encoding_tables(spec.encoding), np.random.default_rng(0)
    shape = (2, spec.network.inputs)
    pixels = rng.integers(0, 256, size=shape) * (rng.random(shape) < 0.4)
    rasters = [
        encode(pixels.astype(np.uint8), tables, spikes=spikes, phase=phase, seed=3)
        for phase, spikes in (
            ("train", spec.encoding.train_spikes),
            ("label", spec.encoding.inference_spikes),
            ("test", spec.encoding.inference_spikes),
        )
    ]
    case, tally = Case(spec, 3, *rasters, first_run=1, n_presentations=2), Counter[str]()
    lowered = lower(spec, max_events=max(raster.max_events_per_step for raster in rasters))
    compare_with_oracle(case, lowered, tally)
    compare_fast_with_generic(case, lowered, tally)
    assert tally["proven"] == 4
    assert min(tally["train updates"], tally["label output_spikes"], tally["test output_spikes"]) > 0


# --- Fast against generic ------------------------------------------------------------------------------


def compare_fast_with_generic(case: Case, lowered: Lowered, tally: Counter[str]) -> None:
    states = {kernel: initial_state(lowered, case.seed) for kernel in ("generic", "fast")}
    for phase, raster, first, total in passes(case):
        proven = choose_plan(lowered, raster.max_events_per_step) is not None
        tally["proven" if proven else "not proven"] += 1
        if not proven:
            with pytest.raises(SpecError):
                run(lowered, states["fast"], raster, phase=phase, seed=0, first=first, n_presentations=total,
                    kernel="fast")  # fmt: skip
        seen, kernels = {}, {"generic": "generic", "fast": "fast" if proven else "auto"}
        for name, kernel in kernels.items():
            try:
                result = run(
                    lowered, states[name], raster, phase=phase, seed=case.seed, first=first,
                    n_presentations=total, kernel=kernel,
                )  # fmt: skip
            except FixedPointOverflowError as refusal:
                seen[name] = str(refusal)
            else:
                assert result.kernel.startswith("fast") == (proven and name == "fast")
                seen[name] = kernel_registers(result, states[name])
        if isinstance(seen["generic"], str):
            assert seen["fast"] == seen["generic"]
            return
        assert not (found := differences(seen["generic"], seen["fast"])), f"{phase}: {found}"
        tally[phase] += proven
        tally["spikes"] += int(seen["generic"]["counts"].sum())
        tally["updates"] += int(seen["generic"]["activity"][2])
    tally["compared"] += 1


@pytest.mark.slow
@pytest.mark.parametrize("pairwise", [False, True], ids=["windows", "pairwise"])
@pytest.mark.parametrize("plain", [True, False])
def test_fast_equals_generic(plain: bool, pairwise: bool) -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=150)
    @given(cases(plain=plain, pairwise=pairwise))
    def check(case: Case) -> None:
        compare_fast_with_generic(case, lower_or_discard(case, tally), tally)

    check()
    assert tally["compared"] >= 0.7 * tally["drawn"], tally
    assert min(tally["spikes"], tally["updates"]) > 100, tally
    if plain:
        # A quarter of the pairwise networks have a layer without pair-wise learning, which only generic runs.
        assert tally["proven"] >= 0.3 * (tally["proven"] + tally["not proven"]), tally


# --- The comparison itself can fail --------------------------------------------------------------------


FAULTY = [
    *(f"trace.{name}" for name in (*RECORDED, "weight")),
    *(f"state.{name}" for name in ("weight", "theta", "v_th")),
    "counts", "stats", "activity",
]  # fmt: skip


def test_lively_case_agrees() -> None:
    case, tally = lively_case(), Counter[str]()
    lowered = lower(case.spec, max_events=50)
    compare_with_oracle(case, lowered, tally)
    compare_fast_with_generic(case, lowered, tally)
    assert tally["proven"] == 3
    assert min(tally["train updates"], tally["train normalizations"], tally["test output_spikes"]) > 0


@pytest.mark.parametrize("name", FAULTY)
def test_one_flipped_bit_is_reported(name: str) -> None:
    case = lively_case()
    state = initial_state(lower(case.spec), case.seed)
    result = run(
        lower(case.spec), state, case.training, phase="train", seed=case.seed, n_presentations=2,
        kernel="generic", record=True,
    )  # fmt: skip
    expected = kernel_registers(result, state)
    assert set(expected) == set(FAULTY)
    actual = copy.deepcopy(expected)
    assert differences(expected, actual) == []
    middle = tuple(size // 2 for size in actual[name].shape)
    actual[name][middle] ^= 1
    assert [text.partition("[")[0] for text in differences(expected, actual)] == [name]
    del actual[name]
    assert differences(expected, actual) == [f"{name}: only on one side"]


@pytest.mark.parametrize("name", ["weight", "v_th"])
def test_one_flipped_bit_before_the_run_shows_after_it(name: str) -> None:
    case = lively_case()
    lowered = lower(case.spec)
    sound, faulty = initial_state(lowered, case.seed), initial_state(lowered, case.seed)
    getattr(faulty, name).flat[1] ^= 1
    arguments: dict[str, Any] = {"phase": "test", "seed": case.seed, "kernel": "generic", "record": True}
    seen = [kernel_registers(run(lowered, state, case.test, **arguments), state) for state in (sound, faulty)]
    assert any(text.startswith(f"state.{name}[") for text in differences(*seen))
