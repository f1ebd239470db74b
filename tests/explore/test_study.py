"""Choosing, validating and reporting: against Eq. 3 by hand, and on studies of ten thousand trials."""

from __future__ import annotations

import csv
import itertools
import json
import re
import time
from pathlib import Path

import pytest
from synthetic import grow, write_study

from tinysnn_hw.errors import SpecError, StudyError
from tinysnn_hw.explore import (
    Limits,
    explore,
    load_study,
    network_toml,
    read_selections,
    select,
    validate_choice,
)
from tinysnn_hw.learning import evaluate, load_model
from tinysnn_hw.report.page import write_report
from tinysnn_hw.spec import load_network
from tinysnn_hw.spec.space import values_of
from tinysnn_hw.spec.space_load import load_space, space_from_dict

TINY = str(Path(__file__).parents[1] / "cli" / "tiny.toml")


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A study of the paper's grid, its numbers made up."""
    space = load_space("paper-grid")
    axes = [values_of(parameter) for parameter in space.parameters.values()]
    points = [dict(zip(space.parameters, values, strict=True)) for values in itertools.product(*axes)]
    return write_study(tmp_path_factory.mktemp("studies") / "grid", space, points)


def test_a_study_is_read_as_it_was_written(grid):
    study = load_study(grid)
    assert [row.number for row in study.trials] == list(range(84))
    assert study.count("failed") == 1 and study.count("complete") == 83
    repeated = [row for row in study.trials if row.same_as is not None]
    assert repeated and all(row.result == study.trials[row.same_as].result for row in repeated)
    assert len(study.distinct) == 83 - len(repeated)
    # The network of the grid with every word 32 bits wide: 784 x 400 weights, a constant, and three words per neuron.
    assert study.memory_bits_0 == 32 * (784 * 400 + 1 + 3 * 400)


def test_the_choice_is_the_highest_reward_within_the_limits(grid):
    study = load_study(grid)
    limits = Limits(min_accuracy=86.0, max_memory_bits=4_000_000, max_energy_j=1.2e-6)
    found = select(study, (0.0, 5.0, 80.0), limits)
    kept = [
        row
        for row in study.distinct
        if row.result["accuracy"] >= 86.0
        and row.result["memory_bits"] <= 4_000_000
        and row.result["energy_j"] <= 1.2e-6
    ]
    assert list(found.kept) == kept and 0 < len(kept) < len(study.distinct)
    for choice in found.choices:
        rewards = [
            row.result["accuracy"] - choice.mu * row.result["memory_bits"] / study.memory_bits_0
            for row in kept
        ]
        assert choice.reward == pytest.approx(max(rewards), rel=1e-14)
        assert choice.trial in kept
    small, large = found.choice(80.0).trial, found.choice(0.0).trial
    assert small.result["memory_bits"] < large.result["memory_bits"]


def test_limits_that_nothing_keeps_leave_nothing(grid):
    study = load_study(grid)
    found = select(study, (5.0,), Limits(min_accuracy=100.0))
    assert found.kept == found.choices == found.front == () and found.knee is None
    with pytest.raises(SpecError, match="no trial keeps the limits"):
        found.choice(5.0)
    with pytest.raises(SpecError, match="mu = -1"):
        select(study, (-1.0,))


def test_a_report_needs_nothing_but_itself(grid, tmp_path):
    study = load_study(grid)
    files = write_report(study, tmp_path / "report")
    names = {file.name for file in files}
    assert names == {
        "report.html", "trials.csv", "tradeoffs.png", "fig6-accuracy.png", "fig7-memory.png", "fig8-energy.png",
        "fig9-selection.png",
    }  # fmt: skip
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:)[^"'>\s]+""", page), "the page loads nothing"
    assert "http://" not in page and "https://" not in page and "@import" not in page
    assert page.count("data:image/png;base64,") == 5
    assert "the test images have not been used" in page and "$" not in page.split("<script>")[0]
    with (tmp_path / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 84
    for row, trial in zip(rows, study.trials, strict=True):
        assert row["reason"] == trial.reason and int(row["trial"]) == trial.number
        if trial.result:
            assert float(row["accuracy"]) == trial.result["accuracy"]


@pytest.mark.slow
def test_ten_thousand_trials_are_chosen_from_and_reported_in_seconds(grid, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    for file in grid.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    grow(folder, 120)
    # Processor time, of which other work on the machine changes less than of the clock's. It takes 5 to 10 s; work that
    # grew with the square of the trials would take minutes.
    began = time.process_time()
    study = load_study(folder)
    select(study)
    chosen = time.process_time()
    write_report(study, folder / "report")
    assert len(study.trials) == 10_080
    assert chosen - began < 10
    assert time.process_time() - began < 20


def test_a_folder_without_a_study_says_what_to_do(tmp_path):
    with pytest.raises(StudyError, match=r"'tinysnn explore SPACE --out .*' begins a study"):
        load_study(tmp_path)
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path)
    (tmp_path / "study.json").write_text('{"schema_version": 9}', encoding="utf-8")
    with pytest.raises(StudyError, match="no study of this version"):
        load_study(tmp_path)


@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta", "baseline"])
def test_a_network_survives_its_file(name, tmp_path):
    spec = load_network(name, recipe="digits", weight="u0.5", rounding="floor")
    file = tmp_path / "network.toml"
    file.write_text(network_toml(spec), encoding="utf-8")
    assert load_network(file) == spec


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A small study of real trials on 300 digits."""
    space = space_from_dict(
        {
            "name": "real", "summary": "A real one", "network": TINY, "search": {"sampler": "grid", "batch": 4},
            "protocol": {"label_images": 200}, "parameters": {"weight": ["u0.8", "u0.4"], "v_mem": ["s8.8", "s8.4"]},
        },
        "real",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("studies") / "real"
    return explore(space, "digits", folder, limit_train=300, executor="local:1")


@pytest.mark.slow
def test_the_chosen_network_is_trained_tested_once_and_kept(real):
    study = real.study
    assert study.count("complete") == 4, [row.reason for row in study.trials]
    assert real.timing.images == real.timing.full_images == 4 * (2 * 250 + 200 + 50)
    choice = select(study, (5.0,)).choice(5.0)
    record = validate_choice(study, choice, Limits())
    place = study.folder / "selected" / f"trial-{choice.trial.number}"
    model = load_model(place)
    assert load_network(place / "network.toml") == model.network
    assert str(model.network.formats.weight.format) == choice.trial.parameters["weight"]
    assert model.presentations == 2 * 300, "two epochs of all training images"
    from tinysnn_hw.data import load_dataset

    tested = evaluate(model, load_dataset("digits").limit(300))
    assert record["test"]["accuracy"] == tested.accuracy
    written = (place / "selection.json").read_text(encoding="utf-8")
    assert json.loads(written) == record
    before = (place / "model.npz").stat().st_mtime_ns
    assert validate_choice(study, choice, Limits()) == record, "read, not tested again"
    assert (place / "model.npz").stat().st_mtime_ns == before
    assert read_selections(study.folder) == [record]
    page = write_report(study, study.folder / "report")[0].read_text(encoding="utf-8")
    assert "were used once, each time after the choice" in page
