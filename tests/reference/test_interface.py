"""Batches, devices, traces and refusals of the reference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tinysnn_hw import reference
from tinysnn_hw.data import Raster
from tinysnn_hw.errors import BackendUnavailableError, SpecError
from tinysnn_hw.spec import NetworkSpec, load_network

ROOT = Path(__file__).parents[2]
STATE = ("weight", "theta", "v_th")


def network(**changes: Any) -> NetworkSpec:
    base = {
        "neuron.v_th": 3.0,
        "encoding.n_steps": 60,
        "learning.update_steps": 20,
        "encoding.rate_max_hz": 400.0,
    }
    settings = base | {name.replace("__", "."): value for name, value in changes.items()}
    return load_network("tinysnn", inputs=20, neurons=9, settings=settings | {"learning.weight_sum": 4.0})


def raster(seed: int, n_images: int = 3) -> Raster:
    return Raster.from_dense(np.random.default_rng(seed).poisson(0.15, size=(n_images, 60, 20)))


def train(
    specs: Any, rasters: Any, state: reference.ReferenceState, **options: Any
) -> reference.ReferenceResult:
    return reference.run(specs, rasters, state, phase="train", n_presentations=6, **options)


def assert_network(b: int, together: tuple[Any, Any], alone: tuple[Any, Any]) -> None:
    """Network ``b`` of a batch did what it does alone; sums may be taken in another order."""
    (state, result), (own, single) = together, alone
    assert result.counts[b].tolist() == single.counts[0].tolist() and single.counts.sum() > 5
    for name in STATE:
        np.testing.assert_allclose(getattr(state, name)[b].numpy(), getattr(own, name)[0].numpy(), rtol=1e-13)


def test_a_batch_is_its_networks_one_by_one() -> None:
    """Seeds, spikes and every number of a spec may differ between the networks of a batch."""
    specs = [
        network(),
        network(neuron__leak="shift", inhibition__strength=2.0, inhibition__start=0.2, neuron__v_floor=None),
        network(
            neuron__leak="subtract",
            neuron__leak_step=0.03,
            neuron__refractory=1,
            learning__potentiation="constant",
        ),
        network(
            neuron__theta_forget="none",
            neuron__v_reset=0.5,
            learning__eta_start=0.3,
            learning__schedule_pieces=2,
        ),
    ]
    rasters = [raster(seed) for seed in range(4)]
    state = reference.initial_state(specs, range(4))
    result = train(specs, rasters, state)
    for b, spec in enumerate(specs):
        own = reference.initial_state(spec, [b])
        assert_network(b, (state, result), (own, train(spec, rasters[b], own)))
    assert len({counts.tobytes() for counts in result.counts}) == 4


def test_one_raster_for_all_is_the_same_raster_for_each() -> None:
    shared, each = (reference.initial_state(network(), range(3)) for _ in range(2))
    a, b = train(network(), raster(0), shared), train(network(), [raster(0)] * 3, each)
    assert a.counts.tolist() == b.counts.tolist()
    assert {name: x.tolist() for name, x in a.activity.items()} == {
        name: x.tolist() for name, x in b.activity.items()
    }
    assert all(torch.equal(getattr(shared, name), getattr(each, name)) for name in STATE)


def test_runs_can_be_divided_and_repeat_bit_for_bit() -> None:
    states = [reference.initial_state(network(), range(2)) for _ in range(3)]
    whole = train(network(), raster(0), states[0])
    again = train(network(), raster(0), states[1])
    parts = [train(network(), raster(0).slice([i]), states[2], first=i) for i in range(3)]
    assert whole.counts.tolist() == again.counts.tolist()
    assert whole.counts.tolist() == np.concatenate([part.counts for part in parts], axis=1).tolist()
    for name in STATE:
        assert all(torch.equal(getattr(states[0], name), getattr(state, name)) for state in states[1:])


def test_traces_are_those_of_the_run() -> None:
    state = reference.initial_state(network(), range(2))
    untraced = state.copy()
    result, plain = train(network(), raster(0), state, record=True), train(network(), raster(0), untraced)
    assert plain.trace == {} and result.counts.tolist() == plain.counts.tolist()
    trace = result.trace
    assert {name: values.shape for name, values in trace.items()} == {
        **dict.fromkeys(("v_mem", "v_th", "theta", "refractory_count", "n_post", "n_window", "margin"), (2, 3, 60, 9)),
        **dict.fromkeys(("x_pre", "c_pre"), (2, 3, 60, 20)),
        "winner": (2, 3, 60), "weight": (2, 3, 20, 9), "weight_window": (2, 3, 3, 20, 9),
    }  # fmt: skip
    fired = trace["winner"][..., None] == np.arange(9)
    assert fired.sum(axis=2).tolist() == result.counts.tolist()
    assert trace["n_post"][:, :, -1].tolist() == result.counts.tolist()
    assert (trace["weight"][:, -1] == state.weight.numpy()).all()
    assert (trace["refractory_count"][fired] == network().neuron.refractory).all()
    assert (trace["v_mem"][fired] == network().neuron.v_reset).all()
    assert (trace["margin"][fired] >= 0.0).all()
    assert (trace["margin"][:, :, 1:][trace["refractory_count"][:, :, :-1] > 0] == -np.inf).all()
    # x_pre by its rule, step by step.
    x, events = np.zeros(20), raster(0).to_dense()
    for t in range(60):
        x = x * np.exp(-1 / network().learning.tau_trace) + events[1, t]
        np.testing.assert_allclose(trace["x_pre"][0, 1, t], x, rtol=1e-12)


def test_float32_is_float32() -> None:
    state = reference.initial_state(network(), [0], dtype=torch.float32)
    result = train(network(), raster(0), state, record=True)
    assert state.weight.dtype == torch.float32 and result.trace["v_mem"].dtype == np.float32


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("this build of PyTorch has no CUDA")
    states = {
        device: reference.initial_state(network(), range(4), device=device) for device in ("cpu", "cuda")
    }
    results = {device: train(network(), raster(0), state) for device, state in states.items()}
    assert results["cpu"].counts.tolist() == results["cuda"].counts.tolist()
    for name in STATE:
        values = [getattr(states[device], name).cpu().numpy() for device in states]
        np.testing.assert_allclose(*values, rtol=1e-12)


def test_a_state_is_given_in_real_numbers() -> None:
    weight = np.random.default_rng(0).random((2, 20, 9))
    state = reference.state_from(network(), weight, theta=np.full((2, 9), 0.5))
    assert (state.weight.numpy() == weight).all() and (state.v_th == 3.5).all()
    weight[:] = 0.0
    assert (state.weight > 0.0).any()
    given = reference.state_from(network(), weight, theta=np.full((2, 9), 0.5), v_th=np.full((2, 9), 3.25))
    assert (given.v_th == 3.25).all()


def drawn(specs: Any = None, n: int = 1, **options: Any) -> reference.ReferenceState:
    return reference.initial_state(specs or network(), range(n), **options)


def given(**options: Any) -> reference.ReferenceState:
    return reference.state_from(network(), **{"weight": np.ones((1, 20, 9))} | options)


def show(phase: str, **options: Any) -> reference.ReferenceResult:
    return reference.run(network(), raster(0), drawn(), phase=phase, **options)


other_rule = [network(), network(learning__rule="attract")]
no_count = network(learning__trace="window", encoding__rate_max_hz=1.0)
longer = Raster.from_dense(np.zeros((1, 61, 20), int))

REFUSALS: dict[str, tuple[str, Any]] = {
    "specs": ("2 specs for 3 networks", lambda: drawn([network()] * 2, 3)),
    "no network": ("1 specs for 0 networks|0 specs for 0", lambda: drawn(n=0)),
    "seed": ("seed = -1", lambda: reference.initial_state(network(), [-1])),
    "device": ("device = 'tpu'", lambda: drawn(device="tpu")),
    "other device": ("device = 'meta'", lambda: drawn(device="meta")),
    "dtype": ("dtype = torch.float16", lambda: drawn(dtype=torch.float16)),
    "shape": (r"weight has shape \(1, 2, 3\)", lambda: given(weight=np.ones((1, 2, 3)))),
    "rank": (r"weight has shape \(20, 9\)", lambda: given(weight=np.ones((20, 9)))),
    "theta": ("theta has shape", lambda: given(theta=[1.0])),
    "phase": ("phase = 'learn'", lambda: show("learn")),
    "length": ("n_presentations = None", lambda: show("train")),
    "first": ("images 5 to 7", lambda: show("train", first=5, n_presentations=6)),
    "rasters": ("2 rasters for 3", lambda: train(network(), [raster(0)] * 2, drawn(n=3))),
    "images": ("3 and 2 images", lambda: train(network(), [raster(0), raster(1, 2)], drawn(n=2))),
    "raster": ("raster has 20 inputs and 61 steps", lambda: train(network(), longer, drawn())),
    "rule": ("learning.rule = attract, potentiate", lambda: drawn(other_rule, 2)),
    "threshold": (
        "at or below neuron.v_reset",
        lambda: train(network(), raster(0), given(v_th=np.zeros((1, 9)))),
    ),
    "window": ("no event in a window", lambda: drawn(no_count)),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_refusals_name_what_is_wrong(refused: str) -> None:
    message, call = REFUSALS[refused]
    with pytest.raises(SpecError, match=message):
        call()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_gpu_is_said() -> None:
    with pytest.raises(BackendUnavailableError, match=r"sees 0 CUDA devices; use device='cpu'"):
        reference.initial_state(network(), [0], device="cuda")


def test_a_missing_torch_is_said() -> None:
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else real(name, *rest)\n"
        "from tinysnn_hw.errors import MissingPackageError\n"
        "try:\n    import tinysnn_hw.reference\n"
        "except MissingPackageError as error:\n    print(isinstance(error, ImportError), error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("True") and "pip install 'tinysnn-hw[torch]'" in ran.stdout
