"""Every way to get a name, a value or a file of a network wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.spec.files import FILE, TEXT, refused
from tinysnn_hw.errors import FormatError, SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec import load_network

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
