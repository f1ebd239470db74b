"""Search spaces: what a file may say, what its values stand for, and clear words where it is wrong."""

from __future__ import annotations

import json

import pytest
from conftest import small_space

from tinysnn_hw.errors import SpecError
from tinysnn_hw.explore.candidate import check_space, digest_of, make_candidate, recipe_point
from tinysnn_hw.spec import load_network
from tinysnn_hw.spec.space import allows
from tinysnn_hw.spec.space_load import list_spaces, load_space, space_from_dict, with_trials

DATA = {
    "paper-grid": "mnist", "wta-free": "mnist", "digits-widths": "digits", "tune-baseline": "mnist",
    "tune-sl-stdp": "fashion-mnist", "tune-tinysnn": "mnist", "tune-tinysnn-wta": "mnist",
}  # fmt: skip
BASE = {
    "name": "x", "summary": "y", "network": "tinysnn-wta", "search": {"sampler": "random", "trials": 5},
    "parameters": {"weight": ["u0.8", "u0.4"]},
}  # fmt: skip


def changed(**sections):
    return space_from_dict({**BASE, **sections}, "x.toml")


def test_the_shipped_spaces_are_these():
    assert list_spaces() == sorted(DATA)


@pytest.mark.parametrize("name", sorted(DATA))
def test_a_shipped_space_has_no_impossible_value(name):
    space = load_space(name)
    assert space.name == name
    check_space(space, DATA[name])
    assert space_from_dict(json.loads(json.dumps(space.dump())), name) == space


def test_the_grid_of_the_paper():
    space = load_space("paper-grid")
    assert space.n_trials == 7 * 3 * 2 * 2 == 84
    assert {key: parameter.choices for key, parameter in space.parameters.items()} == {
        "scheme": ("itq", "ptq"),
        "bits": (32, 16, 12, 10, 8, 6, 4),
        "rounding": ("floor", "nearest", "stochastic"),
        "quantized": ("qW", "qWN"),
    }


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"colour": "red"}, "x.toml: colour = 'red' is unknown; keys here: name, summary"),
        ({"search": {"sampler": "gird"}}, "search.sampler = 'gird'.*did you mean 'grid'"),
        ({"search": {"sampler": "tpe"}}, "trials is missing; sampler = 'tpe' needs a number"),
        ({"search": {"sampler": "random", "trials": 0}}, "search.trials = 0"),
        (
            {"search": {**BASE["search"], "objectives": ["speed"]}},
            "'speed' is unknown; allowed: accuracy, memory",
        ),
        ({"search": {**BASE["search"], "objectives": ["energy"] * 2}}, "each once"),
        ({"search": {"sampler": "grid", "start": "recipe"}}, "a grid has an order of its own"),
        (
            {"search": {**BASE["search"], "start": "recipe"}, "parameters": {"bits": [8]}},
            "a recipe has no value of parameters.bits",
        ),
        ({"parameters": {}}, "parameters"),
        ({"parameters": {"weight": []}}, r"x\.toml: parameters\.weight\.list\.choices = \(\): [^\n]*$"),
        (
            {"parameters": {"learning.n_th": {"low": 5, "hihg": 2}}},
            r"x\.toml: parameters\.learning\.n_th\.range\.high is missing\n"
            r"x\.toml: parameters\.learning\.n_th\.range\.hihg = 2 is unknown; keys here: low, high, step, log; "
            r"did you mean 'high'\?$",
        ),
        ({"parameters": {"weight": ["u0.8", "u0.8"]}}, "'u0.8' occurs twice"),
        ({"parameters": {"learning.n_th": {"low": 5, "high": 2}}}, "high = 2 must exceed low = 5"),
        ({"parameters": {"learning.n_th": {"low": 0, "high": 2, "log": True}}}, "starts above 0"),
        ({"parameters": {"learning.n_th": {"low": 1, "high": 3, "step": 0.5}}}, "whole step"),
        ({"parameters": {"scheme": ["itq", "qat"]}}, "'qat' is unknown; allowed: itq, ptq"),
        ({"parameters": {"quantized": ["qW"]}}, "'bits', which is no parameter"),
        ({"settings": {"weight": "u0.8"}}, "settings.weight is a parameter too"),
        (
            {"search": {"sampler": "grid"}, "parameters": {"learning.eta_start": {"low": 0.1, "high": 0.2}}},
            "a grid needs values that can be counted",
        ),
        (
            {"search": {"sampler": "grid"}, "parameters": {f"p.{k}": list(range(60)) for k in range(3)}},
            "216,000 points; at most 20,000",
        ),
        ({"halving": {"images": [500, 100], "keep": 0.5}}, "rising numbers"),
        ({"halving": {"images": [100], "keep": 0.95}}, "every trial of a batch would go on"),
        ({"constraints": {"min_accuracy": 101.0}}, "constraints.min_accuracy = 101.0"),
    ],
)
def test_a_wrong_space_is_refused_by_name(sections, words):
    with pytest.raises(SpecError, match=words):
        changed(**sections)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"wieght": ["u0.8"]}, "parameters.wieght, value 'u0.8'.*did you mean 'weight'"),
        ({"weight": ["u0.8", "z9"]}, "parameters.weight, value 'z9'"),
        ({"neuron.refractory": [5, -1]}, "parameters.neuron.refractory, value -1"),
        ({"bits": [8, 99]}, "parameters.bits, value 99.*1 to 32"),
    ],
)
def test_a_value_no_network_can_have_is_named(parameters, words):
    with pytest.raises(SpecError, match=words):
        check_space(changed(parameters=parameters), "digits")


