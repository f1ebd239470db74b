"""The chosen configuration, trained on all training images and validated once on the test images."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import MissingPackageError, StudyError
from tinysnn_hw.explore.candidate import Candidate, digest_of, make_candidate
from tinysnn_hw.explore.select import Choice, Limits
from tinysnn_hw.explore.study import StudyRecord, read_manifest, trial_context
from tinysnn_hw.explore.work import train_candidates
from tinysnn_hw.learning import evaluate, save_model, versions
from tinysnn_hw.spec import NetworkSpec
from tinysnn_hw.spec.load import SCHEMA_VERSION

NETWORK_FILE, SELECTION_FILE = "network.toml", "selection.json"
Progress = Callable[[str, int, int], None]


def default_folder(study: StudyRecord, choice: Choice) -> Path:
    """Return where the model of a choice belongs: one folder per configuration, whatever chose it."""
    return study.folder / "selected" / f"trial-{choice.trial.number}"


def validate_choice(
    study: StudyRecord,
    choice: Choice,
    limits: Limits,
    folder: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train the chosen configuration on all training images, test it once, and write it.

    Parameters
    ----------
    study : StudyRecord
    choice : Choice
    limits : Limits
        Under which it was chosen, for the record.
    folder : path, optional
        Absent: ``selected/trial-<number>`` in the study.  A folder that holds this choice already is read, and
        neither trained nor tested again.
    progress, threads
        As in `tinysnn_hw.learning.train`.

    Returns
    -------
    dict
        What ``selection.json`` holds: the trial, its numbers on held-out images, the accuracy on the test images.

    Raises
    ------
    StudyError
        The folder holds something else, or cannot be written; or the network's file has changed since the trial.
    DataError
        The data is no longer the one of the study.

    Notes
    -----
    The folder has ``model.npz`` and ``model.json`` (weights and configuration, for `evaluate`), ``network.toml``
    (for `load_network`) and ``selection.json``.  With several seeds in the study the model is that of the first.
    """
    target = default_folder(study, choice) if folder is None else Path(folder)
    written = read_selection(target)
    if written is not None:
        if written["digest"] == choice.trial.digest and written["study"] == study.manifest["identity"]:
            return written
        raise StudyError(f"{target}: holds another choice (trial {written['trial']}); name another folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StudyError(f"{target}: holds something other than a choice; name another folder")
    ref = study.data
    ref.load()  # refuses data that is not that of the study
    data = load_dataset(ref.name, ref.data_dir)
    if ref.limit_train is not None:
        data = data.limit(ref.limit_train)
    candidate = make_candidate(study.space, choice.trial.parameters, Path(ref.name).stem)
    _check_same(study, choice, candidate)
    protocol = study.space.protocol
    models = train_candidates(
        [candidate], data, protocol.seeds[:1], protocol.spike_seed, threads=threads or 1, progress=progress
    )
    model = models[0][0]
    result = evaluate(model, data, progress=progress, threads=threads)
    selection = {
        "schema_version": 1,
        "study": study.manifest["identity"],
        "trial": choice.trial.number,
        "digest": choice.trial.digest,
        "parameters": choice.trial.parameters,
        "mu": choice.mu,
        "reward": choice.reward,
        "limits": limits.plain(),
        "chosen_on": {
            "images": f"{ref.holdout:,} held-out training images of {ref.name}",
            **{key: choice.trial.result[key] for key in ("accuracy", "memory_bits", "energy_j")},
        },
        "test": {
            "images": f"{data.n_test:,} test images of {data.name}",
            "accuracy": result.accuracy,
            "readouts": dict(result.readouts),
            "trained_on": f"{data.n_train:,} training images, those held out before included",
            "labelled_on": f"{data.n_train:,} training images",
            "seed": protocol.seeds[0],
        },
        "versions": versions(),
    }
    _write(target, candidate, model, selection)
    return selection


def read_selection(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the record of a choice, or None where there is none."""
    file = Path(folder) / SELECTION_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{file}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise StudyError(f"{file}: is no record of a choice")
    return found


def read_selections(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the records of all choices in a study folder, by trial; each is one use of the test images."""
    read_manifest(folder)
    found = [read_selection(place) for place in sorted((Path(folder) / "selected").glob("trial-*"))]
    return sorted((one for one in found if one is not None), key=lambda one: one["trial"])


def network_toml(spec: NetworkSpec) -> str:
    """Return a network as the text of a network file.

    Raises
    ------
    StudyError
        ``tomli-w`` is not installed.
    """
    try:
        import tomli_w
    except ImportError as error:
        raise MissingPackageError(
            "writing a network file needs tomli-w; pip install 'tinysnn-hw[explore]'"
        ) from error
    values = spec.model_dump(mode="json", exclude_none=True)
    recipe = values.pop("recipe")
    head = {
        "schema_version": SCHEMA_VERSION,
        "name": values.pop("name"),
        "summary": values.pop("summary"),
        "default_recipe": recipe,
    }
    return tomli_w.dumps({**head, **values, "recipe": {recipe: {}}})


def _check_same(study: StudyRecord, choice: Choice, candidate: Candidate) -> None:
    """Refuse a configuration that is no longer the one the trial was judged with."""
    context = trial_context(study.space, study.data, study.manifest["label_images"])
    if digest_of(candidate, context) == choice.trial.digest:
        return
    raise StudyError(
        f"{study.folder}: trial {choice.trial.number} was of another network: the file or recipe of "
        f"{candidate.network.name!r} has changed since, or the version of the numerics; restore it, or begin a study "
        "in a new folder"
    )


def _write(target: Path, candidate: Candidate, model: Any, selection: dict[str, Any]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            made = save_model(model, place / "model")
            (made / NETWORK_FILE).write_text(network_toml(candidate.network), encoding="utf-8")
            (made / SELECTION_FILE).write_text(json.dumps(selection, indent=2) + "\n", encoding="utf-8")
            made.rename(target)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        raise StudyError(f"{target}: cannot be written: {error}") from error


__all__ = [
    "NETWORK_FILE", "SELECTION_FILE", "default_folder", "network_toml", "read_selection", "read_selections",
    "validate_choice",
]  # fmt: skip
