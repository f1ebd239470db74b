"""The reference against the float64 kernel, written apart from it: whole images, networks of full size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tinysnn_hw import reference
from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_float_state, lower, open_session
from tinysnn_hw.spec import NetworkSpec, load_network

SEED = 11
ACTIVITY = ("input_spikes", "output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions")
NETWORKS = ("tinysnn", "tinysnn-wta", "baseline", "sl-stdp")


def raster_of(spec: NetworkSpec, images: np.ndarray, phase: str = "train") -> Raster:
    kind = spec.encoding.train_spikes if phase == "train" else spec.encoding.inference_spikes
    return encode(images, encoding_tables(spec.encoding), spikes=kind, phase=phase, seed=SEED)


def twin_and_reference(spec: NetworkSpec, raster: Raster, dtype: Any) -> tuple[Any, Any, Any, Any]:
    lowered = lower(spec)
    twin = initial_float_state(lowered, SEED)
    session = open_session(lowered, twin, raster)
    n_presentations = 2 * raster.n_images
    expected = session.run(raster, phase="train", seed=SEED, first=2, n_presentations=n_presentations)
    session.store(twin)
    state = reference.initial_state(spec, [SEED], dtype=dtype)
    result = reference.run(spec, raster, state, phase="train", first=2, n_presentations=n_presentations)
    return twin, expected, state, result


def assert_equal(twin: Any, expected: Any, state: Any, result: Any, tolerance: float) -> None:
    assert result.counts[0].tolist() == expected.counts.tolist()
    assert [int(result.activity[name][0]) for name in ACTIVITY] == expected.activity.tolist()
    assert expected.activity[1] > 20 and expected.activity[2] > 5
    for name in ("weight", "theta", "v_th"):
        # Relative to the size of the numbers: weights to 1, thresholds to about 16.
        np.testing.assert_allclose(
            getattr(state, name)[0].numpy(), getattr(twin, name), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_float64_kernel_on_digits(name: str) -> None:
    """Same spikes on 12 images, weights and thresholds to 1e-12: sums of float64 terms in another order."""
    spec = load_network(name, recipe="digits", neurons=60)
    raster = raster_of(spec, load_dataset("digits").train_images[:12])
    assert_equal(*twin_and_reference(spec, raster, torch.float64), tolerance=1e-12)


@pytest.mark.parametrize("recipe", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_float64_kernel_on_full_size_images(name: str, recipe: str, data_dir: Path) -> None:
    """N = 400 on four images of each data set; float32 has the same spikes there, and weights to 1e-5."""
    spec = load_network(name, recipe=recipe)
    raster = raster_of(spec, load_dataset(recipe, data_dir=data_dir).train_images[:4])
    assert_equal(*twin_and_reference(spec, raster, torch.float64), tolerance=1e-12)
    assert_equal(*twin_and_reference(spec, raster, torch.float32), tolerance=1e-5)


@pytest.mark.parametrize("changes", [
    {"neuron.leak": "none"}, {"neuron.leak": "subtract", "neuron.leak_step": 0.02}, {"neuron.leak": "shift"},
    {"neuron.v_floor": None}, {"neuron.v_reset": -1.5, "neuron.v_floor": -20.0}, {"neuron.refractory": 0},
    {"neuron.theta_forget": "none"}, {"neuron.theta_forget": "subtract", "neuron.theta_forget_spikes": 6.0},
    {"neuron.v_th_cap": None}, {"inhibition.start": 0.1, "inhibition.ramp": 1.0}, {"learning.trace": "window"},
    {"learning.learners": "winner"}, {"learning.rule": "attract"}, {"learning.potentiation": "constant"},
    {"learning.weight_sum": None}, {"learning.eta_schedule": "cosine"}, {"learning.eta_schedule": "linear"},
])  # fmt: skip
def test_equals_the_float64_kernel_for_every_choice(changes: dict[str, Any]) -> None:
    spec = load_network("tinysnn", recipe="digits", neurons=20, settings=changes)
    raster = raster_of(spec, load_dataset("digits").train_images[:5])
    assert_equal(*twin_and_reference(spec, raster, torch.float64), tolerance=1e-12)


@pytest.mark.parametrize("phase", ["label", "test"])
def test_inference_equals_the_float64_kernel_and_changes_nothing(phase: str) -> None:
    spec = load_network("tinysnn-wta", recipe="digits", neurons=30)
    lowered, raster = lower(spec), raster_of(spec, load_dataset("digits").train_images[:6], phase)
    twin = initial_float_state(lowered, SEED)
    expected = open_session(lowered, twin, raster).run(raster, phase=phase, seed=SEED)
    state = reference.initial_state(spec, [SEED])
    before = state.copy()
    result = reference.run(spec, raster, state, phase=phase)
    assert result.counts[0].tolist() == expected.counts.tolist() and result.counts.sum() > 10
    assert result.activity["updates"].tolist() == [0]
    for name in ("weight", "theta", "v_th"):
        assert torch.equal(getattr(state, name), getattr(before, name))


def test_initial_weights_are_those_of_the_float64_kernel() -> None:
    for spec in (load_network("tinysnn", recipe="digits"), load_network("tinysnn-wta", recipe="digits")):
        for seed in (0, 1, 2**32 - 1):
            twin = initial_float_state(lower(spec), seed)
            state = reference.initial_state(spec, [seed])
            np.testing.assert_allclose(state.weight[0].numpy(), twin.weight, rtol=1e-14, atol=0.0)


def test_initial_weights_do_not_exceed_w_max() -> None:
    """docs/numerics.md, section 5: the ends of the initial weights are at most `w_max`."""
    spec = load_network(
        "tinysnn", recipe="digits", settings={"learning.w_max": 0.2, "learning.weight_sum": None}
    )
    twin = initial_float_state(lower(spec), SEED)
    state = reference.initial_state(spec, [SEED])
    assert spec.learning.w_init_high > 0.2 >= float(state.weight.max())
    np.testing.assert_allclose(state.weight[0].numpy(), twin.weight, rtol=1e-14, atol=0.0)
