"""Energies of whole runs: published figures, sums by hand, monotonicity, dimensions, speed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinysnn_hw as ts
from tinysnn_hw.cost import MemoryFootprint, assumed_activity, cost, memory_footprint
from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import Activity, MemoryItem
from tinysnn_hw.spec import (
    HardwareSpec,
    NetworkSpec,
    list_hardware,
    list_networks,
    load_hardware,
    load_network,
)

ACCESS = [name for name in list_hardware() if load_hardware(name).kind == "access"]
NOTHING = {
    "input_spikes": 0, "output_spikes": 0, "updates": 0, "normalizations": 0, "inhibitory_spikes": 0, "depressions": 0,
}  # fmt: skip


def activity(images=1, steps=250, **changes):
    return Activity(**{"images": images, "steps_per_image": steps, **NOTHING, **changes})


def chip(**events):
    """A chip with the given energies [pJ]."""
    return HardwareSpec.model_validate({
        "name": "chip", "summary": "A chip of a table", "technology": "-", "kind": "event",
        "events": {name: {"value": value, "unit": "pJ", "source": "table"} for name, value in events.items()},
    })  # fmt: skip


# --- Published figures ---------------------------------------------------------------------------------


def test_kerasspiking_dense_layer_on_a_cpu():
    """784 -> 128 on an i7-4960X, one step: (100352 + 128) * 8.6 nJ = 8.64128e-4 J."""
    net = load_network(
        "tinysnn-wta", neurons=128, settings={"encoding.n_steps": 1, "learning.update_steps": 1}
    )
    cpu = chip(synop=8600.0, neuron_update=8600.0)
    found = cost(net, activity(steps=1, input_spikes=784), hardware=cpu)
    assert found.energy_j == pytest.approx(8.64128e-4, rel=1e-12)


def test_kerasspiking_spiking_layer_on_loihi():
    """784 -> 400 at 10 Hz for 350 steps of 1 ms: 2.974496e-5 J in synapses, 1.134e-5 J in neurons."""
    net = load_network("tinysnn")
    found = cost(net, activity(steps=350, input_spikes=2744), hardware="loihi").by("operation")
    assert found["synop",].nominal == pytest.approx(2.974496e-5, rel=1e-12)
    assert found["neuron update",].nominal == pytest.approx(1.134e-5, rel=1e-12)
    assert set(found) == {("synop",), ("neuron update",)}


def test_sana_fe_event_model():
    """Synaptic events, neuron access and update, spike out and message of SANA-FE's loihi.yaml."""
    net = load_network("tinysnn-wta", neurons=50)
    sana_fe = chip(synop=35.5, neuron_update=51.2 + 21.6, spike=69.3 + 111.0)
    found = cost(net, activity(input_spikes=300, output_spikes=7), hardware=sana_fe)
    by_hand = (300 * 50 + 7 * 49) * 35.5 + 50 * 250 * (51.2 + 21.6) + 7 * (69.3 + 111.0)
    assert found.energy_j == pytest.approx(by_hand * 1e-12, rel=1e-12)


@pytest.mark.parametrize("neurons", [400, 900])
def test_four_bit_weights_take_an_eighth(neurons):
    """lpSpikeCon: weights of 4 bits instead of 32 take exactly an eighth of the weight memory."""
    narrow = memory_footprint(load_network("tinysnn", neurons=neurons, weight="u0.4"))
    wide = cost(load_network("tinysnn", neurons=neurons), arithmetic="float32").memory
    constants = (narrow.items[1].bits, wide.items[1].bits)
    assert (wide.weight_bits - constants[1]) == 8 * (narrow.weight_bits - constants[0])


def test_neurobench_footprint():
    """A 20-256-256-256-35 network of NeuroBench's tests: 145,955 parameters and 80 bytes of buffers, 583,900 bytes."""
    sizes = (20, 256, 256, 256, 35)
    layers = [(f"{a} to {b}", (a + 1) * b) for a, b in pairwise(sizes)]
    items = [MemoryItem(name=name, kind="weights", count=count, width=32) for name, count in layers]
    buffers = MemoryItem(name="buffers", kind="neurons", count=20, width=32)
    found = MemoryFootprint(
        items=(*items, buffers), phase="inference", weights="learned", neurons="full", packing="packed"
    )
    assert sum(item.count for item in items) == 145_955
    assert found.bits == 583_900 * 8 and found.weight_bits == 145_955 * 32


