"""The search for formats: points on disk, sensitivity, greedy against exhaustive."""

from __future__ import annotations

import json

import pytest

from tinysnn_hw.cost import memory_footprint
from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.learning import evaluate, train
from tinysnn_hw.quantize import Points, exhaustive, greedy, make_space, quantize, sensitivity
from tinysnn_hw.quantize import points as points_module
from tinysnn_hw.spec import load_network


def texts(space):
    return {name: [str(fmt) for fmt in formats] for name, formats in space.items()}


@pytest.fixture(scope="module")
def held_out():
    return load_dataset("digits").limit(600).holdout(200)


@pytest.fixture(scope="module")
def net():
    return load_network("tinysnn-wta", recipe="digits", neurons=30, epochs=2)


def test_a_space_loses_fraction_bits(net):
    space = make_space(
        net, ["weight", "v_mem", "theta", "c_pre"], n_widths=3, starts={"v_mem": Format.parse("s7.2")}
    )
    assert texts(space) == {
        "weight": ["u0.8", "u0.7", "u0.6"], "v_mem": ["s7.2", "s7.1", "s7.0"],
        "theta": ["u8.16", "u8.15", "u8.14"], "c_pre": ["u8.0", "u7.0", "u6.0"],
    }  # fmt: skip
    assert texts(make_space(net, ["weight"]))["weight"][-1] == "u0.1"
    with pytest.raises(SpecError, match="'v_inh'"):
        make_space(net, ["v_inh"])


@pytest.mark.parametrize("scheme", ["in_place", "shadow", "ptq"])
def test_a_trial_is_the_network_trained_alone(net, held_out, scheme):
    points = Points(net, held_out, scheme=scheme, seeds=[4, 5], spike_seed=9, rounding="nearest", threads=1)
    choice = {"weight": Format.parse("u0.3"), "v_mem": Format.parse("s8.1")}
    (trial,) = points.evaluate([choice])
    expected = []
    for seed in (4, 5):
        settings = {f"formats.{name}.{key}": value for name, fmt in choice.items()
                    for key, value in (("format", str(fmt)), ("rounding", "nearest"))}  # fmt: skip
        own = load_network("tinysnn-wta", recipe="digits", neurons=30, epochs=2, settings=settings)
        arithmetic = {"in_place": "fixed", "shadow": "shadow", "ptq": "float64"}[scheme]
        model = train(own, held_out, seed=seed, spike_seed=9, arithmetic=arithmetic, threads=1)
        if scheme != "in_place":
            model = quantize(model, weight="u0.3", v_mem="s8.1")
        expected.append(evaluate(model, held_out).accuracy)
    assert trial.accuracies == tuple(expected) and trial.accuracy == sum(expected) / 2
    assert trial.memory_bits == memory_footprint(points.spec(choice)).bits
    assert trial.formats["weight"] == "u0.3" and trial.formats["v_th"] == "s8.8"
    assert ("theta" in points.registers) == (scheme == "in_place")
    assert points.registers[0] == "weight"


def test_finished_points_are_kept_and_never_computed_twice(net, held_out, tmp_path, monkeypatch):
    monkeypatch.setattr(points_module, "BATCH", 2)
    space = make_space(net, ["weight"], n_widths=5)
    choices = [{"weight": fmt} for fmt in space["weight"]]
    whole = Points(net, held_out, threads=1).evaluate(choices)

    real, calls = points_module.train_many, []

    def interrupted(specs, *args, **kwargs):
        calls.append(len(specs))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(specs, *args, **kwargs)

    monkeypatch.setattr(points_module, "train_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Points(net, held_out, folder=tmp_path, threads=1).evaluate(choices)
    assert len(list(tmp_path.iterdir())) == 2
    again = Points(net, held_out, folder=tmp_path, threads=1)
    assert again.evaluate(choices) == whole
    assert calls == [2, 2, 2, 1]
    assert Points(net, held_out, folder=tmp_path, threads=1).evaluate(choices) == whole and len(calls) == 4
    other = Points(net, held_out, folder=tmp_path, seeds=[1], threads=1)
    other.evaluate(choices[:1])
    assert len(calls) == 5 and len(list(tmp_path.iterdir())) == 6
    edited = net.model_copy(
        update={"learning": net.learning.model_copy(update={"n_th": net.learning.n_th + 1})}
    )
    Points(edited, held_out, folder=tmp_path, threads=1).evaluate(choices[:1])
    assert len(calls) == 6 and len(list(tmp_path.iterdir())) == 7, (
        "a network that changed has points of its own"
    )
    for file in tmp_path.iterdir():
        point = json.loads(file.read_text())
        assert point["config"]["data"] == held_out.digests._asdict()


def test_a_damaged_point_is_named(net, held_out, tmp_path):
    points = Points(net, held_out, folder=tmp_path, threads=1)
    points.evaluate([{"weight": Format.parse("u0.2")}])
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:10])
    with pytest.raises(SpecError, match=file.name):
        Points(net, held_out, folder=tmp_path, threads=1).evaluate([{"weight": Format.parse("u0.2")}])


