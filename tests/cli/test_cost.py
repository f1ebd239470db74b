"""`tinysnn cost`, `tinysnn measure` and hardware in `list` and `show`."""

from __future__ import annotations

import json

import pytest

from tests.spec.test_hardware import OWN
from tinysnn_hw.cli import measure as measure_command
from tinysnn_hw.cost import assumed_activity, cost
from tinysnn_hw.cost.measure import choose, rapl
from tinysnn_hw.errors import MeasurementError
from tinysnn_hw.spec import list_hardware, load_network


def test_cost_of_a_network_is_that_of_the_library(tinysnn):
    words = (
        "tinysnn",
        "--neurons",
        100,
        "--weight",
        "u0.4",
        "--accounting",
        "dense",
        "--hardware",
        "edge-45nm-dram",
    )
    found = tinysnn("cost", *words, "--json").json
    net = load_network("tinysnn", neurons=100, weight="u0.4")
    for phase in ("inference", "training"):
        expected = cost(net, hardware="edge-45nm-dram", weights="dense", phase=phase)
        assert found[phase]["energy_j"]["nominal"] == expected.energy_j
        assert found[phase]["memory_bits"] == expected.memory_bits
        assert found[phase]["origin"] == "modelled" and found[phase]["activity_origin"] == "assumed"
        total = sum(row["energy_j"]["nominal"] for row in found[phase]["rows"])
        assert total == pytest.approx(expected.energy_j)
    assert found["hardware"] == "edge-45nm-dram" and found["network"] == "tinysnn"


def test_cost_table_names_hardware_and_what_dominates(tinysnn):
    ran = tinysnn("cost", "--hardware", "edge-7nm")
    assert ran.code == 0 and ran.err == ""
    assert "Modelled energy of tinysnn-wta on edge-7nm, inference" in ran.out
    assert "Modelled energy of tinysnn-wta on edge-7nm, training" in ran.out
    assert "On edge-7nm, reading weight (weight-sram) takes" in " ".join(ran.out.split())
    assert "Activity assumed" in " ".join(ran.out.split())
    assert "Not counted: encoding of images" in ran.out


def test_assumed_spikes_can_be_given(tinysnn):
    found = tinysnn("cost", "--input-spikes", 1000, "--output-spikes", 5, "--json").json
    net = load_network()
    activity = assumed_activity(net, input_spikes=1000, output_spikes=5)
    assert found["inference"]["energy_j"]["nominal"] == cost(net, activity).energy_j
    assert tinysnn("cost", "--output-spikes", 1000).code == 2


def test_a_chip_without_figures_for_learning_says_so(tinysnn):
    found = tinysnn("cost", "--hardware", "loihi", "--json").json
    assert found["training"] is None and found["inference"]["energy_j"]["nominal"] > 0
    assert "No training energy: loihi states no energy of a learned synapse." in found["findings"]


def test_cost_of_a_run_is_measured(tinysnn, trained, tmp_path):
    found = tinysnn("cost", trained, "--json").json
    assert found["training"]["activity_origin"] == "measured"
    assert found["inference"]["activity_origin"] == "measured in training"
    evaluated = tmp_path / "evaluated.json"
    ran = tinysnn("evaluate", trained, "--limit-train", 300, "--limit-test", 100, "--json")
    evaluated.write_text(ran.out, encoding="utf-8")
    again = tinysnn("cost", trained, "--activity", evaluated, "--json").json
    assert again["inference"]["activity_origin"] == "measured"
    assert again["inference"]["activity"] == ran.json["activity"]
    assert again["training"]["activity"] == found["training"]["activity"]
    assert again["training"]["activity"]["updates"] > 0


def test_a_run_cannot_be_changed(tinysnn, trained):
    ran = tinysnn("cost", trained, "--weight", "u0.4")
    assert ran.code == 2 and "leave out --weight" in ran.err
    ran = tinysnn("cost", trained, "--output-spikes", 3)
    assert ran.code == 2 and "--output-spikes: the activity is measured here" in ran.err


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"activity": {"images": 1}}'])
def test_a_file_without_activity_is_refused(tinysnn, tmp_path, text):
    file = tmp_path / "other.json"
    file.write_text(text, encoding="utf-8")
    ran = tinysnn("cost", "--activity", file)
    assert ran.code == 2 and "holds no activity" in ran.err and "Traceback" not in ran.err
    assert tinysnn("cost", "--activity", tmp_path / "none.json").code == 2


