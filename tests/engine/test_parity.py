"""The kernels against the oracle: every register of every step, on random small networks and rasters."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.data.encode import epoch_order as kernel_epoch_order
from tinysnn_hw.data.raster import Raster
from tinysnn_hw.engine import (
    Lowered,
    NetworkState,
    RunResult,
    choose_plan,
    initial_state,
    lower,
    merge_stats,
    run,
)
from tinysnn_hw.engine.oracle import Oracle, encode_image, epoch_order
from tinysnn_hw.engine.oracle import encoding_tables as oracle_tables
from tinysnn_hw.errors import FixedPointOverflowError, SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec import list_networks, load_network
from tinysnn_hw.spec.network import EncodingSpec, NetworkSpec

ROUNDINGS = ["floor", "to_zero", "nearest", "nearest_away", "nearest_even", "stochastic"]
COUNTED = ("weight", "v_mem", "v_th", "theta", "x_pre", "v_inh", "x_post")
ACTIVITY = ("input_spikes", "output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions")
OF_NEURONS = ("v_mem", "refractory_count", "v_th", "theta", "n_post", "n_window")
OF_INPUTS = ("x_pre", "c_pre")
RECORDED = (*OF_NEURONS, *OF_INPUTS, "winner")
OF_LAYER = ("v_inh", "inhibitory_count", "inhibitory_winner")

Registers = dict[str, Any]
"""Name -> what is compared: an array, or a list of numbers and None."""


# --- Random networks -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A network, its rasters and how its training is divided into runs."""

    spec: NetworkSpec
    seed: int
    training: Raster
    labelling: Raster
    test: Raster
    first_run: int
    n_presentations: int


def register(rng: Random, fmt: str, *, plain: bool) -> dict[str, object]:
    modes = ["saturate"] * (9 if plain else 4) + ["saturate_symmetric", "wrap"] * (1 if plain else 2)
    return {
        "format": fmt,
        "rounding": rng.choice(ROUNDINGS),
        "overflow": "error" if not plain and rng.random() < 0.04 else rng.choice(modes),
        "rand_bits": rng.choice([32, 32, 8, 3, 1]),
    }


def number(rng: Random, low: float, high: float) -> float:
    """Return a number between two ends, now and then one of the ends, else one on no grid."""
    return rng.choice([low, high, rng.uniform(low, high), rng.uniform(low, high)])


def add_layer(rng: Random, values: Registers, v_th: float, *, plain: bool) -> None:
    """Put inhibitory neurons into a network; now and then a spike does not suffice to make one fire."""
    some, whole = rng.choice, rng.randint
    fmt = Format(True, some([2, 4, 6]), whole(4, 10) if plain else whole(0, 14))
    layer_v_th = number(rng, 0.3, 0.95) * fmt.max
    values["inhibition"]["kind"] = "layer"
    values["inhibition"]["strength"] = min(values["inhibition"]["strength"], 4.0 * v_th)
    values["inhibitory"] = {
        "excitation": some([0.4, 0.8, 1.2, 3.0]) * layer_v_th,
        "tau_mem": number(rng, 0.6, 30.0),
        "v_th": layer_v_th,
        "v_reset": some([0.0, 0.5, -0.5]) * layer_v_th,
        "refractory": some([0, 1, 2, 9]),
    }
    values["formats"]["v_inh"] = register(rng, str(fmt), plain=plain)


def make_pairwise(rng: Random, values: Registers, *, plain: bool) -> None:
    """Give a network pair-wise learning."""
    some, whole, learning = rng.choice, rng.randint, values["learning"]
    eta_frac = whole(3, 16)
    start = number(rng, 2.0 ** (1 - eta_frac), 0.5)
    learning |= {
        "rule": "pairwise", "learners": "spikers", "update_steps": 1, "potentiation": "constant",
        "trace": "exponential", "trace_mode": some(["add", "set"]), "soft_bounds": some([True, False]),
        "n_essential": some([0, 0, 1, 2, 3]), "eta_pre_start": start,
        "eta_pre_end": max(start * number(rng, 0.1, 1.0), 2.0**-eta_frac),
    }  # fmt: skip
    values["formats"]["x_post"] = register(rng, f"u{whole(1, 3)}.{whole(0, 10)}", plain=plain)
    values["formats"]["eta_pre"] = register(rng, f"u0.{eta_frac}", plain=plain)


