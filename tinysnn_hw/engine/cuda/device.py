"""The GPU Numba can use, and the reason where there is none."""

from __future__ import annotations

import importlib.util
import math
import warnings
from typing import Any

from tinysnn_hw.errors import BackendUnavailableError

INSTALL = 'pip install "tinysnn-hw[cuda]"'
SHARED_BYTES = 47 * 1024
"""Dynamic shared memory of a block: every GPU gives 48 KiB without asking, and the kernel needs a few words itself."""
WARP, MAX_THREADS = 32, 256
_SIMULATED_FREE = 1 << 30


def is_simulated() -> bool:
    """Return whether NUMBA_ENABLE_CUDASIM makes Numba run kernels in Python."""
    from numba import config

    return bool(getattr(config, "ENABLE_CUDASIM", False))


def why_unavailable() -> str | None:
    """Return why no kernel can run here, or None where one can (on a GPU or in Numba's simulator)."""
    if importlib.util.find_spec("numba_cuda") is None:
        return f"the package numba-cuda is not installed ({INSTALL})"
    from numba import cuda

    if not cuda.is_available():
        return f"no NVIDIA GPU that Numba can use; a driver and the toolkit wheels are needed ({INSTALL})"
    return None


def require_device() -> None:
    """Refuse to go on without a GPU.

    Raises
    ------
    BackendUnavailableError
    """
    if reason := why_unavailable():
        raise BackendUnavailableError(f"backend = 'cuda': {reason}; 'cpu' gives the same bits")


def free_bytes() -> int:
    """Return the device memory that is free now."""
    from numba import cuda

    free = cuda.current_context().get_memory_info()[0]
    return int(free) if math.isfinite(free) else _SIMULATED_FREE


def multiprocessors() -> int:
    """Return how many blocks run side by side at least."""
    from numba import cuda

    return 1 if is_simulated() else int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def threads_for(items: int, *, least: int = 2, most: int = MAX_THREADS) -> int:
    """Return a block's threads for so many items: whole warps, at least so many; a few Python threads if simulated."""
    if is_simulated():
        return min(items, 3) if most == MAX_THREADS else items
    return min(max(-(-items // WARP), least) * WARP, most)


def launch(
    kernel: Any, grid: int | tuple[int, int], threads: int, *arguments: Any, shared_bytes: int = 0
) -> None:
    """Launch a kernel; a grid that does not fill the GPU is no reason for a warning."""
    from numba.core.errors import NumbaPerformanceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        kernel[grid, threads, 0, shared_bytes](*arguments)


def device_name() -> str:
    """Return the name of the GPU."""
    from numba import cuda

    if is_simulated():
        return "Numba's CUDA simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)