def test_what_cannot_exist_is_refused_and_does_not_hold(net, held_out):
    points = Points(net, held_out, threads=1)
    broken, fine = points.evaluate([{"v_mem": Format.parse("s3.8")}, {"v_mem": Format.parse("s8.4")}])
    assert "formats.v_mem = s3.8" in broken.refused and broken.accuracy is None and not broken.holds(0.0)
    assert not fine.refused and fine.holds(0.0)
    for wrong in ({"scheme": "itq"}, {"seeds": []}):
        with pytest.raises(SpecError):
            Points(net, held_out, **wrong)
    with pytest.raises(SpecError, match="'theta' cannot be chosen"):
        Points(net, held_out, scheme="ptq").evaluate([{"theta": Format.parse("u8.4")}])


def test_an_overflow_that_is_an_error_refuses_its_own_point_only(held_out):
    net = load_network("tinysnn-wta", recipe="digits", neurons=30, epochs=1, settings={
        "neuron.v_floor": None, "formats.v_mem.overflow": "error", "inhibition.strength": 100.0})  # fmt: skip
    wide, narrow = Points(net, held_out, threads=1).evaluate(
        [{"v_mem": Format.parse("s20.4")}, {"v_mem": Format.parse("s8.4")}]
    )
    assert wide.accuracy is not None and "formats.v_mem" in narrow.refused


def test_sensitivity_narrows_one_register_at_a_time(net, held_out):
    points = Points(net, held_out, threads=1)
    space = make_space(net, ["weight", "theta"], n_widths=4)
    table = sensitivity(points, space)
    assert table.trials["weight"][0] == table.trials["theta"][0] == table.start
    for name, trials in table.trials.items():
        assert [trial.formats[name] for trial in trials] == texts(space)[name]
        other = "theta" if name == "weight" else "weight"
        assert {trial.formats[other] for trial in trials} == {texts(space)[other][0]}
    assert table.reference == points.reference and 50.0 < table.reference[0] <= 100.0


@pytest.mark.parametrize("scheme", ["ptq", "in_place"])
def test_greedy_finds_what_exhaustive_search_finds(scheme):
    data = load_dataset("digits").limit(900).holdout(400)
    net = load_network("tinysnn-wta", recipe="digits", neurons=40, epochs=2)
    points = Points(net, data, scheme=scheme, seeds=[0, 1], threads=1)
    starts = {"weight": Format.parse("u0.4"), "v_mem": Format.parse("s8.0"), "v_th": Format.parse("u7.1")}
    space = make_space(net, ["weight", "v_mem", "v_th"], n_widths=4, starts=starts)
    best = exhaustive(points, space, 2.0)
    found = greedy(points, space, 2.0)
    assert best.best is not None and found.best is not None
    assert points.size(found.formats) == points.size(best.formats)
    assert found.best.holds(found.least) and found.least == best.least
    assert found.formats != {name: formats[0] for name, formats in space.items()}


def test_nothing_holds_when_the_start_does_not(net, held_out):
    points = Points(net, held_out, rounding="floor", threads=1)
    space = make_space(net, ["weight"], starts={"weight": Format.parse("u0.1")})
    found = greedy(points, space, 0.0)
    assert found.best is None and found.formats == {} and found.passes == 0
    assert exhaustive(points, space, 0.0).best is None
    with pytest.raises(SpecError, match="max_drop"):
        greedy(points, space, -1.0)
