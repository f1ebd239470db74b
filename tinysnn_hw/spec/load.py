"""Find, read and validate network files; apply recipes and overrides; remember where each value came from."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, Tag, ValidationError

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec.network import REGISTERS, NetworkSpec

SCHEMA_VERSION = 1
_META_KEYS = ("schema_version", "name", "summary", "default_recipe", "recipe", "source")
_SECTIONS = ("network", "neuron", "inhibition", "inhibitory", "learning", "encoding", "formats")
_SHORT_KEYS = {
    "neurons": "network.neurons",
    "inputs": "network.inputs",
    "epochs": "learning.epochs",
    "guard_bits": "formats.guard_bits",
    **{register: f"formats.{register}.format" for register in REGISTERS},
}
_ALL_REGISTER_KEYS = ("rounding", "overflow")


@dataclass(frozen=True, slots=True)
class ResolvedNetwork:
    """A validated network with the origin and source of every value.

    Attributes
    ----------
    spec : NetworkSpec
    file : Path
        The TOML file it was read from.
    origins : dict of str to str
        Dotted key -> ``"file"``, ``"recipe <name>"``, ``"override"`` or ``"default"``.
    sources : dict of str to str
        Dotted key or key prefix -> where the value comes from (literature, search).
    """

    spec: NetworkSpec
    file: Path
    origins: dict[str, str]
    sources: dict[str, str]

    def source_of(self, key: str) -> str:
        """Return the source of ``key``: the entry of its longest recorded prefix, or an empty text."""
        parts = key.split(".")
        for n in range(len(parts), 0, -1):
            text = self.sources.get(".".join(parts[:n]))
            if text is not None:
                return text
        return ""


def models_dir() -> Path:
    """Return the folder of the shipped descriptions (``TINYSNN_MODELS`` overrides it).

    Raises
    ------
    SpecError
        If no such folder exists.
    """
    override = os.environ.get("TINYSNN_MODELS")
    package = Path(str(resources.files("tinysnn_hw")))
    places = [Path(override)] if override else [package / "_models", package.parent / "models"]
    for place in places:
        if (place / "networks").is_dir():
            return place
    tried = ", ".join(str(place / "networks") for place in places)
    raise SpecError(f"models: no folder of network files found; tried {tried}")


def list_networks() -> list[str]:
    """Return the names of the shipped networks, sorted."""
    return sorted(path.stem for path in (models_dir() / "networks").glob("*.toml"))


def nearest(name: str, allowed: list[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed name, or an empty text."""
    close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def load_network(
    name: str | Path = "tinysnn-wta",
    *,
    recipe: str | None = None,
    settings: Mapping[str, object] | None = None,
    **overrides: object,
) -> NetworkSpec:
    """Load a network by name or file, with a recipe and overrides applied, validated and frozen.

    Parameters
    ----------
    name : str or Path
        A shipped network (``list_networks()``) or the path of a ``.toml`` file.
    recipe : str, optional
        Recipe of the file, usually named after a data set; absent: the file's ``default_recipe``.
    settings : mapping, optional
        Dotted keys to values, such as ``{"learning.n_th": 5, "formats.v_mem.rounding": "floor"}``.
    **overrides
        Short keys: ``neurons``, ``inputs``, ``epochs``, ``guard_bits``; a register name with a number
        format (``weight="u0.8"``, ``v_mem="s8.8"``, ...); ``rounding`` and ``overflow``, which set every
        register at once.  ``None`` means "not given".

    Returns
    -------
    NetworkSpec

    Raises
    ------
    SpecError
        Unknown network, recipe or key, impossible value, malformed file; the message names the file,
        the key, the value, what is allowed and the nearest name.

    Examples
    --------
    >>> net = load_network("tinysnn-wta", neurons=100, weight="u0.4", rounding="floor")
    >>> net.network.neurons, str(net.formats.weight.format), net.formats.v_mem.rounding.name
    (100, 'u0.4', 'FLOOR')
    """
    return resolve_network(name, recipe=recipe, settings=settings, **overrides).spec


def resolve_network(
    name: str | Path = "tinysnn-wta",
    *,
    recipe: str | None = None,
    settings: Mapping[str, object] | None = None,
    **overrides: object,
) -> ResolvedNetwork:
    """Load a network like `load_network` and keep the origin and source of every value."""
    file = _find(name)
    table = _read(file)
    recipe = recipe if recipe is not None else str(table["default_recipe"])
    recipes: dict[str, Any] = table.get("recipe", {})
    if recipe not in recipes:
        raise SpecError(
            f"{file.name}: recipe {recipe!r} is unknown; recipes of this network: "
            f"{', '.join(recipes)}{nearest(recipe, list(recipes))}"
        )
    values: dict[str, Any] = {section: table[section] for section in _SECTIONS if section in table}
    origins = dict.fromkeys((key for key, _ in _leaves(values)), "file")
    for key, value in _leaves(recipes[recipe]):
        _set(values, key, value, file)
        origins[key] = f"recipe {recipe}"
    present = [register for register in REGISTERS if register in values.get("formats", {})]
    for key, value in _expand(settings, overrides, file, present):
        _set(values, key, value, file)
        origins[key] = "override"
    spec = _validate({"name": table["name"], "summary": table["summary"], "recipe": recipe, **values}, file)
    for key, value in _leaves(spec.model_dump(include=set(_SECTIONS))):
        if value is not None or not _is_table(key):
            origins.setdefault(key, "default")
    return ResolvedNetwork(spec=spec, file=file, origins=origins, sources=dict(table.get("source", {})))


