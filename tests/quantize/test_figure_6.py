"""The script of figure 6: what it computes, keeps and goes on from, and the intervals it prints."""

from __future__ import annotations

import csv
import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw import evaluate, load_dataset, load_network, train
from tinysnn_hw.quantize.ptq import quantize

ROOT = Path(__file__).parents[2]
WORDS = (
    "--data", "digits", "--neurons", "8", "--limit", "30", "--networks", "baseline", "tinysnn", "--bits", "8", "3",
    "--threads", "1",
)  # fmt: skip
CELLS = 2 + 2 * 3 * 2
"""Per seed: two float64 networks; schemes x roundings x bits of one network."""


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("reproduce_fig6")


@pytest.fixture
def cells(script):
    """The script's module of cells."""
    return importlib.import_module("fig6_cells")


@pytest.fixture
def tables(script):
    """The script's module of tables."""
    return importlib.import_module("fig6_tables")


@pytest.fixture
def run(script, cells, monkeypatch, capsys):
    """Run the script; return what it printed and how many networks it trained."""

    def go(*words):
        trained = []

        def counted(networks, data, **how):
            trained.extend(networks)
            return train_many(networks, data, **how)

        with monkeypatch.context() as patch:
            patch.setattr(cells, "train_many", counted)
            patch.setattr(sys, "argv", ["reproduce_fig6.py", *WORDS, *map(str, words)])
            script.main()
        return capsys.readouterr().out, len(trained)

    train_many = cells.train_many
    return go


def table(folder):
    with (folder / "fig6.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_the_grid_is_computed_once_and_goes_on(tmp_path, run):
    said, trained = run("--seeds", 2, "--out", tmp_path)
    rows = table(tmp_path)
    assert len(rows) == 2 * CELLS and trained == 2 * (2 + 3 * 2)
    assert (tmp_path / "fig6.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "fig6.md").read_text(encoding="utf-8") == said
    assert not list(tmp_path.rglob(".*"))

    assert run("--seeds", 2, "--out", tmp_path) == (said, 0)

    lost = next(
        row for row in rows if (row["scheme"], row["rounding"], row["bits"]) == ("in_place", "floor", "3")
    )
    twin = next(row for row in rows if (row["scheme"], row["network"]) == ("float64", "tinysnn"))
    for row in (lost, twin):  # of float64 the model is still there
        (tmp_path / "fig6-cells" / f"{row['cell']}.json").unlink()
    assert run("--seeds", 2, "--out", tmp_path) == (said, 1)
    assert table(tmp_path) == rows

    _, trained = run("--seeds", 1, "--neurons", 9, "--out", tmp_path)
    assert trained == 2 + 3 * 2


def test_a_cell_is_what_the_library_says(tmp_path, run):
    run("--seeds", 1, "--out", tmp_path)
    rows = {(row["network"], row["scheme"], row["rounding"], row["bits"]): row for row in table(tmp_path)}
    data = load_dataset("digits").limit(30, 30)

    def network(name, **how):
        return load_network(name, recipe="digits", neurons=8, **how)

    narrow = {"formats.weight.format": "u0.3", "formats.weight.rounding": "stochastic"}
    trained = train(network("tinysnn", settings=narrow), data, seed=0, threads=1)
    twin = train(network("tinysnn"), data, seed=0, arithmetic="float64", threads=1)
    models = {
        ("tinysnn", "in_place", "stochastic", "3"): trained,
        ("tinysnn", "float64", "", ""): twin,
        ("tinysnn", "ptq", "floor", "3"): quantize(twin, weight="u0.3", rounding="floor", seed=0),
        ("baseline", "float64", "", ""): train(
            network("baseline"), data, seed=0, arithmetic="float64", threads=1
        ),
    }
    for place, model in models.items():
        for readout, accuracy in evaluate(model, data, threads=1).readouts.items():
            assert float(rows[place][readout]) == pytest.approx(accuracy, abs=1e-6)


def test_a_damaged_cell_is_named(tmp_path, run):
    run("--seeds", 1, "--out", tmp_path)
    file = next((tmp_path / "fig6-cells").iterdir())
    file.write_text("{", encoding="utf-8")
    with pytest.raises(SystemExit, match=rf"{file.name}: not a finished cell .*; delete it and run again"):
        run("--seeds", 1, "--out", tmp_path)


def test_fewer_images_can_label(tmp_path, run):
    run("--seeds", 1, "--out", tmp_path)
    said, trained = run("--seeds", 1, "--label-images", 20, "--out", tmp_path)
    assert "labelled by the first 20 training images" in said
    assert trained == 3 * 2, "the float64 networks are those that are there"
    data = load_dataset("digits").limit(30, 30)
    model = train(load_network("baseline", recipe="digits", neurons=8), data, arithmetic="float64", threads=1)
    found = next(row for row in table(tmp_path) if row["network"] == "baseline")
    expected = evaluate(model, data, label_images=20, threads=1).readouts["naive_bayes"]
    assert float(found["naive_bayes"]) == pytest.approx(expected, abs=1e-6)


def test_every_choice_has_a_key_of_its_own(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reproduce_fig6.py", "--data", "digits", "--out", str(tmp_path)])
    chosen = script.arguments("", script.options)
    run = script.Run(chosen, {"digits": load_dataset("digits")})
    cells = [cell for group in script.groups(chosen) for cell in group]
    assert len(cells) == 5 * (4 + 2 * 2 * 3 * 9)
    assert len({run.key(cell) for cell in cells}) == len(cells)


def test_intervals_are_those_of_student(tables):
    # 12.706 and 4.303: two-sided 95 % points of Student's t with one and two degrees of freedom.
    assert tables.interval(np.array([90.0, 92.0])) == pytest.approx(12.706, abs=1e-3)
    assert tables.interval(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)
    assert math.isnan(tables.interval(np.array([90.0])))
    assert tables.text(np.array([90.0])) == "90.00"


def test_differences_pair_the_seeds(tables):
    rows = [
        {
            "data": "d",
            "network": network,
            "scheme": "float64",
            "rounding": "",
            "bits": "",
            "seed": seed,
            "nb": value,
        }
        for network, values in (("baseline", (90.0, 94.0)), ("tinysnn", (91.0, 95.0)))
        for seed, value in reversed(list(enumerate(values)))
    ]
    found = tables.Table(json.loads(json.dumps(rows)), "nb")
    own, other = (found.seeds("d", network, "float64") for network in ("tinysnn", "baseline"))
    assert tables.text(own - other) == "1.00 ± 0.00"
