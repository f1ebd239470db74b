"""Validation: fixed point and float64 side by side, and everything that was found out about them."""

from __future__ import annotations

import json

import pytest

from tinysnn_hw.cost import memory_table
from tinysnn_hw.data import make_spike_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import lower
from tinysnn_hw.errors import FixedPointOverflowError
from tinysnn_hw.learning import evaluate, train, validate
from tinysnn_hw.learning.validate import merge_ranges
from tinysnn_hw.records import RegisterRange, Result, Validation
from tinysnn_hw.spec import load_network


@pytest.fixture(scope="module")
def validation(network, digits) -> Validation:
    return validate(network, digits, seed=3, threads=2)


def accuracies(result: Result) -> tuple:
    return result.accuracy, dict(result.readouts), result.n_images, result.silent_images, result.activity


def test_both_arithmetics_are_those_trained_alone(validation, model, twin, digits):
    assert accuracies(validation.fixed) == accuracies(evaluate(model, digits))
    assert accuracies(validation.float64) == accuracies(evaluate(twin, digits))
    assert validation.fixed.registers == evaluate(model, digits).registers
    assert validation.float64.registers == {}


def test_the_same_spikes_go_into_both(validation):
    assert validation.fixed.activity.input_spikes == validation.float64.activity.input_spikes > 0


def test_fields_of_a_validation(validation, model, network, digits):
    assert (validation.network, validation.recipe, validation.data) == ("tinysnn-wta", "digits", digits.name)
    assert validation.kernel == model.kernel == "fast w8 l16"
    assert validation.memory == memory_table(network)
    for speed in ("train_images_per_s", "inference_images_per_s", "float_train_images_per_s"):
        assert getattr(validation, speed) > 0
    assert validation.config == {**model.config(), "label_images": 300}
    assert validation.versions == model.versions
    assert validation.notes == ()
    json.dumps(dict(validation.config))


def test_registers_cover_training_labelling_and_test(validation, model, network):
    assert validation.training == model.registers
    assert set(validation.registers) == {"weight", "v_mem", "v_th", "theta", "x_pre"}
    inference = validation.fixed.registers
    for name, seen in validation.registers.items():
        parts = [part[name] for part in (model.registers, inference) if name in part]
        assert seen.min_raw == min(part.min_raw for part in parts)
        assert seen.max_raw == max(part.max_raw for part in parts)
        assert seen.saturated_low == sum(part.saturated_low for part in parts)
        assert seen.saturated_high == sum(part.saturated_high for part in parts)
        assert seen.format == str(lower(network).formats[name])


def register(**changes) -> RegisterRange:
    given = {"format": "s4.4", "min_raw": -3, "max_raw": 5, "min": -0.1875, "max": 0.3125,
             "saturated_low": 1, "saturated_high": 2} | changes  # fmt: skip
    return RegisterRange(**given)


def test_merging_ranges():
    a = {"v_mem": register(), "theta": register(min_raw=0, min=0.0)}
    b = {"v_mem": register(min_raw=-9, min=-0.5625, max_raw=1, max=0.0625), "weight": register()}
    merged = merge_ranges(a, b)
    assert set(merged) == {"v_mem", "theta", "weight"}
    assert merged["v_mem"] == register(min_raw=-9, min=-0.5625, saturated_low=2, saturated_high=4)
    assert merged["theta"] == a["theta"] and merged["weight"] == b["weight"]
    assert merge_ranges(b, a) == merged
    assert merge_ranges({}, a) == a == merge_ranges(a, {})


def test_stages_of_a_validation(network, digits):
    seen = []
    validate(
        network, digits.limit(20, 10), progress=lambda stage, done, total: seen.append((stage, done, total))
    )
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == [
        "train", "label", "test", "train float64", "label float64", "test float64",
    ]  # fmt: skip
    for stage, total in (("train", 40), ("label", 20), ("test", 10), ("test float64", 10)):
        assert (stage, total, total) in seen


def test_fewer_labelling_images(network, digits, model):
    validation = validate(network, digits, seed=3, label_images=50)
    assert validation.config["label_images"] == 50
    assert accuracies(validation.fixed) == accuracies(evaluate(model, digits, label_images=50))


def test_width_costs_accuracy():
    """The question the command answers: eight bits keep what float64 has, one bit does not."""
    from tinysnn_hw.data import load_dataset

    data = load_dataset("digits")
    wide = validate(load_network("tinysnn-wta", recipe="digits"), data)
    assert wide.fixed.accuracy >= 94.0 and abs(wide.fixed.accuracy - wide.float64.accuracy) < 2.0
    narrow = validate(
        load_network("tinysnn-wta", recipe="digits", weight="u0.1", rounding="floor", epochs=3), data
    )
    assert narrow.fixed.accuracy < narrow.float64.accuracy - 5.0


def test_what_a_user_should_know_is_noted(network, digits):
    drifting = load_network(
        "tinysnn", recipe="digits", neurons=16, epochs=1, settings={"learning.weight_sum": None}
    )
    (note,) = validate(drifting, digits.limit(20, 10)).notes
    assert "weight_sum" in note
    raster = encode(
        digits.train_images[:20], encoding_tables(network.encoding), spikes="regular", phase="train", seed=0
    )
    labels = digits.train_labels[:20]
    spikes = make_spike_dataset("own", raster, labels, raster.slice([0, 1]), labels[:2], n_classes=10)
    validation = validate(network, spikes)
    (note,) = validation.notes
    assert "given by the user" in note and validation.data == "own"


def test_an_overflow_that_is_an_error_ends_the_validation(digits):
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=16, v_mem="s7.8",
        settings={"neuron.v_floor": None, "inhibition.strength": 63.0, "formats.v_mem.overflow": "error"},
    )  # fmt: skip
    with pytest.raises(FixedPointOverflowError, match=r"formats\.v_mem = s7\.8"):
        validate(spec, digits)


def test_a_validation_is_reproducible(validation, network, digits):
    again = validate(network, digits, seed=3, threads=1)
    assert accuracies(again.fixed) == accuracies(validation.fixed)
    assert accuracies(again.float64) == accuracies(validation.float64)
    assert again.registers == validation.registers and again.config == validation.config
    assert train(network, digits, seed=4).config() != again.config
