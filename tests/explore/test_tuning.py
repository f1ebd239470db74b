"""The script that tunes the three networks: its finals, what it keeps, and the error it judges by."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from pathlib import Path
from statistics import mean, variance

import numpy as np
import pytest

from tinysnn_hw import evaluate, load_dataset, load_network, train
from tinysnn_hw.data import make_dataset
from tinysnn_hw.spec.space_load import space_from_dict

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests" / "cli" / "tiny.toml")
SPACE = {
    "name": "tune-tiny", "summary": "s", "network": TINY,
    "search": {"sampler": "tpe", "objectives": ["accuracy"], "trials": 3, "start": "recipe", "batch": 1},
    "protocol": {"holdout": 100, "label_images": 200},
    "parameters": {"learning.eta_start": {"low": 0.1, "high": 0.5}, "neuron.theta_plus": {"low": 0.2, "high": 1.0}},
}  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("reproduce_tuning")


@pytest.mark.slow
def test_finals_are_trained_anew_and_kept(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "NETWORKS", ("tiny",))
    monkeypatch.setattr(script, "load_space", lambda name: space_from_dict({**SPACE, "name": name}, name))
    words = ["--networks", "tiny", "--data", "digits", "--finalists", "1", "--seeds", "2", "--out"]
    monkeypatch.setattr(sys, "argv", ["reproduce_tuning.py", *words, str(tmp_path)])
    script.main()
    said = capsys.readouterr().out
    with (tmp_path / "tuning.csv").open(newline="", encoding="utf-8") as file:
        recipe, best = csv.DictReader(file)
    files = sorted((tmp_path / "tiny-digits" / "finals").iterdir())
    assert len(files) == 4 and recipe["trial"] == "0" and best["trial"] != "0"

    data = load_dataset("digits").holdout(100)
    for row in (recipe, best):
        finals = [
            json.loads(
                (files[0].parent / f"trial-{row['trial']}-seed-{seed}.json").read_text(encoding="utf-8")
            )
            for seed in (1, 2)
        ]
        network = load_network(TINY, settings=finals[0]["parameters"])
        for seed, final in zip((1, 2), finals, strict=True):
            model = train(network, data, seed=seed, threads=1)
            assert final["accuracy"] == evaluate(model, data, label_images=200, threads=1).accuracy
        assert float(row["mean"]) == pytest.approx(mean(one["accuracy"] for one in finals), abs=1e-3)

    script.main()
    assert capsys.readouterr().out == said, "nothing is trained again"

    monkeypatch.setattr(script, "BEYOND", -1e9)  # every trial passes, and must be confirmed
    script.main()
    with (tmp_path / "tuning.csv").open(newline="", encoding="utf-8") as file:
        recipe, best = csv.DictReader(file)
    whole = load_dataset("digits")
    order = np.r_[
        : whole.n_train - 200, whole.n_train - 100 : whole.n_train, whole.n_train - 200 : whole.n_train - 100
    ]
    images, labels = whole.train_images[order], whole.train_labels[order]
    other = make_dataset("other", images, labels, whole.test_images, whole.test_labels).holdout(100)
    accuracy = {}
    for row in (recipe, best):
        final = json.loads(
            (files[0].parent / f"trial-{row['trial']}-seed-1.json").read_text(encoding="utf-8")
        )
        models = [
            train(load_network(TINY, settings=final["parameters"]), other, seed=seed, threads=1)
            for seed in (1, 2)
        ]
        accuracy[row["trial"]] = mean(evaluate(model, other, label_images=200).accuracy for model in models)
    found = float(best["less_recipe_other_images"])
    assert found == pytest.approx(accuracy[best["trial"]] - accuracy["0"], abs=1e-3)


def test_the_error_pools_the_spread_of_all_finalists(script, monkeypatch):
    accuracies = {0: (90.0, 90.4), 3: (91.0, 91.8), 5: (90.1, 90.1)}

    class Row:
        def __init__(self, number):
            self.number, self.result = number, {"accuracy": 90.0}

    class Fake:
        class study:
            class data:
                name = "d"

            class space:
                network = "n"

            trials = tuple(map(Row, accuracies))

        def __init__(self, trial, accuracy):
            self.trial, self.accuracy, self.values = trial, accuracy, {}

        def read(self):
            return self.accuracy

    rows = script.rows_of([Fake(trial, one) for trial, both in accuracies.items() for one in both])
    pooled = mean(map(variance, accuracies.values()))
    assert [row["less_recipe"] for row in rows] == pytest.approx([0.0, 1.2, -0.1])
    assert {row["standard_error"] for row in rows} == {round((pooled * 2 / 2) ** 0.5, 3)}
    assert [row["beyond"] for row in rows] == [False, True, False]
