"""Memory footprints against sums done by hand, published figures and monotonicity."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.cost import (
    NEURON_ACCOUNTINGS,
    PACKINGS,
    PHASES,
    WEIGHT_ACCOUNTINGS,
    fp32_baseline,
    memory_footprint,
    memory_table,
    saving,
)
from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import load_network

ACCOUNTINGS = [(p, w, n) for p in PHASES for w in WEIGHT_ACCOUNTINGS for n in NEURON_ACCOUNTINGS]


# What memory depends on, pinned: better recipes must not change these tests.
SIZES = {"inputs": 784, "neurons": 400}
FORMATS = {
    "weight": "u0.8",
    "v_mem": "s8.8",
    "v_th": "s8.8",
    "theta": "u8.16",
    "x_pre": "u1.8",
    "c_pre": "u8.0",
}
RULES = {
    "neuron.refractory": 5,
    "encoding.n_steps": 250,
    "learning.update_steps": 125,
    "learning.potentiation": "eq1",
    "learning.trace": "window",
}


def network(settings=None, **overrides):
    """784 inputs, 400 neurons, 8-bit weights, 16-bit state, refractory 5, 250 steps, windows of 125."""
    return load_network(settings=RULES | (settings or {}), **(SIZES | FORMATS | overrides))


def words(footprint):
    return {item.name: (item.kind, item.count, item.width) for item in footprint.items}


def test_inference_by_hand():
    found = memory_footprint(network())
    assert words(found) == {
        "weight": ("weights", 784 * 400, 8),
        "inhibition (constant)": ("weights", 1, 16),
        "v_mem": ("neurons", 400, 16),
        "v_th": ("neurons", 400, 16),
        "refractory_count": ("neurons", 400, 3),
    }
    assert found.weight_bits == 2_508_816
    assert found.neuron_bits == 14_000
    assert found.bits == 2_522_816


def test_training_by_hand():
    found = words(memory_footprint(network(), phase="training"))
    assert found.keys() - words(memory_footprint(network())).keys() == {
        "theta",
        "n_post",
        "n_window",
        "x_pre",
        "c_pre",
    }
    assert found["theta"] == ("neurons", 400, 24)
    assert found["n_post"] == ("neurons", 400, 8)  # up to 250 spikes
    assert found["n_window"] == ("neurons", 400, 7)  # up to 125 spikes
    assert found["x_pre"] == ("neurons", 784, 9)
    assert found["c_pre"] == ("neurons", 784, 8)
    assert (
        memory_footprint(network(), phase="training").neuron_bits
        == 400 * (16 + 16 + 3 + 24 + 8 + 7) + 784 * 17
    )


def test_only_what_the_rule_needs_is_stored():
    constant = words(
        memory_footprint(network(settings={"learning.potentiation": "constant"}), phase="training")
    )
    assert "n_post" not in constant and "n_window" in constant
    trace = words(memory_footprint(network(settings={"learning.trace": "exponential"}), phase="training"))
    assert "c_pre" not in trace and "n_post" in trace


@pytest.mark.parametrize(
    ("weights", "name", "count", "width"),
    [
        ("learned", "inhibition (constant)", 1, 12),
        ("sparse", "inhibition (entries)", 5 * 4, 6),
        ("dense", "inhibition (matrix)", 25, 6),
    ],
)
def test_inhibition_of_every_accounting(weights, name, count, width):
    spec = network(neurons=5, weight="u0.6", v_mem="s8.4")
    assert words(memory_footprint(spec, weights=weights))[name] == ("weights", count, width)


def test_paper_counts_two_words_per_neuron():
    for phase in PHASES:
        assert memory_footprint(network(), phase=phase, neurons="paper").neuron_bits == 400 * 32
        assert fp32_baseline(784, 400, phase=phase, neurons="paper").neuron_bits == 2 * 800 * 32


@pytest.mark.parametrize(("n_neurons", "megabytes"), [(200, 0.9472), (400, 2.5344), (4900, 207.4464)])
def test_dense_baseline_is_the_published_one(n_neurons, megabytes):
    bits = fp32_baseline(784, n_neurons, weights="dense").weight_bits
    assert bits == (784 * n_neurons + 2 * n_neurons**2) * 32
    assert bits / 8e6 == pytest.approx(megabytes, rel=1e-12)


@pytest.mark.parametrize(("n_neurons", "ratio"), [(4900, 7.448), (400, 5.351)])
def test_dense_weights_reproduce_the_published_saving(n_neurons, ratio):
    """Dense matrices at 8 bits against the FP32 baseline: 4 (784 + 2 N) / (784 + N), published as 7.5."""
    ours = memory_footprint(network(neurons=n_neurons), weights="dense").weight_bits
    theirs = fp32_baseline(784, n_neurons, weights="dense").weight_bits
    assert theirs / ours == pytest.approx(4 * (784 + 2 * n_neurons) / (784 + n_neurons), rel=1e-12)
    assert theirs / ours == pytest.approx(ratio, abs=5e-4)


def test_sparse_baseline_counts_what_exists():
    # 784 x 400 inputs, 400 one-to-one, 400 x 399 inhibitory entries; two words for each of 800 neurons.
    found = fp32_baseline(784, 400, weights="sparse", neurons="paper")
    assert found.weight_bits == (313_600 + 400 + 159_600) * 32
    assert found.bits == (473_600 + 1_600) * 32
    # Lateral entries kept at 8 bits, two 8-bit words per neuron: 4.01 times smaller.
    eight = network(v_mem="s8.0", v_th="s8.0")
    assert saving(memory_footprint(eight, weights="sparse", neurons="paper"), found) == pytest.approx(
        4.01, abs=5e-3
    )


def test_learned_baseline_by_hand():
    found = fp32_baseline(784, 400)
    assert found.weight_bits == (313_600 + 2) * 32
    assert found.neuron_bits == 2 * 3 * 400 * 32
    training = fp32_baseline(784, 400, phase="training")
    assert training.neuron_bits == (2 * 3 * 400 + 2 * 400 + 784) * 32
    assert all(item.width == 32 for item in training.items)


def test_four_bit_weights_take_an_eighth_of_fp32():
    four, full = memory_footprint(network(weight="u0.4")), fp32_baseline(784, 400)
    assert four.items[0].name == full.items[0].name == "weight"
    assert full.items[0].bits == 8 * four.items[0].bits


@pytest.mark.parametrize("packing", PACKINGS)
def test_packing_rounds_every_word_up(packing):
    packed = memory_footprint(network(weight="u0.6"), phase="training")
    found = memory_footprint(network(weight="u0.6"), phase="training", packing=packing)
    for before, after in zip(packed.items, found.items, strict=True):
        assert after.width == math.ceil(before.width / PACKINGS[packing]) * PACKINGS[packing]
        assert (after.name, after.kind, after.count) == (before.name, before.kind, before.count)


def test_eq4_is_the_sum_of_counts_times_widths():
    for phase, weights, neurons in ACCOUNTINGS:
        for found in (
            memory_footprint(network(), phase=phase, weights=weights, neurons=neurons),
            fp32_baseline(784, 400, phase=phase, weights=weights, neurons=neurons),
        ):
            assert found.bits == sum(item.count * item.width for item in found.items)
            assert found.bits == found.weight_bits + found.neuron_bits
            assert found.accounting == (phase, weights, neurons)


WIDTHS = {"weight": "u0.{}", "v_mem": "s8.{}", "v_th": "s8.{}", "theta": "u8.{}", "x_pre": "u1.{}"}


@given(
    st.fixed_dictionaries({name: st.integers(1, 16) for name in WIDTHS}),
    st.sampled_from(sorted(WIDTHS)),
    st.integers(1, 300),
    st.sampled_from(sorted(PACKINGS)),
)
def test_more_bits_never_take_less_memory(fractions, register, n_neurons, packing):
    def footprints(widths):
        spec = network(
            neurons=n_neurons, **{name: text.format(widths[name]) for name, text in WIDTHS.items()}
        )
        return [
            memory_footprint(spec, phase=phase, weights=weights, neurons=neurons, packing=packing)
            for phase, weights, neurons in ACCOUNTINGS
        ]

    narrow, wide = footprints(fractions), footprints({**fractions, register: fractions[register] + 1})
    for before, after in zip(narrow, wide, strict=True):
        assert before.bits <= after.bits
    more = memory_footprint(network(neurons=n_neurons + 1), packing=packing)
    assert memory_footprint(network(neurons=n_neurons), packing=packing).bits < more.bits


@given(st.integers(1, 2000), st.integers(1, 5000))
def test_accountings_are_nested(n_inputs, n_neurons):
    spec = network(inputs=n_inputs, neurons=n_neurons)
    for phase in PHASES:
        for of in (
            lambda **how: memory_footprint(spec, **how),
            lambda **how: fp32_baseline(n_inputs, n_neurons, **how),
        ):
            assert of(phase=phase, weights="sparse").bits < of(phase=phase, weights="dense").bits
            assert of(phase=phase, neurons="paper").neuron_bits <= of(phase=phase).neuron_bits
    assert memory_footprint(spec).bits < memory_footprint(spec, phase="training").bits


def test_table_is_json_and_complete():
    table = memory_table(network())
    assert json.loads(json.dumps(table)) == table
    assert table["memory_bits"] == memory_footprint(network()).bits
    assert table["memory_bits_fp32"] == fp32_baseline(784, 400).bits == 10_112_064
    assert table["saving"] == table["memory_bits_fp32"] / table["memory_bits"]
    assert [(row["phase"], row["weights"], row["neurons"]) for row in table["accountings"]] == ACCOUNTINGS
    headline = table["accountings"][0]
    assert headline["bits"] == table["memory_bits"] and headline["fp32_bits"] == table["memory_bits_fp32"]
    for row in table["accountings"]:
        assert row["bits"] == row["weight_bits"] + row["neuron_bits"]
        assert row["fp32_bits"] == row["fp32_weight_bits"] + row["fp32_neuron_bits"]
        assert row["saving"] == row["fp32_bits"] / row["bits"]
    assert sum(item["bits"] for item in table["items"]["inference"]) == table["memory_bits"]
    assert table["packings"]["packed"] == table["memory_bits"]


def test_describe_lists_every_group():
    found = memory_footprint(network())
    text = found.describe()
    assert all(item.name in text for item in found.items)
    assert "2,522,816 bit" in text and "313,600 x  8 bit" in text


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"phase": "test"}, "phase = 'test' is no accounting; allowed: inference, training"),
        ({"weights": "spares"}, "did you mean 'sparse'"),
        ({"neurons": "all"}, "allowed: full, paper"),
        ({"packing": "word16"}, "did you mean 'word32'"),
    ],
)
def test_unknown_accounting_is_named(how, message):
    with pytest.raises(SpecError, match=message):
        memory_footprint(network(), **how)


def test_unlike_accountings_do_not_compare():
    with pytest.raises(SpecError, match="only footprints counted in the same way compare"):
        saving(memory_footprint(network()), fp32_baseline(784, 400, weights="dense"))
    with pytest.raises(SpecError, match="n_neurons = 0; at least 1"):
        fp32_baseline(784, 0)


@pytest.mark.parametrize(("phase", "weights", "neurons"), ACCOUNTINGS)
def test_the_baseline_network_in_32_bits_is_the_fp32_baseline(phase, weights, neurons):
    """Two descriptions of one network: the file `baseline`, and the words that savings are measured against."""
    options = {"phase": phase, "weights": weights, "neurons": neurons}
    spec = load_network("baseline", neurons=50)
    found = memory_footprint(spec, **options, packing="word32")
    expected = fp32_baseline(784, 50, **options)
    assert words(found) == words(expected)
    assert saving(found, expected) == 1


def test_inhibitory_neurons_by_hand():
    spec = load_network("baseline", neurons=10, v_mem="s8.4", v_inh="s6.6")
    found = words(memory_footprint(spec, phase="training"))
    assert found["excitation (constant)"] == ("weights", 1, 12)
    assert found["inhibition (constant)"] == ("weights", 1, 12)
    assert found["v_inh"] == found["v_th_inh"] == ("neurons", 10, 12)
    assert found["inhibitory_count"] == ("neurons", 10, 2)  # up to 2 steps
    assert found["x_post"] == ("neurons", 10, 9)
    assert "n_post" not in found and "n_window" not in found
    gated = words(memory_footprint(load_network("sl-stdp", neurons=10), phase="training"))
    assert gated["n_post"] == ("neurons", 10, 8)  # up to 250 spikes