def test_a_chip_counts_inhibitory_neurons_too():
    net = load_network("baseline", neurons=50)
    seen = activity(input_spikes=300, output_spikes=7, inhibitory_spikes=5, depressions=11, updates=3)
    events = chip(synop=1.0, neuron_update=100.0, spike=1e4, learned_synapse=1e6)
    found = cost(net, seen, hardware=events, phase="training").by("operation")
    assert found["synop",].nominal == pytest.approx((300 * 50 + 7 + 5 * 49) * 1e-12)
    assert found["neuron update",].nominal == pytest.approx(250 * 100 * 100e-12)
    assert found["spike",].nominal == pytest.approx(12 * 1e-8)
    assert found["learned synapse",].nominal == pytest.approx((3 * 784 + 11) * 1e-6)


# --- By hand -------------------------------------------------------------------------------------------


def test_weights_in_dram_by_hand():
    """Inference reads a row of 400 bytes per input event: 50 accesses of 64 bits at 2 nJ."""
    found = cost(
        load_network("tinysnn-wta"), activity(images=4, input_spikes=4000), hardware="edge-45nm-dram"
    )
    weight = found.by("variable", "level", "operation")["weight", "dram", "read"]
    assert weight.nominal == pytest.approx(1000 * 50 * 2e-9, rel=1e-12)
    assert (weight.low, weight.high) == pytest.approx((1000 * 50 * 1.3e-9, 1000 * 50 * 2.6e-9))


def test_a_changed_weight_opens_its_row_once():
    """Learning reads and writes each weight of a column: a burst each way, and one activation between them."""
    net = load_network("tinysnn-wta")
    seen = activity(input_spikes=10, output_spikes=3, updates=2)
    rows = cost(net, seen, hardware="edge-45nm-lpddr3", phase="training").rows
    learn = {row.operation: row for row in rows if (row.part, row.variable) == ("learn", "weight")}
    assert {name: row.count for name, row in learn.items()} == {
        "read": 2 * 784, "write": 2 * 784, "activate": 2 * 784,
    }  # fmt: skip
    assert learn["write"].energy.nominal == pytest.approx(2 * 784 * 1236e-12)


def test_splits_add_up():
    net = load_network("tinysnn")
    seen = activity(images=3, steps=350, input_spikes=9000, output_spikes=60, updates=30, normalizations=20)
    found = cost(net, seen, phase="training")
    total = sum(row.energy.nominal for row in found.rows)
    assert found.total_energy.nominal == pytest.approx(total, rel=1e-12)
    for fields in (("part",), ("variable",), ("level",), ("operation",), ("part", "variable", "operation")):
        assert sum(part.nominal for part in found.by(*fields).values()) == pytest.approx(total / 3, rel=1e-12)
    assert {key[0] for key in found.by("part")} == {
        "onset", "input", "trace", "integrate", "fire", "inhibit", "adapt", "learn", "normalize",
    }  # fmt: skip


def test_energy_is_linear_in_activity():
    net = load_network("tinysnn")
    a = activity(images=3, steps=350, input_spikes=9000, output_spikes=60, updates=30, normalizations=20)
    b = activity(images=5, steps=350, input_spikes=7000, output_spikes=90, updates=40, normalizations=35)
    both = cost(net, a + b, phase="training").total_energy
    apart = cost(net, a, phase="training").total_energy + cost(net, b, phase="training").total_energy
    assert both.nominal == pytest.approx(apart.nominal, rel=1e-12)


def test_stored_lateral_weights_cost_reads():
    net, seen = load_network("tinysnn-wta"), activity(input_spikes=100, output_spikes=10)
    learned, sparse, dense = (cost(net, seen, weights=kind) for kind in ("learned", "sparse", "dense"))
    assert ("lateral",) not in learned.by("variable")
    assert 0 < sparse.by("variable")["lateral",].nominal <= dense.by("variable")["lateral",].nominal
    assert learned.memory_bits < sparse.memory_bits < dense.memory_bits


def test_static_power_needs_a_time():
    own = load_hardware("edge-45nm").model_dump()
    own["memory"]["weight-sram"]["static_power"] = {"value": 2.0, "unit": "mW", "source": "own"}
    hardware, net = HardwareSpec.model_validate(own), load_network("tinysnn-wta")
    seen = activity(images=5, input_spikes=100)
    without = cost(net, seen, hardware=hardware)
    assert any("no time per image" in text for text in without.not_counted)
    timed = cost(net, seen, hardware=hardware, image_time_s=0.25)
    assert timed.energy_j - without.energy_j == pytest.approx(2e-3 * 0.25, rel=1e-9)
    assert any("state-sram" in text and "does not state" in text for text in timed.not_counted)
    for never in (0, -1.0, math.nan, math.inf):
        with pytest.raises(SpecError, match=f"image_time_s = {never}; a finite time above 0"):
            cost(net, seen, image_time_s=never)


