"""Speed of tinysnn_hw alone on this machine: every network and size, two threads, compilation.

    python benchmarks/speed.py --data-dir FOLDER [--out speed.csv]

The load is that of benchmarks/networks.py: 350 steps, 63.75 Hz at a full pixel, shift leak, 16-bit state,
saturation counting on, 7 learning windows per image, real MNIST images. Medians of repeats with their spread, on
one core. `benchmarks/compare.py` puts the same rows beside peers and beside the limit of the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
from harness import REPEATS, Row, Sample, csv_lines, machine, pin, seconds_of, write_csv
from networks import ENCODERS, NETWORKS, Prepared, images_per_repeat, measure

from tinysnn_hw.data import load_dataset
from tinysnn_hw.engine import initial_state, open_session


def threads(images: np.ndarray, neurons: int, repeats: int) -> list[Row]:
    """Measure two threads against one: inference of one network, and two networks trained at once."""
    prepared = Prepared("tinysnn-wta", neurons, images)
    raster, n_images = prepared.raster, prepared.n_images
    chunks = [raster.slice(slice(i, min(i + 64, n_images))) for i in range(0, n_images, 64)]

    def infer(pool: ThreadPoolExecutor) -> None:
        list(pool.map(prepared.infer, chunks))

    def train(pool: ThreadPoolExecutor) -> None:
        nets = [
            open_session(prepared.lowered, initial_state(prepared.lowered, seed), raster) for seed in (0, 1)
        ]
        list(pool.map(lambda net: net.run(raster, phase="train", seed=0, n_presentations=n_images), nets))

    rows = []
    for what, work in (("inference, chunks from one queue", infer), ("two networks trained at once", train)):
        ratios = []
        for _ in range(repeats):
            seconds = []
            for workers in (1, 2):
                with ThreadPoolExecutor(workers) as pool:
                    seconds.append(seconds_of(lambda work=work, pool=pool: work(pool)))
            ratios.append(seconds[0] / seconds[1])
        rows.append(
            Row("threads", prepared.name, what, "times one thread", Sample(tuple(ratios)), neurons,
                prepared.encoder, settings=prepared.describe())
        )  # fmt: skip
        print(f"two threads, {what}: x{rows[-1].sample}", flush=True)
    return rows


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


def compilation(repeats: int) -> list[Row]:
    """Measure the first call with an empty kernel cache and with a filled one, in fresh processes."""
    found: dict[str, list[tuple[float, float]]] = {"empty": [], "filled": []}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for what in ("empty", *["filled"] * repeats):
            output = subprocess.run(
                [sys.executable, "-c", START], env=environment, check=True, capture_output=True, text=True
            ).stdout.split()
            found[what].append((float(output[0]), float(output[1])))
    rows = []
    for what, times in found.items():
        for part, values in zip(("import", "kernels ready"), zip(*times, strict=True), strict=True):
            rows.append(
                Row("compilation", "tinysnn-wta", f"kernel cache {what}: {part}", "s", Sample(values))
            )
            print(f"kernel cache {what}: {part} {rows[-1].sample} s", flush=True)
    return rows


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
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, help="also write the rows as CSV")
    options = parser.parse_args()
    images = load_dataset("mnist", options.data_dir).train_images
    cores = pin(2)
    print("\n".join(f"{name:10}{text}" for name, text in machine(cores).items()), flush=True)
    rows = compilation(2)
    if len(cores) == 2:
        rows += threads(images[: 2 * options.images], 400, options.repeats)
    else:
        print("two threads: not measured, this process may use one core only", flush=True)
    pin()
    for neurons in options.neurons:
        for name, encoder in product(NETWORKS, ENCODERS):
            prepared = Prepared(name, neurons, images[: images_per_repeat(neurons, options.images)], encoder)
            for row in measure(prepared, options.repeats, twin=True):
                print(f"{name:12} N={neurons:<5} {row.what:34} {row.encoder:8} {row.sample}", flush=True)
                rows.append(row)
    if options.out:
        write_csv(options.out, csv_lines(rows))


if __name__ == "__main__":
    main()
