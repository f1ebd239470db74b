"""Trials on a Dask cluster: a scheduler and two workers on this machine, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import small_space
from fake_work import LOG, SLEEP, evaluate
from test_survival import check_complete

from tinysnn_hw.errors import SpecError, StudyError
from tinysnn_hw.explore import explore
from tinysnn_hw.explore.executors import make_executor

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Give the address of a scheduler and its two workers' processes."""
    monkeypatch.setenv(LOG, str(tmp_path / "log.txt"))
    (tmp_path / "log.txt").touch()
    port = free_port()
    environment = {**os.environ, SLEEP: "0.15", "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    address = f"127.0.0.1:{port}"
    scheduler = [
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    ]
    worker = [
        "distributed.cli.dask_worker",
        f"tcp://{address}",
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
    ]
    processes = []
    with (tmp_path / "dask.txt").open("w") as out:
        for words in (scheduler, worker, worker):
            command = [sys.executable, "-m", *words]
            processes.append(
                subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path)
            )
    try:
        with distributed.Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def pids(log):
    """Return the processes that have finished a configuration."""
    return {int(line.split()[0]) for line in log.read_text(encoding="utf-8").splitlines()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_that_loses_a_worker_finishes_the_study(tmp_path, cluster):
    address, workers = cluster
    killed, log = [], tmp_path / "log.txt"

    def watch(standing):
        if standing.done >= 5 and workers[0].pid in pids(log) and not killed:
            killed.append(workers[0].pid)
            workers[0].send_signal(signal.SIGKILL)

    folder = tmp_path / "s"
    explore(small_space(), "digits", folder, executor=f"dask://{address}", work=evaluate, progress=watch)
    assert killed
    check_complete(folder)
    assert pids(log) == {worker.pid for worker in workers}, "both workers had a share"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_that_does_not_answer_is_an_error():
    began = time.monotonic()
    with pytest.raises(StudyError, match="no scheduler answers there"):
        make_executor(f"dask://127.0.0.1:{free_port()}")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("name", ["gpu", "local:0", "local:x", "dask:1", ""])
def test_an_unknown_executor_is_refused(name):
    with pytest.raises(SpecError, match="allowed: local, local:N, dask://HOST:PORT"):
        make_executor(name)