# --- Never a bare number, never a zero for what is unknown ---------------------------------------------


@pytest.mark.parametrize("name", list_hardware())
def test_text_names_the_hardware_and_the_phase(name):
    found = ts.cost(load_network("tinysnn-wta"), hardware=name)
    assert f"on {name}:" in str(found) and "per image in inference, modelled, activity assumed" in str(found)
    assert name in found.dominant() and "%" in found.dominant()
    assert found.energy.low <= found.energy_j <= found.energy.high and found.energy_j > 0
    assert found.unsourced == ()


def test_unknown_energies_are_named_or_refused():
    net = load_network("tinysnn-wta")
    assert any("neuron updates" in text and "odin" in text for text in cost(net, hardware="odin").not_counted)
    with pytest.raises(SpecError, match="loihi: the energy of a learned synapse is not known"):
        cost(net, hardware="loihi", phase="training")
    learned = chip(synop=1.0, learned_synapse=5.0)
    seen = activity(input_spikes=10, output_spikes=1, updates=1)
    found = cost(net, seen, hardware=learned, phase="training").by("operation")
    assert found["learned synapse",].nominal == pytest.approx(784 * 5e-12)


def test_memory_that_does_not_fit_is_refused():
    own = load_hardware("edge-45nm").model_dump()
    own["memory"]["weight-sram"]["capacity"] = {"value": 128, "unit": "KiB", "source": "own"}
    hardware = HardwareSpec.model_validate(own)
    with pytest.raises(SpecError, match=r"2,508,800 bits are placed in weight-sram, which holds 1,048,576"):
        cost(load_network("tinysnn-wta"), hardware=hardware)
    assert cost(load_network("tinysnn-wta", neurons=100), hardware=hardware).energy_j > 0


def test_no_activity_has_a_sentence_too():
    chip_only = chip(synop=1.0)
    assert (
        "the activity is empty"
        in cost(load_network("tinysnn"), activity(steps=350), hardware=chip_only).dominant()
    )


@dataclass(frozen=True)
class Trained:
    network: NetworkSpec
    activity: Activity


def test_a_model_brings_its_own_activity():
    net = load_network("tinysnn-wta")
    model = Trained(net, activity(images=2, input_spikes=600, output_spikes=9, updates=3))
    assert cost(model, phase="training").activity_origin == "measured"
    assert cost(model).activity_origin == "measured in training"
    assert cost(model, activity(input_spikes=300)).activity_origin == "measured"
    assert cost(model, phase="training").activity is model.activity


# --- Assumed activity ----------------------------------------------------------------------------------


def test_assumed_activity_follows_the_encoding():
    net = load_network("tinysnn")
    found = assumed_activity(net, images=1000)
    per_image = 350 * 63.75e-3 * 26122 / 255
    assert found.input_spikes == round(1000 * per_image)
    assert (found.output_spikes, found.updates, found.normalizations) == (20_000, 20_000, 20_000)
    wta = assumed_activity(load_network("tinysnn-wta"), images=1000)
    assert (wta.updates, wta.normalizations) == (2000, 0)  # two windows of one learner, no normalisation
    small = assumed_activity(load_network("tinysnn", inputs=10, neurons=5), images=1)
    assert small.input_spikes == round(350 * 63.75e-3 * 10) and small.normalizations == 5


def test_assumed_activity_of_pair_wise_learning():
    found = assumed_activity(load_network("baseline"), images=10, input_spikes=1000, output_spikes=20)
    assert (found.inhibitory_spikes, found.updates) == (200, 200)
    assert found.depressions == 10 * 1000 * 400  # every event its whole row
    twice = load_network("sl-stdp", settings={"learning.n_essential": 2})
    gated = assumed_activity(twice, images=10, input_spikes=1000, output_spikes=20)
    assert gated.depressions == 10 * 1000 * 10  # at most 10 neurons fire twice


