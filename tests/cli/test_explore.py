"""`tinysnn explore`, `select` and `report`: a small study from the first command to the tested model."""

from __future__ import annotations

import json

import pytest

from tinysnn_hw.cli.select import energy_j, memory_bits
from tinysnn_hw.errors import SpecError

SPACE = """
schema_version = 1
name = "cli"
summary = "Two widths of a tiny network"
network = "{network}"
[search]
sampler = "grid"
[protocol]
label_images = 200
[parameters]
weight = ["u0.8", "u0.4"]
"""


@pytest.mark.slow
def test_from_a_space_to_a_tested_model(tinysnn, tiny, tmp_path):
    pytest.importorskip("optuna", reason="the extra 'explore' is not installed")
    space = tmp_path / "cli.toml"
    space.write_text(SPACE.format(network=tiny), encoding="utf-8")
    folder = tmp_path / "s"
    explore = (
        "explore",
        space,
        "--data",
        "digits",
        "--limit-train",
        300,
        "--executor",
        "local:1",
        "--out",
        folder,
    )
    ran = tinysnn(*explore, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["states"]["complete"] == 2 and ran.json["timing"]["trials"] == 2
    assert "2 of 2 trials, best" in ran.err and "0 of 2 trials" in ran.err
    again = tinysnn(*explore)
    assert again.code == 0 and "Nothing was left to do" in again.out

    dry = tinysnn("select", folder, "--mu", 50, "--dry-run", "--json").json
    assert dry["selected"] is None
    small = next(choice for choice in dry["choices"] if choice["mu"] == 50)
    assert small["parameters"] == {"weight": "u0.4"}
    ran = tinysnn("select", folder, "--mu", 50, "--max-memory", "20KiB")
    assert ran.code == 0, ran.err
    assert "on 360 test images of digits" in ran.out and "used once" in ran.out
    place = folder / "selected" / f"trial-{small['trial']}"
    record = json.loads((place / "selection.json").read_text(encoding="utf-8"))
    tested = tinysnn("evaluate", place, "--limit-train", 300, "--json")
    assert tested.json["accuracy"] == record["test"]["accuracy"]

    none = tinysnn("select", folder, "--max-memory", "1B")
    assert none.code == 1 and "No trial keeps the limits" in none.out
    ran = tinysnn("report", folder)
    assert ran.code == 0 and (folder / "report" / "report.html").is_file()
    assert str(folder / "report" / "trials.csv") in ran.out.split()


def test_wrong_words_are_input_errors(tinysnn, tmp_path):
    assert tinysnn("explore", "paper-gird", "--out", tmp_path / "s").code == 2
    assert "begins a study" in tinysnn("report", tmp_path).err
    assert "B, KB, MB" in tinysnn("select", tmp_path, "--max-memory", "200").err
    assert "mJ, uJ" in tinysnn("select", tmp_path, "--max-energy", "3W").err


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("200KB", 1_600_000),
        ("1KiB", 8192),
        ("1.5MiB", 12_582_912),
        ("10 B", 80),
        ("7bit", 7),
        ("1MB", 8_000_000),
    ],
)
def test_sizes(text, bits):
    assert memory_bits(text) == bits


@pytest.mark.parametrize("text", ["", "0KB", "-1KB", "KB", "5", "5 GBps"])
def test_what_is_no_size(text):
    with pytest.raises(SpecError, match="--max-memory"):
        memory_bits(text)


def test_energies():
    assert energy_j("2uJ") == 2e-6 and energy_j("1.5e3 pJ") == pytest.approx(1.5e-9)
    with pytest.raises(SpecError, match="--max-energy"):
        energy_j("2")
