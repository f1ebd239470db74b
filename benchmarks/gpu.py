"""One table of the GPU back end: parity with the CPU, images/s against networks per launch, energy per training image.

Each row trains or shows that many networks (one network, as many seeds) the same number of images on the GPU.  One
CPU core runs the same network in the same process, before the GPU and again after it: the last column is the ratio to
the runs before, the row "1 core" has both.  Load: that of benchmarks/speed.py.  Encoding is inside the time on both.

    python benchmarks/gpu.py --data-dir FOLDER [--networks 1 16 64 256 512] [--out gpu.json]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinysnn_hw.data import load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import NetworkState, initial_state, lower, open_session
from tinysnn_hw.engine.cuda.device import device_name, free_bytes, multiprocessors, require_device
from tinysnn_hw.engine.cuda.plan import network_bytes, plan_launches
from tinysnn_hw.errors import TinySnnError
from tinysnn_hw.spec import NetworkSpec, load_network

LOAD = {
    "encoding.rate_max_hz": 63.75,
    "encoding.intensity_exponent": 1.0,
    "encoding.train_spikes": "poisson",
    "encoding.inference_spikes": "poisson",
}
WINDOWS = {"formats.v_mem.format": "s8.8", "formats.v_th.format": "s8.8", "neuron.leak": "shift"}
REPEATS = 5


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


class Cpu:
    """One network on one core."""

    def __init__(self, spec: NetworkSpec, images: np.ndarray) -> None:
        self.spec, self.images, self.lowered = spec, images, lower(spec)
        self.tables = encoding_tables(spec.encoding)
        self.session = open_session(self.lowered, initial_state(self.lowered, 0), self.raster(0, "train"))
        for phase in ("train", "test"):
            self.run(phase)

    def raster(self, seed: int, phase: str):  # type: ignore[no-untyped-def]
        return encode(self.images, self.tables, spikes="poisson", phase=phase, seed=seed)

    def run(self, phase: str) -> None:
        total = len(self.images) if phase == "train" else None
        self.session.run(self.raster(0, phase), phase=phase, seed=0, n_presentations=total)

    def rates(self, phase: str) -> list[float]:
        return [len(self.images) / timed(lambda: self.run(phase)) for _ in range(REPEATS)]


class Gpu:
    """Many seeds of one network in one launch."""

    def __init__(self, spec: NetworkSpec, images: np.ndarray, n_networks: int) -> None:
        from tinysnn_hw.engine.cuda.batch import CudaBatch
        from tinysnn_hw.engine.cuda.spikes import DeviceImages

        self.n_networks, self.n_images, self.lowered = n_networks, len(images), lower(spec)
        self.seeds = list(range(n_networks))
        self.states = [initial_state(self.lowered, seed) for seed in self.seeds]
        self.encoder = DeviceImages(images, encoding_tables(spec.encoding))
        self.batch = CudaBatch([self.lowered] * n_networks, self.states, self.seeds)
        self.orders = np.tile(np.arange(len(images), dtype=np.int64), (n_networks, 1))

    def run(self, phase: str):  # type: ignore[no-untyped-def]
        spikes = self.encoder.encode(self.orders, self.seeds, spikes="poisson", phase=phase)
        totals = [self.n_images] * self.n_networks if phase == "train" else None
        return self.batch.run(spikes, self.seeds, phase=phase, n_presentations=totals)

    def rates(self, phase: str) -> list[float]:
        self.run(phase)
        return [self.n_networks * self.n_images / timed(lambda: self.run(phase)) for _ in range(REPEATS)]


def differing(spec: NetworkSpec, images: np.ndarray, n_networks: int) -> tuple[int, int]:
    """Train both ways; return how many words differ and how many were compared: registers, counts and statistics."""
    gpu, cpu = Gpu(spec, images, n_networks), Cpu(spec, images)
    states = [state.copy() for state in gpu.states]
    results = gpu.run("train")
    gpu.batch.store(gpu.states)
    different = compared = 0
    for seed, state, mine, result in zip(gpu.seeds, states, gpu.states, results, strict=True):
        raster = cpu.raster(seed, "train")
        session = open_session(cpu.lowered, state, raster)
        expected = session.run(raster, phase="train", seed=seed, n_presentations=len(images))
        twin = NetworkState(np.zeros_like(mine.weight), np.zeros_like(mine.theta), np.zeros_like(mine.v_th))
        session.store(twin)  # type: ignore[arg-type]
        pairs = [(getattr(mine, name), getattr(twin, name)) for name in ("weight", "theta", "v_th")]
        pairs += [
            (getattr(result, name), getattr(expected, name)) for name in ("counts", "stats", "activity")
        ]
        different += sum(int((a != b).sum()) for a, b in pairs)
        compared += sum(a.size for a, _ in pairs)
    return different, compared


def energy_per_image(gpu: Gpu) -> str:
    """Return the energy of one training image by the counter of the GPU, or why there is none."""
    if importlib.util.find_spec("tinysnn_hw.cost.measure") is None:
        return "not measured: this installation has no power meters"
    from tinysnn_hw.cost.measure import measure_energy, open_source  # type: ignore[import-not-found]

    try:
        found = measure_energy(lambda: gpu.run("train"), open_source("nvml"))
    except TinySnnError as error:
        return f"not measured: {error}"
    shown = gpu.n_networks * gpu.n_images
    parts = {"gross": found.gross_j, "net": found.net_j}
    known = {name: interval.mean / shown for name, interval in parts.items() if interval is not None}
    return ", ".join(f"{energy_j * 1e6:.3g} uJ {name}" for name, energy_j in known.items())


def table(arguments: argparse.Namespace, images: np.ndarray) -> list[dict[str, object]]:
    """Measure and print row by row."""
    rows: list[dict[str, object]] = []
    print(f"{'network':12} {'N':>5} {'phase':6} {'networks':>8} {'images/s (min-max)':>34} {'CPU cores':>10}")
    for name in arguments.network:
        spec = load(name, arguments.neurons, arguments.steps)
        cpu = Cpu(spec, images)
        for phase in ("train", "test"):
            core = cpu.rates(phase)
            for n_networks in arguments.networks:
                size = network_bytes(cpu.lowered, len(images), 4000 * len(images), learn=phase == "train")
                if len(plan_launches([size] * n_networks, free_bytes(), [name] * n_networks)) > 1:
                    print(f"{name:12} {n_networks} networks do not fit the free memory at once", flush=True)
                    continue
                found = Gpu(spec, images, n_networks).rates(phase)
                rows.append({"network": name, "neurons": arguments.neurons, "phase": phase,
                             "networks": n_networks, "images_per_s": found})  # fmt: skip
                speed = f"{statistics.median(found):,.0f} ({min(found):,.0f}-{max(found):,.0f})"
                ratio = statistics.median(found) / statistics.median(core)
                rows[-1]["cpu_cores"] = ratio
                print(
                    f"{name:12} {arguments.neurons:5} {phase:6} {n_networks:8} {speed:>34} {ratio:10.1f}",
                    flush=True,
                )
            core += cpu.rates(phase)
            speed = f"{statistics.median(core):,.0f} ({min(core):,.0f}-{max(core):,.0f})"
            print(
                f"{name:12} {arguments.neurons:5} {phase:6} {'1 core':>8} {speed:>34} {1:10.1f}", flush=True
            )
            rows.append({"network": name, "neurons": arguments.neurons, "phase": phase, "networks": "1 core",
                         "images_per_s": core, "kernel": cpu.session.kernel})  # fmt: skip
    return rows


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with the MNIST files (default: TINYSNN_DATA, cache)"
    )
    parser.add_argument("--data", default="mnist", help="mnist, fashion-mnist")
    parser.add_argument("--network", nargs="+", default=["tinysnn-wta", "tinysnn", "baseline"])
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--images", type=int, default=128, help="images per network and repeat")
    parser.add_argument("--networks", type=int, nargs="+", default=[1, 16, 64, 132, 264, 528])
    parser.add_argument("--parity-networks", type=int, default=8)
    parser.add_argument("--out", type=Path, help="also write everything as JSON")
    arguments = parser.parse_args()
    try:
        require_device()
    except TinySnnError as error:
        sys.exit(f"error: {error}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    images = load_dataset(arguments.data, arguments.data_dir).train_images[: arguments.images]
    print(f"{device_name()}, {multiprocessors()} multiprocessors, {free_bytes() / 1e9:.1f} GB free")
    rows = table(arguments, images)
    parity, energy = {}, {}
    for name in arguments.network:
        spec = load(name, arguments.neurons, arguments.steps)
        different, compared = differing(spec, images, arguments.parity_networks)
        parity[name] = {"different": different, "compared": compared}
        energy[name] = energy_per_image(Gpu(spec, images, max(arguments.networks)))
        print(
            f"{name:12} parity: {different} of {compared:,} words differ; energy per training image: {energy[name]}"
        )
    if arguments.out:
        found = {"device": device_name(), "load": {**LOAD, "n_steps": arguments.steps, "images": arguments.images},
                 "rows": rows, "parity": parity, "energy_per_training_image": energy}  # fmt: skip
        arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if any(seen["different"] for seen in parity.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
