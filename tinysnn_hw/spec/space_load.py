"""Find, read and validate search-space files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec.load import SCHEMA_VERSION, explain, models_dir, nearest
from tinysnn_hw.spec.space import SpaceSpec


def list_spaces() -> list[str]:
    """Return the names of the shipped search spaces, sorted."""
    return sorted(path.stem for path in (models_dir() / "spaces").glob("*.toml"))


def load_space(name: str | Path | SpaceSpec) -> SpaceSpec:
    """Load a search space by name or file, validated and frozen.

    Parameters
    ----------
    name : str, Path or SpaceSpec
        A shipped space (``list_spaces()``), the path of a ``.toml`` file, or what was loaded before.

    Returns
    -------
    SpaceSpec

    Raises
    ------
    SpecError
        Unknown name, malformed file, impossible value; the message names file, key, value and what is allowed.

    Examples
    --------
    >>> load_space("paper-grid").n_trials
    84
    """
    if isinstance(name, SpaceSpec):
        return name
    file = _find(name)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: not valid TOML: {error}") from error
    if table.get("schema_version") != SCHEMA_VERSION:
        raise SpecError(
            f"{file}: schema_version = {table.get('schema_version')!r}; this version reads {SCHEMA_VERSION}"
        )
    del table["schema_version"]
    return space_from_dict(table, str(file))


def space_from_dict(values: Mapping[str, Any], origin: str) -> SpaceSpec:
    """Build a space from plain data; ``origin`` names it in errors.

    Raises
    ------
    SpecError
        As in `load_space`.
    """
    try:
        return SpaceSpec.model_validate(_tuples(values))
    except ValidationError as error:
        raise SpecError(explain(error, Path(origin), SpaceSpec)) from error


def with_trials(space: SpaceSpec, trials: int | None) -> SpaceSpec:
    """Return a space with another number of trials; ``None``: as it is.

    Raises
    ------
    SpecError
        The number is out of range.
    """
    if trials is None:
        return space
    values = space.dump()
    values["search"]["trials"] = trials
    return space_from_dict(values, space.name)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists of a file into tuples, except those that stand for a parameter."""
    return {
        key: _tuples(value)
        if isinstance(value, Mapping) and key != "settings"
        else tuple(value)
        if isinstance(value, list)
        else value
        for key, value in values.items()
    }


def _find(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise SpecError(f"search-space file {str(path)!r} does not exist")
        return path
    names = list_spaces()
    if str(name) not in names:
        raise SpecError(
            f"search space {str(name)!r} is unknown; shipped spaces: {', '.join(names)}"
            f"{nearest(str(name), names)} (or give the path of a .toml file)"
        )
    return models_dir() / "spaces" / f"{name}.toml"


__all__ = ["list_spaces", "load_space", "space_from_dict", "with_trials"]
