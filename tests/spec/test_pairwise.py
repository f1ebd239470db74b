"""Fields of the networks with an inhibitory layer and of pair-wise learning: what goes together and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import load_network


def refused(name: str, **settings: Any) -> str:
    with pytest.raises(SpecError) as caught:
        load_network(name, settings={key.replace("__", "."): value for key, value in settings.items()})
    return str(caught.value)


def test_sl_stdp_is_baseline_with_a_gate():
    baseline, gated = load_network("baseline"), load_network("sl-stdp")
    assert baseline.learning.n_essential == 0 < gated.learning.n_essential
    same = {"network", "inhibition", "inhibitory", "encoding", "formats"}
    assert baseline.model_dump(include=same) == gated.model_dump(include=same)


def test_bindsnet_constants():
    """Leak times BindsNET's thresholds and resets, as docs/numerics.md, section 11, has it."""
    spec = load_network("baseline", recipe="bindsnet")
    leak, leak_inh = 0.990049834, 0.904837418
    assert spec.neuron.v_th == pytest.approx(13 * leak, rel=1e-6)
    assert spec.neuron.theta_plus == pytest.approx(0.05 * leak, rel=1e-6)
    assert spec.neuron.v_reset == pytest.approx(5 * leak**6, rel=1e-6)
    assert spec.inhibitory is not None
    assert spec.inhibitory.v_th == pytest.approx(20 * leak_inh, rel=1e-6)
    assert spec.inhibitory.v_reset == pytest.approx(15 * leak_inh**3, rel=1e-6)
    assert (spec.neuron.refractory, spec.inhibitory.refractory) == (5, 2)
    assert (spec.learning.eta_start, spec.learning.eta_pre_start) == (1e-2, 1e-4)
    assert not spec.learning.soft_bounds and spec.learning.weight_sum == 78.4


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("baseline", {"inhibition__kind": "direct"}, "[inhibitory] is given, but inhibition.kind = 'direct'"),
        ("baseline", {"inhibitory": None}, "[inhibitory] is missing; inhibition.kind = 'layer' needs it"),
        ("baseline", {"formats__v_inh": None}, "formats.v_inh is missing"),
        ("baseline", {"formats__x_post": None}, "formats.x_post is missing; learning.rule = 'pairwise'"),
        ("baseline", {"formats__eta_pre": None}, "formats.eta_pre is missing"),
        ("baseline", {"learning__rule": "potentiate"}, "eta_pre_start = 0.00"),
        ("baseline", {"learning__update_steps": 5}, "update_steps = 5: rule = 'pairwise' learns at every spike"),
        ("baseline", {"learning__learners": "winner"}, "needs learners = 'spikers'"),
        ("baseline", {"learning__potentiation": "eq1"}, "needs potentiation = 'constant'"),
        ("baseline", {"learning__trace": "window"}, "needs trace = 'exponential'"),
        ("baseline", {"learning__eta_pre_end": None}, "needs both"),
        ("baseline", {"learning__eta_pre_end": 0.5}, "eta_pre_end = 0.5 must not exceed eta_pre_start"),
        ("baseline", {"learning__rul": "pairwise"}, "did you mean 'rule'"),
        ("baseline", {"inhibitory__v_reset": 20.0}, "v_reset = 20.0 must lie below v_th = 20.0"),
        ("baseline", {"inhibitory__excite": 20.0}, "did you mean 'excitation'"),
        ("baseline", {"inhibition__kind": "layers"}, "did you mean 'layer'"),
        ("baseline", {"formats__x_post__format": "s1.8"}, "s1.8 must be unsigned"),
        ("baseline", {"formats__eta_pre__format": "u9.-1"}, "must not have negative fraction bits"),
        ("baseline", {"formats__v_inh__format": "u6.8"}, "u6.8 must be signed"),
        ("tinysnn", {"inhibition__kind": "layer"}, "[inhibitory] is missing"),
        ("tinysnn", {"learning__soft_bounds": True}, "soft_bounds = True has no meaning with rule = 'potentiate'"),
        ("tinysnn", {"learning__n_essential": 2}, "n_essential = 2 has no meaning"),
        ("tinysnn", {"learning__trace_mode": "set"}, "trace_mode = 'set' has no meaning"),
        ("tinysnn", {"formats__x_post__format": "u1.8"}, "formats.x_post is given, but learning.rule"),
        ("tinysnn", {"inhibitory__excitation": 1.0}, "tau_mem is missing"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(name: str, settings: dict[str, Any], words: str):
    assert words in refused(name, **settings)
