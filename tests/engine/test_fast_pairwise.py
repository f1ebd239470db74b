"""The fast kernel of pair-wise learning against the plain one, bit for bit, over whole runs at full size."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import choose_plan, initial_state, lower, run
from tinysnn_hw.errors import FixedPointOverflowError, SpecError
from tinysnn_hw.spec import NetworkSpec, load_network
from tinysnn_hw.spec.describe import summarize_network

SEED = 11
ROUNDINGS = ["floor", "to_zero", "nearest", "nearest_away", "nearest_even", "stochastic"]
NARROW, WIDE = "fast w8 l16", "fast w8 l32"
NETWORKS = ("baseline", "sl-stdp")
DIRECT = {"inhibition__kind": "direct", "inhibitory": None, "formats__v_inh": None}

Bits = dict[str, np.ndarray]


@cache
def pictures(side: int) -> np.ndarray:
    """Six digits of 8 x 8, or enlarged to 28 x 28 with a dark border, uint8[n, side**2]."""
    small = load_dataset("digits").train_images[:6].reshape(6, 8, 8)
    if side == 8:
        return small.reshape(6, -1)
    large = np.zeros((6, 28, 28), np.uint8)
    large[:, 2:26, 2:26] = np.kron(small, np.ones((3, 3), np.uint8))
    return large.reshape(6, -1)


def network(name: str = "baseline", recipe: str = "mnist", **changes: Any) -> NetworkSpec:
    """Load a network; a dotted key is written with two underscores for its dot."""
    settings = {
        key.replace("__", "."): changes.pop(key)
        for key in list(changes)
        if "__" in key or key == "inhibitory"
    }
    return load_network(name, recipe=recipe, settings=settings, **changes)


def rasters_of(spec: NetworkSpec, images: np.ndarray | None = None) -> list[tuple[str, Raster]]:
    images = pictures(28 if spec.network.inputs == 784 else 8) if images is None else images
    half, tables = len(images) // 2, encoding_tables(spec.encoding)
    kinds = {"train": spec.encoding.train_spikes, "test": spec.encoding.inference_spikes}
    chosen = {"train": images[:half], "test": images[half:]}
    return [
        (phase, encode(chosen[phase], tables, spikes=kinds[phase], phase=phase, seed=SEED)) for phase in kinds
    ]


def compared(spec: NetworkSpec, plan: str | None, images: np.ndarray | None = None) -> dict[str, Bits]:
    """Train and test with both kernels; assert that no bit differs and that something happened."""
    lowered = lower(spec)
    states = {kernel: initial_state(lowered, SEED) for kernel in ("generic", "fast")}
    seen: dict[str, dict[str, Bits]] = {}
    for phase, raster in rasters_of(spec, images):
        chosen = choose_plan(lowered, raster.max_events_per_step)
        assert chosen is not None and plan in (None, chosen.name)
        total = raster.n_images if phase == "train" else None
        seen[phase] = {}
        for kernel, state in states.items():
            result = run(lowered, state, raster, phase=phase, seed=SEED, n_presentations=total, kernel=kernel)
            assert result.kernel.startswith(kernel)
            bits = {"counts": result.counts, "stats": result.stats, "activity": result.activity}
            bits |= {"weight": state.weight, "theta": state.theta, "v_th": state.v_th}
            seen[phase][kernel] = {name: np.array(value, np.int64) for name, value in bits.items()}
        slow, fast = seen[phase]["generic"], seen[phase]["fast"]
        assert [name for name in slow if (slow[name] != fast[name]).any()] == [], phase
        assert slow["activity"][1] > 0, f"no output spikes in {phase}"
    trained = seen["train"]["generic"]
    assert trained["activity"][2] > 0 and trained["activity"][5] > 0
    assert (trained["weight"] != initial_state(lowered, SEED).weight).any()
    return {phase: seen[phase]["generic"] for phase in seen}


RECIPES = [(name, recipe) for name in NETWORKS for recipe in summarize_network(name).recipes]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_shipped_recipes(name: str, recipe: str) -> None:
    seen = compared(load_network(name, recipe=recipe), None)
    assert seen["train"]["activity"][4] > 0 and (seen["train"]["theta"] > 0).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_mnist(name: str, data_dir: Any) -> None:
    spec = load_network(name, recipe="mnist")
    assert (spec.network.inputs, spec.network.neurons) == (784, 400)
    compared(spec, WIDE, load_dataset("mnist", data_dir).train_images[:40])


@pytest.mark.parametrize("soft", [True, False])
def test_weight_roundings(soft: bool) -> None:
    learned = {}
    for rounding in ROUNDINGS:
        changes = {"formats__weight__rounding": rounding, "learning__soft_bounds": soft}
        seen = compared(network(recipe="digits", neurons=70, **changes), NARROW)
        learned[rounding] = seen["train"]["weight"].tobytes()
    # Negative sums, which alone tell to_zero from floor, are clipped to 0 either way.
    assert len(set(learned.values())) >= 3


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_one_rounding_for_every_register(rounding: str) -> None:
    compared(network(rounding=rounding, v_mem="s8.6", v_th="s8.7", theta="u7.10", recipe="digits"), NARROW)


VARIANTS: dict[str, dict[str, Any]] = {
    "direct": DIRECT,
    "direct without a floor": {**DIRECT, "neuron__v_floor": None, "v_mem": "s12.4"},
    "without a floor": {"neuron__v_floor": None, "v_mem": "s12.4"},
    "saturating without a floor": {"neuron__v_floor": None, "v_mem": "s8.8"},
    "traces that add": {"learning__trace_mode": "add", "x_pre": "u4.8", "x_post": "u0.6"},
    "hard bounds": {"learning__soft_bounds": False, "learning__eta_pre_start": 0.05},
    "essential 1": {"learning__n_essential": 1},
    "essential 4": {"learning__n_essential": 4},
    "no refractory time": {"neuron__refractory": 0},
    "weak excitation": {"inhibitory__excitation": 12.0},
    "resting inhibitory neurons": {"inhibitory__refractory": 40},
    "coarse inhibitory neurons": {"v_inh": "s6.1", "formats__v_inh__rounding": "floor"},
    "inhibitory reset below rest": {"inhibitory__v_reset": -10.0, "formats__v_inh__rounding": "stochastic"},
    "saturating inhibitory neurons": {"inhibitory__excitation": 60.0},
    "inhibition rises": {"inhibition__start": 0.0, "learning__schedule_pieces": 3},
    "subtract leak": {"neuron__leak": "subtract", "neuron__leak_step": 0.1},
    "fine thresholds": {"v_th": "s8.12"},
    "stochastic potentials": {"formats__v_mem__rounding": "stochastic", "v_mem": "s8.4"},
    "wide weights": {"weight": "u0.12", "v_mem": "s8.6"},
    "reset": {"neuron__v_reset": 4.0, "neuron__v_floor": -3.0},
    "long refractory time": {"neuron__refractory": 30, "inhibitory__excitation": 12.0},
    "fine rates": {"eta": "u0.20"},
    "fine rates, hard bounds": {"eta": "u0.20", "learning__soft_bounds": False},
    "fine rates, nearest": {"eta": "u0.20", "formats__weight__rounding": "nearest_even"},
    "stochastic traces": {
        "formats__x_pre__rounding": "stochastic",
        "formats__x_post__rounding": "stochastic",
    },
    "coarse random words": {"formats__weight__rand_bits": 5},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant: str) -> None:
    seen = compared(network(recipe="digits", neurons=70, **VARIANTS[variant]), None)
    low, high = seen["train"]["stats"][:, 2], seen["train"]["stats"][:, 3]
    assert (low[1] > 0) == (variant == "saturating without a floor")
    # An inhibitory neuron excited before it has come to rest overflows s6.8 in some variants too.
    assert high[5] > 0 or variant != "saturating inhibitory neurons"
    assert (high[6] > 0) == (variant == "traces that add")


@pytest.mark.parametrize(("eta", "narrow"), [("u0.13", 1), ("u0.20", 0)])
def test_rates_choose_the_lanes_of_potentiation(eta: str, narrow: int) -> None:
    assert lower(network(recipe="digits", neurons=70, eta=eta)).params.syn.narrow_learning == narrow


@pytest.mark.parametrize("rounding", ["nearest_even", "stochastic"])
def test_normalisation_by_a_factor_beyond_32_bits(rounding: str) -> None:
    """Neurons with one weight of 1 LSB that fire at once: their sum is raised by a factor of 16 bits and more."""
    spec = network(
        recipe="digits", neurons=12, formats__weight__rounding=rounding, neuron__v_th=2.0**-8, neuron__theta_plus=0.0,
        learning__weight_sum=60.0, learning__eta_start=2.0**-13, learning__eta_end=2.0**-13,
    )  # fmt: skip
    lowered, (_, raster) = lower(spec), rasters_of(spec)[0]
    states = []
    for kernel in ("generic", "fast"):
        state = initial_state(lowered, SEED)
        state.weight[:] = 0
        state.weight[np.unique(raster.inputs)[:12], np.arange(12)] = 1
        scale = (lowered.params.syn.weight_sum << 16) // state.weight.sum(axis=0)
        assert (scale * lowered.params.syn.w_max >= 1 << 31).all()
        result = run(
            lowered, state, raster, phase="train", seed=SEED, n_presentations=raster.n_images, kernel=kernel
        )
        assert result.activity[3] > 0 and result.stats[0, 3] > 0
        states.append((state, result))
    (slow, expected), (fast, found) = states
    assert (slow.weight == fast.weight).all() and (expected.stats == found.stats).all()


@hypothesis_settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_raster(data: st.DataObject) -> None:
    """Bursts, silence, inputs that spike twice in a step, and neurons that fire together, in any order."""
    spec = network(
        recipe="digits", neurons=40, neuron__v_th=data.draw(st.sampled_from([0.5, 6.0])),
        neuron__refractory=data.draw(st.sampled_from([0, 1, 4])),
        learning__n_essential=data.draw(st.integers(0, 2)),
        **data.draw(st.sampled_from([{}, DIRECT])),
    )  # fmt: skip
    n_steps, rng = spec.encoding.n_steps, np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    per_step = np.where(
        rng.random((2, n_steps)) < data.draw(st.sampled_from([0.1, 0.9])),
        rng.integers(0, data.draw(st.sampled_from([3, 40])), (2, n_steps)),
        0,
    )
    ends = np.cumsum(per_step).reshape(2, n_steps)
    offsets = np.concatenate([np.concatenate([[0], ends[:-1, -1]])[:, None], ends], axis=1)
    raster = Raster(64, n_steps, offsets, rng.integers(0, 64, ends[-1, -1]).astype(np.uint16))
    lowered, seen = lower(spec), []
    for kernel in ("generic", "fast"):
        state = initial_state(lowered, SEED)
        result = run(lowered, state, raster, phase="train", seed=SEED, n_presentations=2, kernel=kernel)
        seen.append((state.weight, state.theta, state.v_th, result.counts, result.stats, result.activity))
    for slow, fast in zip(*seen, strict=True):
        np.testing.assert_array_equal(slow, fast)


def test_a_flipped_weight_shows() -> None:
    """The comparison sees one LSB in one weight of a full-size network."""
    spec = network()
    lowered, (_, raster) = lower(spec), rasters_of(spec)[0]
    states = [initial_state(lowered, SEED) for _ in range(2)]
    used = int(raster.inputs[0])
    states[1].weight[used, 7] ^= 1
    for state in states:
        run(lowered, state, raster, phase="train", seed=SEED, n_presentations=raster.n_images, kernel="fast")
    assert (states[0].weight[:, 7] != states[1].weight[:, 7]).any()


def test_what_is_not_proven_runs_on_the_plain_kernel() -> None:
    spec = network(recipe="digits", neurons=20, formats__v_mem__overflow="wrap")
    lowered, (_, raster) = lower(spec), rasters_of(spec)[0]
    assert choose_plan(lowered, raster.max_events_per_step) is None
    arguments: dict[str, Any] = {"phase": "train", "seed": SEED, "n_presentations": raster.n_images}
    assert run(lowered, initial_state(lowered, SEED), raster, **arguments).kernel == "generic"
    with pytest.raises(SpecError, match="not proven exact"):
        run(lowered, initial_state(lowered, SEED), raster, kernel="fast", **arguments)


def test_a_layer_without_pairwise_learning_runs_on_the_plain_kernel() -> None:
    layer = {"excitation": 22.5, "tau_mem": 10.0, "v_th": 20.0, "v_reset": 15.0, "refractory": 2}
    spec = load_network(
        "tinysnn", recipe="digits", neurons=20, v_inh="s6.8",
        settings={"inhibition.kind": "layer", **{f"inhibitory.{key}": value for key, value in layer.items()}},
    )  # fmt: skip
    lowered, (_, raster) = lower(spec), rasters_of(spec)[0]
    result = run(lowered, initial_state(lowered, SEED), raster, phase="train", seed=SEED, n_presentations=3)
    assert result.kernel == "generic"
    assert result.activity[4] > 0 and result.activity[5] == 0


@pytest.mark.parametrize(
    ("register", "changes"),
    [
        ("v_inh", {"inhibitory__excitation": 60.0}),
        ("x_post", {"learning__trace_mode": "add", "x_post": "u0.6"}),
    ],
)
@pytest.mark.parametrize("kernel", ["generic", "fast"])
def test_overflow_error_names_the_register(kernel: str, register: str, changes: dict[str, Any]) -> None:
    spec = network(recipe="digits", neurons=20, **{f"formats__{register}__overflow": "error"}, **changes)
    lowered, (_, raster) = lower(spec), rasters_of(spec)[0]
    with pytest.raises(FixedPointOverflowError, match=f"formats.{register}"):
        run(lowered, initial_state(lowered, SEED), raster, phase="train", seed=SEED, n_presentations=3,
            kernel=kernel)  # fmt: skip
