"""The GPU back end: simulated and compiled to PTX anywhere; where there is a GPU, against the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_state, lower, run
from tinysnn_hw.engine.cuda import device
from tinysnn_hw.engine.cuda.plan import (
    block_words,
    choose_storage,
    fits_shared,
    lane_events,
    network_bytes,
    plan_launches,
)
from tinysnn_hw.errors import BackendUnavailableError, DeviceMemoryError, SpecError
from tinysnn_hw.learning import choose_backend, evaluate_many, train, train_many
from tinysnn_hw.spec import list_networks, load_network

ROOT = Path(__file__).parents[2]
ROUNDINGS = ["floor", "to_zero", "nearest", "nearest_away", "nearest_even", "stochastic"]

# Called device functions are compiled for the GPU of this machine, if one is asked for; here none is.
COMPILE = """
import json, sys
from types import SimpleNamespace
import numba.cuda.dispatcher
numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(8, 7))
from numba import cuda, types as t
from tinysnn_hw.engine.cuda import encode, kernel, lane_kernel
one, i8 = lambda x: x[::1], t.int64
run = (i8[:, ::1], i8, i8, i8[:, :, ::1], i8[:, ::1], one(i8), one(t.uint16), one(t.uint8), one(t.int32), one(t.int32),
       one(t.uint16), i8[:, :, ::1], i8[:, ::1], t.int32[:, ::1], t.boolean)
lanes = lambda weight: (*run[:7], one(weight), one(t.uint32), *run[8:13], t.int32[:, :, ::1], i8[:, :, ::1])
spikes = (t.boolean, t.uint8[:, ::1], i8[:, ::1], one(i8), one(i8), one(i8), one(i8), i8, i8)
placed = (t.int32[:, ::1], i8[:, ::1], one(t.uint16))
kernels = {
    "plain": {"train": (kernel.train, run), "infer": (kernel.infer, run)},
    "spikes": {
        "renewal": (encode.renewal, (*spikes, t.boolean, *placed)),
        "pooled": (encode.pooled, (*spikes, i8[:, ::1], *placed)),
    },
    "bytes": {f.py_func.__name__: (f, lanes(t.uint8)) for f in lane_kernel.KERNELS[1]},
    "halves": {f.py_func.__name__: (f, lanes(t.uint16)) for f in lane_kernel.KERNELS[2]},
}
found = {}
for name, (function, arguments) in kernels[sys.argv[1]].items():
    found[name], returned = cuda.compile_ptx(function.py_func, arguments, cc=(int(sys.argv[2]), int(sys.argv[3])))
    assert returned == t.void, returned
