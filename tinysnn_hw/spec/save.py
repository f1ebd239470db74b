"""Write a network as a file that `tinysnn_hw.spec.load_network` reads back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from tinysnn_hw.spec.load import _SECTIONS, SCHEMA_VERSION
from tinysnn_hw.spec.network import NetworkSpec


def network_toml(spec: NetworkSpec, sources: Mapping[str, str] | None = None) -> str:
    """Return a network as the text of a network file with one recipe, named as the network's own.

    Parameters
    ----------
    spec : NetworkSpec
    sources : mapping of str to str, optional
        Dotted key or key prefix -> where the value comes from.

    Returns
    -------
    str
        TOML; loading it gives ``spec`` again.
    """
    values = spec.model_dump(mode="json", include=set(_SECTIONS))
    table: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": spec.name,
        "summary": spec.summary,
        "default_recipe": spec.recipe,
        **{name: _without_none(values[name]) for name in _SECTIONS if values[name] is not None},
        "recipe": {spec.recipe: {}},
    }
    if sources:
        table["source"] = dict(sources)
    return tomli_w.dumps(table)


def save_network(
    spec: NetworkSpec, file: str | os.PathLike[str], sources: Mapping[str, str] | None = None
) -> Path:
    """Write `network_toml` to a file, complete or not at all; an existing file is replaced."""
    return write_text(file, network_toml(spec, sources))


def write_text(file: str | os.PathLike[str], text: str) -> Path:
    """Write a text file under a temporary name and rename it when it is complete."""
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Return a table without absent values, which TOML has no word for."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


__all__ = ["network_toml", "save_network", "write_text"]
