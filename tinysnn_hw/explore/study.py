"""A study on disk: what it is a study of, and every trial of it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinysnn_hw.errors import StudyError
from tinysnn_hw.explore.identity import described, differences, identity_of, reference_memory_bits
from tinysnn_hw.explore.storage import import_optuna, is_void, open_storage, sqlite_url
from tinysnn_hw.explore.work import DataRef
from tinysnn_hw.learning import versions
from tinysnn_hw.spec.space import SpaceSpec
from tinysnn_hw.spec.space_load import space_from_dict

if TYPE_CHECKING:
    import optuna

STUDY_FILE, DATABASE = "study.json", "study.db"
_SCHEMA = 2
_FIRST_SCHEMA = 1
"""Manifests that name network and hardware without describing them; such a study can be read, not continued."""
_STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One trial of a study.

    Attributes
    ----------
    number : int
    state : {"complete", "pruned", "failed", "running", "waiting"}
    parameters : dict
    result : dict
        Numbers of the outcome; empty where there is none.
    digest : str
        SHA-256 of the configuration and of what it is judged on.
    same_as : int or None
        An earlier trial of the same configuration, whose result this one has; nothing was computed.
    reason : str
        Why it failed or was pruned.
    images : int
        Images shown to judge it.
    kernel_s : float
        Time spent in training and judging [s].
    """

    number: int
    state: str
    parameters: dict[str, Any]
    result: dict[str, Any]
    digest: str
    same_as: int | None
    reason: str
    images: int
    kernel_s: float


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as it stands.

    Attributes
    ----------
    folder : Path
    manifest : dict
        What it is a study of, see `write_manifest`.
    space : SpaceSpec
    trials : tuple of TrialRow
        Void ones, given up by an explorer that ended, left out.
    n_void : int
    """

    folder: Path
    manifest: dict[str, Any]
    space: SpaceSpec
    trials: tuple[TrialRow, ...]
    n_void: int

    @cached_property
    def finished(self) -> tuple[TrialRow, ...]:
        """Completed trials."""
        return tuple(row for row in self.trials if row.state == "complete")

    @cached_property
    def distinct(self) -> tuple[TrialRow, ...]:
        """The first completed trial of every configuration."""
        first: dict[str, TrialRow] = {}
        for row in self.finished:
            first.setdefault(row.digest, row)
        return tuple(first.values())

    @property
    def memory_bits_0(self) -> int:
        """Memory of the network that is not quantized, ``M_0`` of Eq. 3 [bit]."""
        return int(self.manifest["memory_bits_0"])

    @property
    def data(self) -> DataRef:
        """The data that is chosen on."""
        values = self.manifest["data"]
        return DataRef(**{**values, "digests": tuple(values["digests"])})

    def count(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(row.state == state for row in self.trials)


def make_manifest(space: SpaceSpec, data: DataRef, storage: str | None, label_images: int) -> dict[str, Any]:
    """Return what identifies a study, as plain data.

    Notes
    -----
    ``identity`` is the SHA-256 of all that decides the results: the space without number of trials, batch, seed of
    the sampler and constraints; its networks and its hardware as their files describe them; the data; the images that
    label; the version of the numerics.  ``memory_bits_0`` is the memory in inference of the space's network with its
    settings, every word 32 bits wide.
    """
    name = Path(data.name).stem
    manifest = {
        "space": space.dump(),
        "data": {
            "name": data.name,
            "data_dir": data.data_dir,
            "limit_train": data.limit_train,
            "holdout": data.holdout,
            "digests": list(data.digests),
        },
        "label_images": label_images,
        **described(space, name),
        "memory_bits_0": reference_memory_bits(space, name),
        "storage": storage,
        "versions": versions(),
    }
    identity = identity_of(manifest)
    return {
        "schema_version": _SCHEMA,
        "study": f"{space.name}-{name}-{identity[:12]}",
        "identity": identity,
        **manifest,
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``study.json`` under another name, then rename it."""
    write_text(folder / STUDY_FILE, json.dumps(manifest, indent=2) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a file in one step: it is there whole, or as it was.

    Raises
    ------
    StudyError
        It cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise StudyError(f"{file}: cannot be written: {error.strerror or error}") from error


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest of a study folder.

    Raises
    ------
    StudyError
        There is none, or it is damaged or of another version.
    """
    file = Path(folder) / STUDY_FILE
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(
            f"{file}: no such file; 'tinysnn explore SPACE --out {Path(folder)}' begins a study"
        ) from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{file}: cannot be read: {error}") from error
    known = (_FIRST_SCHEMA, _SCHEMA)
    if not isinstance(manifest, dict) or manifest.get("schema_version") not in known:
        raise StudyError(
            f"{file}: is no study of this version, which reads schema_version {known[0]} to {known[1]}"
        )
    return manifest


def check_continues(folder: Path, known: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse to go on with a study whose trials were, or may have been, decided by something else.

    Parameters
    ----------
    folder : Path
    known, ours : mapping
        Manifest of the study in the folder, and of what is asked for.

    Raises
    ------
    StudyError
        The message names what differs.
    """
    if known["schema_version"] == _FIRST_SCHEMA:
        raise StudyError(
            f"{folder}: this study was begun by a version that did not record its network and hardware, so nobody can "
            "tell whether new trials would belong to the old ones; it can be selected from and reported; name a new "
            "folder for new trials"
        )
    if known["identity"] != ours["identity"] or known["storage"] != ours["storage"]:
        raise StudyError(
            f"{folder}: holds another study, which differs in {differences(ours, known)}; continue it with what it "
            "was begun with, or name a new folder"
        )


def trial_context(space: SpaceSpec, data: DataRef, label_images: int) -> dict[str, Any]:
    """Return what the result of a trial depends on besides its configuration, as `digest_of` takes it."""
    protocol, halving = space.protocol, space.halving
    return {
        "data": list(data.digests),
        "label_images": label_images,
        "seeds": list(protocol.seeds),
        "spike_seed": protocol.spike_seed,
        "hardware": protocol.hardware,
        "halving": None if halving is None else halving.model_dump(mode="json"),
    }


def storage_url(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Return where the trials are: as the manifest says, else in the folder."""
    return manifest["storage"] or sqlite_url(folder / DATABASE)


def load_study(folder: str | os.PathLike[str]) -> StudyRecord:
    """Read a study, finished or not.

    Parameters
    ----------
    folder : path
        As written by `explore`.

    Raises
    ------
    StudyError
        There is no study, or it cannot be read.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    url = storage_url(place, manifest)
    if manifest["storage"] is None and not (place / DATABASE).is_file():
        raise StudyError(f"{place / DATABASE}: no such file; the trials of this study are gone")
    optuna = import_optuna()
    storage = open_storage(url)
    try:
        with _no_collection():
            study = optuna.load_study(study_name=manifest["study"], storage=storage)
            trials = study.get_trials(deepcopy=False)
    except KeyError:
        raise StudyError(f"{url}: holds no study {manifest['study']!r}") from None
    except Exception as error:  # drivers raise what they like
        raise StudyError(f"{url}: cannot be read: {error}") from error
    finally:
        storage.engine.dispose()
    rows = tuple(trial_row(trial) for trial in trials if not is_void(trial))
    return StudyRecord(
        folder=place,
        manifest=manifest,
        space=space_from_dict(manifest["space"], str(place / STUDY_FILE)),
        trials=rows,
        n_void=len(trials) - len(rows),
    )


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector of cycles from walking over a million new objects that all stay: it takes half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def trial_row(trial: optuna.trial.FrozenTrial) -> TrialRow:
    """Return a trial of Optuna as a row."""
    outcome = trial.user_attrs.get("outcome", {})
    return TrialRow(
        number=trial.number,
        state=_STATES[trial.state.name],
        parameters=dict(trial.params),
        result=outcome.get("result", {}),
        digest=outcome.get("digest", ""),
        same_as=outcome.get("same_as"),
        reason=trial.user_attrs.get("reason", ""),
        images=outcome.get("images", 0),
        kernel_s=outcome.get("kernel_s", 0.0),
    )


__all__ = [
    "DATABASE", "STUDY_FILE", "StudyRecord", "TrialRow", "check_continues", "load_study", "make_manifest",
    "read_manifest", "storage_url", "trial_context", "trial_row", "write_manifest", "write_text",
]  # fmt: skip
