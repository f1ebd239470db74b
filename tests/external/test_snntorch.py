"""One LIF neuron beside snnTorch's `Leaky`, in float64: same spikes, same membrane.

What maps one to the other, and what differs:

- snnTorch lets the membrane leak and then adds the input, ``m = beta m + I``; ours adds first, ``v = (v + I) beta``. So
  ``v = beta m``, and our threshold is ``beta`` times theirs.
- snnTorch with ``reset_mechanism = "zero"`` clears the membrane at the beginning of the step after the spike, ours at
  once, and neither loses an input (``refractory = 0``): theirs still shows the spike's potential where ours is at 0.
- snnTorch fires at ``m > threshold``, ours at ``v >= v_th``: no difference unless they are exactly equal.
- snnTorch's neuron has no refractory period, inhibition or adaptive threshold; here ours has none of them either.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.external.record_snntorch import BETA, N_INPUTS, N_STEPS, THRESHOLD, drawn, leaky
from tinysnn_hw import reference
from tinysnn_hw.data import Raster
from tinysnn_hw.spec import load_network

RECORDED = Path(__file__).with_name("snntorch.json")


def ours() -> tuple[np.ndarray, np.ndarray]:
    weight, events = drawn()
    spec = load_network(
        "tinysnn", inputs=N_INPUTS, neurons=1,
        settings={"neuron.leak": "multiply", "neuron.tau_mem": -1.0 / math.log(BETA), "neuron.v_th": BETA * THRESHOLD,
                  "neuron.refractory": 0, "neuron.v_reset": 0.0, "encoding.n_steps": N_STEPS},
    )  # fmt: skip
    state = reference.state_from(spec, weight[None, :, None])
    trace = reference.run(spec, Raster.from_dense(events[None]), state, phase="test", record=True).trace
    return trace["v_mem"][0, 0, :, 0], trace["winner"][0, 0] == 0


def assert_same(potentials: list[float], spikes: list[int]) -> None:
    v, fired = ours()
    assert fired.tolist() == [bool(spike) for spike in spikes] and fired.sum() > 15
    quiet = ~fired
    np.testing.assert_allclose(v[quiet], BETA * np.array(potentials)[quiet], rtol=1e-12, atol=1e-15)
    assert (v[fired] == 0.0).all() and (np.array(potentials)[fired] > THRESHOLD).all()


def test_a_neuron_is_the_one_snntorch_recorded() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert recorded["about"]["snntorch"]
    assert_same(recorded["potentials"], recorded["spikes"])


def test_a_neuron_is_snntorchs() -> None:
    pytest.importorskip(
        "snntorch", reason="snnTorch is not installed (pip install snntorch); its recording is used"
    )
    assert_same(*leaky())


def test_a_spike_one_step_late_is_noticed() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    shifted = recorded["spikes"][1:] + recorded["spikes"][:1]
    with pytest.raises(AssertionError):
        assert_same(recorded["potentials"], shifted)
