"""Why it broke: networks broken on purpose, each in one way, and the finding that must name it."""

from __future__ import annotations

import numpy as np
import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import present, train
from tinysnn_hw.quantize import diagnose, quantize
from tinysnn_hw.quantize.replay import UpdateCounts
from tinysnn_hw.spec import load_network


@pytest.fixture(scope="module")
def few():
    return load_dataset("digits").limit(400, 50)


def trained(few, weight="u0.8", rounding="stochastic", **settings):
    network = load_network(
        "tinysnn-wta", recipe="digits", neurons=20, epochs=2, weight=weight,
        settings={"formats.weight.rounding": rounding, "learning.eta_start": 0.125, **settings},
    )  # fmt: skip
    return train(network, few, seed=0, threads=1)


def diagnosed(model, few):
    return diagnose(model, few, n_replayed=6, n_shown=200, threads=1)


def test_a_sound_network_has_no_findings(few):
    found = diagnosed(trained(few), few)
    assert found.codes == ()
    assert set(found.updates) == {"start", "end"} and found.n_replayed == 6 and found.n_shown == 200
    # Random bits leave the fall of weights unbiased: thousands of carries, each of at most one LSB.
    assert found.updates["start"].drain == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("bits", [6, 5, 4, 3])
def test_floor_rounding_of_negative_updates_is_named(few, bits):
    """Every negative update below one LSB costs a whole one, so weights are driven to zero."""
    model = trained(few, f"u0.{bits}", "floor")
    found = diagnosed(model, few)
    assert "negative_updates_inflated" in found.codes
    finding = next(f for f in found.findings if f.code == "negative_updates_inflated")
    assert finding.register == "weight"
    assert "floor rounding of negative updates drives weights to zero" in finding.text
    assert finding.values["whole_share"] > 0.9 and finding.values["drain"] > 1.5
    kept = trained(few, f"u0.{bits}", "stochastic")
    assert found.zero_weights == (model.weight == 0).mean() > (kept.weight == 0).mean() + 0.05
    for rounding in ("nearest", "stochastic"):
        assert "negative_updates_inflated" not in diagnosed(trained(few, f"u0.{bits}", rounding), few).codes


def test_updates_below_one_lsb_are_lost(few):
    model = trained(few, "u0.3", "nearest")
    found = diagnosed(model, few)
    finding = next(f for f in found.findings if f.code == "updates_lost")
    both = found.updates["start"] + found.updates["end"]
    assert finding.values["lost_share"] == both.lost / both.asked > 0.5
    assert f"below one LSB of u0.3 in {100 * both.below_lsb / both.asked:.0f} %" in finding.text
    assert "updates_lost" not in diagnosed(trained(few, "u0.3", "stochastic"), few).codes


def test_initial_weights_below_one_lsb(few):
    """Draws from [0, 0.6) on a grid of 0.5 leave 0 alone; on a grid of 0.25 they leave 0 and 0.25."""
    dead = trained(few, "u0.1", "nearest")
    assert not dead.weight.any() and "initial_weights_vanish" in diagnosed(dead, few).codes
    assert "initial_weights_vanish" not in diagnosed(trained(few, "u0.2", "nearest"), few).codes


def test_saturations_are_those_of_the_training(few):
    model = trained(few, **{"neuron.v_floor": None, "formats.v_mem.format": "s7.4", "neuron.v_th_cap": 40.0})
    seen = model.registers["v_mem"]
    assert seen.saturated_low > 0
    found = diagnosed(model, few)
    finding = next(f for f in found.findings if f.code == "saturated")
    assert (finding.register, finding.values["low"]) == ("v_mem", seen.saturated_low)
    assert found.saturations["v_mem"] == (seen.saturated_low, seen.saturated_high)


def test_thresholds_above_the_membrane(few):
    model = trained(
        few, **{"neuron.theta_plus": 3.0, "neuron.theta_forget": "none", "neuron.v_th_cap": 100.0}
    )
    small = quantize(model, v_mem="s6.4")
    found = diagnosed(small, few)
    above = int((model.v_th / 256 > 31.9375).sum())
    assert found.unreachable_thresholds == above > 0 and "unreachable_thresholds" in found.codes
    assert found.updates == {} and found.n_replayed == 0
    never = present(small, few, "label", n_images=200, threads=1).counts.sum(axis=0) == 0
    assert found.silent_neurons == never.sum() >= above
    assert "silent_neurons" in found.codes
    assert "unreachable_thresholds" not in diagnosed(model, few).codes


@pytest.mark.parametrize(
    ("rounding", "theta", "code"),
    [
        ("nearest", "u8.2", "theta_never_rises"),
        ("nearest", "u8.4", "theta_never_falls"),
        ("floor", "u8.5", "theta_falls_too_fast"),
        ("floor", "u8.3", "theta_never_rises"),
    ],
)
def test_steps_of_theta_lost_on_its_grid(few, rounding, theta, code):
    """theta_plus is 0.07, and 0.07 * 5 / 20 = 0.0175 the fall per image."""
    model = trained(few, **{"formats.theta.format": theta, "formats.theta.rounding": rounding})
    assert code in diagnosed(model, few).codes
    if code == "theta_never_rises":
        assert not model.theta.any()
    even = trained(few, **{"formats.theta.format": theta, "formats.theta.rounding": "stochastic"})
    assert not {c for c in diagnosed(even, few).codes if c.startswith("theta")}


def test_counts_add_up():
    a = UpdateCounts(updates=4, asked=3, lost=1, negative=2, fall_asked=0.5, fall_written=1.0, largest=0.4)
    b = UpdateCounts(updates=1, asked=1, below_lsb=1, fall_asked=0.5, largest=2.0)
    both = a + b
    assert (both.updates, both.asked, both.lost, both.below_lsb, both.largest) == (5, 4, 1, 1, 2.0)
    assert (both.lost_share, both.below_lsb_share, both.drain) == (0.25, 0.25, 1.0)
    assert (UpdateCounts().lost_share, UpdateCounts().drain) == (0.0, 1.0)


def test_a_float64_model_has_nothing_to_diagnose(few):
    network = load_network("tinysnn-wta", recipe="digits", neurons=8, epochs=1)
    twin = train(network, few.limit(10), arithmetic="float64", threads=1)
    with pytest.raises(SpecError, match="fixed-point"):
        diagnose(twin, few)
    assert twin.weight.dtype == np.float64
