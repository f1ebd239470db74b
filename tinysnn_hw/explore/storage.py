"""The study in Optuna's own storage: ask, tell, and what to do with trials whose explorer died."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinysnn_hw.errors import MissingPackageError, StudyError
from tinysnn_hw.explore.work import Outcome, objective_values
from tinysnn_hw.spec.space import OBJECTIVES, ChoiceParameter, Scalar, SpaceSpec, values_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import Trial

HEARTBEAT_S, GRACE_S = 10, 60
"""How often an explorer shows that it lives, and after which silence its trials are taken for lost [s]."""
AHEAD = 64
"""Points of a grid that wait in the study's queue."""


def import_optuna() -> Any:
    """Return the module `optuna`, quiet.

    Raises
    ------
    StudyError
        It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("exploring needs Optuna; pip install 'tinysnn-hw[explore]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def sqlite_url(file: Path) -> str:
    """Return the URL of a study kept in one file."""
    return f"sqlite:///{file.resolve()}"


def open_storage(url: str) -> Any:
    """Return Optuna's storage behind a URL.

    Raises
    ------
    StudyError
        It cannot be opened.
    """
    optuna = import_optuna()
    options = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                url, engine_kwargs=options, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S
            )
    except Exception as error:  # drivers raise what they like
        raise StudyError(f"storage {url}: cannot be opened: {error}") from error


def _take_turns(engine: Any) -> None:
    """Let a transaction in a file lock it before it reads.

    Optuna reads whether a trial waits, and then takes it.  It asks for the row to be locked between the two, which
    SQLite does not do: two explorers would take one trial.
    """
    from sqlalchemy import event

    def leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", leave_transactions_to_us)
    event.listen(engine, "begin", begin)
    engine.dispose()  # connections made before know nothing of this


class Ledger:
    """One study: hands out trials, takes results, and forgets nothing that was finished.

    A trial that failed carries its reason; one without a reason was given up by an explorer that ended, and does not
    count (it is void).
    """

    def __init__(self, storage: Any, name: str, space: SpaceSpec) -> None:
        optuna = import_optuna()
        self._optuna = optuna
        self.space = space
        if storage.engine.dialect.name == "sqlite":
            _take_turns(storage.engine)
        self.study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=[OBJECTIVES[objective] for objective in space.search.objectives],
            load_if_exists=True,
        )
        self.study.sampler = self._sampler()
        self._distributions = {
            key: _distribution(optuna, parameter) for key, parameter in space.parameters.items()
        }
        self._mine: dict[int, Trial] = {}
        self._points: dict[int, tuple[tuple[str, str], ...]] = {}
        self._beat = 0.0

    def begin_with(self, values: Mapping[str, Scalar]) -> None:
        """Make these values the next trial, unless the study has one with them."""
        self.recover()
        point = _key(list(values), list(values.values()))
        if all(self._point(trial) != point for trial in self.trials()):
            self.study.enqueue_trial(dict(values))

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Return all trials but the void ones."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if not is_void(trial)]

    def ask(self) -> Trial | None:
        """Return a new trial, or None when the study has as many as it is to have."""
        while True:
            trials = self.trials()
            waiting = any(trial.state.name == "WAITING" for trial in trials)
            if self.space.search.sampler == "grid":
                if not waiting and not self._lay_grid(trials):
                    return None
            elif not waiting and len(trials) >= self.space.n_trials:
                return None
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # heartbeats are sent by `beat`, which Optuna does not expect here
                trial: Trial = self.study.ask(self._distributions)
            trial.set_user_attr("owner", _owner())
            self.study._storage.record_heartbeat(trial._trial_id)
            if not self._is_surplus(trial):
                self._mine[trial.number] = trial
                return trial
            self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _is_surplus(self, trial: Trial) -> bool:
        """Return whether another explorer was faster with this point of the grid, or with the last trial."""
        before = [other for other in self.trials() if other.number < trial.number]
        if self.space.search.sampler == "grid":
            point = _key(list(trial.params), list(trial.params.values()))
            return any(self._point(other) == point for other in before)
        return len(before) >= self.space.n_trials

    def _lay_grid(self, trials: Sequence[optuna.trial.FrozenTrial]) -> bool:
        """Put the next missing points of the grid into the queue; return whether there were any.

        Optuna's GridSampler chooses points in random order and cannot be used with ask and tell; its queue can, and in
        grid order neighbours share what they are trained on.
        """
        known = {self._point(trial) for trial in trials}
        keys = list(self.space.parameters)
        axes = [values_of(parameter) or () for parameter in self.space.parameters.values()]
        points = islice(product(*axes), self.space.n_trials)
        missing = list(islice((point for point in points if _key(keys, point) not in known), AHEAD))
        for point in missing:
            self.study.enqueue_trial(dict(zip(keys, point, strict=True)))
        return bool(missing)

    def _point(self, trial: optuna.trial.FrozenTrial) -> tuple[tuple[str, str], ...]:
        """Return the point of the grid a trial stands for: what it was put into the queue with."""
        if trial.number not in self._points:
            values = trial.system_attrs.get("fixed_params", trial.params)
            self._points[trial.number] = _key(list(values), list(values.values()))
        return self._points[trial.number]

    def tell(self, number: int, outcome: Outcome, extra: Mapping[str, Any]) -> bool:
        """Write the outcome of a trial; return whether it still was ours to write."""
        trial = self._mine.pop(number)
        states = self._optuna.trial.TrialState
        state = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[outcome.state]
        try:
            if outcome.reason:
                trial.set_user_attr("reason", outcome.reason)
            elif state is states.FAIL:
                trial.set_user_attr("reason", "failed without a word")
            trial.set_user_attr("outcome", {**outcome.plain(), **extra})
            if outcome.result:
                trial.set_user_attr("constraints", constraint_values(self.space, outcome.result))
            self.study.tell(trial, self._values(outcome), state=state)
        except (ValueError, self._optuna.exceptions.UpdateFinishedTrialError):
            return False
        return True

    def _values(self, outcome: Outcome) -> list[float] | None:
        if outcome.state != "complete":
            return None
        return objective_values(outcome.result, self.space.search.objectives)

    def give_up(self) -> None:
        """Void the trials this explorer still holds, so that others may take their place."""
        for trial in self._mine.values():
            try:
                self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            except Exception:  # the storage may be what broke
                break
        self._mine.clear()

    def beat(self) -> None:
        """Show that this explorer lives, when it is time to."""
        if time.monotonic() - self._beat < HEARTBEAT_S:
            return
        for trial in self._mine.values():
            self.study._storage.record_heartbeat(trial._trial_id)
        self.recover()
        self._beat = time.monotonic()

    def recover(self) -> int:
        """Void the trials of explorers that died; finish those whose result was already written. Return how many."""
        states = self._optuna.trial.TrialState
        found = 0
        for trial in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if trial.number in self._mine or not _is_orphan(trial):
                continue
            outcome = trial.user_attrs.get("outcome")
            try:
                if outcome and outcome["state"] == "complete":
                    values = objective_values(outcome["result"], self.space.search.objectives)
                    self.study.tell(trial.number, values, state=states.COMPLETE)
                else:
                    pruned = outcome and outcome["state"] == "pruned"
                    self.study.tell(trial.number, state=states.PRUNED if pruned else states.FAIL)
                found += 1
            except (ValueError, self._optuna.exceptions.UpdateFinishedTrialError):
                continue  # another explorer was faster
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._optuna.storages.fail_stale_trials(self.study)
        return found

    def others_running(self) -> bool:
        """Whether another explorer still works on trials of this study."""
        states = self._optuna.trial.TrialState
        running = self.study.get_trials(deepcopy=False, states=(states.RUNNING,))
        return any(trial.number not in self._mine for trial in running)

    def _sampler(self) -> Any:
        samplers = self._optuna.samplers
        # Another seed for every explorer that joins or resumes: the same one would draw the same trials again.
        n_before = len(self.study.get_trials(deepcopy=False))
        seed = (self.space.search.seed + 7919 * n_before) % (1 << 32)
        name = self.space.search.sampler
        if name in ("grid", "random"):
            return samplers.RandomSampler(seed=seed)
        limits = self.space.constraints
        bounded = any(limit is not None for limit in limits.model_dump().values())
        function = _read_constraints if bounded else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            if name == "tpe":
                return samplers.TPESampler(
                    seed=seed, multivariate=True, constant_liar=True, constraints_func=function
                )  # the liar keeps trials that run at the same time apart
            return samplers.NSGAIISampler(seed=seed, constraints_func=function)


def is_void(trial: optuna.trial.FrozenTrial) -> bool:
    """Return whether a trial was given up by an explorer that ended: failed, without a reason."""
    return bool(trial.state.name == "FAIL" and "reason" not in trial.user_attrs)


def constraint_values(space: SpaceSpec, result: Mapping[str, Any]) -> list[float]:
    """Return for every limit of a space by how much a result breaks it; 0 or less: it keeps it."""
    limits = space.constraints
    found = []
    if limits.min_accuracy is not None:
        found.append(limits.min_accuracy - result["accuracy"])
    if limits.max_memory_bits is not None:
        found.append(float(result["memory_bits"] - limits.max_memory_bits))
    if limits.max_energy_j is not None:
        found.append(result["energy_j"] - limits.max_energy_j)
    return found


def guarded(action: Callable[[], Any], where: str) -> Any:
    """Do something with the storage; what it raises becomes an error that says what is safe."""
    optuna = import_optuna()
    import sqlalchemy.exc

    try:
        return action()
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        cause = error.__cause__ or error
        raise StudyError(
            f"{where}: the study cannot be written ({str(cause).splitlines()[0]}); trials that are finished are kept: "
            "make room or repair access, then run the same command again"
        ) from error


def _read_constraints(trial: optuna.trial.FrozenTrial) -> Sequence[float]:
    values: Sequence[float] = trial.user_attrs.get("constraints", ())
    return values


def _distribution(optuna: Any, parameter: Any) -> Any:
    made = optuna.distributions
    if isinstance(parameter, ChoiceParameter):
        return made.CategoricalDistribution(parameter.choices)
    if parameter.is_whole:
        return made.IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1
        )
    return made.FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def _key(keys: Sequence[str], values: Sequence[Scalar]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, repr(value)) for key, value in zip(keys, values, strict=True)))


def _owner() -> dict[str, Any]:
    return {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid())}


def _host() -> str:
    """Return where process ids mean what they mean here: the machine and, in a container, its process namespace."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """Return what tells a process from a later one with the same id; empty if it is gone or the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_orphan(trial: optuna.trial.FrozenTrial) -> bool:
    """Return whether the explorer of a running trial is known to be dead."""
    owner = trial.user_attrs.get("owner")
    if owner is None:  # it died between asking and signing
        age = datetime.now() - (trial.datetime_start or datetime.now())
        return age.total_seconds() > GRACE_S
    if owner["host"] != _host() or not owner["started"]:
        return False  # its heartbeat tells
    return bool(_started(owner["pid"]) != owner["started"])


__all__ = [
    "AHEAD", "GRACE_S", "HEARTBEAT_S", "Ledger", "constraint_values", "guarded", "import_optuna", "is_void",
    "open_storage", "sqlite_url",
]  # fmt: skip
