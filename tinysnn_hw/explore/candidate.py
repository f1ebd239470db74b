"""From the values of a trial to the configuration it stands for, and the digest that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tinysnn_hw.errors import SpecError
from tinysnn_hw.quantize import preset_formats
from tinysnn_hw.spec import NetworkSpec, has_recipe, load_network
from tinysnn_hw.spec.network import REGISTERS
from tinysnn_hw.spec.registers import register_formats
from tinysnn_hw.spec.space import FLOAT_BITS, PAPER_PARAMETERS, Scalar, SpaceSpec, allows, values_of
from tinysnn_hw.version import NUMERIC_VERSION

_FORMAT_KEYS = (*REGISTERS, "rounding", "overflow", "guard_bits")


@dataclass(frozen=True)
class Candidate:
    """One configuration.

    Attributes
    ----------
    network : NetworkSpec
        As it runs in inference.
    scheme : {"itq", "ptq", "float"}
        Trained in its own formats; trained in float64 and quantized after training; float64 throughout.
    source : NetworkSpec or None
        What is trained before post-training quantization.
    """

    network: NetworkSpec
    scheme: str
    source: NetworkSpec | None = None

    @property
    def trained(self) -> NetworkSpec:
        """The network that is trained."""
        return self.network if self.source is None else self.source

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU can train it: in fixed point."""
        return self.scheme == "itq"

    @cached_property
    def raster_key(self) -> str:
        """Equal for configurations that are shown the same spikes."""
        network = self.network
        learning = network.learning
        return f"{network.network.inputs} {learning.epochs} {learning.shuffle} {network.encoding.model_dump_json()}"

    @cached_property
    def shape_key(self) -> tuple[int, ...]:
        """Equal for configurations that one launch of a GPU trains side by side: inputs, neurons, steps and epochs."""
        sizes, encoding = self.network.network, self.network.encoding
        return (sizes.inputs, sizes.neurons, encoding.n_steps, self.network.learning.epochs)

    @cached_property
    def order_key(self) -> tuple[Any, ...]:
        """Near for configurations that train the same source or run in the same kernel."""
        formats = register_formats(self.network)
        source = "" if self.source is None else self.source.model_dump_json()
        widths = tuple(formats[name].width for name in ("weight", "v_mem"))
        return (self.raster_key, self.scheme, source, self.network.network.neurons, widths)

    def plain(self) -> dict[str, Any]:
        """Return what decides the bits, as plain data: names and summaries left out."""
        skip = {"name", "summary", "recipe"}
        return {
            "network": self.network.model_dump(mode="json", exclude=skip),
            "scheme": self.scheme,
            "source": None if self.source is None else self.source.model_dump(mode="json", exclude=skip),
        }


def digest_of(candidate: Candidate, context: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration and of what it is judged on.

    Parameters
    ----------
    candidate : Candidate
    context : mapping
        Data digests, numbers of images, seeds, hardware: plain data.
    """
    values = {**candidate.plain(), "context": dict(context), "numeric_version": NUMERIC_VERSION}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def make_candidate(space: SpaceSpec, values: Mapping[str, Scalar], data: str) -> Candidate:
    """Return the configuration that the values of a space's parameters stand for.

    Parameters
    ----------
    space : SpaceSpec
    values : mapping of str to value
        One per parameter.
    data : str
        Name of the data set, which names the recipe unless the space does.

    Raises
    ------
    SpecError
        The combination is impossible.

    Notes
    -----
    ``bits = b`` gives the registers that ``quantized`` names (absent: ``qWN``) ``b`` bits: each keeps its sign and
    its integer bits.  ``bits = 32`` is the network in floating point, whatever the other values say.  ``rounding``
    concerns the registers ``bits`` concerns; without ``bits``, all.  With ``scheme = "ptq"`` the network is trained
    in float64 with the formats of the space's settings, and its words are cut afterwards.
    """
    settings = {
        **space.settings,
        **{key: value for key, value in values.items() if key not in PAPER_PARAMETERS},
    }
    name = str(values.get("network", space.network))
    recipe = space.recipe or (data if has_recipe(name, data) else None)
    bits = values.get("bits")
    rounding = values.get("rounding")
    scheme = str(values.get("scheme", "itq"))
    plain = {key: value for key, value in settings.items() if not _is_format(key) or key in space.settings}
    source = _load(name, recipe, plain)
    if bits == FLOAT_BITS:
        return Candidate(source, "float")
    network = _load(name, recipe, settings, rounding if bits is None else None)
    if bits is not None:
        formats = preset_formats(network, str(values.get("quantized", "qWN")), bits)  # type: ignore[arg-type]
        narrowed = {f"formats.{name}.format": str(fmt) for name, fmt in formats.items()}
        cut = {} if rounding is None else {f"formats.{name}.rounding": rounding for name in formats}
        network = _load(name, recipe, {**settings, **narrowed, **cut})
    return Candidate(network, scheme, source if scheme == "ptq" else None)


def recipe_point(space: SpaceSpec, data: str) -> dict[str, Scalar]:
    """Return the values that the space's recipe, with its settings, has for the parameters.

    Raises
    ------
    SpecError
        The recipe has no such value, or it lies outside the space.
    """
    values = _plain(make_candidate(space.model_copy(update={"parameters": {}}), {}, data).network)
    found: dict[str, Scalar] = {}
    for key, parameter in space.parameters.items():
        value = values.get(key, values.get(f"network.{key}", values.get(f"formats.{key}.format")))
        if value is None or not allows(parameter, value):
            raise SpecError(
                f"search space {space.name!r}: search.start = 'recipe', but parameters.{key} does not contain the "
                f"recipe's value {value!r}; widen it, or leave out search.start"
            )
        found[key] = value
    return found


def _plain(network: NetworkSpec) -> dict[str, Scalar]:
    """Return the values of a network by dotted key."""
    found: dict[str, Scalar] = {}

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        for key, value in table.items():
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")
            else:
                found[prefix + key] = value

    walk(network.model_dump(mode="json"), "")
    return found


def check_space(space: SpaceSpec, data: str) -> None:
    """Refuse a space with a value that no network can have: each is tried with the first value of all others.

    Raises
    ------
    SpecError
        The message names the parameter, the value and the reason.
    """
    firsts: dict[str, Scalar] = {}
    tries: list[tuple[str, Scalar]] = []
    for key, parameter in space.parameters.items():
        values: Sequence[Scalar] | None = values_of(parameter)
        if values is None:
            values = (parameter.low, parameter.high)  # type: ignore[union-attr]  # only a range is uncountable
        firsts[key] = values[0]
        tries += [(key, value) for value in (values if len(values) <= 64 else (values[0], values[-1]))]
    for key, value in tries:
        try:
            make_candidate(space, {**firsts, key: value}, data)
        except SpecError as error:
            others = ", ".join(f"{name} = {first!r}" for name, first in firsts.items() if name != key)
            raise SpecError(
                f"search space {space.name!r}: parameters.{key}, value {value!r}: {error}"
                f"{f' (with {others})' if others else ''}"
            ) from error


def _is_format(key: str) -> bool:
    return key.startswith("formats.") or key in _FORMAT_KEYS


def _load(
    name: str, recipe: str | None, settings: Mapping[str, Scalar], rounding: Scalar | None = None
) -> NetworkSpec:
    short = {key: value for key, value in settings.items() if "." not in key}
    dotted = {key: value for key, value in settings.items() if "." in key}
    return load_network(name, recipe=recipe, settings=dotted, **short, rounding=rounding)


__all__ = ["Candidate", "check_space", "digest_of", "make_candidate", "recipe_point"]
