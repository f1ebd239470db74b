"""`tinysnn quantize`: what it writes, that it goes on where it was broken off, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.fixed import Format
from tinysnn_hw.learning import evaluate_many, train_many
from tinysnn_hw.quantize import points
from tinysnn_hw.spec import load_network

QUICK = ("--limit-train", 300, "--holdout", 100, "--widths", 3, "--registers", "weight,v_th", "--threads", 1)


@pytest.fixture(scope="module")
def searched(tiny, tmp_path_factory):
    return tmp_path_factory.mktemp("search") / "s"


def test_a_search_writes_a_network_that_validate_runs(tinysnn, tiny, searched):
    ran = tinysnn("quantize", tiny, *QUICK, "--max-drop", 30, "--out", searched, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert found == json.loads((searched / "report.json").read_text())
    assert found["data"] == "digits[train 300][holdout 100]" and found["registers"] == ["weight", "v_th"]
    assert found["accuracy"]["found"] >= found["accuracy"]["least"] == found["accuracy"]["float"] - 30
    # Integer bits are those of the values seen, fraction bits at most those of the file.
    widths = {
        name: [trial["formats"][name] for trial in trials] for name, trials in found["sensitivity"].items()
    }
    assert widths["weight"] == ["u0.8", "u0.7", "u0.6"]
    assert widths["v_th"][0] == "u6.8"
    assert found["ranges"]["v_th"]["exact"] and found["ranges"]["update"]["counts"]
    spec = load_network(searched / "network.toml")
    assert {name: str(getattr(spec.formats, name).format) for name in ("weight", "v_th", "v_mem")} == {
        name: found["formats"][name] for name in ("weight", "v_th", "v_mem")
    }
    assert found["memory"]["memory_bits"] == found["found"]["memory_bits"] < found["start"]["memory_bits"]
    rows = list(csv.DictReader((searched / "sensitivity.csv").read_text().splitlines()))
    assert [row["format"] for row in rows if row["register"] == "weight"] == widths["weight"]
    assert float(rows[0]["accuracy"]) == pytest.approx(found["start"]["accuracy"], abs=1e-4)
    assert (searched / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    again = tinysnn(
        "validate", searched / "network.toml", "--limit-train", 200, "--limit-test", 50, "--max-drop", 100
    )
    assert again.code == 0 and "recipe: digits" in again.err


def test_a_second_run_computes_no_point_again(tinysnn, tiny, searched, monkeypatch):
    kept = sorted((searched / "points").iterdir())
    assert kept
    monkeypatch.setattr(points.Points, "_measure", None)
    ran = tinysnn("quantize", tiny, *QUICK, "--max-drop", 30, "--out", searched)
    assert ran.code == 0, ran.err
    assert sorted((searched / "points").iterdir()) == kept
    for part in ("Accuracy when one register alone", "Formats", "Memory (Eq. 4", "Ranges"):
        assert part in ran.out
    assert "The test images were not" in ran.out
    assert f"tinysnn validate {searched / 'network.toml'}" in ran.err


def test_an_interruption_keeps_finished_points(tinysnn, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(points, "BATCH", 1)
    real, calls = points.Points._measure, []

    def broken_off(self, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(points.Points, "_measure", broken_off)
    ran = tinysnn("quantize", tiny, *QUICK, "--out", tmp_path / "s")
    assert ran.code == 130 and "the same command goes on from there" in ran.err
    assert len(list((tmp_path / "s" / "points").iterdir())) == 2
    assert not (tmp_path / "s" / "network.toml").exists()


def test_nothing_that_holds_is_a_negative_finding(tinysnn, tiny, tmp_path):
    words = ("--weight", "u0.3", "--set", "formats.weight.rounding=floor", "--max-drop", 0, "--no-table")
    ran = tinysnn("quantize", tiny, *QUICK, *words, "--out", tmp_path / "s", "--json")
    assert ran.code == 1 and "negative" in ran.err
    assert ran.json["formats"] is None and ran.json["sensitivity"] is None
    codes = [finding["code"] for finding in ran.json["one_format_lower"]["findings"]]
    assert "negative_updates_inflated" in codes
    assert not (tmp_path / "s" / "network.toml").exists()


def test_registers_of_a_given_width_are_split_and_what_was_found_is_tested(tinysnn, tiny, tmp_path):
    words = (
        "--limit-train",
        300,
        "--holdout",
        100,
        "--threads",
        1,
        "--widths",
        17,
        "--no-table",
        "--max-drop",
        30,
    )
    given = ("--bits", "qWN=8,weight=5", "--registers", "theta", "--test", 2)
    ran = tinysnn("quantize", tiny, *words, *given, "--out", tmp_path / "s", "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    widths = {name: Format.parse(fmt).width for name, fmt in found["formats"].items()}
    assert (widths["weight"], widths["v_mem"], widths["v_th"]) == (5, 8, 8) and widths["theta"] < 22
    # The floor is 0, so the sign bit of the file's s8.8 becomes one of precision.
    assert found["splits"]["v_mem"][0]["formats"]["v_mem"] == "u7.1"
    assert found["splits"]["weight"][0]["formats"]["weight"] == "u0.5"
    assert found["sensitivity"] is None
    spec = load_network(tmp_path / "s" / "network.toml")
    data = load_dataset("digits").limit(300)
    models = train_many([spec], data, seeds=[0, 1], spike_seed=0)
    results = evaluate_many(models, data)
    assert found["test"]["found"]["accuracies"] == [result.accuracy for result in results]
    assert len(found["test"]["float_seeds"]) == 2
    again = tinysnn("quantize", tiny, *words, *given, "--out", tmp_path / "s")
    assert again.code == 0 and "Splits of the given widths" in again.out and "Test images, after" in again.out


def test_the_table_alone(tinysnn, tiny, tmp_path):
    ran = tinysnn("quantize", tiny, *QUICK, "--no-search", "--out", tmp_path / "s", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["formats"] is None and ran.json["found"] is None
    assert [len(trials) for trials in ran.json["sensitivity"].values()] == [3, 3]
    assert (tmp_path / "s" / "sensitivity.csv").is_file() and not (tmp_path / "s" / "network.toml").exists()


def test_refusals(tinysnn, tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for words, message in (
        (("--out", tmp_path / "mine"), "holds something other than a search"),
        (("--out", tmp_path / "a", "--scheme", "itq"), "in_place, shadow, ptq"),
        (("--out", tmp_path / "a", "--scheme", "ptq", "--registers", "theta"), "'theta' is none"),
        (("--out", tmp_path / "a", "--registers", "wait"), "'wait' is none"),
        (("--out", tmp_path / "a", "--holdout", 300), "holdout"),
        (("--out", tmp_path / "a", "--bits", "weight"), "REGISTER=BITS"),
        (("--out", tmp_path / "a", "--bits", "weight=33"), "1 to 32 bits"),
        (("--out", tmp_path / "a", "--bits", "wait=8"), "'wait' is neither a preset"),
        (
            ("--out", tmp_path / "a", "--bits", "weight=8", "--registers", "weight"),
            "has its width from --bits",
        ),
        (("--out", tmp_path / "a", "--bits", "weight=8", "--no-search"), "no table is left"),
        (("--out", tmp_path / "a", "--no-table", "--no-search"), "no table is left"),
    ):
        ran = tinysnn("quantize", tiny, "--limit-train", 300, *words)
        assert ran.code == 2 and message in ran.err, ran.err
