"""What a network consists of, value by value, for people: unit, meaning, origin and source of every field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.modes import Overflow, Rounding
from tinysnn_hw.spec.load import ResolvedNetwork, _find, _read, list_networks, model_of
from tinysnn_hw.spec.network import NetworkSpec

_NAMING = ("name", "summary", "recipe")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDescription:
    """One value of a network.

    Attributes
    ----------
    key : str
        Dotted key, as ``--set`` takes it.
    value : bool, int, float, str or None
        The value; formats and modes as text.
    unit : str
        Unit, or ``-`` for a choice.
    meaning : str
        What the value does.
    origin : str
        ``file``, ``recipe <name>``, ``override`` or ``default``; empty if unknown.
    source : str
        Where the value comes from (literature, search); empty if unknown or overridden.
    """

    key: str
    value: bool | int | float | str | None
    unit: str
    meaning: str
    origin: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSummary:
    """A network file in one line.

    Attributes
    ----------
    name, summary : str
    recipes : tuple of str
        In the order of the file.
    default_recipe : str
    file : Path
    """

    name: str
    summary: str
    recipes: tuple[str, ...]
    default_recipe: str
    file: Path


def describe_spec(spec: NetworkSpec) -> tuple[FieldDescription, ...]:
    """Return every value of `spec` in the order of its sections, without origin and source."""
    return tuple(_walk(spec, ""))


def describe_network(resolved: ResolvedNetwork) -> tuple[FieldDescription, ...]:
    """Return every value of a network with its origin, and its source where the value is the file's own."""
    rows = []
    for row in describe_spec(resolved.spec):
        origin = resolved.origins.get(row.key, "default")
        source = resolved.source_of(row.key) if origin == "file" or origin.startswith("recipe ") else ""
        rows.append(
            FieldDescription(
                key=row.key,
                value=row.value,
                unit=row.unit,
                meaning=row.meaning,
                origin=origin,
                source=source,
            )
        )
    return tuple(rows)


def summarize_network(name: str | Path) -> NetworkSummary:
    """Return name, summary and recipes of a network file.

    Raises
    ------
    SpecError
        The network is unknown or its file malformed.
    """
    file = _find(name)
    table = _read(file)
    return NetworkSummary(
        name=str(table["name"]),
        summary=str(table["summary"]),
        recipes=tuple(table.get("recipe", {})),
        default_recipe=str(table["default_recipe"]),
        file=file,
    )


def summarize_networks() -> tuple[NetworkSummary, ...]:
    """Return the summaries of all shipped networks, by name."""
    return tuple(summarize_network(name) for name in list_networks())


def _walk(model: BaseModel, prefix: str) -> Iterator[FieldDescription]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{prefix}{name}.")
        elif value is None and model_of(field.annotation) is not None:
            continue
        elif prefix or name not in _NAMING:
            yield FieldDescription(
                key=f"{prefix}{name}", value=_plain(value), unit=_unit(field), meaning=field.description or ""
            )


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "-")) if isinstance(extra, Mapping) else "-"


def _plain(value: object) -> bool | int | float | str | None:
    if isinstance(value, (Rounding, Overflow)):
        return value.text
    if isinstance(value, Format):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


__all__ = [
    "FieldDescription", "NetworkSummary", "describe_network", "describe_spec", "summarize_network",
    "summarize_networks",
]  # fmt: skip
