"""`baseline` with recipe ``bindsnet`` beside BindsNET's DiehlAndCook2015: the same spikes, step by step, as it learns.

docs/numerics.md, section 11, says how one maps to the other and what differs. Of the differences these stay away here:
the recording has no step in which two neurons reach their thresholds (there BindsNET draws one at random), its columns
start normalised, its input is a raster both get, and ``v_floor`` and the cap of thresholds, which BindsNET does not
have, are taken off. Those that remain are small: BindsNET computes in float32, lowers `theta` in every step and not
once per image, and clips a weight once per step.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.external.record_bindsnet import N_IMAGES, N_INPUTS, N_NEURONS, N_STEPS, WEIGHT_SUM, drawn, record
from tinysnn_hw import reference
from tinysnn_hw.data import Raster
from tinysnn_hw.spec import NetworkSpec, load_network

RECORDED = json.loads(Path(__file__).with_name("bindsnet.json").read_text(encoding="utf-8"))
LEAK, INHIBITORY_LEAK = math.exp(-1 / 100), math.exp(-1 / 10)


def spec(**changes: Any) -> NetworkSpec:
    settings: dict[str, Any] = {
        "neuron.v_floor": None, "neuron.v_th_cap": None, "encoding.n_steps": N_STEPS, "learning.weight_sum": WEIGHT_SUM,
        "neuron.v_th": 13 * LEAK, "neuron.v_reset": 5 * LEAK**6, "neuron.theta_plus": 0.05 * LEAK,
        "inhibitory.v_th": 20 * INHIBITORY_LEAK, "inhibitory.v_reset": 15 * INHIBITORY_LEAK**3,
    }  # fmt: skip
    return load_network(
        "baseline", recipe="bindsnet", inputs=N_INPUTS, neurons=N_NEURONS, settings=settings | changes
    )


def trained(*networks: NetworkSpec) -> tuple[reference.ReferenceResult, reference.ReferenceState]:
    weight, spikes = drawn(RECORDED["seed"])
    state = reference.state_from(networks, np.repeat(weight[None], len(networks), axis=0))
    raster = Raster.from_dense(spikes.astype(np.int64))
    result = reference.run(networks, raster, state, phase="train", n_presentations=N_IMAGES, record=True)
    return result, state


def spikes_of(result: reference.ReferenceResult, network: int = 0, name: str = "winner") -> list[list[int]]:
    winner = result.trace[name][network]
    return [[int(image), int(t), int(winner[image, t])] for image, t in np.argwhere(winner >= 0)]


def test_spikes_are_those_bindsnet_recorded() -> None:
    assert RECORDED["crowded_steps"] == 0 and len(RECORDED["excitatory"]) > 50
    result, state = trained(spec())
    assert spikes_of(result) == RECORDED["excitatory"]
    assert spikes_of(result, name="inhibitory_winner") == RECORDED["inhibitory"]
    # float32 beside float64: some hundred updates of up to 0.01, each rounded to 2**-24 of a weight, and 7 digits kept.
    weight = state.weight[0].numpy()
    np.testing.assert_allclose(weight, np.array(RECORDED["weight"]), atol=2e-6)
    for image, sums in enumerate(RECORDED["weight_row_sums"]):
        np.testing.assert_allclose(result.trace["weight"][0, image].sum(axis=1), sums, atol=2e-5)
    assert np.abs(weight - drawn(RECORDED["seed"])[0]).max() > 0.05
    # BindsNET's theta is ours over the leak; it falls by 1e-7 of itself per step in both.
    np.testing.assert_allclose(state.theta[0].numpy() / LEAK, RECORDED["theta"], rtol=3e-4, atol=1e-6)


OTHERS: tuple[dict[str, Any], ...] = (
    {"neuron.refractory": 0},
    {"neuron.tau_mem": 90.0},
    {"neuron.v_th": 13.0},
    {"neuron.theta_plus": 0.06},
    {"inhibition.strength": 2.0},
    {"inhibitory.refractory": 60},
    {"learning.eta_start": 0.02},
    {"learning.eta_pre_start": 1e-2, "learning.eta_pre_end": 1e-2},
    {"learning.tau_trace": 10.0},
)


def test_other_networks_have_other_spikes() -> None:
    """The comparison above says something: each of these changes alone makes the spikes differ."""
    result, _ = trained(*(spec(**changes) for changes in OTHERS))
    same = [changes for b, changes in enumerate(OTHERS) if spikes_of(result, b) == RECORDED["excitatory"]]
    assert same == []


def test_the_recipe_is_what_the_mapping_gives() -> None:
    """The shipped numbers are the formulas of docs/numerics.md, section 11, to six digits."""
    shipped, exact = load_network("baseline", recipe="bindsnet"), spec()
    for name in ("v_th", "v_reset", "theta_plus", "tau_mem", "refractory"):
        assert getattr(shipped.neuron, name) == pytest.approx(getattr(exact.neuron, name), rel=1e-6)
    for name in ("v_th", "v_reset", "excitation", "refractory"):
        assert getattr(shipped.inhibitory, name) == pytest.approx(getattr(exact.inhibitory, name), rel=1e-6)


def test_bindsnet_does_what_was_recorded() -> None:
    pytest.importorskip(
        "bindsnet", reason="BindsNET is not installed (its own environment); its recording is used"
    )
    again = record(RECORDED["seed"])
    assert [again[name] for name in ("excitatory", "inhibitory")] == [
        RECORDED[n] for n in ("excitatory", "inhibitory")
    ]