def test_the_three_tuned_networks_have_one_budget():
    spaces = [load_space(f"tune-{network}") for network in ("baseline", "sl-stdp", "tinysnn")]
    first = spaces[0]
    for space in spaces:
        assert (space.search, space.protocol, len(space.parameters)) == (first.search, first.protocol, 10)
        for data in ("mnist", "fashion-mnist"):
            recipe = make_candidate(space, recipe_point(space, data), data)
            assert recipe.network == load_network(space.network, recipe=data)


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        ([1, 2.5, "a"], [1, 2.5, "a"], [2, 1.0, True, "b"]),
        ({"low": 2, "high": 8, "step": 3}, [2, 5, 8], [1, 3, 9, 11, True]),
        ({"low": 2, "high": 4}, [2, 3, 4], [2.5, 1, "3"]),
        ({"low": 0.5, "high": 1.0, "step": 0.1}, [0.5, 0.7, 1.0], [0.75, 1.1]),
        ({"low": 0.1, "high": 1.0, "log": True}, [0.1, 0.33, 1.0], [0.05, 1.01]),
    ],
)
def test_what_a_parameter_allows(parameter, inside, outside):
    read = changed(parameters={"learning.n_th": parameter}).parameters["learning.n_th"]
    assert [value for value in (*inside, *outside) if allows(read, value)] == inside


def test_a_space_without_the_recipes_value_cannot_start_there():
    parameters = {"learning.n_th": {"low": 5, "high": 9}}
    space = changed(search={**BASE["search"], "start": "recipe"}, parameters=parameters)
    with pytest.raises(SpecError, match=r"parameters.learning.n_th does not contain the recipe's value 4"):
        recipe_point(space, "mnist")


def test_unknown_spaces_and_files(tmp_path):
    with pytest.raises(SpecError, match="did you mean 'paper-grid'"):
        load_space("paper-gird")
    with pytest.raises(SpecError, match="does not exist"):
        load_space(tmp_path / "no.toml")
    file = tmp_path / "old.toml"
    file.write_text("schema_version = 99\n", encoding="utf-8")
    with pytest.raises(SpecError, match="schema_version = 99"):
        load_space(file)
    file.write_text("name = \n", encoding="utf-8")
    with pytest.raises(SpecError, match="not valid TOML"):
        load_space(file)


def test_another_number_of_trials():
    assert with_trials(changed(), 9).n_trials == 9
    assert with_trials(small_space(), 5).n_trials == 5
    assert small_space().n_trials == 24
    assert with_trials(small_space(), 1000).n_trials == 24, "a grid has no more points than it has"


def candidate(**values):
    space = load_space("paper-grid")
    return make_candidate(
        space, {"scheme": "itq", "rounding": "floor", "quantized": "qWN", **values}, "mnist"
    )


def formats(network):
    found = {name: getattr(network.formats, name) for name in ("weight", "v_mem", "v_th", "theta")}
    return {name: (str(one.format), one.rounding.text) for name, one in found.items()}


def test_bits_keep_sign_and_integer_part():
    untouched = ("u7.16", "nearest")
    assert formats(candidate(bits=8).network) == {
        "weight": ("u0.8", "floor"), "v_mem": ("s8.0", "floor"), "v_th": ("s8.0", "floor"), "theta": untouched,
    }  # fmt: skip
    assert formats(candidate(bits=4, quantized="qW", rounding="stochastic").network) == {
        "weight": ("u0.4", "stochastic"), "v_mem": ("s8.16", "nearest"), "v_th": ("s8.16", "nearest"),
        "theta": untouched,
    }  # fmt: skip
    assert formats(candidate(bits=4).network)["v_mem"] == ("s8.-4", "floor")


def test_32_bits_are_one_network_whatever_else_is_said():
    found = [
        candidate(bits=32, scheme=scheme, rounding=rounding, quantized=kind)
        for scheme in ("itq", "ptq")
        for rounding in ("floor", "nearest", "stochastic")
        for kind in ("qW", "qWN")
    ]
    assert {one.scheme for one in found} == {"float"}
    assert len({digest_of(one, {}) for one in found}) == 1


def test_ptq_trains_one_source_for_all_formats():
    found = [
        candidate(bits=bits, scheme="ptq", rounding=how) for bits in (4, 8) for how in ("floor", "nearest")
    ]
    assert len({one.source.model_dump_json() for one in found}) == 1
    assert found[0].trained == found[0].source != found[0].network
    assert len({digest_of(one, {}) for one in found}) == 4
    direct = candidate(bits=4)
    assert direct.source is None and direct.trained == direct.network
    assert digest_of(direct, {}) != digest_of(found[0], {})


def test_a_digest_covers_configuration_and_data_but_not_names():
    one = candidate(bits=8)
    assert digest_of(one, {"data": "a"}) != digest_of(one, {"data": "b"})
    renamed = one.network.model_copy(update={"summary": "another", "recipe": "other"})
    assert digest_of(type(one)(renamed, "itq"), {}) == digest_of(one, {})


def test_neighbours_share_raster_and_kernel():
    space = changed(
        parameters={"neurons": [50, 100], "encoding.n_steps": [200, 250], "weight": ["u0.8", "u0.4"]},
    )
    made = [
        make_candidate(space, {"neurons": n, "encoding.n_steps": steps, "weight": "u0.8"}, "digits")
        for n in (50, 100)
        for steps in (200, 250)
    ]
    assert made[0].raster_key == made[2].raster_key != made[1].raster_key
