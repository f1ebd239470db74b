"""The GPU back end in ten minutes: one table of parity, speed and energy, on this machine's GPU.

    python benchmarks/gpu.py --data-dir FOLDER

In this order, most needed first: every register of every step of all networks against the plain CPU kernel, at least
10**9 values together; images/s of training and inference against networks per launch (one network, as many seeds), each
beside one CPU core that runs the same load in the same minute; energy per training image by the GPU's power counter.
Load: that of benchmarks/speed.py, encoding inside the time on both.  What is done is in ``--out`` at once: the same
command goes on where it was stopped or where ``--minutes`` ended.  Exit 1: a bit differs; 2: it cannot run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinysnn_hw.data import load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_state, lower, open_session, run
from tinysnn_hw.engine.cuda.device import device_name, free_bytes, multiprocessors, require_device
from tinysnn_hw.engine.cuda.plan import network_bytes, plan_launches
from tinysnn_hw.errors import StudyError, TinySnnError
from tinysnn_hw.learning import versions
from tinysnn_hw.spec import NetworkSpec, list_networks, load_network
from tinysnn_hw.spec.save import write_text

LOAD = {
    "encoding.rate_max_hz": 63.75,
    "encoding.intensity_exponent": 1.0,
    "encoding.train_spikes": "poisson",
    "encoding.inference_spikes": "poisson",
}
WINDOWS = {"formats.v_mem.format": "s8.8", "formats.v_th.format": "s8.8", "neuron.leak": "shift"}
REPEATS = 3
CORE_S = 1.0
"""Time the CPU core is given beside each figure of the GPU [s]."""
EVENTS_PER_IMAGE = 4000
Images = np.ndarray


def load(name: str, neurons: int, n_steps: int) -> NetworkSpec:
    """Return a network under the stated load; pair-wise learning keeps its own windows and formats."""
    settings: dict[str, object] = {**LOAD, "encoding.n_steps": n_steps}
    if name.startswith("tinysnn"):
        settings |= {**WINDOWS, "learning.update_steps": min(50, n_steps)}
    return load_network(name, neurons=neurons, settings=settings)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare_registers(spec: NetworkSpec, images: Images, n_values: int) -> tuple[int, int]:
    """Train on the GPU and with the plain CPU kernel until so many values were compared.

    Returns
    -------
    tuple of int
        How many values differ, and how many were compared: every register after every step, the weights after every
        image, spike counts and statistics.
    """
    from tinysnn_hw.engine.cuda.batch import CudaBatch

    lowered, tables = lower(spec), encoding_tables(spec.encoding)
    state = initial_state(lowered, 1)
    batch = CudaBatch([lowered], [state], [1], record=True)
    different = compared = first = 0
    while compared < n_values:
        order = (first + np.arange(min(8, len(images)))) % len(images)
        raster = encode(
            images, tables, spikes=spec.encoding.train_spikes, phase="train", seed=1, first=first, order=order
        )
        how: dict[str, Any] = {"phase": "train", "first": first}
        expected = run(
            lowered, state, raster, seed=1, n_presentations=60_000, kernel="generic", record=True, **how
        )
        (found,) = batch.run([raster], [0], n_presentations=[60_000], **how)
        pairs = [(found.trace[name], values) for name, values in expected.trace.items()]
        pairs += [(getattr(found, name), getattr(expected, name)) for name in ("counts", "stats", "activity")]
        different += sum(int((a != b).sum()) for a, b in pairs)
        compared += sum(a.size for a, _ in pairs)
        first += raster.n_images
    return different, compared


class Core:
    """One network on one CPU core."""

    def __init__(self, spec: NetworkSpec, images: Images) -> None:
        self.images, self.lowered, self.tables = images, lower(spec), encoding_tables(spec.encoding)
        state = initial_state(self.lowered, 0)
        self.session = open_session(self.lowered, state, self.raster("train"))
        for phase in ("train", "test"):
            self.show(phase)

    def raster(self, phase: str):  # type: ignore[no-untyped-def]
        return encode(self.images, self.tables, spikes="poisson", phase=phase, seed=0)

    def show(self, phase: str) -> None:
        total = len(self.images) if phase == "train" else None
        self.session.run(self.raster(phase), phase=phase, seed=0, n_presentations=total)

    def rate(self, phase: str) -> float:
        """Return the images/s of `CORE_S` seconds, at least one pass."""
        shown, began = 0, time.perf_counter()
        while shown == 0 or time.perf_counter() - began < CORE_S:
            self.show(phase)
            shown += len(self.images)
        return shown / (time.perf_counter() - began)


class Gpu:
    """Many seeds of one network in one launch."""

    def __init__(self, spec: NetworkSpec, images: Images, n_networks: int) -> None:
        from tinysnn_hw.engine.cuda.batch import CudaBatch
        from tinysnn_hw.engine.cuda.spikes import DeviceImages

        lowered = lower(spec)
        sizes = [network_bytes(lowered, len(images), EVENTS_PER_IMAGE * len(images), learn=True)] * n_networks
        if len(plan_launches(sizes, free_bytes(), [spec.name] * n_networks)) > 1:
            raise StudyError(f"{n_networks} networks do not fit the free memory at once")
        self.n_shown, self.seeds = n_networks * len(images), list(range(n_networks))
        state = initial_state(lowered, 0)
        self.encoder = DeviceImages(images, encoding_tables(spec.encoding))
        self.batch = CudaBatch([lowered] * n_networks, [state] * n_networks, self.seeds)
        self.orders = np.tile(np.arange(len(images), dtype=np.int64), (n_networks, 1))

    def show(self, phase: str) -> None:
        spikes = self.encoder.encode(self.orders, self.seeds, spikes="poisson", phase=phase)
        totals = [self.orders.shape[1]] * len(self.seeds) if phase == "train" else None
        self.batch.run(spikes, self.seeds, phase=phase, n_presentations=totals)

    def rates(self, phase: str) -> list[float]:
        self.show(phase)
        return [self.n_shown / timed(lambda: self.show(phase)) for _ in range(REPEATS)]


def measure_parity(options: argparse.Namespace, images: Images, name: str) -> dict[str, Any]:
    spec = load_network(name, recipe="mnist", neurons=options.neurons, settings=options.short)
    different, compared = compare_registers(spec, images, options.values // len(list_networks()) + 1)
    return {"different": different, "compared": compared}


def measure_speed(
    options: argparse.Namespace, images: Images, name: str, phase: str, n: int
) -> dict[str, Any]:
    spec = load(name, options.neurons, options.steps)
    core = Core(spec, images)
    before = core.rate(phase)
    gpu = Gpu(spec, images, n)
    found = gpu.rates(phase)
    beside = [before, core.rate(phase)]
    return {"images_per_s": found, "core_images_per_s": beside, "kernel": gpu.batch.kernel,
            "core_kernel": core.session.kernel}  # fmt: skip


def measure_joules(options: argparse.Namespace, images: Images, name: str) -> dict[str, Any]:
    from tinysnn_hw.cost.measure import measure_energy, open_source

    source = open_source("nvml")
    gpu = Gpu(load(name, options.neurons, options.steps), images, options.energy_networks)
    found = measure_energy(lambda: gpu.show("train"), source, repeats=3)
    parts = {"gross": found.gross_j, "net": found.net_j}
    joules = {k: interval.mean / gpu.n_shown for k, interval in parts.items() if interval is not None}
    return {"energy_j": joules, "networks": options.energy_networks}


def steps(
    options: argparse.Namespace,
) -> Iterator[tuple[str, Callable[..., dict[str, Any]], tuple[Any, ...]]]:
    """Yield key, function and arguments of each measurement, the most needed first."""
    main, *others = options.network
    for name in list_networks():
        yield f"parity {name}", measure_parity, (name,)
    for n in options.networks:
        yield f"speed {main} train {n}", measure_speed, (main, "train", n)
    yield f"energy {main}", measure_joules, (main,)
    most = max(options.networks)
    for phase, names in (("test", [main]), ("train", others), ("test", others)):
        for name in names:
            yield f"speed {name} {phase} {most}", measure_speed, (name, phase, most)


def line(key: str, found: dict[str, Any]) -> str:
    """Return a measurement as a row of the table."""
    kind, name, *rest = key.split()
    if "failed" in found:
        text = f"not measured: {found['failed']}"
    elif kind == "parity":
        text = f"{found['different']} of {found['compared']:,} register values differ"
    elif kind == "energy":
        joules = ", ".join(f"{value * 1e6:.3g} uJ {part}" for part, value in found["energy_j"].items())
        text = f"{joules} per training image, {found['networks']} networks"
    else:
        rates, core = found["images_per_s"], statistics.mean(found["core_images_per_s"])
        middle = statistics.median(rates)
        text = (
            f"{middle:12,.0f} images/s ({min(rates):,.0f}-{max(rates):,.0f}), 1 core {core:,.0f}: "
            f"{middle / core:.1f} cores [{found['kernel']}]"
        )
    return f"{kind:7} {name:13} {' '.join(rest):11} {text}"


def read(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured before, or nothing; refuse what another machine or load has written."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    differing = [key for key in identity if kept["identity"].get(key) != identity[key]]
    if differing:
        raise StudyError(f"{path}: measured with another {', '.join(differing)}; name another --out")
    return {key: found for key, found in kept["measured"].items() if "failed" not in found}


def main() -> int:
    """Measure what is not measured yet, and print it row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="MNIST files (default: TINYSNN_DATA, cache, download)")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="results; continued if it exists")
    parser.add_argument("--minutes", type=float, default=9.0, help="begin no measurement after so long")
    parser.add_argument("--network", nargs="+", default=["tinysnn-wta", "tinysnn", "baseline"])
    parser.add_argument("--networks", type=int, nargs="+", default=[132, 264, 528, 1056, 16, 1])
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--images", type=int, default=64, help="images per network and repeat")
    parser.add_argument(
        "--values", type=int, default=1_000_000_000, help="register values of parity, together"
    )
    options = parser.parse_args()
    options.energy_networks = max(options.networks)
    # Parity runs the networks as they ship; only a dry run is shorter.
    options.short = (
        {}
        if options.steps >= 250
        else {"encoding.n_steps": options.steps, "learning.update_steps": options.steps}
    )
    began = time.perf_counter()
    try:
        require_device()
        images = load_dataset("mnist", options.data_dir).train_images[: options.images]
        identity = {
            "device": device_name(), "host": platform.node(), "versions": versions(),
            "load": {**LOAD, "neurons": options.neurons, "n_steps": options.steps, "images": options.images,
                     "values": options.values},
        }  # fmt: skip
        measured = read(options.out, identity)
    except TinySnnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    print(f"{device_name()}, {multiprocessors()} multiprocessors, {free_bytes() / 1e9:.1f} GB free")
    left = 0
    for key, measure, arguments in steps(options):
        if key not in measured:
            if time.perf_counter() - began > 60 * options.minutes:
                left += 1
                continue
            try:
                measured[key] = measure(options, images, *arguments)
            except TinySnnError as error:
                measured[key] = {"failed": str(error)}
            write_text(options.out, json.dumps({"identity": identity, "measured": measured}, indent=2) + "\n")
        print(line(key, measured[key]), flush=True)
    if left:
        print(f"{left} measurements are left; the same command goes on")
    parities = [found for key, found in measured.items() if key.startswith("parity")]
    return 1 if any(found.get("different", 1) for found in parities) else 0


if __name__ == "__main__":
    sys.exit(main())
