"""Where batches run: processes of this machine, or a Dask cluster; a worker that dies costs its batch one retry."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from tinysnn_hw.errors import MissingPackageError, SpecError, StudyError
from tinysnn_hw.explore.work import Batch, BatchResult, Outcome, evaluate_batch

Work = Callable[[Batch], BatchResult]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


class WorkerDied(Exception):
    """The process that ran a batch has ended without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A batch that has come back: its key, and its result or why there is none."""

    key: Any
    result: BatchResult | None = None
    error: BaseException | None = None


class Executor(ABC):
    """Runs batches; `submit` while `free` is above 0, then `wait`."""

    name: str

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Batches that run at the same time."""

    @abstractmethod
    def submit(self, key: Any, batch: Batch) -> None:
        """Start a batch; `key` comes back with it."""

    @property
    @abstractmethod
    def running(self) -> int:
        """Batches submitted and not yet returned."""

    @abstractmethod
    def wait(self, timeout_s: float) -> list[Done]:
        """Return what has come back, as soon as something has, or nothing after a time."""

    @abstractmethod
    def close(self) -> None:
        """End the workers; what still runs is lost."""

    @property
    def free(self) -> int:
        """Batches that could start at once."""
        return max(self.capacity - self.running, 0)


class LocalExecutor(Executor):
    """One spawned process per worker, each with one thread.

    Every worker is a pool of its own, so that one that dies takes its own batch with it and no other.
    """

    def __init__(self, workers: int, work: Work = evaluate_batch) -> None:
        self.name = f"{workers} local process{'es' if workers > 1 else ''}"
        self._work = work
        self._pools: list[ProcessPoolExecutor | None] = [None] * workers
        self._running: dict[Future[BatchResult], tuple[int, Any]] = {}

    @property
    def capacity(self) -> int:
        """Number of workers."""
        return len(self._pools)

    @property
    def running(self) -> int:
        """Workers that are busy."""
        return len(self._running)

    def submit(self, key: Any, batch: Batch) -> None:
        """Give a batch to an idle worker."""
        busy = {slot for slot, _ in self._running.values()}
        slot = next(slot for slot in range(len(self._pools)) if slot not in busy)
        pool = self._pools[slot]
        if pool is None:
            context = multiprocessing.get_context("spawn")
            with _environment(ONE_THREAD):
                pool = ProcessPoolExecutor(1, mp_context=context, initializer=_follow_parent)
                self._pools[slot] = pool
                self._running[pool.submit(self._work, batch)] = (slot, key)
            return
        self._running[pool.submit(self._work, batch)] = (slot, key)

    def wait(self, timeout_s: float) -> list[Done]:
        """Return the batches that have come back."""
        finished, _ = wait(self._running, timeout=timeout_s, return_when=FIRST_COMPLETED)
        found = []
        for future in finished:
            slot, key = self._running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                self._drop(slot)
                error = WorkerDied()
            found.append(Done(key=key, result=None if error else future.result(), error=error))
        return found

    def close(self) -> None:
        """Kill the workers."""
        for slot in range(len(self._pools)):
            self._drop(slot)
        self._running.clear()

    def _drop(self, slot: int) -> None:
        pool, self._pools[slot] = self._pools[slot], None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


class DaskExecutor(Executor):
    """The workers of a Dask cluster, one batch per thread of theirs."""

    def __init__(self, address: str, work: Work = evaluate_batch) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingPackageError(
                "--executor dask: distributed is not installed; pip install 'tinysnn-hw[dask]'"
            ) from error
        self._distributed: Any = distributed
        self._work = work
        self._running: dict[Any, Any] = {}
        try:
            self._client: Any = self._distributed.Client(address, timeout="10s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise StudyError(f"--executor dask://{address}: no scheduler answers there: {error}") from error
        self.name = f"Dask at {address}"
        if not self.capacity:
            self._client.wait_for_workers(1, timeout=60)

    @property
    def capacity(self) -> int:
        """Threads of all workers, at this moment."""
        return sum(self._client.nthreads().values())

    @property
    def running(self) -> int:
        """Batches on the cluster."""
        return len(self._running)

    def submit(self, key: Any, batch: Batch) -> None:
        """Give a batch to the scheduler, which gives it to another worker if one is lost."""
        self._running[self._client.submit(self._work, batch, pure=False)] = key

    def wait(self, timeout_s: float) -> list[Done]:
        """Return the batches that have come back."""
        if not self._running:
            return []
        try:
            with self._client.as_current():
                self._distributed.wait(list(self._running), timeout=timeout_s, return_when=FIRST_COMPLETED)
        except TimeoutError:
            return []
        found = []
        for future in [future for future in self._running if future.done()]:
            key = self._running.pop(future)
            error = future.exception() if future.status == "error" else None
            if future.status not in ("finished", "error"):
                error = WorkerDied()
            if isinstance(error, self._distributed.KilledWorker):
                error = WorkerDied()
            found.append(Done(key=key, result=None if error else future.result(), error=error))
        return found

    def close(self) -> None:
        """Take back what still runs and leave the cluster to itself."""
        for future in self._running:
            future.cancel()
        self._running.clear()
        self._client.close()


def make_executor(name: str, work: Work = evaluate_batch) -> Executor:
    """Return the executor a text names.

    Parameters
    ----------
    name : str
        ``local`` (one process per core), ``local:N``, or ``dask://HOST:PORT``.

    Raises
    ------
    SpecError
        The text names none.
    StudyError
        The cluster does not answer, or ``distributed`` is not installed.
    """
    kind, _, rest = name.partition(":")
    if name.startswith("dask://"):
        return DaskExecutor("tcp://" + name.removeprefix("dask://"), work)
    if kind == "local" and (not rest or (rest.isdecimal() and int(rest) > 0)):
        return LocalExecutor(int(rest) if rest else _cores(), work)
    raise SpecError(f"executor = {name!r}; allowed: local, local:N, dask://HOST:PORT")


def failed(reason: str, n: int) -> BatchResult:
    """Return the result of a batch that came to nothing."""
    return BatchResult([Outcome(reason=reason) for _ in range(n)], 0.0, 0.0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _follow_parent() -> None:
    """Let this worker end when its parent does, even if that was killed; Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


class _environment:
    """Sets environment variables for processes started inside it; those given by the user stay."""

    def __init__(self, values: dict[str, str]) -> None:
        self._added = {name: value for name, value in values.items() if name not in os.environ}

    def __enter__(self) -> None:
        os.environ.update(self._added)

    def __exit__(self, *_: object) -> None:
        for name in self._added:
            os.environ.pop(name, None)


__all__ = ["DaskExecutor", "Done", "Executor", "LocalExecutor", "WorkerDied", "failed", "make_executor"]
