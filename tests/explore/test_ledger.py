"""Several explorers that ask one study for trials at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import small_space

pytest.importorskip("optuna", reason="the extra 'explore' is not installed")

from tinysnn_hw.explore.storage import Ledger, open_storage, sqlite_url

EXPLORERS = 4


def test_no_trial_is_handed_out_twice(tmp_path):
    """Without a lock between Optuna's look at a waiting trial and its taking, this fails in nearly every run."""
    url = sqlite_url(tmp_path / "study.db")
    ledgers = [Ledger(open_storage(url), "s", small_space()) for _ in range(EXPLORERS)]
    start = threading.Barrier(EXPLORERS)

    def take_all(ledger):
        start.wait()
        taken = []
        while (trial := ledger.ask()) is not None:
            taken.append((trial.number, tuple(sorted(trial.params.items()))))
        return taken

    with ThreadPoolExecutor(EXPLORERS) as pool:
        taken = [one for part in pool.map(take_all, ledgers) for one in part]
    numbers, points = zip(*taken, strict=True)
    assert len(set(numbers)) == len(numbers) == 24
    assert len(set(points)) == 24
