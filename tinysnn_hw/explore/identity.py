"""What a study is a study of: everything that decides a trial's result, its digest, and what differs between two."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tinysnn_hw.cost import memory_footprint
from tinysnn_hw.explore.candidate import Candidate, make_candidate
from tinysnn_hw.spec.hardware_load import load_hardware
from tinysnn_hw.spec.space import SpaceSpec, values_of
from tinysnn_hw.version import NUMERIC_VERSION

_SAID = 6
"""Differences that a message lists; the rest is counted."""
_TEXTS = ("name", "summary", "technology", "sources", "source", "scope")
_SHAPING = ("network", "recipe", "settings", "parameters")
"""Parts of a space that decide which networks it starts from."""


def bases(space: SpaceSpec, data: str) -> dict[str, Candidate]:
    """Return every network of a space as its file, recipe and the space's settings make it, by name.

    Raises
    ------
    SpecError
        A network cannot be read, or not with the settings.
    """
    parameter = space.parameters.get("network")
    names = [space.network] if parameter is None else list(map(str, values_of(parameter) or ()))
    plain = space.model_copy(update={"parameters": {}})
    return {name: make_candidate(plain, {"network": name}, data) for name in names}


def deciding(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a space, as plain data, that decides what is tried and how it is judged."""
    kept = {key: value for key, value in space.items() if key not in ("summary", "constraints", "search")}
    return {**kept, "search": {key: space["search"][key] for key in ("sampler", "objectives")}}


def described(space: SpaceSpec, data: str) -> dict[str, Any]:
    """Return what a space only names, as plain data: its networks, its hardware, the version of the numerics."""
    hardware = load_hardware(space.protocol.hardware).model_dump(mode="json")
    return {
        "networks": {name: one.plain()["network"] for name, one in bases(space, data).items()},
        "hardware": _without_texts(hardware),
        "numeric_version": NUMERIC_VERSION,
    }


def identity_of(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything in a manifest that decides the results."""
    return hashlib.sha256(json.dumps(_decisions(manifest), sort_keys=True).encode()).hexdigest()


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return in words what decides results and is not the same in two manifests; empty if all of it is."""
    mine, other = _decisions(ours), _decisions(theirs)
    keys = {**mine["space"], **other["space"]}
    found = [key for key in keys if mine["space"].get(key) != other["space"].get(key)]
    found += [key for key in ("data", "label_images", "numeric_version") if mine[key] != other[key]]
    if ours["storage"] != theirs["storage"]:
        found.append("storage")
    if not set(_SHAPING) & set(found):  # other networks were asked for: their values differ, too
        for name, network in mine["networks"].items():
            found += _values(f"network {name}: ", network, other["networks"].get(name, {}))
    if "protocol" not in found:
        hardware = ours["space"]["protocol"]["hardware"]
        found += _values(f"hardware {hardware}: ", mine["hardware"], other["hardware"])
    more = f" and {len(found) - _SAID} more" if len(found) > _SAID else ""
    return ", ".join(found[:_SAID]) + more


def reference_memory_bits(space: SpaceSpec, data: str) -> int:
    """Return the memory of the space's first network in inference with 32-bit words [bit]."""
    first = next(iter(bases(space, data).values()))
    return memory_footprint(first.network, packing="word32").bits


def _decisions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    data = manifest["data"]
    return {
        "space": deciding(manifest["space"]),
        "data": {key: data[key] for key in ("digests", "limit_train", "holdout")},
        **{key: manifest[key] for key in ("label_images", "networks", "hardware", "numeric_version")},
    }


def _values(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    mine, other = dict(_leaves(ours)), dict(_leaves(theirs))
    return [
        f"{where}{key} = {mine.get(key, 'absent')} (was {other.get(key, 'absent')})"
        for key in {**mine, **other}
        if mine.get(key, "absent") != other.get(key, "absent")
    ]


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the single values of nested tables and lists with their dotted keys."""
    if value and isinstance(value, (Mapping, list)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, item in items:
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _without_texts(value: Any) -> Any:
    """Return plain data without the texts of a hardware file, which decide nothing."""
    if isinstance(value, Mapping):
        return {key: _without_texts(item) for key, item in value.items() if key not in _TEXTS}
    return [_without_texts(item) for item in value] if isinstance(value, list) else value


__all__ = ["bases", "deciding", "described", "differences", "identity_of", "reference_memory_bits"]