json.dump(found, sys.stdout)
"""


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


@pytest.mark.slow
def test_kernels_in_the_simulator() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/simulated",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment(NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout and "skipped" not in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("group", ["plain", "spikes", "bytes", "halves"])
@pytest.mark.parametrize("cc", ["8.7", "9.0"])
def test_kernels_compile_to_ptx(group: str, cc: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", COMPILE, group, *cc.split(".")], cwd=ROOT,
        env=environment(NUMBA_ENABLE_CUDASIM="0"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    found = json.loads(ran.stdout)
    assert len(found) == 2
    for name, ptx in found.items():
        assert f".target sm_{cc.replace('.', '')}" in ptx
        assert ".visible .entry" in ptx and "call" not in ptx, f"{name} calls a function that was not inlined"
        # Local memory would be a register array indexed at run time.
        assert ".local" not in ptx, name
        assert "bar.sync" in ptx or "barrier.sync" in ptx or name == "pooled"
        # No floating point anywhere.
        assert ".f32" not in ptx and ".f64" not in ptx, name
        assert ("prmt.b32" in ptx) == (group == "bytes"), (
            "the odd bytes of four weights come by one permutation"
        )


# --- Memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "cuda w8 l32"), ({"weight": "u0.4"}, "cuda w8 l32"), ({"weight": "u0.10"}, "cuda w16 l32"),
        ({"weight": "u0.20", "settings": {"learning.eta_start": 0.1}}, "cuda w32 r32"),
        ({"settings": {"formats.theta.format": "u8.24"}}, "cuda w8 r64"),
    ],
)  # fmt: skip
def test_narrowest_storage(changes: dict[str, Any], name: str) -> None:
    assert choose_storage(lower(load_network("tinysnn-wta", **changes))).name == name


@pytest.mark.parametrize(
    ("name", "changes", "most"),
    [
        ("tinysnn-wta", {}, 257),  # 257 * 255 is the largest sum two of which share a word
        ("tinysnn-wta", {"weight": "u0.4"}, (1 << 16) // 15),
        ("tinysnn-wta", {"weight": "u0.10"}, ((1 << 29) - 1) // 1023),
        ("tinysnn", {}, 257),
        ("tinysnn", {"weight": "u0.8", "v_mem": "s8.16"}, 257),
        ("tinysnn-wta", {"neurons": 6400}, 0),
        ("tinysnn-wta", {"overflow": "wrap"}, 0),
        ("tinysnn-wta", {"v_mem": "s8.24"}, 0),
        ("baseline", {}, 0),
    ],
)
def test_events_that_lanes_are_proven_for(name: str, changes: dict[str, Any], most: int) -> None:
    lowered = lower(load_network(name, recipe="mnist", **changes))
    assert lane_events(lowered) == most
    assert choose_storage(lowered).lanes == (most > 0)


def test_working_memory_of_the_usual_sizes_is_shared() -> None:
    for neurons, learn, shared in ((400, True, True), (1600, True, False), (1600, False, True)):
        lowered = lower(load_network("tinysnn-wta", neurons=neurons))
        assert fits_shared(block_words(lowered.params, learn=learn), choose_storage(lowered)) == shared


def test_bytes_of_a_network() -> None:
    small, large = (lower(load_network("tinysnn-wta", neurons=n)) for n in (400, 1600))
    a, b = (network_bytes(x, 256, 600_000, learn=True) for x in (small, large))
    assert 784 * 400 + 4 * 600_000 < a < 10e6
    assert b - a >= 784 * 1200 + 4 * block_words(large.params, learn=True)


def test_launches_fill_the_free_memory_and_no_more() -> None:
    sizes = [30, 30, 30, 80, 10, 5]
    assert plan_launches(sizes, 100, list("abcdef")) == [[0, 1, 2], [3, 4], [5]]
    assert plan_launches([], 100, []) == []
    assert [k for launch in plan_launches([90] * 4, 101, list("abcd")) for k in launch] == [0, 1, 2, 3]


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DeviceMemoryError, match=r"network 'b' needs 2.0 MB .*; 0.9 MB are available"):
        plan_launches([10, 2_000_000], 1_000_000, ["a", "b"])


# --- Choice --------------------------------------------------------------------------------------------


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "why_unavailable", lambda: f"none here ({device.INSTALL})")


@pytest.fixture
def some_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "why_unavailable", lambda: None)
    monkeypatch.setattr(device, "device_name", lambda: "a GPU")


def test_by_name_without_a_gpu_is_an_error_with_the_install_line(no_gpu: None) -> None:
    network, data = (
        load_network("tinysnn-wta", recipe="digits", neurons=4),
        load_dataset("digits").limit(2, 2),
    )
    with pytest.raises(BackendUnavailableError, match=r'pip install "tinysnn-hw\[cuda\]"'):
        train(network, data, backend="cuda")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)
    assert "numba-cuda is not installed" in str(device.why_unavailable())


@pytest.mark.parametrize(
    ("n_networks", "training", "more", "name", "why"),
    [
        (1, True, {}, "cpu", "1 network does not fill a GPU; 16 would"),
        (16, True, {}, "cuda", "a GPU"),
        (1, False, {}, "cuda", "a GPU"),
        (99, True, {"arithmetic": "float64"}, "cpu", "arithmetic = 'float64' runs on the cpu only"),
        (99, True, {"kernel": "generic"}, "cpu", "kernel = 'generic' names a kernel of the cpu"),
    ],
)
def test_auto(
    some_gpu: None, n_networks: int, training: bool, more: dict[str, str], name: str, why: str, caplog: Any
) -> None:
    with caplog.at_level("INFO", logger="tinysnn_hw"):
        chosen = choose_backend("auto", n_networks, training=training, **more)
    assert (chosen.name, chosen.why) == (name, why)
    assert f"backend auto: {name} ({why})" in caplog.text


def test_auto_without_a_gpu_says_why(no_gpu: None) -> None:
    assert choose_backend("auto", 99, training=True).why == f"none here ({device.INSTALL})"


def test_choices_that_cannot_be(some_gpu: None) -> None:
    with pytest.raises(SpecError, match="backend = 'gpu'; allowed: auto, cpu, cuda"):
        choose_backend("gpu", 1, training=True)
    with pytest.raises(SpecError, match="kernel = 'fast' names a kernel of the cpu"):
        choose_backend("cuda", 1, training=True, kernel="fast")


# --- On a GPU ------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("name", list_networks())
def test_every_register_of_every_step(name: str, data_dir: Path) -> None:
    """All four networks together compare more than 10**9 register values."""
    from tinysnn_hw.engine.cuda.batch import CudaBatch

    images = load_dataset("mnist", data_dir).train_images
    compared, first, total = 0, 0, 4000
    spec = load_network(name, recipe="mnist", neurons=400)
    lowered, tables = lower(spec), encoding_tables(spec.encoding)
    state, twin = initial_state(lowered, 1), initial_state(lowered, 1)
    batch = CudaBatch([lowered], [twin], [1], record=True)
    while compared < 260_000_000:
        raster = encode(
            images[first : first + 8],
            tables,
            spikes=spec.encoding.train_spikes,
            phase="train",
            seed=1,
            first=first,
        )
        how: dict[str, Any] = {"phase": "train", "first": first}
        expected = run(
            lowered, state, raster, seed=1, n_presentations=total, kernel="generic", record=True, **how
        )
        (result,) = batch.run([raster], [0], n_presentations=[total], **how)
        assert set(result.trace) == set(expected.trace)
        for register, values in expected.trace.items():
            np.testing.assert_array_equal(
                result.trace[register], values, err_msg=f"{register}, image {first}"
            )
            compared += values.size
        np.testing.assert_array_equal(result.stats, expected.stats)
        np.testing.assert_array_equal(result.activity, expected.activity)
        np.testing.assert_array_equal(result.counts, expected.counts)
        first += raster.n_images


@pytest.mark.gpu
def test_whole_training_runs() -> None:
    data = load_dataset("digits").limit(400, 100)
    networks = [
        load_network(
            name, recipe="digits", neurons=neurons, rounding=rounding, weight=weight,
            settings={"learning.epochs": 1},
        )
        for name in list_networks()
        for neurons, weight in ((100, "u0.8"), (37, "u0.4"))
        for rounding in ROUNDINGS
    ]  # fmt: skip
    trained = {b: train_many(networks, data, seeds=[5], backend=b) for b in ("cuda", "cpu")}
    for a, b in zip(trained["cuda"], trained["cpu"], strict=True):
        assert a.registers == b.registers and a.activity == b.activity, a.network
        for register in ("weight", "theta", "v_th"):
            np.testing.assert_array_equal(getattr(a, register), getattr(b, register), err_msg=str(a.network))
    found = {b: evaluate_many(trained["cpu"], data, backend=b) for b in ("cuda", "cpu")}
    for a, b in zip(found["cuda"], found["cpu"], strict=True):
        assert a.readouts == b.readouts and a.registers == b.registers and a.activity == b.activity
