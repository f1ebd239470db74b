"""Work that a test can watch and break: a digest's numbers in no time, and a line per configuration in a log."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from tinysnn_hw.explore.work import Batch, BatchResult, Outcome

LOG, SLEEP, KILLER = "FAKE_LOG", "FAKE_SLEEP", "FAKE_KILLER"


def label(candidate) -> str:
    formats = candidate.network.formats
    return f"{formats.weight.format} {formats.v_mem.format}"


def numbers(candidate) -> dict[str, object]:
    formats = candidate.network.formats
    weight, v_mem = formats.weight.format.width, formats.v_mem.format.width
    return {
        "accuracy": 60.0 + 3 * weight + v_mem / 4,
        "memory_bits": 1000 * weight + 10 * v_mem,
        "memory_bits_training": 2000 * weight,
        "energy_j": 1e-9 * weight,
        "energy_j_training": 3e-9 * weight,
        "scheme": candidate.scheme,
        "spikes_per_image": 1.0,
    }


def evaluate(batch: Batch) -> BatchResult:
    """Stand in for `evaluate_batch`; KILLER names a configuration whose worker dies, LOG a file, SLEEP seconds."""
    began = time.perf_counter()
    outcomes = []
    for candidate in batch.candidates:
        if os.environ.get(KILLER) == label(candidate):
            os._exit(9)
        time.sleep(float(os.environ.get(SLEEP, "0")))
        with Path(os.environ[LOG]).open("a", encoding="utf-8") as log:
            log.write(f"{os.getpid()} {label(candidate)}\n")
        if candidate.network.formats.weight.format.width == 3:
            outcomes.append(Outcome(reason="made to fail: 3 bits"))
        else:
            outcomes.append(Outcome(state="complete", result=numbers(candidate), images=100, kernel_s=0.01))
    return BatchResult(outcomes, 0.01 * len(outcomes), time.perf_counter() - began)


def hill(batch: Batch) -> BatchResult:
    """Stand in for `evaluate_batch`: an accuracy with one peak, at eta_start 0.1 and n_th 7."""
    outcomes = []
    for candidate in batch.candidates:
        learning = candidate.network.learning
        accuracy = 90 - 20 * abs(math.log(learning.eta_start / 0.1)) - 4 * abs(learning.n_th - 7)
        result = {**numbers(candidate), "accuracy": max(accuracy, 0.0)}
        outcomes.append(Outcome(state="complete", result=result, images=100, kernel_s=0.01))
    return BatchResult(outcomes, 0.01, 0.01)