def network(
    rng: Random, inputs: int, neurons: int, n_steps: int, *, plain: bool, pairwise: bool = False
) -> NetworkSpec:
    """Make a network that spikes; ``plain``: formats and modes that the fast kernel has a chance with."""
    some = lambda *values: rng.choice(values)  # noqa: E731
    whole = rng.randint
    width = whole(4, 8) if plain else whole(1, 16)
    signed = not plain and width > 1 and some(False, False, True)
    frac = width if plain else whole(-1, width + 2)
    weight = Format(signed, width - frac, frac)
    w_max = min(number(rng, 0.3, 1.0) * weight.max, weight.max)
    w_high = number(rng, 0.3, 1.2) * w_max
    w_low = number(rng, 0.0, 0.9) * w_high

    width = whole(10, 16) if plain else whole(4, 24)
    # A range of 2 to 64 full weights, above and below 0.
    above = int(np.ceil(np.log2(w_max))) + whole(1, 6)
    signed = some(True, True, False)
    v_mem = Format(signed, above + signed, width - above - signed)
    v_th = min(w_max * number(rng, 0.2, 4.0), 0.9 * v_mem.max)
    theta_plus = some(0.0, 0.02, 0.1, 0.6) * v_th
    cap = v_th + some(0.0, 0.3, 1.0, 3.0) * v_th if some(True, plain, plain) else None
    top = max(v_th, cap or 0.0, v_mem.max if some(True, False) else 0.0)
    above = int(np.ceil(np.log2(top))) + whole(0, 1)
    signed = some(False, True)
    v_th_frac = v_mem.frac_bits + some(0, 0, -1, 2, 5)
    v_th_frac = max(v_th_frac, 1 - above)
    theta_above = above + some(0, 0, -1, -3)
    theta_frac = max(some(16, 20, 10, v_th_frac, v_th_frac - 1, v_th_frac + 3), 2 - theta_above)
    theta_frac = min(theta_frac, 30 - theta_above)

    update_steps = whole(1, n_steps)
    trace = some("exponential", "window")
    rate = max(whole(1, 1500), int(510 / update_steps) + 1)
    x_frac = whole(0, 10)
    eta_frac = whole(3, 16)
    eta_start = number(rng, 2.0 ** (1 - eta_frac), 0.8)
    eta_end = max(eta_start * number(rng, 0.1, 1.0), 2.0**-eta_frac)
    full_count = 2 * rate * update_steps // 1000 + 2
    leak = some("none", "shift", "multiply", "subtract")
    values = {
        "name": "random",
        "summary": "",
        "recipe": "",
        "network": {"inputs": inputs, "neurons": neurons},
        "neuron": {
            "leak": leak,
            "leak_shift": whole(1, 9),
            "tau_mem": number(rng, 0.6, 200.0),
            "leak_step": number(rng, 0.0, 0.3) * v_th,
            "v_reset": max(some(0.0, 0.0, 0.4, -0.4) * v_th, v_mem.min),
            "v_floor": None if some(True, False) else max(-some(0.4, 1.0, 3.0) * v_th, v_mem.min),
            "refractory": some(0, 1, 2, 5, 60),
            "v_th": v_th,
            "v_th_cap": cap,
            "theta_plus": theta_plus,
            "theta_forget": some("none", "subtract", "multiply"),
            "theta_forget_spikes": number(rng, 0.0, 6.0),
            "tau_theta": some(1e7, 500.0, 20.0, 3.0),
        },
        "inhibition": {
            # Up to several times the whole range of v_mem: only the bound of the result limits it.
            "strength": some(0.0, 0.5 * v_th, 2.0 * v_th, 20.0 * v_th, number(rng, 0.5, 4.0) * v_mem.max),
            "start": number(rng, 0.0, 1.0),
            "ramp": number(rng, 0.1, 1.0),
        },
        "learning": {
            "rule": some("potentiate", "attract"),
            "learners": some("spikers", "winner"),
            "update_steps": update_steps,
            "potentiation": some("eq1", "constant"),
            "n_th": whole(1, 6),
            "trace": trace,
            "tau_trace": number(rng, 0.6, 40.0),
            "eta_start": eta_start,
            "eta_end": eta_end,
            "eta_schedule": some("geometric", "cosine", "linear"),
            "schedule_pieces": whole(1, 5),
            "weight_sum": some(None, some(0.2, 0.6, 1.1) * inputs * w_max),
            "w_max": w_max,
            "w_init_low": w_low,
            "w_init_high": w_high,
            "epochs": 1,
        },
        "encoding": {
            "n_steps": n_steps,
            "rate_max_hz": float(rate),
            "train_spikes": "poisson",
            "inference_spikes": "regular",
        },
        "formats": {
            "weight": register(rng, str(weight), plain=plain),
            "v_mem": register(rng, str(v_mem), plain=plain),
            "v_th": register(rng, str(Format(signed, above + signed, v_th_frac)), plain=plain),
            "theta": register(rng, str(Format(False, theta_above, theta_frac)), plain=plain),
            "x_pre": register(rng, f"u{whole(1, 4)}.{x_frac}", plain=plain),
            "c_pre": register(rng, f"u{full_count.bit_length() + some(0, 0, 2)}.0", plain=plain),
            "eta": register(rng, f"u0.{eta_frac}", plain=plain),
            "guard_bits": some(0, 0, 1, 4),
        },
    }
    if pairwise:
        # Three kinds: both together, as baseline has them, and either alone.
        kind = some("both", "both", "layer", "rule")
        if kind != "rule":
            add_layer(rng, values, v_th, plain=plain)
        if kind != "layer":
            make_pairwise(rng, values, plain=plain)
    return NetworkSpec.model_validate(values)


