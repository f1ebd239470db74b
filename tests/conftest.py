"""What every test run shares: the banner, the Hypothesis profiles, the data folder, the GPU question."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]


os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache"))

# Kernels compile on first use, so no example has a deadline. Another profile: --hypothesis-profile=nightly
hypothesis.settings.register_profile("dev", max_examples=50, derandomize=True, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None)
hypothesis.settings.load_profile("dev")

# The instruction sets that decide how a compiled kernel may be vectorised.
CPU_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "neon", "sve", "sve2")


def pytest_report_header() -> list[str]:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    usable = " ".join(name for name in CPU_FEATURES if features.get(name)) or "none of note"
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "llvmlite"))
    return [
        f"machine: {platform.platform()}, {os.cpu_count()} CPUs, {sys.byteorder}-endian",
        f"cpu: {binding.get_host_cpu_name()} ({usable})",
        f"python {platform.python_version()}, {packages}",
        f"data folder: {os.environ.get('TINYSNN_DATA') or 'none (TINYSNN_DATA is unset)'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first; skip the tests marked ``gpu``, saying why, where Numba finds no device."""
    # A process that began a long file last would work on alone.
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from numba import cuda

    if not cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU that Numba can use"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Give the folder TINYSNN_DATA names; a test that needs it is skipped where it is unset."""
    named = os.environ.get("TINYSNN_DATA")
    if not named:
        pytest.skip("TINYSNN_DATA is unset: it names the folder with the data sets this test reads")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"TINYSNN_DATA is {named!r}, which is not a folder")
    return folder
