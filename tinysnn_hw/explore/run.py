"""`explore`: ask for trials, hand them out in batches, write every outcome at once."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tinysnn_hw.errors import StudyError, TinySnnError
from tinysnn_hw.explore.batches import Asked, choose_for_cpu, choose_for_gpu, gpu_batch, study_backend
from tinysnn_hw.explore.candidate import check_space, digest_of, make_candidate, recipe_point
from tinysnn_hw.explore.executors import Done, Executor, LocalExecutor, WorkerDied, failed, make_executor
from tinysnn_hw.explore.identity import described, identity_of
from tinysnn_hw.explore.standing import Standing, Timing, standing_of
from tinysnn_hw.explore.storage import Ledger, guarded, open_storage
from tinysnn_hw.explore.study import (
    STUDY_FILE,
    StudyRecord,
    check_continues,
    load_study,
    make_manifest,
    read_manifest,
    storage_url,
    trial_context,
    write_manifest,
)
from tinysnn_hw.explore.work import (
    Batch,
    BatchResult,
    DataRef,
    Outcome,
    describe,
    evaluate_batch,
)
from tinysnn_hw.learning import Backend
from tinysnn_hw.spec.hardware import HardwareSpec
from tinysnn_hw.spec.hardware_load import load_hardware
from tinysnn_hw.spec.space import SpaceSpec
from tinysnn_hw.spec.space_load import load_space

Work = Callable[[Batch], BatchResult]
HOLDOUT_SHARE = 6
"""One training image in so many is held out where the space names no number."""
MAX_DEATHS = 8
"""So many workers that die in a row, with no result between, end the run."""
IDLE_S = 2.0
"""How often a study that others work on is looked at [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What `explore` returns: the study, where the time of this run went, and which machine its trials ran on."""

    study: StudyRecord
    timing: Timing
    backend: Backend


def explore(
    space: str | Path | SpaceSpec,
    data: str = "digits",
    out: str | os.PathLike[str] = "runs/study",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    limit_train: int | None = None,
    executor: str = "local",
    storage: str | None = None,
    backend: str = "auto",
    progress: Callable[[Standing], None] | None = None,
    work: Work = evaluate_batch,
) -> Exploration:
    """Try the configurations of a space, in a study that can be resumed, shared and killed.

    Parameters
    ----------
    space : str, Path or SpaceSpec
        A shipped space, a ``.toml`` file, or a space.
    data : str
        As `tinysnn_hw.data.load_dataset` takes it.  Its last training images are held out and judged on; its test
        images are not looked at.
    out : path
        Folder of the study.  One that holds the same study is continued.
    data_dir : path, optional
        Where the data files are.
    limit_train : int, optional
        Use the first training images only.
    executor : str
        ``local`` (a process per core), ``local:N``, or ``dask://HOST:PORT``.
    storage : str, optional
        URL of a database, as Optuna takes it, shared by several explorers; absent: a SQLite file in the folder.
    backend : {"auto", "cpu", "cuda"}
        Where trials with in-training quantization run; the results are the same, so that a study may go on with
        another.  See `study_backend`.
    progress : callable, optional
        Called with a `Standing` whenever a batch has come back.
    work : callable
        What a worker does with a batch.

    Returns
    -------
    Exploration

    Raises
    ------
    SpecError, DataError, DataNotFoundError
        The space or the data is impossible.
    StudyError
        The folder holds another study, or the storage cannot be used.
    BackendUnavailableError
        ``cuda`` was asked for where there is no GPU.
    """
    spec = load_space(space)
    chosen = study_backend(spec, backend, executor)
    folder = Path(out)
    ref, label_images, n_train = _data(spec, data, data_dir, limit_train)
    check_space(spec, Path(data).stem)
    first = recipe_point(spec, Path(data).stem) if spec.search.start == "recipe" else None
    manifest = _begin(folder, make_manifest(spec, ref, storage, label_images))
    where = storage_url(folder, manifest)
    ledger: Ledger = guarded(lambda: Ledger(open_storage(where), manifest["study"], spec), str(folder))
    if first is not None:
        guarded(lambda: ledger.begin_with(first), str(folder))
    run = _Run(
        spec, ref, label_images, ledger, make_executor(executor, work), progress, str(folder), n_train, manifest,
        hardware=load_hardware(spec.protocol.hardware), backend=chosen.name,
    )  # fmt: skip
    try:
        timing = run.all()
    except BaseException:
        run.executor.close()
        ledger.give_up()
        raise
    run.executor.close()
    return Exploration(study=load_study(folder), timing=timing, backend=chosen)


def _data(
    spec: SpaceSpec, name: str, data_dir: str | os.PathLike[str] | None, limit_train: int | None
) -> tuple[DataRef, int, int]:
    from tinysnn_hw.data import load_dataset

    whole = load_dataset(name, data_dir)
    n_train = whole.n_train if limit_train is None else limit_train
    holdout = spec.protocol.holdout or max(n_train // HOLDOUT_SHARE, 1)
    place = None if data_dir is None else os.fspath(data_dir)
    ref = DataRef(name=name, data_dir=place, limit_train=limit_train, holdout=holdout)
    chosen = ref.load()
    ref = DataRef(
        name=name, data_dir=place, limit_train=limit_train, holdout=holdout, digests=tuple(chosen.digests)
    )
    return ref, min(spec.protocol.label_images, chosen.n_train), chosen.n_train


def _begin(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of a new study, or check that of one that is continued."""
    if not (folder / STUDY_FILE).exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StudyError(f"{folder}: holds something other than a study; name a new folder")
        write_manifest(folder, manifest)
        return manifest
    known = read_manifest(folder)
    check_continues(folder, known, manifest)
    write_manifest(folder, manifest)  # number of trials and limits may have changed
    return manifest


@dataclass(slots=True)
class _Run:
    spec: SpaceSpec
    data: DataRef
    label_images: int
    ledger: Ledger
    executor: Executor
    progress: Callable[[Standing], None] | None
    where: str
    n_train: int
    manifest: dict[str, Any]
    hardware: HardwareSpec
    backend: str
    pool: deque[Asked] = field(default_factory=deque)
    twins: dict[str, list[Asked]] = field(default_factory=dict)
    """By digest: trials that wait for the result of one that is being computed."""
    timing: Timing = field(default_factory=Timing)
    began: float = field(default_factory=time.perf_counter)
    next_key: int = 0
    deaths: int = 0
    """Workers that died since one last returned something."""
    flying: dict[int, list[Asked]] = field(default_factory=dict)
    on_gpu: int | None = None
    """Key of the batch that the GPU of this machine has."""

    def all(self) -> Timing:
        """Work until the study is complete."""
        guarded(self.ledger.recover, self.where)
        self.report()
        while True:
            self.hand_out()
            guarded(self.fill, self.where)
            self.hand_out()
            if self.flying:
                returned = self.executor.wait(timeout_s=5.0)
                self.hand_out()  # workers that got free go on while outcomes are written
                for done in returned:
                    self.take(done)
                guarded(self.ledger.beat, self.where)
                if returned:
                    self.report()
            elif not self.pool:
                guarded(self.ledger.beat, self.where)
                if not guarded(self.ledger.others_running, self.where):
                    guarded(self.fill, self.where)
                    if not self.pool and not self.flying:
                        break
                else:
                    time.sleep(IDLE_S)
            else:  # a cluster without workers, for the moment
                guarded(self.ledger.beat, self.where)
                time.sleep(IDLE_S)
        self.timing.wall_s = time.perf_counter() - self.began
        return self.timing

    def fill(self) -> None:
        """Ask for the trials of the free workers, or of the next one to be free; settle those whose result is known."""
        slots = max(self.executor.free, 1)
        left = self.spec.n_trials - self.done_or_running()
        share = max(-(-left // max(self.executor.capacity, 1)), 1)  # near the end, what is left is shared
        wanted = slots * min(self.spec.search.batch, share)
        if self.backend == "cuda" and self.on_gpu is None:
            wanted = max(wanted, gpu_batch(self.spec))
        while len(self.pool) < wanted:
            trial = self.ledger.ask()
            if trial is None:
                return
            self.enter(trial.number, dict(trial.params))

    def done_or_running(self) -> int:
        """Return how many trials of the study are finished or taken."""
        return sum(trial.state.name != "WAITING" for trial in self.ledger.trials())

    def enter(self, number: int, values: dict[str, Any]) -> None:
        """Turn a trial into a configuration; one that cannot be fails, one that is known is told."""
        self.check_files()
        try:
            candidate = make_candidate(self.spec, values, Path(self.data.name).stem)
        except TinySnnError as error:
            self.tell(number, "", Outcome(reason=describe(error)))
            return
        asked = Asked(
            number, candidate, digest_of(candidate, trial_context(self.spec, self.data, self.label_images))
        )
        known = self.known(asked.digest)
        if known is not None:
            first, outcome = known
            self.tell(number, asked.digest, outcome, same_as=first)
        elif asked.digest in self.twins:
            self.twins[asked.digest].append(asked)
        else:
            self.twins[asked.digest] = []
            self.pool.append(asked)

    def check_files(self) -> None:
        """Refuse to go on once a file of the study was edited: later trials would be of another network."""
        now = {**self.manifest, **described(self.spec, Path(self.data.name).stem)}
        check_continues(Path(self.where), self.manifest, {**now, "identity": identity_of(now)})

    def known(self, digest: str) -> tuple[int, Outcome] | None:
        """Return the outcome of a configuration that was computed before, and the trial that has it."""
        for trial in self.ledger.study.get_trials(deepcopy=False):
            outcome = trial.user_attrs.get("outcome")
            if outcome and outcome["digest"] == digest and outcome["state"] != "failed":
                first = trial.number if outcome["same_as"] is None else outcome["same_as"]
                same = {key: outcome[key] for key in ("state", "result", "reason", "rounds")}
                return first, Outcome(**same)
        return None

    def hand_out(self) -> None:
        """Give batches to free workers; one at a time is for the GPU, where there is one."""
        while self.pool and self.executor.free:
            chosen: list[Asked] = []
            if self.backend != "cpu" and self.on_gpu is None:
                chosen = choose_for_gpu(self.pool, self.spec)
            on_gpu = bool(chosen)
            if not chosen:
                chosen = choose_for_cpu(self.pool, self.spec, self.executor.free, self.backend)
            if not chosen:
                return
            for one in chosen:
                self.pool.remove(one)
            self.next_key += 1
            self.flying[self.next_key] = chosen
            if on_gpu and isinstance(self.executor, LocalExecutor):  # its processes share one GPU
                self.on_gpu = self.next_key
            backend = self.backend if on_gpu else "cpu"
            self.executor.submit(self.next_key, self.batch(chosen, backend))
            self.timing.workers = max(self.timing.workers, self.executor.running)

    def batch(self, asked: list[Asked], backend: str) -> Batch:
        """Return what a worker needs to know."""
        protocol = self.spec.protocol
        return Batch(
            candidates=tuple(one.candidate for one in asked),
            data=self.data,
            label_images=self.label_images,
            seeds=protocol.seeds,
            spike_seed=protocol.spike_seed,
            hardware=self.hardware,
            objectives=self.spec.search.objectives,
            halving=self.spec.halving,
            backend=backend,
        )

    def take(self, done: Done) -> None:
        """Write the outcomes of a batch; one whose worker died is tried again, trial by trial."""
        asked = self.flying.pop(done.key)
        if done.key == self.on_gpu:
            self.on_gpu = None
        result = done.result
        if isinstance(done.error, WorkerDied):
            for one in asked:
                one.alone, one.deaths = True, one.deaths + 1
            self.deaths += 1
            if self.deaths >= MAX_DEATHS:
                raise StudyError(
                    f"{self.where}: {self.deaths} workers in a row died and none returned anything: they cannot start, "
                    "or the machine is short of memory (a script of your own must start under "
                    "if __name__ == '__main__')"
                )
            if len(asked) > 1 or asked[0].deaths < 3:
                self.pool.extend(asked)
                return
            result = failed("its worker process died, three times; the machine may be short of memory", 1)
        elif done.error is not None:
            raise done.error
        else:
            self.deaths = 0
        assert result is not None
        self.timing.kernel_s += result.kernel_s
        self.timing.busy_s += result.busy_s
        for one, outcome in zip(asked, result.outcomes, strict=True):
            guarded(partial(self.settle, one, outcome), self.where)

    def settle(self, asked: Asked, outcome: Outcome) -> None:
        """Write an outcome, and the same for trials of the same configuration."""
        epochs = asked.candidate.network.learning.epochs
        full = self.n_train * epochs + self.label_images + self.data.holdout
        self.timing.full_images += full * len(self.spec.protocol.seeds) * (outcome.state != "failed")
        self.tell(asked.number, asked.digest, outcome)
        for twin in self.twins.pop(asked.digest, []):
            same = Outcome(
                state=outcome.state, result=outcome.result, reason=outcome.reason, rounds=outcome.rounds
            )
            self.tell(twin.number, twin.digest, same, same_as=asked.number)

    def tell(self, number: int, digest: str, outcome: Outcome, *, same_as: int | None = None) -> None:
        """Write one outcome."""
        self.timing.trials += self.ledger.tell(number, outcome, {"digest": digest, "same_as": same_as})
        self.timing.images += outcome.images

    def report(self) -> None:
        """Tell the caller how far the study is."""
        if self.progress is not None:
            trials = guarded(self.ledger.trials, self.where)
            elapsed = time.perf_counter() - self.began
            self.progress(standing_of(trials, self.spec, self.timing.trials, elapsed))


__all__ = ["Exploration", "explore"]