def random_raster(rng: np.random.Generator, n_images: int, spec: NetworkSpec) -> Raster:
    """Make a raster with silent and busy images, and inputs that spike several times in a step."""
    shape = (n_images, spec.encoding.n_steps, spec.network.inputs)
    rate = rng.choice([0.04, 0.4, 1.6], size=(n_images, 1, 1)) * rng.random((n_images, 1, shape[2]))
    return Raster.from_dense(rng.poisson(rate, size=shape))


def make_case(chance: Random, *, plain: bool, pairwise: bool = False) -> Case:
    # Beyond one vector of the fast kernel, and its odd end; the oracle is too slow for that.
    inputs, neurons = (chance.randint(1, most) for most in ((30, 70) if plain else (12, 9)))
    spec = network(chance, inputs, neurons, chance.randint(4, 40), plain=plain, pairwise=pairwise)
    rng = np.random.default_rng(chance.getrandbits(64))
    n_training = chance.randint(1, 4)
    return Case(
        spec=spec,
        seed=chance.choice([0, 2**32 - 1, chance.getrandbits(32)]),
        training=random_raster(rng, n_training, spec),
        labelling=random_raster(rng, 2, spec),
        test=random_raster(rng, 1, spec),
        first_run=chance.randint(1, n_training),
        n_presentations=n_training + chance.choice([0, 0, 3]),
    )


def cases(*, plain: bool = False, pairwise: bool = False) -> st.SearchStrategy[Case]:
    # One number per case: hypothesis repeats parts of earlier draws, so half the networks would be alike.
    return st.integers(0, 2**64 - 1).map(
        lambda number: make_case(Random(number), plain=plain, pairwise=pairwise)
    )


# --- Both sides, as the same kind of dictionary --------------------------------------------------------


def events_of(raster: Raster, image: int) -> list[list[int]]:
    return [raster.inputs[a:b].tolist() for a, b in pairwise(raster.offsets[image])]


def state_of(thing: Oracle | NetworkState) -> Registers:
    return {name: np.array(getattr(thing, name), dtype=np.int64) for name in ("weight", "theta", "v_th")}


def oracle_stats(oracle: Oracle) -> np.ndarray:
    rows = [list(oracle.stats[name]) for name in COUNTED]
    info = np.iinfo(np.int64)
    return np.array(
        [[info.max, info.min, *row[2:]] if row[0] is None else row for row in rows], dtype=np.int64
    )


def oracle_run(
    oracle: Oracle, raster: Raster, phase: Any, first: int, n_presentations: int | None
) -> Registers:
    """Show the oracle the images of a raster; counting starts anew."""
    oracle.clear_counts()
    images, weights = [], []
    for image in range(raster.n_images):
        images.append(
            oracle.present(
                events_of(raster, image),
                phase=phase,
                presentation=first + image,
                n_presentations=n_presentations,
            )
        )
        weights.append(copy.deepcopy(oracle.weight))
    seen: Registers = {"counts": np.array([trace.counts for trace in images], dtype=np.int64)}
    formats = oracle.spec.formats
    own = (*RECORDED, *(OF_LAYER if formats.v_inh else ()), *(("x_post",) if formats.x_post else ()))
    seen |= {
        f"trace.{name}": np.array([getattr(trace, name) for trace in images], dtype=np.int64) for name in own
    }
    seen["trace.weight"] = np.array(weights, dtype=np.int64)
    seen["activity"] = np.array([oracle.activity[name] for name in ACTIVITY], dtype=np.int64)
    seen["stats"] = oracle_stats(oracle)
    return seen | {f"state.{name}": value for name, value in state_of(oracle).items()}


