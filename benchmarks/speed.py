"""Speed on this machine: encoding, training and inference per network and size, threads, compilation.

The load is T = 350 steps and 63.75 Hz at a full pixel, shift leak, 16-bit state, saturation counting on (there
is no way to turn it off), 7 learning windows per image; real MNIST images.  One core; medians of repeats with
their spread.

    python benchmarks/speed.py --data-dir FOLDER [--out speed.csv]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_float_state, initial_state, lower, open_session
from tinysnn_hw.spec import NetworkSpec, load_network

LOAD = {
    "encoding.n_steps": 350,
    "encoding.rate_max_hz": 63.75,
    "encoding.intensity_exponent": 1.0,
    "encoding.train_spikes": "poisson",
    "encoding.inference_spikes": "poisson",
    "learning.update_steps": 50,
    "neuron.leak": "shift",
    "formats.v_mem.format": "s8.8",
    "formats.v_th.format": "s8.8",
}
REPEATS = 7


def load(name: str, neurons: int) -> NetworkSpec:
    """Return a network under the stated load."""
    return load_network(name, neurons=neurons, settings=LOAD)


def rates(work, n_images: int, repeats: int = REPEATS) -> list[float]:  # type: ignore[no-untyped-def]
    """Return images/s of each repeat, after one warm-up call."""
    work()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(n_images / (time.perf_counter() - began))
    return found


def spread(found: list[float]) -> str:
    """Return median and range of repeats as text."""
    return f"{statistics.median(found):>9,.0f} ({min(found):,.0f}-{max(found):,.0f})"


def one_core(images: np.ndarray, name: str, neurons: int, n_images: int) -> list[dict[str, object]]:
    """Measure encoding, training and inference of one network, each with its encoding."""
    spec = load(name, neurons)
    tables, lowered = encoding_tables(spec.encoding), lower(spec)

    def spikes(first: int = 0) -> Raster:
        return encode(images[:n_images], tables, spikes="poisson", phase="train", seed=0, first=first)

    raster = spikes()
    session = open_session(lowered, initial_state(lowered, 0), raster)
    twin = open_session(lowered, initial_float_state(lowered, 0), raster)
    session.run(raster, phase="train", seed=0, n_presentations=n_images)

    def train() -> None:
        session.run(spikes(), phase="train", seed=0, n_presentations=n_images)

    def infer() -> None:
        session.run(spikes(), phase="test", seed=0)

    def train_float() -> None:
        twin.run(raster.slice(slice(0, n_images // 8)), phase="train", seed=0, n_presentations=n_images)

    rows = []
    for what, work, count in (
        ("encode", spikes, n_images),
        ("train, encoding included", train, n_images),
        ("infer, encoding included", infer, n_images),
        (
            "train, raster shared",
            lambda: session.run(raster, phase="train", seed=0, n_presentations=n_images),
            n_images,
        ),
        ("infer, raster shared", lambda: session.run(raster, phase="test", seed=0), n_images),
        ("train float64 twin, raster shared", train_float, n_images // 8),
    ):
        found = rates(work, count)
        rows.append(
            {"network": name, "neurons": neurons, "what": what, "kernel": session.kernel, "rates": found}
        )
        print(f"{name:12} N={neurons:<5} {what:34} {spread(found)}", flush=True)
    return rows


def threads(images: np.ndarray, neurons: int, n_images: int) -> None:
    """Measure two threads against one: inference of one network, and two networks trained at once."""
    spec = load("tinysnn-wta", neurons)
    lowered = lower(spec)
    raster = encode(
        images[:n_images], encoding_tables(spec.encoding), spikes="poisson", phase="train", seed=0
    )
    chunks = [raster.slice(slice(i, i + 64)) for i in range(0, n_images, 64)]
    session = open_session(lowered, initial_state(lowered, 0), raster)
    for what in ("inference, chunks from one queue", "two networks trained at once"):
        ratios = []
        for _ in range(REPEATS):
            seconds = []
            for workers in (1, 2):
                nets = [open_session(lowered, initial_state(lowered, s), raster) for s in (0, 1)]
                with ThreadPoolExecutor(workers) as pool:
                    began = time.perf_counter()
                    if what.startswith("inference"):
                        list(pool.map(lambda part: session.run(part, phase="test", seed=0), chunks))
                    else:
                        list(
                            pool.map(
                                lambda net: net.run(raster, phase="train", seed=0, n_presentations=n_images),
                                nets,
                            )
                        )
                    seconds.append(time.perf_counter() - began)
            ratios.append(seconds[0] / seconds[1])
        print(
            f"two threads, {what}: x{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            flush=True,
        )


START = """
import time; began = time.perf_counter()
import numpy as np
from tinysnn_hw.data import Raster
from tinysnn_hw.engine import initial_state, lower, open_session
from tinysnn_hw.spec import load_network
net = load_network("tinysnn-wta", neurons=40)
lowered = lower(net)
raster = Raster(net.network.inputs, net.encoding.n_steps, np.zeros((1, net.encoding.n_steps + 1), np.int64),
                np.zeros(0, np.uint16))
imported = time.perf_counter()
state = initial_state(lowered, 0)
session = open_session(lowered, state, raster)
session.run(raster, phase="train", seed=0, n_presentations=1)
print(imported - began, time.perf_counter() - imported)
"""


def compilation() -> None:
    """Measure the first call with an empty kernel cache and with a filled one, in fresh processes."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for what in ("empty", "filled", "filled"):
            output = subprocess.run(
                [sys.executable, "-c", START], env=environment, check=True, capture_output=True, text=True
            ).stdout.split()
            print(
                f"kernel cache {what}: import {float(output[0]):.2f} s, kernels ready {float(output[1]):.2f} s",
                flush=True,
            )


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with the MNIST files (default: TINYSNN_DATA, cache)"
    )
    parser.add_argument("--neurons", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--images", type=int, default=2000, help="images per repeat at N = 400")
    parser.add_argument("--out", type=Path, help="also write the rows as CSV")
    arguments = parser.parse_args()
    compilation()
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:1])
    images = load_dataset("mnist", arguments.data_dir).train_images
    rows = []
    for neurons in arguments.neurons:
        n_images = max(200, min(2 * arguments.images, arguments.images * 400 // neurons))
        for name in ("tinysnn-wta", "tinysnn"):
            rows += one_core(images, name, neurons, n_images)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, allowed[:2])
        if len(allowed) > 1:
            threads(images, 400, 2 * arguments.images)
    if arguments.out:
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["network", "neurons", "what", "kernel", "median_images_per_s", "min", "max"])
            for row in rows:
                found = row.pop("rates")
                writer.writerow([*row.values(), statistics.median(found), min(found), max(found)])  # type: ignore[arg-type,type-var]


if __name__ == "__main__":
    main()
