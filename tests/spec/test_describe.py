"""Descriptions of networks: complete, with units, origins and sources."""

from __future__ import annotations

import pytest

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import list_networks, load_network, resolve_network
from tinysnn_hw.spec.describe import (
    describe_network,
    describe_spec,
    summarize_network,
    summarize_networks,
)


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
    assert {row.key: row.value for row in rows} == expected
    assert all(row.unit and row.meaning for row in rows)


@pytest.mark.parametrize("name", list_networks())
def test_every_value_of_a_file_has_a_source(name):
    for recipe in summarize_network(name).recipes:
        for row in describe_network(resolve_network(name, recipe=recipe)):
            assert bool(row.source) == (row.origin in ("file", f"recipe {recipe}")), row.key


def test_origins_follow_the_value():
    resolved = resolve_network("tinysnn-wta", recipe="digits", v_mem="s8.6", settings={"learning.n_th": 5})
    rows = {row.key: row for row in describe_network(resolved)}
    assert (rows["formats.v_mem.format"].value, rows["formats.v_mem.format"].origin) == ("s8.6", "override")
    assert (rows["learning.n_th"].value, rows["learning.n_th"].origin) == (5, "override")
    assert rows["learning.n_th"].source == ""
    assert rows["network.neurons"].origin == "recipe digits"
    assert rows["neuron.refractory"].origin == "file" and "Diehl" in rows["neuron.refractory"].source
    assert rows["neuron.tau_theta"].origin == "default"
    assert rows["neuron.v_th"].unit == "mV" and rows["encoding.rate_max_hz"].unit == "Hz"
    assert rows["formats.weight.rounding"].value == "stochastic"


def test_summaries_name_the_recipes():
    assert [summary.name for summary in summarize_networks()] == list_networks()
    summary = summarize_network("tinysnn-wta")
    assert summary.default_recipe in summary.recipes
    assert {"mnist", "fashion-mnist", "digits"} <= set(summary.recipes)
    assert summary.file.is_file() and summary.summary
    with pytest.raises(SpecError, match="did you mean 'tinysnn'"):
        summarize_network("tinysn")
