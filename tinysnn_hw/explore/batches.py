"""Which trials go to a worker together, and which machine is for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tinysnn_hw.explore.candidate import Candidate
from tinysnn_hw.learning import BACKENDS, Backend, choose_backend
from tinysnn_hw.spec.space import SpaceSpec

GPU_NETWORKS = 512
"""Networks a batch for a GPU has at most; the GPU divides them further if they do not fit its memory."""


@dataclass(slots=True)
class Asked:
    """A trial that is ours, and its configuration."""

    number: int
    candidate: Candidate
    digest: str
    alone: bool = False
    """Its batch lost a worker: it runs by itself."""
    deaths: int = 0


def study_backend(space: SpaceSpec, asked: str, executor: str = "local") -> Backend:
    """Return where the trials of a study run that are trained in fixed point.

    Parameters
    ----------
    space : SpaceSpec
    asked : {"auto", "cpu", "cuda"}
        ``auto`` takes a GPU where there is one and a batch fills it.  The workers of a Dask cluster each choose for
        their own machine.
    executor : str
        As in `explore`.

    Raises
    ------
    SpecError, BackendUnavailableError
        As in `tinysnn_hw.learning.choose_backend`.
    """
    if executor.startswith("dask://") and asked in BACKENDS:
        return Backend(asked, "each worker of the cluster chooses" if asked == "auto" else "asked for")
    networks = min(gpu_batch(space), space.n_trials) * len(space.protocol.seeds)
    return choose_backend(asked, networks, training=True)


def gpu_batch(space: SpaceSpec) -> int:
    """Return the trials of a batch for a GPU: many, unless a sampler or halving looks at the outcomes of a batch."""
    if space.halving is not None or space.search.sampler not in ("grid", "random"):
        return space.search.batch
    return max(space.search.batch, GPU_NETWORKS // len(space.protocol.seeds))


def choose_for_gpu(pool: Iterable[Asked], space: SpaceSpec) -> list[Asked]:
    """Return the trials of a batch for a GPU: those of one shape; or one, if it has to run alone; or none."""
    able = sorted((one for one in pool if one.candidate.on_gpu), key=lambda one: one.alone)
    if not able or able[0].alone:
        return able[:1]
    same = [one for one in able if one.candidate.shape_key == able[0].candidate.shape_key]
    return [one for one in same if not one.alone][: gpu_batch(space)]


def choose_for_cpu(pool: Iterable[Asked], space: SpaceSpec, free: int, backend: str) -> list[Asked]:
    """Return the trials of a batch for a cpu: those that see the same spikes, and share kernel or source.

    Parameters
    ----------
    pool : iterable of Asked
    space : SpaceSpec
    free : int
        Workers that have nothing to do; each is to get its share.
    backend : str
        That of the study; with a GPU, the trials it can run are left to it.
    """
    able = [one for one in pool if backend == "cpu" or not one.candidate.on_gpu]
    if not able:
        return []
    ordered = [one for one in able if one.candidate.raster_key == able[0].candidate.raster_key]
    ordered.sort(key=lambda one: (one.alone, one.candidate.order_key))
    share = -(-len(able) // free)
    chosen = ordered[:1] if ordered[0].alone else ordered[: min(space.search.batch, share)]
    return [one for one in chosen if one.alone == chosen[0].alone]


__all__ = ["Asked", "choose_for_cpu", "choose_for_gpu", "gpu_batch", "study_backend"]
