"""Closed-form counts against a machine whose memories and arithmetic count themselves."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.cost.machine import Machine
from tinysnn_hw.cost import count_accesses, memory_footprint
from tinysnn_hw.cost.counts import OPERATIONS
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import Activity
from tinysnn_hw.spec import list_networks, load_network, network_from_dict

VARIABLES = (
    "weight", "v_mem", "v_th", "theta", "refractory_count", "n_post", "n_window", "accumulator", "x_pre",
    "c_pre", "lateral", "input_spikes", "output_spikes", "x_post", "v_inh", "inhibitory_count", "v_th_inh",
    "excitation",
)  # fmt: skip


@st.composite
def networks(draw):
    """A tiny network of any rule, with events that make its neurons fire often."""
    choose = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    n_steps, inputs, neurons = choose(9, 12, 16), choose(1, 3, 5), choose(1, 2, 4)
    changes = {
        "network.inputs": inputs,
        "encoding.n_steps": n_steps,
        "encoding.rate_max_hz": 1000.0,
        "neuron.leak": choose("none", "shift", "subtract", "multiply"),
        "neuron.leak_step": 0.25,
        "neuron.v_th": 1.0,
        "neuron.v_th_cap": choose(None, 40.0),
        "neuron.v_floor": choose(None, 0.0),
        "neuron.refractory": choose(0, 1, 3),
        "neuron.theta_forget": choose("none", "subtract", "multiply"),
        "learning.rule": choose("potentiate", "attract"),
        "learning.learners": choose("spikers", "winner"),
        "learning.potentiation": choose("eq1", "constant"),
        "learning.trace": choose("exponential", "window"),
        "learning.update_steps": choose(2, 3, 5),
        "learning.weight_sum": choose(None, 1.5),
        "learning.w_init_low": 0.2,
        "learning.w_init_high": 0.9,
        "formats.v_mem.rounding": choose("floor", "nearest", "stochastic"),
        "formats.weight.rounding": choose("floor", "stochastic"),
        "formats.weight.rand_bits": choose(4, 32),
        "formats.theta.rounding": choose("nearest", "stochastic"),
    }
    spec = load_network(
        "tinysnn-wta",
        settings=changes,
        neurons=neurons,
        weight=choose("u0.8", "u0.4"),
        v_mem=choose("s8.8", "s8.2"),
        v_th=choose("s8.8", "s8.4"),
        theta=choose("u8.16", "u8.4"),
    )
    spec = varied(spec, layer=choose(False, True), pairwise=choose(False, True), choose=choose)
    step = st.lists(st.integers(0, inputs - 1), max_size=4)
    image = st.lists(step, min_size=n_steps - QUIET, max_size=n_steps - QUIET).map(
        lambda steps: steps + [[]] * QUIET
    )
    return spec, draw(st.lists(image, min_size=1, max_size=2))


QUIET = 4
"""Steps without events at the end of an image, so that nothing is on its way when it ends (with a layer)."""


def varied(spec, *, layer, pairwise, choose):
    """The same network with an inhibitory layer or pair-wise STDP."""
    values, other = spec.model_dump(mode="json"), load_network("baseline").model_dump(mode="json")
    if layer:
        values["inhibition"]["kind"] = "layer"
        weak = {"refractory": choose(0, 2), "excitation": choose(22.5, 12.0)}  # 12 mV: two spikes are needed
        values["inhibitory"] = other["inhibitory"] | weak
        values["formats"]["v_inh"] = other["formats"]["v_inh"] | {"rounding": choose("floor", "stochastic")}
        values["neuron"] |= {"leak": "multiply", "tau_mem": 1.0, "v_th": 0.3}  # soon below threshold again
    if pairwise:
        for name in ("x_post", "eta_pre"):
            values["formats"][name] = other["formats"][name]
        values["formats"]["x_post"]["rounding"] = choose("floor", "nearest")
        values["formats"]["x_pre"] = other["formats"]["x_pre"]
        values["learning"] |= {
            "rule": "pairwise", "learners": "spikers", "update_steps": 1, "potentiation": "constant",
            "trace": "exponential", "trace_mode": choose("set", "add"), "soft_bounds": choose(False, True),
            "n_essential": choose(0, 1, 2), "eta_pre_start": 0.05, "eta_pre_end": 0.05,
        }  # fmt: skip
    return network_from_dict(values, "test")


def activity_of(machine):
    seen = machine.activity
    names = (
        "images", "input_spikes", "output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions",
    )  # fmt: skip
    return Activity(steps_per_image=machine.spec.encoding.n_steps, **{name: seen[name] for name in names})


def vars_of(activity):
    return {name: getattr(activity, name) for name in Activity.__slots__}


@settings(max_examples=100)
@given(
    case=networks(), phase=st.sampled_from(["train", "test"]), weights=st.sampled_from(["learned", "dense"])
)
def test_counts_are_those_of_a_machine(case, phase, weights):
    spec, images = case
    machine, oracle = Machine(spec, 3, phase), Oracle(spec, 3)
    if weights == "dense":
        machine.lateral = machine.excitation = spec.network.neurons
    for p, events in enumerate(images):
        expected = oracle.present(events, phase=phase, presentation=p, n_presentations=len(images))
        assert machine.present(events, p, len(images)) == expected.winner
    n = spec.network.neurons
    assert machine.weight.words == [oracle.weight[i][j] for i in range(spec.network.inputs) for j in range(n)]
    assert machine.v_th.words == oracle.v_th and machine.v_mem.words == oracle.v_mem
    activity = activity_of(machine)
    assert oracle.activity == {k: n for k, n in vars_of(activity).items() if k in oracle.activity}
    assume(not machine.lost)
    if phase == "train" and activity.output_spikes and not activity.updates:
        return  # neurons fired after the last full window only, which is refused
    found = count_accesses(
        spec, activity, phase="training" if phase == "train" else "inference", weights=weights
    )
    counted = {(v, k): found.words(v, k) for v in VARIABLES for k in ("read", "write")}
    assert {key: n for key, n in counted.items() if n} == {k: n for k, n in machine.moved.items() if n}
    assert {a.variable for a in found.accesses} <= set(VARIABLES)
    done = {kind: found.operation_count(kind) for kind in OPERATIONS}
    assert {k: n for k, n in done.items() if n} == {k: n for k, n in machine.done.items() if n}


def spikes(**changes):
    values = {
        "images": 10, "steps_per_image": 250, "input_spikes": 30_000, "output_spikes": 200, "updates": 20,
        "normalizations": 0,
    }  # fmt: skip
    return Activity(**values | changes)


def test_bitmaps_hold_a_bit_per_input_and_step():
    spec = load_network("tinysnn-wta")
    found = count_accesses(spec, spikes(), spike_storage="bitmap")
    assert found.words("input_spikes", "read") == 10 * 250 * 784
    assert {a.width for a in found.accesses if a.variable == "input_spikes"} == {1}
    events = count_accesses(spec, spikes())
    assert {a.width for a in events.accesses if a.variable == "input_spikes"} == {10}  # 784 addresses


@pytest.mark.parametrize("name", list_networks())
@pytest.mark.parametrize("phase", ["inference", "training"])
def test_what_is_stored_is_the_footprint(name, phase):
    """The variables counted are those of Eq. 4, beside accumulators and spikes, which are no parameters."""
    spec = load_network(name)
    found = count_accesses(spec, spikes(steps_per_image=spec.encoding.n_steps), phase=phase).stored_bits
    for extra in ("accumulator", "input_spikes", "output_spikes"):
        found.pop(extra)
    items = memory_footprint(spec, phase=phase).items
    assert found == {item.name: item.bits for item in items if not item.name.endswith("(constant)")}


@pytest.mark.parametrize("weights", ["sparse", "dense"])
def test_stored_lateral_connections_are_those_of_the_footprint(weights):
    spec = load_network("tinysnn", neurons=7)
    found = count_accesses(spec, spikes(steps_per_image=350), weights=weights).stored_bits["lateral"]
    assert found == {"sparse": 7 * 6 * 8, "dense": 7 * 7 * 8}[weights]


def test_float32_is_32_bits_throughout():
    spec = load_network("tinysnn", neurons=7, weight="u0.4", rounding="stochastic")
    found = count_accesses(spec, spikes(steps_per_image=350), phase="training", arithmetic="float32")
    kept = {a.width for a in found.accesses if not a.variable.endswith("spikes")}
    assert kept == {32} and found.is_float
    assert found.operation_count("random bit") == 0


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"images": 0}, {}, "images = 0"),
        ({"steps_per_image": 3}, {}, "steps_per_image = 3, but encoding.n_steps"),
        ({"input_spikes": -1}, {}, "input_spikes = -1"),
        ({"inhibitory_spikes": 3}, {}, "only inhibition.kind = 'layer' has; tinysnn-wta has 'direct'"),
        ({"depressions": 3}, {}, "only learning.rule = 'pairwise' has"),
        ({"updates": 0}, {"phase": "training"}, "comes from inference"),
        ({}, {"phase": "learning"}, "phase = 'learning' is unknown; allowed: inference, training"),
        ({}, {"weights": "spars"}, "did you mean 'sparse'"),
        ({}, {"arithmetic": "float16"}, "allowed: fixed, float32"),
    ],
)
def test_refusals_name_what_is_wrong(changes, options, words):
    with pytest.raises(SpecError, match=words):
        count_accesses(load_network("tinysnn-wta"), spikes(**changes), **options)
