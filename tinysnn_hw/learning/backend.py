"""Which machine runs the networks: the CPU or a GPU; the bits are the same."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tinysnn_hw.errors import BackendUnavailableError, SpecError

BACKENDS = ("auto", "cpu", "cuda")
FILLS_GPU = 16
"""Networks from which on ``auto`` trains on a GPU: a single one takes about as long there as on one CPU core."""

_log = logging.getLogger("tinysnn_hw")


@dataclass(frozen=True, slots=True)
class Backend:
    """The back end of a run.

    Attributes
    ----------
    name : {"cpu", "cuda"}
    why : str
        Why it was chosen.
    """

    name: str
    why: str


def choose_backend(
    asked: str, n_networks: int, *, training: bool, arithmetic: str = "fixed", kernel: str = "auto"
) -> Backend:
    """Return the back end to run networks on; ``auto`` logs its choice.

    Parameters
    ----------
    asked : {"auto", "cpu", "cuda"}
    n_networks : int
        Networks that run together.
    training : bool
        Inference spreads the images of one network over the GPU too; training cannot.
    arithmetic, kernel : str
        As in `tinysnn_hw.learning.train`: the GPU has one kernel, in fixed point.

    Raises
    ------
    SpecError
        An unknown back end, or one that cannot do what is asked.
    BackendUnavailableError
        ``cuda`` was asked for by name, and there is no GPU.
    """
    if asked not in BACKENDS:
        raise SpecError(f"backend = {asked!r}; allowed: {', '.join(BACKENDS)}")
    only_cpu = None
    if arithmetic != "fixed":
        only_cpu = f"arithmetic = {arithmetic!r} runs on the cpu only"
    elif kernel != "auto":
        only_cpu = f"kernel = {kernel!r} names a kernel of the cpu"
    if asked == "cpu":
        return Backend("cpu", "asked for")
    if asked == "cuda":
        from tinysnn_hw.engine.cuda.device import require_device

        if only_cpu:
            raise SpecError(f"backend = 'cuda': {only_cpu}; choose 'cpu' or 'auto'")
        require_device()
        return Backend("cuda", "asked for")
    chosen = _best(n_networks, training, only_cpu)
    _log.info("backend auto: %s (%s)", chosen.name, chosen.why)
    return chosen


def _best(n_networks: int, training: bool, only_cpu: str | None) -> Backend:
    from tinysnn_hw.engine.cuda.device import device_name, is_simulated, why_unavailable

    if only_cpu:
        return Backend("cpu", only_cpu)
    if training and n_networks < FILLS_GPU:
        few = "1 network does" if n_networks == 1 else f"{n_networks} networks do"
        return Backend("cpu", f"{few} not fill a GPU; {FILLS_GPU} would")
    if reason := why_unavailable():
        return Backend("cpu", reason)
    if is_simulated():
        return Backend("cpu", "NUMBA_ENABLE_CUDASIM is set, which only simulates a GPU")
    return Backend("cuda", device_name())


__all__ = ["BACKENDS", "Backend", "BackendUnavailableError", "choose_backend"]
