"""Descriptions of networks: complete, with units, origins and sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import list_networks, load_network, resolve_network
from tinysnn_hw.spec.describe import (
    describe_network,
    describe_spec,
    summarize_network,
    summarize_networks,
)

# A network file with every value pinned.
TINY = Path(__file__).parents[1] / "cli" / "tiny.toml"


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("name", list_networks())
def test_every_value_is_described(name):
    spec = load_network(name)
    rows = describe_spec(spec)
    expected = dict(leaves(spec.model_dump(exclude={"name", "summary", "recipe"})))
    # A table the network has no use for has no values.
    for key in ("inhibitory", "formats.v_inh", "formats.x_post", "formats.eta_pre"):
        if key in expected:
            assert expected.pop(key) is None
    assert {row.key: row.value for row in rows} == expected
    assert all(row.unit and row.meaning for row in rows)


@pytest.mark.parametrize("name", list_networks())
def test_every_value_of_a_file_has_a_source(name):
    for recipe in summarize_network(name).recipes:
        for row in describe_network(resolve_network(name, recipe=recipe)):
            assert bool(row.source) == (row.origin in ("file", f"recipe {recipe}")), row.key


def test_origins_follow_the_value():
    resolved = resolve_network(TINY, recipe="other", v_mem="s8.6", settings={"learning.n_th": 5})
    rows = {row.key: row for row in describe_network(resolved)}

    def said(key):
        return rows[key].value, rows[key].unit, rows[key].origin, rows[key].source

    assert said("formats.v_mem.format") == ("s8.6", "format", "override", "")
    assert said("learning.n_th") == (5, "spikes", "override", "")
    assert said("network.neurons") == (8, "neurons", "recipe other", "chosen for speed")
    assert said("network.inputs") == (64, "inputs", "file", "chosen for speed")
    assert said("neuron.tau_theta") == (1e7, "steps", "default", "")
    assert said("encoding.rate_max_hz")[:3] == (200.0, "Hz", "file")
    assert said("formats.weight.rounding")[0] == "stochastic"
    assert said("learning.weight_sum")[0] is None


def test_summaries_name_the_recipes():
    assert [summary.name for summary in summarize_networks()] == list_networks()
    summary = summarize_network("tinysnn-wta")
    assert summary.default_recipe in summary.recipes
    assert {"mnist", "fashion-mnist", "digits"} <= set(summary.recipes)
    assert summary.file.is_file() and summary.summary
    with pytest.raises(SpecError, match="did you mean 'tinysnn'"):
        summarize_network("tinysn")