def has_recipe(name: str | Path, recipe: str) -> bool:
    """Return whether the network file ``name`` has a recipe called ``recipe``."""
    return recipe in _read(_find(name)).get("recipe", {})


def network_from_dict(values: Mapping[str, Any], origin: str) -> NetworkSpec:
    """Rebuild a network from the dictionary stored in a model file; ``origin`` names it in errors."""
    return _validate(dict(values), Path(origin))


def _find(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise SpecError(f"network file {str(path)!r} does not exist")
        return path
    names = list_networks()
    if str(name) not in names:
        raise SpecError(
            f"network {str(name)!r} is unknown; shipped networks: {', '.join(names)}"
            f"{nearest(str(name), names)} (or give the path of a .toml file)"
        )
    return models_dir() / "networks" / f"{name}.toml"


def _read(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: not valid TOML: {error}") from error
    if table.get("schema_version") != SCHEMA_VERSION:
        raise SpecError(
            f"{file}: schema_version = {table.get('schema_version')!r}; this version reads {SCHEMA_VERSION}"
        )
    for key in ("name", "summary", "default_recipe"):
        if not isinstance(table.get(key), str):
            raise SpecError(f"{file}: {key} = {table.get(key)!r}; a text is required")
    allowed = [*_META_KEYS, *_SECTIONS]
    for key in table:
        if key not in allowed:
            raise SpecError(f"{file}: {key} is not a key of a network file{nearest(key, allowed)}")
    return table


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _expand(
    settings: Mapping[str, object] | None, overrides: Mapping[str, object], file: Path, present: list[str]
) -> Iterator[tuple[str, object]]:
    for key, value in overrides.items():
        if value is None:
            continue
        if key in _ALL_REGISTER_KEYS:
            for register in present:
                yield f"formats.{register}.{key}", value
        elif key in _SHORT_KEYS:
            yield _SHORT_KEYS[key], value
        else:
            allowed = [*_SHORT_KEYS, *_ALL_REGISTER_KEYS]
            raise SpecError(
                f"{file.name}: {key} = {value!r} is not a short key; short keys: {', '.join(allowed)}"
                f"{nearest(key, allowed)} (every other key: settings={{'section.key': value}})"
            )
    for key, value in (settings or {}).items():
        section = key.partition(".")[0]
        if section not in _SECTIONS:
            raise SpecError(
                f"{file.name}: {key} = {value!r}: {section!r} is not a section of a network; sections: "
                f"{', '.join(_SECTIONS)}{nearest(section, list(_SECTIONS))}"
            )
        yield key, value


def _set(values: dict[str, Any], key: str, value: object, file: Path) -> None:
    """Set one dotted key; copies each table on the way so that the file's own tables stay as read."""
    *path, last = key.split(".")
    table = values
    for part in path:
        child = table.get(part, {})
        if not isinstance(child, Mapping):
            raise SpecError(f"{file}: {key} = {value!r}: {part} is a single value, it has no key {last!r}")
        table[part] = dict(child)
        table = table[part]
    # A sweep over np.arange gives NumPy's integers.
    table[last] = int(value) if isinstance(value, Integral) and not isinstance(value, int) else value


def _validate(values: dict[str, Any], file: Path) -> NetworkSpec:
    try:
        return NetworkSpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(explain(error, file, NetworkSpec)) from error


def explain(error: ValidationError, file: Path, model: type[BaseModel]) -> str:
    """Turn pydantic's list into lines that name file, key, value, what is allowed and the nearest name."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            allowed = _keys_at(item["loc"][:-1], model)
            lines.append(
                f"{file}: {key} = {item['input']!r} is unknown; keys here: {', '.join(allowed)}"
                f"{nearest(str(item['loc'][-1]), allowed)}"
            )
        elif item["type"] == "missing":
            lines.append(f"{file}: {key} is missing")
        else:
            reason = str(item["msg"]).removeprefix("Value error, ")
            if item["type"] == "literal_error":
                reason += nearest(str(item["input"]), re.findall("'([^']*)'", item["ctx"]["expected"]))
            shown = "" if isinstance(item["input"], Mapping) else f" = {item['input']!r}"
            where = f"{key}{shown}: " if key else ""
            lines.append(f"{file}: {where}{reason}")
    return "\n".join(lines)


def _keys_at(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the keys allowed at a place, whatever optional values, tables or lists lie on the way there."""
    kind: object = model
    annotation: object = None
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            annotation = kind.model_fields[str(part)].annotation
            kind = model_of(annotation)
        else:
            kind = _tagged(annotation, part) or kind
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _tagged(annotation: object, tag: int | str) -> type[BaseModel] | None:
    """Return the model class that bears a tag in an annotation of several."""
    parts = get_args(annotation)
    if Tag(str(tag)) in parts:
        return model_of(parts[0])
    return next((found for part in parts if (found := _tagged(part, tag)) is not None), None)


def _is_table(key: str) -> bool:
    """Return whether ``key`` names a table of a network file, not a single value."""
    model: type[BaseModel] = NetworkSpec
    for part in key.split("."):
        inner = model_of(model.model_fields[part].annotation)
        if inner is None:
            return False
        model = inner
    return True


def model_of(annotation: object) -> type[BaseModel] | None:
    """Return the model class in a field's annotation, such as ``Model | None``; None if it is a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_of(part)) is not None), None)