def kernel_registers(result: RunResult, state: NetworkState) -> Registers:
    seen: Registers = {f"trace.{name}": np.array(value, np.int64) for name, value in result.trace.items()}
    seen["counts"] = result.counts.astype(np.int64)
    seen["activity"] = np.array(result.activity, np.int64)
    seen["stats"] = np.array(result.stats, np.int64)
    return seen | {f"state.{name}": value for name, value in state_of(state).items()}


def differences(expected: Registers, actual: Registers) -> list[str]:
    """Name every register that differs, with the first place where it does."""
    found = [f"{name}: only on one side" for name in sorted(set(expected) ^ set(actual))]
    for name in sorted(set(expected) & set(actual)):
        a, b = expected[name], actual[name]
        if a.shape != b.shape:
            found.append(f"{name}: shape {a.shape} is not {b.shape}")
        elif (a != b).any():
            place = tuple(int(index) for index in np.argwhere(a != b)[0])
            where = ", ".join(map(str, place))
            if name == "stats":
                where = f"{COUNTED[place[0]]}, {('min', 'max', 'low', 'high')[place[1]]}"
            found.append(f"{name}[{where}]: {a[place]} is not {b[place]}, {int((a != b).sum())} places")
    return found


def lower_or_discard(case: Case, tally: Counter[str]) -> Lowered:
    """Lower the network of a case; one that is refused is discarded and counted."""
    tally["drawn"] += 1
    rasters = (case.training, case.labelling, case.test)
    try:
        lowered = lower(case.spec, max_events=max(raster.max_events_per_step for raster in rasters))
    except SpecError as refusal:
        tally["refused"] += 1
        tally[f"refused: {str(refusal).split(' = ')[0]}"] += 1
        lowered = None
    assume(lowered is not None)
    return lowered


def passes(case: Case) -> list[tuple[str, Raster, int, int | None]]:
    """List the runs of a case: training in one or two pieces, labelling, test."""
    cut, end = case.first_run, case.training.n_images
    training = [("train", case.training.slice(slice(0, cut)), 0, case.n_presentations)]
    if cut < end:
        training.append(("train", case.training.slice(slice(cut, end)), cut, case.n_presentations))
    return [*training, ("label", case.labelling, 0, None), ("test", case.test, 0, None)]


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


def lively_case() -> Case:
    values: dict[str, Any] = {
        "name": "lively", "summary": "", "recipe": "",
        "network": {"inputs": 6, "neurons": 4},
        "neuron": {"leak": "shift", "leak_shift": 4, "refractory": 2, "v_th": 1.0, "theta_plus": 0.05,
                   "theta_forget": "subtract", "theta_forget_spikes": 1.0},
        "inhibition": {"strength": 1.5},
        "learning": {"rule": "attract", "learners": "spikers", "update_steps": 10, "potentiation": "eq1",
                     "trace": "window", "eta_start": 0.1, "eta_end": 0.05, "weight_sum": 2.0,
                     "w_init_high": 0.6},
        "encoding": {"n_steps": 30, "rate_max_hz": 800.0, "train_spikes": "regular",
                     "inference_spikes": "regular"},
        "formats": {"weight": {"format": "u0.8", "rounding": "stochastic"}, "v_mem": {"format": "s4.8"},
                    "v_th": {"format": "s4.8"}, "theta": {"format": "u4.16"}, "x_pre": {"format": "u1.8"},
                    "c_pre": {"format": "u8.0"}, "eta": {"format": "u0.16"}},
    }  # fmt: skip
    spec = NetworkSpec.model_validate(values)
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.6, size=(2, 30, 6))
    rasters = [Raster.from_dense(counts), Raster.from_dense(counts[:1]), Raster.from_dense(counts[1:])]
    return Case(spec, 5, *rasters, first_run=2, n_presentations=2)


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


# --- Encoding ------------------------------------------------------------------------------------------


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
