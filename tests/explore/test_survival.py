"""Nothing that was finished is lost, whatever is killed, and nothing is counted twice: processes really die here."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import small_space
from fake_work import KILLER, LOG, SLEEP, evaluate

from tinysnn_hw.errors import StudyError
from tinysnn_hw.explore import explore, load_study

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
POINTS, FAILING = 24, 4


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log of every configuration that was computed."""
    file = tmp_path / "log.txt"
    file.touch()
    monkeypatch.setenv(LOG, str(file))
    return file


@pytest.fixture
def start(log, tmp_path):
    """Return a function that starts an exploration in a process of its own; what still runs at the end is killed."""
    started = []

    def begin(folder, *, sleep=0.0, executor="local:1", sampler="grid", limit=None):
        environment = {**os.environ, SLEEP: str(sleep), "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}

        def restrict():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        said = tmp_path / f"said-{len(started)}.txt"
        with said.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "drive.py"), str(folder), executor, sampler],
                env=environment, stdout=out, stderr=subprocess.STDOUT, preexec_fn=restrict,
            )  # fmt: skip
        process.said = said
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def read_until(process, done, timeout_s=120):
    """Wait until an explorer says that so many trials are finished."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        lines = process.said.read_text(encoding="utf-8").split()
        if any(line.isdecimal() and int(line) >= done for line in lines):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    pytest.fail(f"code {process.poll()}: {process.said.read_text(encoding='utf-8')}")


def check_complete(folder):
    """Every point of the grid is there exactly once, with its numbers or its reason."""
    study = load_study(folder)
    points = Counter(tuple(sorted(row.parameters.items())) for row in study.trials)
    assert len(points) == POINTS and set(points.values()) == {1}
    assert study.count("complete") == POINTS - FAILING
    failed = [row for row in study.trials if row.state == "failed"]
    assert len(failed) == FAILING and {row.reason for row in failed} == {"made to fail: 3 bits"}
    assert {row.parameters["weight"] for row in failed} == {"u0.3"}
    for row in study.finished:
        assert (
            row.result["memory_bits"] % 1000 // 10
            == {"s8.8": 16, "s8.4": 12, "s8.2": 10, "s8.0": 8}[row.parameters["v_mem"]]
        )
    return study


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_an_explorer_killed_at_any_moment_loses_nothing(tmp_path, log, start):
    folder = tmp_path / "s"
    process = start(folder, sleep=0.1)
    read_until(process, 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {row.number: row for row in load_study(folder).trials if row.state in ("complete", "failed")}
    assert len(kept) >= 6
    workers = {int(line.split()[0]) for line in log.read_text(encoding="utf-8").splitlines()}
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers)), "the workers of a killed explorer ended too"
    computed = len(log.read_text(encoding="utf-8").splitlines())

    second = explore(small_space(), "digits", folder, executor="local:1", work=evaluate)
    study = check_complete(folder)
    assert {number: row for row in study.trials if (number := row.number) in kept} == kept
    assert second.timing.trials == POINTS - len(kept)
    again = len(log.read_text(encoding="utf-8").splitlines()) - computed
    assert again == POINTS - len(kept), "only what was not finished is computed anew"

    third = explore(small_space(), "digits", folder, executor="local:1", work=evaluate)
    assert third.timing.trials == 0 and third.study.trials == study.trials


@pytest.mark.slow
def test_two_explorers_share_one_study(tmp_path, log, start):
    folder = tmp_path / "s"
    processes = [start(folder, sleep=0.05)]
    read_until(processes[0], 0)
    processes.append(start(folder, sleep=0.05))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    check_complete(folder)
    lines = [line.split(maxsplit=1) for line in log.read_text(encoding="utf-8").splitlines()]
    assert max(Counter(what for _, what in lines).values()) == 1, "nothing was computed twice"


@pytest.mark.slow
def test_two_explorers_together_stop_at_the_number_of_trials(tmp_path, log, start):
    folder = tmp_path / "s"
    processes = [start(folder, sleep=0.05, sampler="random")]
    read_until(processes[0], 0)
    processes.append(start(folder, sleep=0.05, sampler="random"))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    study = load_study(folder)
    assert len(study.trials) == 24 and not study.count("running")


@pytest.mark.slow
def test_a_full_disk_stops_cleanly_and_the_run_goes_on_later(tmp_path, log, start, monkeypatch):
    folder = tmp_path / "s"
    probe = start(tmp_path / "probe")
    read_until(probe, 3)
    probe.kill()
    probe.wait()
    limit = (tmp_path / "probe" / "study.db").stat().st_size + 8192
    process = start(folder, limit=limit)
    assert process.wait(timeout=120) == 2
    said = process.said.read_text(encoding="utf-8")
    assert "the study cannot be written" in said and "run the same command again" in said
    kept = [row for row in load_study(folder).trials if row.state in ("complete", "failed")]
    assert len(kept) < POINTS
    # A trial whose owner could not sign for it any more is void after this time.
    monkeypatch.setattr("tinysnn_hw.explore.storage.GRACE_S", 3)
    explore(small_space(), "digits", folder, executor="local:1", work=evaluate)
    study = check_complete(folder)
    numbers = {row.number: row for row in study.trials}
    assert all(numbers[row.number] == row for row in kept)


@pytest.mark.slow
def test_a_configuration_that_kills_its_worker_fails_alone(tmp_path, log, monkeypatch):
    monkeypatch.setenv(KILLER, "u0.6 s8.2")
    found = explore(small_space(), "digits", tmp_path / "s", executor="local:1", work=evaluate)
    failed = {
        (row.parameters["weight"], row.parameters["v_mem"]): row.reason
        for row in found.study.trials
        if row.state == "failed" and row.parameters["weight"] != "u0.3"
    }
    assert list(failed) == [("u0.6", "s8.2")]
    assert "worker process died" in failed["u0.6", "s8.2"]
    assert found.study.count("complete") == POINTS - FAILING - 1


def test_a_folder_with_another_study_is_refused(tmp_path, log):
    explore(small_space(trials=1), "digits", tmp_path / "s", executor="local:1", work=evaluate)
    with pytest.raises(StudyError, match="holds another study, which differs in search;"):
        explore(small_space(objectives=["accuracy"]), "digits", tmp_path / "s", work=evaluate)
    with pytest.raises(StudyError, match="differs in data, label_images;"):
        explore(small_space(), "digits", tmp_path / "s", limit_train=500, work=evaluate)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(StudyError, match="something other than a study"):
        explore(small_space(), "digits", tmp_path / "other", work=evaluate)
