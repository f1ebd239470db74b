"""A network written as a file is the same network when read."""

from __future__ import annotations

import pytest

from tinysnn_hw.spec import list_networks, load_network, resolve_network
from tinysnn_hw.spec.describe import summarize_network
from tinysnn_hw.spec.save import network_toml, save_network, write_text

CASES = [(name, recipe) for name in list_networks() for recipe in summarize_network(name).recipes]


@pytest.mark.parametrize(("name", "recipe"), CASES)
def test_round_trip(name, recipe, tmp_path):
    spec = load_network(name, recipe=recipe, neurons=7, weight="u0.4")
    file = save_network(spec, tmp_path / "own.toml", {"formats": "found by a search"})
    read = resolve_network(file)
    assert read.spec == spec
    assert read.source_of("formats.weight.format") == "found by a search"
    assert load_network(file, recipe=recipe) == spec


def test_absent_values_stay_absent(tmp_path):
    spec = load_network("tinysnn-wta", settings={"neuron.v_floor": None})
    assert "v_floor" not in network_toml(spec)
    assert load_network(save_network(spec, tmp_path / "n.toml")).neuron.v_floor is None


def test_a_file_is_complete_or_as_it_was(tmp_path, files_below):
    write_text(tmp_path / "a" / "t.txt", "one")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a" / "t.txt", "two\ud800")
    assert (tmp_path / "a" / "t.txt").read_text() == "one"
    assert files_below(tmp_path / "a") == ["t.txt"]


@pytest.fixture
def files_below():
    return lambda folder: sorted(path.name for path in folder.iterdir())
