"""The fast kernel in other instruction sets than this machine's best: the same bits.

Vectors are split, and the groups of neurons whose sums stay in registers are smaller, where registers are.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPARE = """
import numpy as np
from numba.core.registry import cpu_target
from tinysnn_hw.data import load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_state, lower, run
from tinysnn_hw.spec import load_network

_, name, features = cpu_target.target_context.codegen().magic_tuple()
assert "avx" not in features, features
images = load_dataset("digits").train_images[:6].reshape(6, 64)
for changes in ({}, {"v_mem": "s8.0"}, {"v_mem": "s9.8", "v_th": "s9.8"}, {"neuron": "multiply"}):
    settings = {"neuron.leak": changes.pop("neuron")} if "neuron" in changes else {}
    net = load_network("tinysnn-wta", recipe="digits", neurons=100, settings=settings, **changes)
    lowered, seen = lower(net), []
    raster = encode(images, encoding_tables(net.encoding), spikes="pooled", phase="train", seed=1)
    for kernel in ("generic", "fast"):
        state = initial_state(lowered, 1)
        result = run(lowered, state, raster, phase="train", seed=1, n_presentations=6, kernel=kernel)
        seen.append((result.counts, result.stats, result.activity, state.weight, state.theta, state.v_th))
    assert result.activity[1] > 0
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(*seen)), (changes, settings)
print("same bits")
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="asks LLVM for plain x86-64")
def test_plain_x86_64(tmp_path: Path) -> None:
    """16-byte vectors without AVX, compiled in a process of its own."""
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "same bits" in done.stdout, done.stderr[-2000:]
