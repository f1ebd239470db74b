"""Post-training quantization against rounding written anew in fractions."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinysnn_hw as ts
from tinysnn_hw.engine import lower
from tinysnn_hw.errors import FormatError, SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.learning import evaluate, load_model, save_model, trace
from tinysnn_hw.quantize import preset_formats, quantize
from tinysnn_hw.spec.registers import register_formats


def rounded(value: Fraction, mode: str) -> int:
    """Return a real number of LSB as an integer, by the definitions of docs/numerics.md, section 1."""
    below = math.floor(value)
    part = value - below
    half = Fraction(1, 2)
    up = {
        "floor": False,
        "to_zero": value < 0 and part > 0,
        "nearest": part >= half,
        "nearest_away": part > half or (part == half and value >= 0),
        "nearest_even": part > half or (part == half and below % 2 == 1),
    }[mode]
    return below + up


MODES = ("floor", "to_zero", "nearest", "nearest_away", "nearest_even")


@pytest.mark.parametrize("arithmetic", ["fixed", "float64"])
@given(
    weight_bits=st.integers(1, 12),
    th_bits=st.integers(0, 10),
    mode=st.sampled_from(MODES),
    wide=st.booleans(),
)
@settings(max_examples=25)
def test_every_stored_word(model, twin, arithmetic, weight_bits, th_bits, mode, wide):
    trained = model if arithmetic == "fixed" else twin
    weight, v_th = Format(False, 0, weight_bits), Format(wide, 7 + wide, th_bits)
    small = quantize(trained, weight=weight, v_th=v_th, rounding=mode)
    assert small.arithmetic == "fixed"
    for name, fmt, high in (("weight", weight, weight.raw_max), ("v_th", v_th, v_th.raw_max)):
        old = register_formats(model.network)[name]
        scale = Fraction(1, 2**old.frac_bits) if arithmetic == "fixed" else Fraction(1)
        exact = [rounded(Fraction(value) * scale * 2**fmt.frac_bits, mode)
                 for value in getattr(trained, name).ravel().tolist()]  # fmt: skip
        assert getattr(small, name).ravel().tolist() == [min(n, high) for n in exact]
        seen = small.registers[name]
        assert (seen.saturated_low, seen.saturated_high) == (0, sum(n > high for n in exact))
        assert seen.format == str(fmt) == str(register_formats(small.network)[name])
        assert (seen.min_raw, seen.max_raw) == (min(min(exact), high), min(max(exact), high))


def test_a_wider_format_changes_no_value(model, digits):
    same = quantize(model, weight="u0.12", v_th="s8.12")
    assert (same.weight == model.weight << 4).all() and (same.v_th == model.v_th << 4).all()
    assert evaluate(same, digits).readouts == evaluate(model, digits).readouts


def test_stochastic_rounding_is_unbiased_and_reproducible(twin):
    weight = twin.weight * 16.0
    draws = []
    for seed in range(40):
        raw = quantize(twin, weight="u0.4", rounding="stochastic", seed=seed).weight
        assert ((raw == np.minimum(np.floor(weight), 15)) | (raw == np.minimum(np.ceil(weight), 15))).all()
        draws.append(raw)
    free = weight < 15
    share = np.mean([raw[free].mean() for raw in draws])
    # The mean of n fair carries has a standard deviation of at most 0.5 / sqrt(n).
    assert abs(share - weight[free].mean()) < 5 * 0.5 / math.sqrt(40 * free.sum())
    assert len({raw.tobytes() for raw in draws}) == 40
    assert (draws[1] == quantize(twin, weight="u0.4", rounding="stochastic", seed=1).weight).all()


def test_weights_stop_at_w_max(digits):
    network = ts.load_network("tinysnn-wta", recipe="digits", neurons=8, epochs=1, weight="u0.12",
                              settings={"learning.w_max": 0.7})  # fmt: skip
    trained = ts.train(network, digits.limit(20), seed=0, threads=1)
    trained.weight[0, :] = lower(network).params.syn.w_max
    # 0.7 is 11.2 LSB of u0.4: const gives 11, which the top weights, rounded up by chance, would pass.
    small = quantize(trained, weight="u0.4", rounding="stochastic")
    plain = quantize(trained, weight="u0.4", rounding="nearest")
    assert lower(small.network).params.syn.w_max == 11 == small.weight.max()
    assert small.registers["weight"].saturated_high > 0 == plain.registers["weight"].saturated_high


def test_v_mem_is_cut_in_every_step(model, digits):
    """A membrane on whole millivolts: every step lies on that grid, and the words are as they were."""
    coarse = quantize(model, v_mem="s8.0", rounding="floor")
    assert (coarse.weight == model.weight).all() and (coarse.v_th == model.v_th).all()
    assert coarse.network.formats.v_mem.rounding.text == "floor"
    assert coarse.network.formats.weight == model.network.formats.weight
    fine, rough = trace(model, digits, 3), trace(coarse, digits, 3)
    assert rough.formats["v_mem"] == Format.parse("s8.0")
    assert rough.registers["v_mem"].max() <= 127
    assert not (rough.registers["v_mem"] << 6 == fine.registers["v_mem"]).all()


def test_presets(model):
    assert preset_formats(model.network, "qW", 4) == {"weight": Format(False, 0, 4)}
    assert {k: str(f) for k, f in preset_formats(model.network, "qWN", 8).items()} == {
        "weight": "u0.8", "v_mem": "s8.0", "v_th": "s8.0",
    }  # fmt: skip
    small = quantize(model, preset="qWN", bits=8, v_th="u7.1")
    formats = register_formats(small.network)
    assert [str(formats[name]) for name in ("weight", "v_mem", "v_th")] == ["u0.8", "s8.0", "u7.1"]
    assert small.quantized["registers"] == ["v_mem", "v_th", "weight"]
    only = quantize(model, preset="qW", bits=3)
    assert register_formats(only.network)["v_mem"] == register_formats(model.network)["v_mem"]


def test_a_quantized_model_is_saved_and_says_what_it_was(model, tmp_path, digits):
    small = quantize(quantize(model, weight="u0.5", rounding="stochastic", seed=9), v_th="s8.2")
    assert small.config()["quantized"]["source"]["quantized"] == {
        "source": model.config(), "registers": ["weight"], "rounding": "stochastic", "seed": 9,
    }  # fmt: skip
    again = load_model(save_model(small, tmp_path / "m"))
    assert again.config() == small.config()
    for name in ("weight", "v_th", "theta"):
        assert (getattr(again, name) == getattr(small, name)).all()
    assert again.registers == small.registers
    assert evaluate(again, digits).readouts == evaluate(small, digits).readouts
    assert "quantized" not in model.config()


def test_refusals(model):
    for changes, error, message in (
        ({"theta": "u8.4"}, SpecError, "exists in training only"),
        ({"wieght": "u0.4"}, SpecError, "did you mean 'weight'"),
        ({"weight": "u0,4"}, FormatError, "u0,4"),
        ({"v_inh": "s8.8"}, SpecError, "has no register 'v_inh'"),
        ({"v_mem": "s3.8"}, SpecError, r"formats\.v_mem = s3\.8"),
        ({"v_mem": "u3.8"}, SpecError, r"formats\.v_mem = u3\.8"),
        ({"preset": "qN", "bits": 4}, SpecError, "qW, qWN"),
        ({"preset": "qW"}, SpecError, "both or neither"),
        ({"preset": "qW", "bits": 40}, SpecError, "1 to 32"),
        ({"weight": "u0.4", "rounding": "down"}, FormatError, "down"),
        ({"weight": "u0.4", "seed": -1}, SpecError, "seed"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            quantize(model, **changes)


def test_four_bits_after_training_keep_the_digits():
    data = ts.load_dataset("digits")
    trained = ts.train(ts.load_network("tinysnn-wta", recipe="digits"), data, seed=0)
    wide = evaluate(trained, data).accuracy
    assert evaluate(quantize(trained, weight="u0.4"), data).accuracy > wide - 2.0
    assert evaluate(quantize(trained, weight="u0.1", rounding="floor"), data).accuracy < wide - 5.0


@pytest.mark.parametrize("first", ["", "from tinysnn_hw.quantize import preset_formats;"])
def test_the_room_can_be_called(first):
    code = f"{first}import tinysnn_hw as ts; print(callable(ts.quantize), ts.quantize.__doc__ is not None)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "True"]


def test_the_room_called_is_the_function(model):
    called = sys.modules["tinysnn_hw.quantize"](model, weight="u0.4")
    assert (called.weight == quantize(model, weight="u0.4").weight).all()
    assert replace(called, weight=model.weight).arithmetic == "fixed"
