"""The float64 twin: what the fixed-point network tends to as its words grow, and a network that learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import (
    Lowered,
    RunResult,
    initial_float_state,
    initial_state,
    lower,
    open_session,
    run,
)
from tinysnn_hw.learning import evaluate, train
from tinysnn_hw.spec import NetworkSpec, load_network

SEED = 5
N_IMAGES = 4

# As wide as the proofs allow: then what the formats drop is far below what decides a spike.
WIDE = {"weight": "u0.16", "v_mem": "s9.20", "v_th": "s9.20", "theta": "u8.20", "x_pre": "u4.14", "c_pre": "u16.0",
        "eta": "u0.22", "rounding": "nearest"}  # fmt: skip
WIDE_PAIRWISE = {**WIDE, "x_pre": "u4.18", "x_post": "u4.18", "v_inh": "s8.20", "eta_pre": "u0.22"}


def wide(name: str, **settings: Any) -> NetworkSpec:
    changes = {"learning.update_steps": 50, "learning.potentiation": "constant"}
    if name == "baseline":
        changes = {}
    changes |= {key.replace("__", "."): value for key, value in settings.items()}
    widths = WIDE_PAIRWISE if name == "baseline" else WIDE
    return load_network(name, recipe="digits", neurons=20, settings=changes, **widths)


def digit_raster(spec: NetworkSpec) -> Raster:
    images = load_dataset("digits").train_images[:N_IMAGES]
    return encode(images, encoding_tables(spec.encoding), spikes="regular", phase="train", seed=SEED)


def both(spec: NetworkSpec, phase: str = "train") -> tuple[Lowered, Any, RunResult, Any, RunResult]:
    lowered, raster = lower(spec), digit_raster(spec)
    state, twin = initial_state(lowered, SEED), initial_float_state(lowered, SEED)
    fixed = run(lowered, state, raster, phase=phase, seed=SEED, n_presentations=N_IMAGES)
    session = open_session(lowered, twin, raster)
    real = session.run(raster, phase=phase, seed=SEED, n_presentations=N_IMAGES)
    session.store(twin)
    return lowered, state, fixed, twin, real


VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "no leak": {"neuron__leak": "none"},
    "shift": {"neuron__leak": "shift", "neuron__leak_shift": 5},
    "multiply": {"neuron__leak": "multiply", "neuron__tau_mem": 40.0},
    "subtract": {"neuron__leak": "subtract", "neuron__leak_step": 0.05},
    "no floor": {"neuron__v_floor": None},
    "reset": {"neuron__v_reset": -2.0, "neuron__v_floor": -30.0},
    "no refractory": {"neuron__refractory": 0},
    "cap": {"neuron__theta_plus": 1.0, "neuron__v_th_cap": 20.0},
    "forget by a constant": {"neuron__theta_forget": "subtract", "neuron__theta_forget_spikes": 8.0},
    "forget by a factor": {"neuron__theta_forget": "multiply", "neuron__tau_theta": 2000.0},
    "remember": {"neuron__theta_forget": "none"},
    "eq1": {"learning__potentiation": "eq1", "learning__n_th": 3, "learning__eta_start": 0.05},
    "winner": {"learning__learners": "winner"},
    "spikers": {"learning__learners": "spikers"},
    "attract": {"learning__rule": "attract"},
    "potentiate": {"learning__rule": "potentiate"},
    "window": {"learning__trace": "window"},
    "exponential": {"learning__trace": "exponential", "learning__tau_trace": 12.0},
    "normalised": {"learning__weight_sum": 12.0},
    "ramp": {"inhibition__start": 0.0, "inhibition__ramp": 1.0, "learning__schedule_pieces": 4},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_wide_words_give_the_spikes_of_real_numbers(name: str, variant: str) -> None:
    """Every spike count agrees, and weights differ by what rounding can add up to.

    A weight starts less than 1.5 LSB (2**-16) away.  An update adds half an LSB by its own cut and, through the
    rounding of x_pre, eta and the trace's decay, again some tenths; it also shrinks what was there before.  Over
    at most 20 updates of a neuron the sum stays below 16 LSB, and the mean over all weights below 1 LSB.
    """
    spec = wide(name, **VARIANTS[variant])
    lowered, state, fixed, twin, real = both(spec)
    assert fixed.counts.tolist() == real.counts.tolist()
    assert fixed.activity.tolist() == real.activity.tolist()
    spikes, updates = fixed.activity[1], fixed.activity[2]
    assert spikes > 20 and updates > 3
    weight, theta, v_th = state.weight * 2.0**-16, state.theta * 2.0**-20, state.v_th * 2.0**-20
    assert np.abs(weight - twin.weight).max() < 16 * 2.0**-16
    assert np.abs(weight - twin.weight).mean() < 2.0**-16
    # One cut per spike of a neuron and one per image.
    assert np.abs(theta - twin.theta).max() < (spikes + N_IMAGES) * 2.0**-20
    assert np.abs(v_th - twin.v_th).max() < (spikes + N_IMAGES + 2) * 2.0**-20
    assert (weight != initial_state(lowered, SEED).weight * 2.0**-16).any()


DIRECT = {"inhibition__kind": "direct", "inhibitory": None, "formats__v_inh": None}
PAIRWISE: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "hard bounds": {"learning__soft_bounds": False, "learning__eta_pre_start": 0.0005},
    "traces that add": {"learning__trace_mode": "add"},
    "essential": {"learning__n_essential": 2},
    "direct": DIRECT,
    "weak excitation": {"inhibitory__excitation": 21.0},
    "slow inhibitory neurons": {"inhibitory__refractory": 12},
    "no floor": {"neuron__v_floor": None, "inhibition__strength": 17.5},
    "shift leak": {"neuron__leak": "shift"},
}


@pytest.mark.parametrize("variant", PAIRWISE)
def test_wide_words_of_pairwise_learning(variant: str) -> None:
    """As above; a weight is cut at every event, here at most some hundred times, so the sum stays below 200 LSB."""
    settings = PAIRWISE[variant]
    spec = wide("baseline", **settings)
    lowered, state, fixed, twin, real = both(spec)
    assert fixed.counts.tolist() == real.counts.tolist()
    assert fixed.activity.tolist() == real.activity.tolist()
    assert fixed.activity[1] > 20 and fixed.activity[2] > 3 and fixed.activity[5] > 100
    assert (fixed.activity[4] > 0) == (spec.inhibition.kind == "layer")
    weight = state.weight * 2.0**-16
    assert np.abs(weight - twin.weight).max() < 200 * 2.0**-16
    assert np.abs(weight - twin.weight).mean() < 4 * 2.0**-16
    assert np.abs(weight - initial_state(lowered, SEED).weight * 2.0**-16).max() > 0.01


@pytest.mark.parametrize("phase", ["label", "test"])
def test_nothing_is_learned_outside_training(phase: str) -> None:
    spec = wide("tinysnn-wta")
    lowered, _, fixed, twin, real = both(spec, phase)
    assert fixed.counts.tolist() == real.counts.tolist()
    start = initial_float_state(lowered, SEED)
    for name in ("weight", "theta", "v_th"):
        assert getattr(twin, name).tobytes() == getattr(start, name).tobytes()
    assert real.activity[2] == 0 and real.activity[1] > 0
    assert real.kernel == "float64"


def test_narrow_words_differ_from_real_numbers() -> None:
    """The agreement above says something: with two fraction bits the spikes are others."""
    spec = load_network("tinysnn-wta", recipe="digits", neurons=20, weight="u0.2", v_mem="s8.2")
    _, _, fixed, _, real = both(spec)
    assert fixed.counts.tolist() != real.counts.tolist()


def test_the_twin_starts_from_the_same_draws() -> None:
    spec = wide("tinysnn-wta")
    lowered = lower(spec)
    fixed, real = initial_state(lowered, SEED), initial_float_state(lowered, SEED)
    excess = real.weight - fixed.weight * 2.0**-16
    # The fixed weight is the floor of the same draw; ends of the range are rounded to its grid.
    assert excess.min() >= -(2.0**-17) and excess.max() < 1.5 * 2.0**-16
    assert real.weight.min() >= 0.0 and real.weight.max() < spec.learning.w_init_high
    assert (real.v_th == spec.neuron.v_th).all() and not real.theta.any()


def test_a_neuron_by_hand() -> None:
    """One input, one neuron, weight 1: v_mem climbs 1, 1.9, 2.71, ... with the leak of exp(-1/tau) = 0.9."""
    tau = -1.0 / math.log(0.9)
    spec = load_network(
        "tinysnn-wta", inputs=1, neurons=1,
        settings={"neuron.leak": "multiply", "neuron.tau_mem": tau, "neuron.v_th": 3.0,
                  "neuron.refractory": 2, "encoding.n_steps": 20, "learning.update_steps": 20,
                  "encoding.rate_max_hz": 1000.0},
    )  # fmt: skip
    lowered = lower(spec)
    raster = Raster.from_dense(np.ones((1, 20, 1), np.int64))
    state = initial_float_state(lowered, 0)
    state.weight[:] = 1.0
    session = open_session(lowered, state, raster)
    counts = session.run(raster, phase="test", seed=0).counts
    # (v + 1) * 0.9: 0.9, 1.71, 2.439, 3.0951 fires at the fourth step; two steps held; again: period 6.
    v, spikes, held = 0.0, 0, 0
    for _ in range(20):
        if held:
            held -= 1
            continue
        v = (v + 1.0) * 0.9
        if v >= 3.0:
            v, held, spikes = 0.0, 2, spikes + 1
    assert spikes == 3 and counts.tolist() == [[spikes]]


def test_the_twin_learns_digits() -> None:
    """A few epochs of the float64 network recognise most digits; an untrained one few."""
    data = load_dataset("digits")
    spec = load_network("tinysnn-wta", recipe="digits", epochs=5)
    model = train(spec, data, seed=0, arithmetic="float64")
    result = evaluate(model, data)
    assert model.kernel == "float64" and model.weight.dtype == np.float64
    assert result.accuracy > 90.0
    assert result.registers == {} and model.registers == {}
    assert model.weight.min() >= 0.0 and model.weight.max() <= 1.0
    assert model.theta.min() >= 0.0
