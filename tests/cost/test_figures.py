"""The scripts of figures 7 and 8: what they print and write."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_figure_8(tmp_path):
    words = ("--data", "digits", "--neurons", 16, "--limit-train", 60, "--limit-test", 20, "--threads", 1)
    said = run("reproduce_fig8.py", "--out", tmp_path, *words, "--watts", 10)
    rows = table(tmp_path / "fig8-modelled.csv")
    assert {row["origin"] for row in rows} == {"modelled"} and {row["hardware"] for row in rows} == {
        "edge-45nm"
    }
    for phase in ("training", "inference"):
        energies = [
            float(row["energy_j"]) for row in rows if row["phase"] == phase and row["network"] == "tinysnn"
        ]
        assert len(energies) == 8 and energies == sorted(energies, reverse=True)
    measured = table(tmp_path / "fig8-measured.csv")
    assert all(row["origin"].startswith("measured") for row in measured)
    assert {row["bar"] for row in measured} == {"baseline float64", "sl-stdp float64", "tinysnn float64"}
    assert is_png(tmp_path / "fig8-modelled.png") and is_png(tmp_path / "fig8-measured.png")
    for part in ("1.9x", "2.7x", "2.9x", "on edge-45nm", "time x power", "Why they differ:"):
        assert part in said
