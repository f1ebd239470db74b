"""`tinysnn quantize`: what it writes, that it goes on where it was broken off, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

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


def test_refusals(tinysnn, tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for words, message in (
        (("--out", tmp_path / "mine"), "holds something other than a search"),
        (("--out", tmp_path / "a", "--scheme", "itq"), "in_place, shadow, ptq"),
        (("--out", tmp_path / "a", "--scheme", "ptq", "--registers", "theta"), "'theta' is none"),
        (("--out", tmp_path / "a", "--registers", "wait"), "'wait' is none"),
        (("--out", tmp_path / "a", "--holdout", 300), "holdout"),
    ):
        ran = tinysnn("quantize", tiny, "--limit-train", 300, *words)
        assert ran.code == 2 and message in ran.err, ran.err
