"""Loading networks: recipes, overrides, origins, and every way to get a file or a value wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tinysnn_hw.errors import FormatError, SpecError
from tinysnn_hw.fixed import Format, Overflow, Rounding
from tinysnn_hw.spec import (
    REGISTERS,
    NetworkSpec,
    has_recipe,
    list_networks,
    load_network,
    models_dir,
    network_from_dict,
    resolve_network,
)

TEXT = (models_dir() / "networks" / "tinysnn-wta.toml").read_text(encoding="utf-8")
FILE = "tinysnn-wta.toml"
OF_ALL = REGISTERS[:7]
"""The registers every network has."""


@pytest.fixture
def network_file(tmp_path: Path):
    """Return a function that writes a changed copy of a shipped file and returns its path."""

    def write(old: str = "", new: str = "", name: str = "mine.toml") -> Path:
        assert not old or TEXT.count(old) == 1, f"{old!r} occurs {TEXT.count(old)} times"
        path = tmp_path / name
        path.write_text(TEXT.replace(old, new) if old else TEXT, encoding="utf-8")
        return path

    return write


def refused(*words: Any, **changes: Any) -> str:
    with pytest.raises(SpecError) as refusal:
        load_network(*words, **changes)
    return str(refusal.value)


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


# --- Wrong names and values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "changes", "parts"),
    [
        (["tinysn"], {}, ["network 'tinysn' is unknown", "tinysnn, tinysnn-wta", "did you mean 'tinysnn'?"]),
        (["nothing-like-it"], {}, ["network 'nothing-like-it' is unknown", "or give the path of a .toml file"]),
        (["missing.toml"], {}, ["network file 'missing.toml' does not exist"]),
        ([], {"recipe": "mnst"}, [FILE, "recipe 'mnst' is unknown", "mnist, fashion-mnist", "did you mean 'mnist'?"]),
        ([], {"recipe": ""}, [FILE, "recipe '' is unknown"]),
        ([], {"neuron": 5}, [FILE, "neuron = 5 is not a short key", "did you mean 'neurons'?", "settings="]),
        ([], {"wieght": "u0.8"}, ["wieght = 'u0.8'", "did you mean 'weight'?"]),
        ([], {"settings": {"neuron.v_tH": 5}}, [FILE, "neuron.v_tH = 5 is unknown", "did you mean 'v_th'?"]),
        ([], {"settings": {"nueron.v_th": 5}}, [FILE, "nueron.v_th = 5", "did you mean 'neuron'?"]),
        ([], {"settings": {"formats.weigth.format": "u0.8"}},
         [FILE, "formats.weigth", "did you mean 'weight'?", "x_pre, c_pre, eta"]),
        ([], {"settings": {"formats.v_mem.round": "floor"}}, ["v_mem.round = 'floor'", "did you mean 'rounding'?"]),
        ([], {"settings": {"neuron.v_th.unit": "mV"}}, ["v_th is a single value, it has no key 'unit'"]),
        # What a recipe is called is not a value of the network: this would only mislabel it.
        ([], {"settings": {"recipe": "digits"}}, ["recipe = 'digits'", "not a section", "neuron, inhibition"]),
        ([], {"settings": {"name": "mine"}}, ["name = 'mine'", "not a section"]),
    ],
)  # fmt: skip
def test_wrong_names(words: list[str], changes: dict[str, Any], parts: list[str]):
    said = refused(*words, **changes)
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("network.neurons", 0, "greater than or equal to 1"),
        ("network.neurons", 1 << 17, "less than or equal to 65536"),
        ("network.neurons", 1.5, "valid integer"),
        ("network.neurons", "many", "valid integer"),
        ("network.neurons", "100", "valid integer"),
        ("network.neurons", True, "valid integer"),
        ("neuron.v_th", 0.0, "greater than 0"),
        ("neuron.v_th", float("nan"), "finite number"),
        ("neuron.v_th", float("inf"), "finite number"),
        ("neuron.v_th", "8 mV", "valid number"),
        ("neuron.v_th", False, "valid number"),
        ("neuron.v_th", [8.0], "valid number"),
        ("neuron.leak", "shfit", "'none', 'shift', 'multiply' or 'subtract'; did you mean 'shift'?"),
        ("neuron.leak", 3, "'none', 'shift', 'multiply' or 'subtract'"),
        ("neuron.leak_shift", 16, "less than or equal to 15"),
        ("neuron.refractory", -1, "greater than or equal to 0"),
        ("learning.shuffle", "yes", "valid boolean"),
        ("learning.shuffle", 1, "valid boolean"),
        ("learning.learners", "winners", "'spikers' or 'winner'; did you mean 'winner'?"),
        ("learning.eta_start", 1.0, "less than 1"),
        ("learning.epochs", 0, "greater than or equal to 1"),
        ("learning.n_th", 10**30, "less than or equal to 65535"),
        ("encoding.gain_reference", 10**30, "less than or equal to 4294967296"),
        ("encoding.n_steps", 1 << 16, "less than or equal to 65535"),
        ("encoding.train_spikes", "possion", "'poisson', 'regular' or 'pooled'; did you mean 'poisson'?"),
        ("formats.weight.format", "u0.40", "number format 'u0.40' has 40 bits; registers and arrays take 1 to 32 bits"),
        ("formats.weight.format", Format(False, 0, 40), "'u0.40' has 40 bits"),
        ("formats.weight.format", "8 bits", "8 bits"),
        ("formats.weight.format", "Q1.7", "Q1.7"),
        ("formats.weight.format", 8, "give a Format or text like 's8.8'"),
        ("formats.weight.format", None, "give a Format or text like 's8.8'"),
        ("formats.weight.rounding", "nearst", "did you mean 'nearest'?"),
        ("formats.weight.rounding", 2, "floor, to_zero, nearest"),
        ("formats.weight.overflow", "saturatee", "did you mean 'saturate'?"),
        ("formats.weight.overflow", True, "saturate, wrap"),
        ("formats.weight.rand_bits", 33, "less than or equal to 32"),
        ("formats.guard_bits", 17, "less than or equal to 16"),
    ],
)  # fmt: skip
def test_impossible_values(key: str, value: object, allowed: str):
    """The message names the file, the key, the value and what is allowed."""
    said = refused(settings={key: value})
    assert FILE in said and f"{key} = {value!r}" in said
    assert allowed in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"neuron.v_th_cap": 5.0}, ["v_th_cap = 5.0 is below v_th = 8.0"]),
        ({"neuron.v_floor": 1.0}, ["v_floor = 1.0 must not lie above rest"]),
        ({"neuron.v_reset": -118.0}, ["v_floor = -117.0 must not lie above rest (0) or v_reset = -118.0"]),
        ({"neuron.v_reset": 8.0}, ["v_reset = 8.0 must lie below v_th = 8.0"]),
        ({"learning.w_init_low": 0.3}, ["w_init_high = 0.3 must exceed w_init_low = 0.3"]),
        ({"learning.eta_end": 0.2}, ["eta_end = 0.2 must not exceed eta_start = 0.125"]),
        ({"learning.update_steps": 251}, ["update_steps = 251 exceeds encoding.n_steps = 250"]),
        ({"encoding.gain_min": 5.0}, ["gain_max = 4.0 must not lie below gain_min = 5.0"]),
        ({"encoding.rate_max_hz": 16001.0}, ["at most 16 events per step and pixel"]),
        ({"formats.theta.format": "s8.8"}, ["theta: s8.8 must be unsigned"]),
        ({"formats.x_pre.format": "s1.8"}, ["x_pre: s1.8 must be unsigned"]),
        ({"formats.x_pre.format": "u10.-2"}, ["x_pre: u10.-2 must not have negative fraction bits"]),
        ({"formats.c_pre.format": "u8.1"}, ["c_pre: u8.1 counts whole spikes; write u<width>.0"]),
        ({"formats.eta.format": "s0.13"}, ["eta: s0.13 must be unsigned"]),
    ],
)  # fmt: skip
def test_values_that_contradict_each_other(settings: dict[str, Any], parts: list[str]):
    said = refused(settings=settings)
    for part in [FILE, *parts]:
        assert part in said


def test_every_mistake_is_reported_at_once():
    said = refused(settings={"neuron.v_th": -1.0, "learning.n_th": 0, "encoding.dtt": 1.0}).splitlines()
    assert len(said) == 3
    assert all(FILE in line for line in said)
    for key in ("neuron.v_th = -1.0", "learning.n_th = 0", "encoding.dtt = 1.0"):
        assert sum(key in line for line in said) == 1


def test_errors_are_value_errors():
    with pytest.raises(ValueError, match="number format"):
        load_network(weight="u0.40")
    assert issubclass(FormatError, ValueError)


# --- Malformed files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("refractory = 5", "refractry = 5", ["neuron.refractry = 5 is unknown", "did you mean 'refractory'?"]),
        ("refractory = 5", "", ["neuron.refractory is missing"]),
        ("[inhibition]\nstrength = 121.0\nstart = 0.8\nramp = 0.5\n", "", ["inhibition is missing"]),
        ("[inhibition]", "[inhibitions]", ["inhibitions is not a key", "did you mean 'inhibition'?"]),
        ("v_th = 8.0", "v_th = 8.0.0", ["not valid TOML", "line"]),
        ("v_th = 8.0", "v_th = nan", ["neuron.v_th = nan", "finite number"]),
        ("v_th = 8.0", "v_th = 8.0\nv_th = 9.0", ["not valid TOML"]),
        ("neurons = 400", 'neurons = "400"', ["network.neurons = '400'", "valid integer"]),
        ("neurons = 400", "neurons = true", ["network.neurons = True", "valid integer"]),
        ('format = "u0.8"', 'format = "u0.40"', ["formats.weight.format = 'u0.40'", "1 to 32 bits"]),
        ('format = "u0.8", ', "", ["formats.weight.format is missing"]),
        ("schema_version = 1", "schema_version = 2", ["schema_version = 2; this version reads 1"]),
        ("schema_version = 1", "", ["schema_version = None; this version reads 1"]),
        ('name = "tinysnn-wta"', "name = 7", ["name = 7; a text is required"]),
        ('name = "tinysnn-wta"', "", ["name = None; a text is required"]),
        ('default_recipe = "mnist"', 'default_recipe = "mnsit"', ["'mnsit' is unknown", "did you mean 'mnist'?"]),
        ("[network]", "colour = 3\n[network]", ["colour is not a key of a network file"]),
        ("refractory = 3,", "refractoryy = 3,", ["neuron.refractoryy = 3 is unknown"]),
    ],
)  # fmt: skip
def test_malformed_files(network_file, old: str, new: str, parts: list[str]):
    said = refused(network_file(old, new), recipe="digits" if "refractoryy" in new else None)
    for part in ["mine.toml", *parts]:
        assert part in said


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"schema_version = ", b"[[[", b"= 3"])
def test_files_that_are_no_networks(tmp_path, content: bytes):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    assert "bad.toml" in refused(path)


@given(st.integers(1, len(TEXT) - 1))
def test_a_file_cut_anywhere_is_refused_or_a_network(cut: int):
    """A file copied in part never raises anything but the one error, and what still loads is complete."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.toml"
        path.write_text(TEXT[:cut], encoding="utf-8")
        try:
            spec = load_network(path)
        except SpecError as refusal:
            assert "cut.toml" in str(refusal)
        else:
            assert spec == load_network()


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
