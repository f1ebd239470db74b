"""Inhibitory neurons and pair-wise learning, oracle beside reference: with wide words the same spikes, within bounds.

The constants are exact in these networks (decays have 16 fraction bits, everything else 6) and columns are not
normalised, so cuts are nearly the only errors. Let ``u`` be the LSB of 2**-40 of every register, ``T`` the steps of an
image, ``n`` the events in the busiest step, ``P`` the steps of all images and ``d`` the decay of traces. A trace is at
most ``u / (1 - d)`` off. An update moves a weight by ``eta x m`` with ``m`` at most ``w_max``; soft bounds, here with
traces of at most 1, shrink what was off before. So an update adds at most one LSB and ``w_max u / (1 - d)``; a weight
has at most two per step: ``E_w = 2 P u (1 + w_max / (1 - d))``. A membrane collects that in every step, and two cuts:
``E_v = T (n E_w + 2 u)``, an inhibitory one ``T u``. `theta` and `v_th` are cut once per spike and image, and the decay
of `theta` has 32 fraction bits.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference.cases import Case, make_case
from tinysnn_hw import reference
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec.network import NetworkSpec

BITS = 40
OF_IMAGE = ("v_mem", "v_th", "theta", "x_pre", "x_post", "v_inh")
WHOLE_NUMBERS = ("refractory_count", "inhibitory_count", "n_post")
WIDTHS = {
    "v_inh": Format(True, 14, BITS),
    "x_post": Format(False, 9, BITS),
    "eta_pre": Format(False, 0, BITS),
}


def pairwise_case(rng: Random, *, layer: bool) -> Case:
    """Draw a network of `make_case` and give it pair-wise learning, with inhibitory neurons or without."""
    base = make_case(rng, (BITS, BITS), ("floor", "nearest", "nearest_even"), representable=True)
    some, values = rng.choice, base.spec.model_dump()
    mode = some(("add", "set"))
    values["formats"] = {name: {"format": "u0.8"} for name in values["formats"] if name != "guard_bits"}
    values["formats"] |= {
        "v_mem": {"format": "s8.8"},
        "v_inh": {"format": "s8.8"},
        "c_pre": {"format": "u16.0"},
    }
    values["learning"] |= {
        "rule": "pairwise", "learners": "spikers", "update_steps": 1, "potentiation": "constant",
        "trace": "exponential",
        "eta_pre_start": 3 / 64, "eta_pre_end": 3 / 64, "soft_bounds": mode == "set" and some((True, False)),
        "weight_sum": None,
        "n_essential": some((0, 0, 2)), "trace_mode": mode,
    }  # fmt: skip
    if layer:
        values["inhibition"]["kind"] = "layer"
        values["inhibitory"] = {
            "excitation": 4.0, "v_th": 1.5, "v_reset": 0.5, "refractory": rng.randint(0, 4),
            "tau_mem": -1.0 / np.log(rng.randint(50_000, 64_000) / 65536),
        }  # fmt: skip
    else:
        del values["formats"]["v_inh"]
    spec = NetworkSpec.model_validate(values)
    wide = {
        name: register.format
        for name, register in dict(base.spec.formats).items()
        if name != "guard_bits" and register
    }
    registers = {
        name: register.model_copy(update={"format": (wide | WIDTHS)[name]})
        for name, register in dict(spec.formats).items()
        if name != "guard_bits" and register
    }
    spec = spec.model_copy(update={"formats": spec.formats.model_copy(update=registers)})
    return Case(spec, base.raster, base.seed, base.n_presentations)


def compare(case: Case, fault: Any = None) -> tuple[dict[str, float], int]:
    """Return the largest distance of every register over its bound, and the spikes compared."""
    spec, raster, u = case.spec, case.raster, 2.0**-BITS
    oracle = Oracle(spec, case.seed)
    state = reference.state_from(spec, np.array([oracle.weight]) * u)
    n_steps, learning = spec.encoding.n_steps, spec.learning
    collected = learning.w_max / (1.0 - np.exp(-1.0 / learning.tau_trace))
    e_w = 2 * raster.n_images * n_steps * u * (1.0 + collected)
    largest_theta = spec.neuron.theta_plus * n_steps * raster.n_images
    e_theta = raster.n_images * ((n_steps + 1) * u + 2.0**-33 * largest_theta)
    bounds = {
        "weight": e_w, "v_mem": n_steps * (raster.max_events_per_step * e_w + 2 * u), "v_inh": n_steps * u,
        "x_pre": u * collected / learning.w_max + u, "x_post": u * collected / learning.w_max + u,
        "theta": e_theta, "v_th": e_theta + u,
    }  # fmt: skip
    worst, spikes = dict.fromkeys((*bounds, *WHOLE_NUMBERS, "winner"), 0.0), 0
    for image in range(raster.n_images):
        events = [raster.inputs[a:b].tolist() for a, b in pairwise(raster.offsets[image])]
        fixed = oracle.present(
            events, phase="train", presentation=image, n_presentations=case.n_presentations
        )
        if fault:
            fault(oracle)
        result = reference.run(
            spec,
            raster.slice([image]),
            state,
            phase="train",
            first=image,
            n_presentations=case.n_presentations,
            record=True,
        )
        spikes += int(result.counts.sum())
        for name in (*OF_IMAGE, *WHOLE_NUMBERS, "winner"):
            if name in result.trace:
                unit = u if name in OF_IMAGE else 1.0
                distance = np.abs(
                    np.array(getattr(fixed, name), float) * unit - result.trace[name][0, 0]
                ).max()
                worst[name] = max(worst[name], float(distance) / bounds.get(name, 1.0))
        distance = np.abs(np.array(oracle.weight, float) * u - state.weight[0].numpy()).max()
        worst["weight"] = max(worst["weight"], float(distance) / bounds["weight"])
    assert not any(sum(oracle.stats[name][2:]) for name in bounds if name != "weight")  # type: ignore[arg-type]
    return worst, spikes


@pytest.mark.slow
@pytest.mark.parametrize("layer", [True, False], ids=["layer", "direct"])
def test_registers_stay_within_their_bounds(layer: bool) -> None:
    """On 25 random networks, at least 400 spikes; in none are two neurons so close that a bound would decide."""
    total = 0
    for number in range(25):
        worst, spikes = compare(pairwise_case(Random(number), layer=layer))
        assert worst["winner"] == 0.0 and max(worst.values()) <= 1.0, (number, worst)
        assert all(worst[name] == 0.0 for name in WHOLE_NUMBERS), (number, worst)
        total += spikes
    assert total >= 400


def test_a_weight_off_by_a_narrow_lsb_is_found() -> None:
    def change(oracle: Oracle) -> None:
        oracle.weight[0][0] += 1 << (BITS - 12)

    for number in range(5):
        worst, _ = compare(pairwise_case(Random(number), layer=True), change)
        assert worst["weight"] > 1.0