def test_hardware_of_ones_own(tinysnn, tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(
        OWN.replace('value = 1.0, unit = "nJ", source = "me"', 'value = 1.0, unit = "nJ"'), encoding="utf-8"
    )
    ran = tinysnn("cost", "--hardware", file, "--json")
    assert ran.code == 0 and ran.json["hardware"] == "own"
    assert ran.json["inference"]["unsourced"] == ["memory.sram.read"]
    assert "own: 1 numbers have no source" in ran.err
    assert any("do not publish" in text for text in ran.json["findings"])
    shown = tinysnn("show", file)
    assert shown.code == 0 and "Without source: memory.sram.read" in shown.out


def test_unknown_names_are_explained(tinysnn):
    ran = tinysnn("cost", "--hardware", "edge-45")
    assert ran.code == 2 and "did you mean 'edge-45nm'" in ran.err
    ran = tinysnn("cost", "--accounting", "learnt")
    assert ran.code == 2
    assert "--accounting 'learnt': allowed: learned, sparse, dense; did you mean 'learned'" in ran.err


def test_hardware_is_listed_and_shown(tinysnn):
    listed = tinysnn("list", "--json").json["hardware"]
    assert sorted(listed) == list_hardware() and listed["loihi"]["kind"] == "event"
    assert "edge-45nm-lpddr3" in tinysnn("list").out
    for name in list_hardware():
        found = tinysnn("show", name, "--json").json
        assert found["name"] == name and all(value["source"] for value in found["values"])
        assert name in tinysnn("show", name).out
    ran = tinysnn("show", "loihi", "--neurons", 3)
    assert ran.code == 2 and "loihi is hardware; leave out --neurons" in ran.err


# --- measure -------------------------------------------------------------------------------------------

QUICK = ("--watts", 12.5, "--window", 0.01, "--warm-up", 0, "--repeats", 2)


def test_measure_multiplies_time_by_a_given_power(tinysnn, monkeypatch):
    asked = []
    monkeypatch.setattr(measure_command, "run_command", lambda words: asked.append(list(words)))
    found = tinysnn("measure", *QUICK, "--json", "--", "train", "tinysnn", "--out", "x").json
    assert asked[0] == ["train", "tinysnn", "--out", "x"]
    assert found["origin"] == "measured" and found["source"] == "constant"
    assert found["gross_j"]["mean"] == pytest.approx(12.5 * found["time_s"]["mean"])
    assert found["net_j"] is None and "only the time" in found["warnings"][0]
    assert found["command"] == "tinysnn train tinysnn --out x"
    ran = tinysnn("measure", *QUICK, "--", "list")
    assert "Measured energy of tinysnn list" in ran.out and "12.5 W" in ran.err
    assert "not known" in ran.out and "Before you use these numbers" in ran.out


def test_measure_runs_the_command(tinysnn):
    ran = tinysnn("measure", *QUICK, "--json", "--", "show", "odin")
    assert ran.code == 0 and ran.json["time_s"]["mean"] > 0.05
    assert json.loads(ran.out)["trials"][0]["runs"] == 1


def test_a_command_that_fails_is_no_measurement(tinysnn):
    ran = tinysnn("measure", *QUICK, "--", "show", "nothing-of-that-name")
    assert ran.code == 2 and ran.out == ""
    assert "ended with code 2" in ran.err and "nothing-of-that-name" in ran.err
    with pytest.raises(MeasurementError):
        measure_command.run_command(["--nonsense"])


def test_measure_without_a_meter_says_why(tinysnn, monkeypatch, tmp_path):
    monkeypatch.setattr(choose, "RaplSource", lambda: rapl.RaplSource(tmp_path / "powercap"))
    ran = tinysnn("measure", "--source", "rapl", "--", "list")
    assert ran.code == 2 and "does not exist; RAPL needs Linux" in ran.err and ran.out == ""
