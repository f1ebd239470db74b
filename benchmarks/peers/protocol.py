"""How a peer's script talks to benchmarks/compare.py: JSON lines, one repeat per line asked for.

A script runs in its peer's own environment, so this file needs only what every peer has: Python 3.10 and NumPy.
It prints one line that describes the peer; then, for every line ``case`` on standard input, it measures that case
once and prints one line ``{"images_per_s": ..., "spikes_per_image": ...}``. Set-up and a warm-up come before the
first measurement of a case and are not counted. Whatever the peer itself prints goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

N_NEURONS = 400
DT_S = 0.001
SETTINGS = {"350/63.75": (350, 63.75), "250/128": (250, 128.0)}
"""Steps per image, and rate of a full pixel [Hz]."""

# Importing this file takes standard output for the answers; whatever else is printed goes to standard error.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

Repeat = Callable[[], tuple[int, float, "float | None"]]
"""One repeat: images presented, seconds they took, output spikes per image (None: not counted)."""


def arguments() -> argparse.Namespace:
    """Return ``images`` (uint8[n, 784], in file order), ``work`` (a folder kept between runs) and ``limit``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path, required=True, help="an .npz file with the array 'images'")
    parser.add_argument("--work", type=Path, required=True, help="folder for what the peer builds")
    parser.add_argument("--limit", type=int, help="use at most so many images a repeat (for a quick look)")
    options = parser.parse_args()
    with np.load(options.images) as file:
        options.images = file["images"]
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def first(images: np.ndarray, n: int, limit: int | None) -> np.ndarray:
    """Return the images of one repeat."""
    return images[: n if limit is None else min(n, limit)]


def bernoulli(images: np.ndarray, n_steps: int, rate_hz: float) -> np.ndarray:
    """Return bool[n, n_steps, 784]: one draw per pixel and step, seed 0."""
    probability = images[:, None, :] / 255.0 * (rate_hz * DT_S)
    return np.random.default_rng(0).random((len(images), n_steps, images.shape[1])) < probability


def timed(work: Callable[[], object]) -> float:
    """Return the seconds one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def serve(
    cases: dict[str, Callable[[], Repeat]], packages: list[str], settings: str, differences: str
) -> None:
    """Describe the peer, then measure whatever case is asked for until standard input ends.

    ``cases`` maps a name to a function that prepares the case and returns its repeat.
    """

    def answer(what: dict[str, object]) -> None:
        print(json.dumps(what), file=ANSWERS, flush=True)

    versions = {name: version(name) for name in packages} | {"python": platform.python_version()}
    answer({"cases": list(cases), "versions": versions, "settings": settings, "differences": differences})
    prepared: dict[str, Repeat] = {}
    for line in sys.stdin:
        case = line.strip()
        if case not in prepared:
            prepared.clear()
            prepared[case] = cases[case]()
        n_images, seconds, spikes = prepared[case]()
        answer({"images_per_s": n_images / seconds, "n_images": n_images, "spikes_per_image": spikes})