@pytest.mark.parametrize("wrong", [{"images": 0}, {"input_spikes": -1.0}, {"output_spikes": 251.0}])
def test_assumptions_out_of_range_are_refused(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        assumed_activity(load_network("tinysnn-wta"), **wrong)


# --- More never costs less -----------------------------------------------------------------------------

WIDER = {
    "weight": ("u0.{}", range(1, 17)),
    "v_mem": ("s8.{}", range(1, 17)),
    "v_th": ("s8.{}", range(1, 17)),
    "theta": ("u8.{}", range(1, 21)),
    "x_pre": ("u4.{}", range(1, 13)),
    "x_post": ("u4.{}", range(1, 13)),
    "v_inh": ("s8.{}", range(1, 13)),
}


@given(
    name=st.sampled_from(list_networks()),
    hardware=st.sampled_from(ACCESS),
    phase=st.sampled_from(["inference", "training"]),
    register=st.sampled_from(sorted(WIDER)),
    data=st.data(),
)
def test_more_bits_never_cost_less(name, hardware, phase, register, data):
    """With truncation; rounding is an addition that a register fine enough to need none does without."""
    if getattr(load_network(name).formats, register) is None:
        register = "weight"
    text, widths = WIDER[register]
    narrow, wide = sorted(data.draw(st.tuples(st.sampled_from(widths), st.sampled_from(widths))))
    nets = [load_network(name, rounding="floor", **{register: text.format(n)}) for n in (narrow, wide)]
    costs = [cost(net, hardware=hardware, phase=phase) for net in nets]
    assert costs[0].memory_bits <= costs[1].memory_bits
    for end in ("low", "nominal", "high"):
        assert getattr(costs[0].energy, end) <= getattr(costs[1].energy, end) * (1 + 1e-12)


@given(
    name=st.sampled_from(list_networks()),
    hardware=st.sampled_from(ACCESS),
    phase=st.sampled_from(["inference", "training"]),
    sizes=st.tuples(st.integers(1, 6400), st.integers(1, 6400)),
    weights=st.sampled_from(["learned", "sparse", "dense"]),
)
def test_more_neurons_never_cost_less(name, hardware, phase, sizes, weights):
    seen = activity(input_spikes=500, output_spikes=10, updates=5, normalizations=3)
    few, many = (
        cost(
            load_network(name, neurons=n),
            replace(seen, steps_per_image=load_network(name).encoding.n_steps),
            hardware=hardware,
            phase=phase,
            weights=weights,
        )
        for n in sorted(sizes)
    )
    assert few.memory_bits <= many.memory_bits
    assert few.energy_j <= many.energy_j * (1 + 1e-12)


@given(
    hardware=st.sampled_from(list_hardware()),
    phase=st.sampled_from(["inference", "training"]),
    field=st.sampled_from(sorted(NOTHING)),
    more=st.integers(0, 10_000),
)
def test_more_activity_never_costs_less(hardware, phase, field, more):
    if load_hardware(hardware).kind == "event" and phase == "training":
        phase = "inference"
    seen = activity(input_spikes=500, output_spikes=10, updates=5, normalizations=3)
    busier = replace(seen, **{field: getattr(seen, field) + more})
    net = load_network("baseline")
    calm, busy = (cost(net, what, hardware=hardware, phase=phase).energy_j for what in (seen, busier))
    assert calm <= busy


# --- Dimensions ----------------------------------------------------------------------------------------


def converted(value, energy, information):
    """Rewrite every quantity of a dumped hardware file in other units; optionally scale energies."""
    if isinstance(value, dict):
        if "unit" in value and "value" in value:
            units = {
                "pJ": energy,
                "nJ": (energy[0] * 1e3, energy[1]),
                "bit": information,
                "B": (information[0] * 8, information[1]),
            }
            factor, unit = units.get(value["unit"], (1, value["unit"]))
            ends = {k: value[k] * factor for k in ("value", "low", "high") if value[k] is not None}
            return value | ends | {"unit": unit}
        return {key: converted(item, energy, information) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [converted(item, energy, information) for item in value]
    return value


@pytest.mark.parametrize("name", list_hardware())
def test_units_only_name_a_number(name):
    """The same file in femtojoules and bytes gives the same joules; a thousandfold energy a thousandfold sum."""
    net, plain = load_network("tinysnn"), load_hardware(name)
    phase = "training" if plain.kind == "access" else "inference"
    expected = cost(net, hardware=plain, phase=phase).energy_j
    dumped = plain.model_dump()
    same = HardwareSpec.model_validate(converted(dumped, (1e3, "fJ"), (1 / 8, "B")))
    assert cost(net, hardware=same, phase=phase).energy_j == pytest.approx(expected, rel=1e-9)
    larger = HardwareSpec.model_validate(converted(dumped, (1.0, "nJ"), (1.0, "bit")))
    assert cost(net, hardware=larger, phase=phase).energy_j == pytest.approx(1e3 * expected, rel=1e-9)


# --- Speed ---------------------------------------------------------------------------------------------


def test_an_estimate_takes_less_than_50_ms():
    net = load_network("tinysnn")
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        cost(net, hardware="edge-45nm-lpddr3", phase="training").dominant()
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.05
