"""Loading networks: recipes, overrides, origins, files of one's own, and round trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.spec.files import OF_ALL, refused
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Format, Overflow, Rounding
from tinysnn_hw.spec import (
    REGISTERS,
    NetworkSpec,
    has_recipe,
    list_networks,
    load_network,
    network_from_dict,
    resolve_network,
)

# --- What a name, a recipe and an override do ----------------------------------------------------------


def test_the_default_is_a_shipped_network():
    spec = load_network()
    assert (spec.name, spec.recipe) == ("tinysnn-wta", "mnist")
    assert spec == load_network("tinysnn-wta", recipe="mnist")


def test_a_recipe_changes_what_it_names_and_nothing_else():
    mnist, digits = (load_network("tinysnn-wta", recipe=recipe) for recipe in ("mnist", "digits"))
    assert (digits.network.inputs, digits.network.neurons) == (64, 100)
    assert digits.neuron.refractory == 3 and mnist.neuron.refractory == 5
    assert digits.neuron.v_th == mnist.neuron.v_th
    assert digits.formats == mnist.formats
    resolved = resolve_network("tinysnn-wta", recipe="digits")
    flat, base = (dict(leaves(spec.model_dump())) for spec in (digits, mnist))
    changed = {key for key in flat if flat[key] != base[key]} - {"recipe"}
    said = {key for key, origin in resolved.origins.items() if origin == "recipe digits"}
    assert changed and changed <= said


def leaves(values: dict[str, Any], prefix: str = ""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_has_recipe():
    assert has_recipe("tinysnn-wta", "digits") and has_recipe("tinysnn", "fashion-mnist")
    assert not has_recipe("tinysnn", "mnist-1600")


def test_short_keys():
    spec = load_network(
        "tinysnn", neurons=7, inputs=9, epochs=3, guard_bits=2, weight="u0.4", v_mem="s9.6", v_th="s9.5",
        theta="u9.10", x_pre="u4.7", c_pre="u9.0", eta="u0.14",
    )  # fmt: skip
    assert (spec.network.neurons, spec.network.inputs, spec.learning.epochs) == (7, 9, 3)
    assert spec.formats.guard_bits == 2
    formats = [str(getattr(spec.formats, name).format) for name in OF_ALL]
    assert formats == ["u0.4", "s9.6", "s9.5", "u9.10", "u4.7", "u9.0", "u0.14"]


@pytest.mark.parametrize(
    "spelling", ["u0.8", "U0.8", "ap_ufixed<8,0>", "fxp-u8/8", "UQ0.8", Format(False, 0, 8)]
)
def test_formats_in_other_spellings(spelling: object):
    assert load_network(weight=spelling).formats.weight.format == Format(False, 0, 8)


def test_one_mode_for_all_registers():
    spec = load_network(rounding="nearest_even", overflow="saturate_symmetric")
    for name in OF_ALL:
        assert getattr(spec.formats, name).rounding is Rounding.NEAREST_EVEN
        assert getattr(spec.formats, name).overflow is Overflow.SATURATE_SYMMETRIC
    assert load_network(rounding=Rounding.FLOOR).formats.theta.rounding is Rounding.FLOOR


def test_a_setting_is_more_particular_than_a_mode_for_all():
    spec = load_network(rounding="floor", settings={"formats.v_mem.rounding": "stochastic"})
    assert spec.formats.v_mem.rounding is Rounding.STOCHASTIC
    assert spec.formats.weight.rounding is Rounding.FLOOR


def test_none_means_not_given():
    nothing = dict.fromkeys(("neurons", "epochs", "rounding", "overflow", *REGISTERS))
    assert load_network(**nothing) == load_network()


def test_none_as_a_setting_is_a_value():
    assert load_network(settings={"neuron.v_th_cap": None}).neuron.v_th_cap is None
    assert load_network().neuron.v_th_cap == 104.8


@pytest.mark.parametrize("number", [np.int64(12), np.int32(12), np.uint8(12), 12])
def test_integers_of_a_sweep(number: object):
    spec = load_network(neurons=number)
    assert type(spec.network.neurons) is int and spec.network.neurons == 12


@pytest.mark.parametrize("number", [np.float64(9.5), np.float32(9.5), 9.5])
def test_real_numbers_of_a_sweep(number: object):
    spec = load_network(settings={"neuron.v_th": number})
    assert spec.neuron.v_th == 9.5
    assert json.loads(json.dumps(spec.model_dump(mode="json")))["neuron"]["v_th"] == 9.5


def test_an_integer_is_a_real_number():
    spec = load_network(settings={"neuron.v_th": 9})
    assert type(spec.neuron.v_th) is float


def test_loading_leaves_no_trace_behind():
    settings = {"formats.v_mem.rounding": "floor"}
    load_network(settings=settings, neurons=3)
    assert settings == {"formats.v_mem.rounding": "floor"}
    assert load_network().network.neurons == 400


def test_a_specification_is_frozen():
    spec = load_network()
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"
    with pytest.raises(ValidationError, match="frozen"):
        spec.neuron.v_th = 9.0
    with pytest.raises(ValidationError, match="frozen"):
        spec.formats.weight.format = Format(False, 0, 4)


# --- Files of one's own --------------------------------------------------------------------------------


def test_a_file_by_its_path(network_file, monkeypatch):
    path = network_file("neurons = 400", "neurons = 40")
    assert load_network(path).network.neurons == 40
    assert load_network(str(path)).network.neurons == 40
    monkeypatch.chdir(path.parent)
    assert load_network("mine.toml").network.neurons == 40
    assert resolve_network("mine.toml").file == Path("mine.toml")


def test_a_shipped_name_is_never_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "tinysnn").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_network("tinysnn").name == "tinysnn"


def test_models_from_another_folder(tmp_path, monkeypatch, network_file):
    (tmp_path / "networks").mkdir()
    network_file(name="networks/own.toml")
    monkeypatch.setenv("TINYSNN_MODELS", str(tmp_path))
    assert list_networks() == ["own"]
    assert load_network("own").network.neurons == 400
    assert "shipped networks: own" in refused("tinysnn")
    monkeypatch.setenv("TINYSNN_MODELS", str(tmp_path / "elsewhere"))
    assert "elsewhere" in refused("own")


def test_origins_and_sources():
    resolved = resolve_network(recipe="digits", neurons=20, settings={"learning.n_th": 5})
    origins = resolved.origins
    assert origins["network.neurons"] == origins["learning.n_th"] == "override"
    assert origins["neuron.refractory"] == "recipe digits"
    assert origins["neuron.leak"] == "file"
    assert origins["neuron.tau_theta"] == origins["formats.v_mem.overflow"] == "default"
    assert set(origins) == {key for key, _ in leaves(resolved.spec.model_dump())} - {
        "name",
        "summary",
        "recipe",
        # Tables of other networks.
        "inhibitory",
        "formats.v_inh",
        "formats.x_post",
        "formats.eta_pre",
    }
    # The longest key wins; a section speaks for its keys.
    assert "Diehl" in resolved.source_of("neuron.refractory")
    assert resolved.source_of("neuron.v_th") == resolved.sources["neuron"]
    assert resolved.source_of("unheard.of") == ""


# --- Round trips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_networks())
def test_a_dump_is_the_network(name: str):
    spec = load_network(name, recipe="digits", weight="u-1.9", settings={"neuron.v_floor": None})
    plain = json.loads(json.dumps(spec.model_dump(mode="json")))
    assert network_from_dict(plain, "a model") == spec
    assert network_from_dict(spec.model_dump(), "a model") == spec
    assert plain["formats"]["weight"] == {
        "format": "u-1.9", "rounding": "stochastic", "overflow": "saturate", "rand_bits": 32,
    }  # fmt: skip


def test_a_dump_with_a_wrong_value_is_refused_by_name():
    plain = load_network().model_dump(mode="json")
    plain["neuron"]["leak"] = "drip"
    with pytest.raises(SpecError, match=r"model\.npz: neuron\.leak = 'drip'"):
        network_from_dict(plain, "model.npz")


@given(
    st.sampled_from(["shift", "multiply", "none", "subtract"]), st.floats(0.1, 500.0), st.integers(1, 4000)
)
def test_any_network_survives_its_dump(leak: str, v_th: float, neurons: int):
    spec = load_network(
        neurons=neurons, settings={"neuron.leak": leak, "neuron.v_th": v_th, "neuron.v_th_cap": None}
    )
    again = NetworkSpec.model_validate(json.loads(spec.model_dump_json()))
    assert again == spec and hash(again) == hash(spec)
