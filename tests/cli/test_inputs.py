"""Flags to values: settings, recipes, data sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.cli.inputs import NetworkFlags, load_data, parse_settings, parse_value, subset_note
from tinysnn_hw.errors import DataError, SpecError


def flags(**given):
    names = ("recipe", "neurons", "weight", "v_mem", "v_th", "theta", "rounding", "overflow", "epochs")
    return NetworkFlags(**({"network": "tinysnn-wta", "settings": ()} | dict.fromkeys(names) | given))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-0.25", -0.25),
        ("1e7", 1e7),
        ("0x10", 16),
        ("true", True),
        ('"5"', "5"),
        ("'a b'", "a b"),
        ("shift", "shift"),
        ("u0.8", "u0.8"),
        ("ap_fixed<8,1>", "ap_fixed<8,1>"),
        ("[1, 2]", "[1, 2]"),
        ("2020-01-01", "2020-01-01"),
        ("1\nother = 2", "1\nother = 2"),
        ("a = 1", "a = 1"),
        ("5 # five", 5),
        ("", None),
        (" ", None),
    ],
)
def test_values_are_toml_scalars_or_text(text, value):
    found = parse_value(text)
    assert found == value and type(found) is type(value)


@given(st.text())
def test_every_value_is_a_scalar(text):
    assert isinstance(parse_value(text), (bool, int, float, str, type(None)))


def test_settings():
    assert parse_settings(["a.b=1", " a.c = x=y ", "d.e.f="]) == {"a.b": 1, "a.c": "x=y", "d.e.f": None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["neuron.refractory"], "write key=value"),
        (["=5"], "write key=value"),
        (["n_th=5"], "did you mean learning.n_th?"),
        (["rounding=floor"], "did you mean formats.weight.rounding or formats.v_mem.rounding"),
        (["nonsense=5"], "'tinysnn show NETWORK' lists the keys"),
        (["a.b=1", "a.b=2"], "given twice, as 1 and as '2'"),
    ],
)
def test_wrong_settings_are_explained(settings, message):
    with pytest.raises(SpecError) as caught:
        parse_settings(settings)
    assert message in str(caught.value)


def test_flags_change_the_network():
    resolved = flags(
        neurons=7,
        weight="u0.4",
        v_mem="s8.2",
        v_th="s8.3",
        theta="u8.12",
        rounding="floor",
        overflow="wrap",
        epochs=3,
        settings=["neuron.v_floor=", "formats.weight.rounding=stochastic", "neuron.leak=none"],
    ).resolve("digits")
    spec = resolved.spec
    assert (spec.network.neurons, spec.learning.epochs, spec.neuron.leak) == (7, 3, "none")
    assert spec.neuron.v_floor is None
    assert [str(getattr(spec.formats, name).format) for name in ("weight", "v_mem", "v_th", "theta")] == [
        "u0.4",
        "s8.2",
        "s8.3",
        "u8.12",
    ]
    assert spec.formats.theta.rounding.text == "floor" and spec.formats.theta.overflow.text == "wrap"
    assert spec.formats.weight.rounding.text == "stochastic"


@pytest.mark.parametrize(
    ("network", "data", "recipe", "expected", "said"),
    [
        ("tinysnn-wta", "digits", None, "digits", "recipe: digits, named after the data set"),
        ("tinysnn-wta", "some/where/fashion-mnist.npz", None, "fashion-mnist", "named after the data set"),
        ("tinysnn-wta", "mine.npz", None, "mnist", "the default of tinysnn-wta, which has none named 'mine'"),
        ("tinysnn", "digits", "mnist-poisson", "mnist-poisson", ""),
        ("tinysnn", None, None, "mnist", ""),
    ],
)
def test_recipe_follows_the_data_and_says_so(network, data, recipe, expected, said, capsys):
    assert flags(network=network, recipe=recipe).resolve(data).spec.recipe == expected
    heard = capsys.readouterr()
    assert heard.out == "" and said in heard.err and bool(heard.err) == bool(said)


def test_data_can_be_limited():
    assert (load_data("digits", None).n_train, load_data("digits", None).n_test) == (1437, 360)
    part = load_data("digits", None, 30, 10)
    assert (part.n_train, part.n_test) == (30, 10) and part.name != "digits"
    assert load_data("digits", None, None, 10).n_train == 1437
    with pytest.raises(DataError, match="5000"):
        load_data("digits", None, 5000)


def test_two_rasters_are_a_data_set(tmp_path):
    from tinysnn_hw.data import Raster, save_raster

    raster = Raster.from_dense(np.ones((2, 3, 4), np.uint8))
    for part in ("train", "test"):
        save_raster(raster, tmp_path / f"{part}.npz", labels=np.array([0, 1]))
    data = load_data(f"{tmp_path / 'train.npz'},{tmp_path / 'test.npz'}", None)
    assert (data.n_train, data.n_inputs, data.n_classes) == (2, 4, 2)


def test_a_subset_is_announced():
    assert subset_note(None, None) == ""
    assert "first 1,000 training and 10 test images" in subset_note(1000, 10)
    assert "first 10 test images" in subset_note(None, 10)
