"""The shipped network files: each loads in every recipe, lowers, and says where each value comes from."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from pydantic import BaseModel

from tinysnn_hw.engine import choose_plan, lower
from tinysnn_hw.spec import NetworkSpec, list_networks, load_network, models_dir, resolve_network
from tinysnn_hw.spec.describe import describe_network, summarize_network
from tinysnn_hw.spec.load import model_of

FILES = sorted((models_dir() / "networks").glob("*.toml"))
RECIPES = [(file.stem, recipe) for file in FILES for recipe in summarize_network(file.stem).recipes]
SHAPES = {"mnist": (784, 400), "fashion-mnist": (784, 400), "digits": (64, 100)}
# What a unit may be: SI units with the network's own counts, and "-" for a choice.
UNITS = {
    "-", "1", "mV", "s", "Hz", "bits", "steps", "spikes", "epochs", "pieces", "inputs", "neurons", "format",
    "pixel sum",
}  # fmt: skip


def tables(name: str) -> dict[str, Any]:
    return tomllib.loads((models_dir() / "networks" / f"{name}.toml").read_text(encoding="utf-8"))


def test_the_shipped_networks_are_these():
    assert (
        sorted(file.stem for file in FILES)
        == list_networks()
        == ["baseline", "sl-stdp", "tinysnn", "tinysnn-wta"]
    )


@pytest.mark.parametrize("name", list_networks())
def test_a_file_names_itself(name: str):
    table = tables(name)
    assert table["name"] == name
    assert table["default_recipe"] in table["recipe"]
    assert set(SHAPES) <= set(table["recipe"])
    # A summary is one line of a list.
    assert 20 < len(table["summary"]) < 100 and "\n" not in table["summary"]


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_every_recipe_loads_and_lowers(name: str, recipe: str):
    spec = load_network(name, recipe=recipe)
    assert (spec.name, spec.recipe) == (name, recipe)
    if recipe in SHAPES:
        assert (spec.network.inputs, spec.network.neurons) == SHAPES[recipe]
    lowered = lower(spec)
    assert choose_plan(lowered, 100) is not None, "a shipped network runs on the fast kernel"
    assert len(lowered.eta) == spec.learning.schedule_pieces
    # What a full-rate image would do in a step stays inside the plan too.
    assert choose_plan(lowered, spec.network.inputs) is not None


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_every_value_has_a_source(name: str, recipe: str):
    resolved = resolve_network(name, recipe=recipe)
    for row in describe_network(resolved):
        if row.origin in ("file", f"recipe {recipe}"):
            assert len(row.source) > 10, f"{row.key} = {row.value} comes from nowhere"
        else:
            assert row.origin == "default"


@pytest.mark.parametrize("name", list_networks())
def test_every_source_belongs_to_a_value(name: str):
    keys = {key for recipe in tables(name)["recipe"] for key in resolve_network(name, recipe=recipe).origins}
    for source in resolve_network(name).sources:
        assert any(key == source or key.startswith(f"{source}.") for key in keys), source


@pytest.mark.parametrize("name", list_networks())
def test_every_section_of_a_file_has_a_source(name: str):
    table = tables(name)
    sections = {key for key, value in table.items() if isinstance(value, dict)} - {"recipe", "source"}
    assert sections <= set(table["source"])


@pytest.mark.parametrize("name", list_networks())
def test_recipes_are_those_of_the_data_sets(name: str):
    """A recipe is called after a data set or after one with a suffix, so that it is found by its name.

    ``bindsnet`` holds published constants, whatever the data.
    """
    for recipe in set(tables(name)["recipe"]) - {"bindsnet"}:
        assert any(recipe == known or recipe.startswith(f"{known}-") for known in SHAPES), recipe


def fields(model: type[BaseModel], prefix: str = ""):
    for name, field in model.model_fields.items():
        if (inner := model_of(field.annotation)) is not None:
            yield from fields(inner, f"{prefix}{name}.")
        elif prefix:
            yield f"{prefix}{name}", field


@pytest.mark.parametrize(("key", "field"), list(fields(NetworkSpec)), ids=lambda part: str(part)[:40])
def test_every_field_has_a_unit_and_a_meaning(key: str, field: Any):
    assert field.json_schema_extra["unit"] in UNITS, key
    assert field.description and field.description.endswith("."), key


def test_units_are_in_the_schema():
    """The JSON schema, as a user's own tools read it, carries unit and meaning of every field."""
    schema = NetworkSpec.model_json_schema()
    for section in (
        "SizeSpec",
        "NeuronSpec",
        "InhibitionSpec",
        "LearningSpec",
        "EncodingSpec",
        "RegisterSpec",
    ):
        for name, entry in schema["$defs"][section]["properties"].items():
            assert entry["unit"] in UNITS, f"{section}.{name}"
            assert entry["description"], f"{section}.{name}"
    assert schema["$defs"]["NeuronSpec"]["properties"]["v_th"]["unit"] == "mV"
    assert schema["$defs"]["EncodingSpec"]["properties"]["rate_max_hz"]["unit"] == "Hz"


@pytest.mark.parametrize("name", list_networks())
def test_comments_keep_the_line_length(name: str):
    text = (models_dir() / "networks" / f"{name}.toml").read_text(encoding="utf-8")
    assert text.endswith("\n") and not re.search(r"[ \t]+$", text, re.MULTILINE)
    assert text.startswith(f"# {name}: ")
