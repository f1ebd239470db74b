"""JSON: the promised keys, plain types, nothing lost."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tinysnn_hw.report import network_json, result_json, validation_json
from tinysnn_hw.report.payload import plain
from tinysnn_hw.spec import load_network, resolve_network


def test_validation_has_the_promised_keys(make_validation, make_seen):
    made = make_validation(95.5, 96.25, registers={"v_mem": make_seen("s8.8", -256, 512, 1, 2)})
    found = validation_json(made)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["accuracy"]["fixed"] == 95.5 and found["accuracy"]["float"] == 96.25
    assert found["accuracy"]["readouts"] == {
        "mean_rate": {"fixed": 93.5, "float": 94.25},
        "weighted_vote": {"fixed": 94.5, "float": 95.25},
        "naive_bayes": {"fixed": 95.5, "float": 96.25},
    }
    assert found["memory_bits"] == found["memory"]["memory_bits"] == 8_768
    assert found["memory_bits_fp32"] == 35_904
    assert found["registers"] == {
        "v_mem": {
            "format": "s8.8",
            "min": -1.0,
            "max": 2.0,
            "min_raw": -256,
            "max_raw": 512,
            "saturated_low": 1,
            "saturated_high": 2,
        }
    }
    assert found["speed"] == {
        "train_images_per_s": 20_000.0,
        "inference_images_per_s": 50_000.0,
        "float_train_images_per_s": 9_000.0,
    }
    assert found["config"] == {"seed": 0, "network": {"network": {"neurons": 16}}}
    assert found["versions"] == {"tinysnn_hw": "0.1.0"}
    assert found["numeric_version"] == 1
    assert found["findings"] and found["kernel"] == "fast"


def test_registers_never_written_have_no_range(make_validation, make_seen):
    made = make_validation(registers={"theta": make_seen("u8.8", 2**63 - 1, -(2**63))})
    theta = validation_json(made)["registers"]["theta"]
    assert [theta[key] for key in ("min", "max", "min_raw", "max_raw")] == [None] * 4


def test_result(make_evaluation):
    found = result_json(make_evaluation(90.0, 100))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["confusion"]["naive_bayes"][0][:2] == [90, 10]
    assert found["activity"]["steps_per_image"] == 250


def test_network():
    found = network_json(resolve_network("tinysnn-wta", recipe="digits", neurons=7))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["values"]["network.neurons"]["value"] == 7
    assert found["values"]["network.neurons"]["origin"] == "override"
    assert found["values"]["encoding.rate_max_hz"]["unit"] == "Hz"
    assert network_json(load_network())["values"]["network.neurons"]["origin"] == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, None),
        ((1, 2.5, "x", None, True), [1, 2.5, "x", None, True]),
        ({1: {"a": (1,)}}, {"1": {"a": [1]}}),
        (np.float64(0.5), 0.5),
        (complex(1, 2), "(1+2j)"),
    ],
)
def test_plain(value, expected):
    assert plain(value) == expected
