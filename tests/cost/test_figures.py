"""The scripts of figures 7 and 8: what they print and write."""

from __future__ import annotations

import csv
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinysnn_hw.cost import assumed_activity, cost
from tinysnn_hw.spec import load_network

ROOT = Path(__file__).parents[2]


def run(script, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def table(file):
    with file.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def is_png(file):
    return file.read_bytes().startswith(b"\x89PNG")


def test_figure_7(tmp_path):
    said = run("reproduce_fig7.py", "--out", tmp_path)
    assert "3.3x" in said and "3.32x" in said and "Why they differ:" in said
    rows = table(tmp_path / "fig7.csv")
    assert is_png(tmp_path / "fig7.png") and [file.name for file in tmp_path.glob(".*")] == []
    found = {
        row["bar"]: float(row["saving"])
        for row in rows
        if (row["data"], row["phase"], row["weights"], row["neurons"])
        == ("mnist", "inference", "learned", "paper")
    }
    assert len(found) == 3 + 2 * 7
    assert found["baseline FP32"] == found["sl-stdp FP32"] == 1
    # W = 784 x 400 words; baseline 4 x 400 words of state and 2 constants, tinySNN 2 x 400 and 1.
    words, fp32 = 784 * 400, 32 * (784 * 400 + 1602)
    assert found["tinysnn qW 8"] == pytest.approx(fp32 / (8 * words + 32 * 801))
    assert found["tinysnn qWN 8"] == pytest.approx(fp32 / (8 * words + 8 * 801))
    savings = [found[f"tinysnn qWN {bits}"] for bits in (16, 14, 12, 10, 8, 6, 4)]
    assert savings == sorted(savings)
    assert "8 bits, qWN, weights learned, neurons paper" in said and f"{found['tinysnn qWN 8']:.2f}x" in said


@pytest.fixture
def figure_8(monkeypatch):
    """The script with assumed activity and given speeds in place of training, which is tested elsewhere."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    script = importlib.import_module("reproduce_fig8")
    speed = {"baseline": 10.0, "sl-stdp": 20.0, "tinysnn": 40.0}

    def train(spec, data, **_):
        return SimpleNamespace(spec=spec, activity=assumed_activity(spec), images_per_s=speed[spec.name])

    def evaluate(model, data, **_):
        return SimpleNamespace(activity=model.activity, images_per_s=2 * model.images_per_s)

    monkeypatch.setattr(script, "train", train)
    monkeypatch.setattr(script, "evaluate", evaluate)
    return script


def test_figure_8(tmp_path, monkeypatch, capsys, figure_8):
    words = (
        "--data",
        "digits",
        "--neurons",
        "16",
        "--limit-train",
        "60",
        "--out",
        str(tmp_path),
        "--watts",
        "10",
    )
    monkeypatch.setattr(sys, "argv", ["reproduce_fig8.py", *words])
    figure_8.main()
    said = capsys.readouterr().out
    rows = table(tmp_path / "fig8-modelled.csv")
    assert {row["origin"] for row in rows} == {"modelled"} and {row["hardware"] for row in rows} == {
        "edge-45nm"
    }
    for phase in ("training", "inference"):
        of_phase = [row for row in rows if row["phase"] == phase]
        energies = [float(row["energy_j"]) for row in of_phase if row["network"] == "tinysnn"]
        assert len(energies) == 8 and energies == sorted(energies, reverse=True)
        spec = load_network("baseline", recipe="digits", neurons=16)
        expected = cost(spec, assumed_activity(spec), phase=phase, arithmetic="float32").energy_j
        assert float(of_phase[0]["energy_j"]) == pytest.approx(expected)
        assert float(of_phase[-1]["saving"]) == pytest.approx(expected / energies[-1])
    measured = table(tmp_path / "fig8-measured.csv")
    assert all(row["origin"].startswith("measured") for row in measured)
    energies = {(row["phase"], row["network"]): float(row["energy_j"]) for row in measured}
    assert energies["training", "baseline"] == 1.0 and energies["inference", "tinysnn"] == 0.125
    assert is_png(tmp_path / "fig8-modelled.png") and is_png(tmp_path / "fig8-measured.png")
    for part in ("1.9x", "2.7x", "2.9x", "on edge-45nm", "time x power", "4.00x", "Why they differ:"):
        assert part in said
