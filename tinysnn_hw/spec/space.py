"""A search space: which networks are tried, how each is judged, which are asked for first."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from tinysnn_hw.spec.fields import SpecModel, quantity

Scalar = bool | int | float | str
OBJECTIVES = {"accuracy": "maximize", "memory": "minimize", "energy": "minimize"}
"""What can be searched for, and in which direction."""
SCHEMES = ("itq", "ptq")
FLOAT_BITS = 32
"""Value of the parameter ``bits`` that stands for the network in floating point."""
PAPER_PARAMETERS: dict[str, tuple[Scalar, ...] | None] = {
    "scheme": SCHEMES, "bits": None, "quantized": ("qW", "qWN"), "rounding": None, "network": None,
}  # fmt: skip
"""Parameters that are no key of a network, with their values where there are only so many."""
MAX_GRID = 20_000


class ChoiceParameter(SpecModel):
    """A parameter with a list of values."""

    choices: tuple[Scalar, ...] = quantity("-", min_length=1)
    """The values, each once."""

    @model_validator(mode="after")
    def _check(self) -> ChoiceParameter:
        seen: list[Scalar] = []
        for value in self.choices:
            if any(type(value) is type(other) and value == other for other in seen):
                raise ValueError(f"the value {value!r} occurs twice; list it once")
            seen.append(value)
        return self


class RangeParameter(SpecModel):
    """A parameter with a range: whole numbers where both ends are."""

    low: int | float = quantity("as the key")
    """Smallest value."""
    high: int | float = quantity("as the key")
    """Largest value."""
    step: int | float | None = quantity("as the key", default=None, gt=0)
    """Distance of the values tried; absent: 1 for whole numbers, none for others."""
    log: bool = quantity("-", default=False)
    """Drawn evenly in the logarithm."""

    @model_validator(mode="after")
    def _check(self) -> RangeParameter:
        if self.high <= self.low:
            raise ValueError(f"high = {self.high} must exceed low = {self.low}")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low}: a logarithmic range starts above 0")
        if self.log and self.step is not None:
            raise ValueError(f"step = {self.step}: a logarithmic range has no step; leave out one of the two")
        if self.is_whole and isinstance(self.step, float):
            raise ValueError(f"step = {self.step}: a range of whole numbers has a whole step")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def values(self) -> tuple[int | float, ...] | None:
        """Every value of the range, if they can be counted."""
        if self.log or (self.step is None and not self.is_whole):
            return None
        step = 1 if self.step is None else self.step
        n = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.low + k * step for k in range(n))


def _as_table(value: object) -> object:
    return {"choices": tuple(value)} if isinstance(value, (list, tuple)) else value


def _kind(value: object) -> str:
    """Return the tag of a parameter, so that a mistake is explained for the kind that was meant."""
    listed = "choices" in value if isinstance(value, dict) else isinstance(value, ChoiceParameter)
    return "list" if listed else "range"


Parameter = Annotated[
    Annotated[ChoiceParameter, Tag("list")] | Annotated[RangeParameter, Tag("range")],
    Discriminator(_kind),
    BeforeValidator(_as_table),
]


class SearchSpec(SpecModel):
    """How the space is walked."""

    sampler: Literal["grid", "random", "tpe", "nsga2"] = quantity("-")
    """``grid``: every combination; else Optuna's RandomSampler, TPESampler or NSGAIISampler."""
    objectives: tuple[str, ...] = quantity("-", default=("accuracy", "memory"), min_length=1)
    """What is searched for: accuracy (highest), memory and energy (lowest)."""
    trials: int | None = quantity("trials", default=None, ge=1, le=1_000_000)
    """Trials of the study; absent, with ``grid`` only: all combinations."""
    seed: int = quantity("-", default=0, ge=0, lt=1 << 32)
    """Decides what the sampler draws."""
    start: Literal["recipe"] | None = quantity("-", default=None)
    """``recipe``: the first trial has the recipe's own values, so that the best is never worse; not with ``grid``."""
    batch: int = quantity("trials", default=8, ge=1, le=1024)
    """Trials handed to a worker at once; those that see the same spikes share them."""

    @model_validator(mode="after")
    def _check(self) -> SearchSpec:
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise ValueError(f"objectives: {name!r} is unknown; allowed: {', '.join(OBJECTIVES)}")
        if len(set(self.objectives)) != len(self.objectives):
            raise ValueError(f"objectives = {list(self.objectives)}: each once")
        if self.sampler == "grid" and self.start is not None:
            raise ValueError(f"start = {self.start!r}: a grid has an order of its own; leave it out")
        if self.sampler != "grid" and self.trials is None:
            raise ValueError(f"trials is missing; sampler = {self.sampler!r} needs a number of trials")
        return self


class ProtocolSpec(SpecModel):
    """How a configuration is judged: never on test images."""

    holdout: int | None = quantity("images", default=None, ge=1)
    """Training images held out to judge on, the last ones; absent: a sixth of them."""
    label_images: int = quantity("images", default=10_000, ge=1)
    """Training images that label the neurons, the first ones; at most those that train."""
    seeds: tuple[int, ...] = quantity("-", default=(0,), min_length=1)
    """Every configuration is trained with each; its accuracy is their mean."""
    spike_seed: int = quantity("-", default=0, ge=0, lt=1 << 32)
    """Decides the spikes, which are the same for all configurations with the same encoding."""
    hardware: str = quantity("-", default="edge-45nm")
    """Hardware the energy holds for."""


class ConstraintsSpec(SpecModel):
    """What a configuration must keep to be chosen; samplers steer towards it."""

    min_accuracy: float | None = quantity("percent", default=None, ge=0, le=100)
    """Lowest accuracy."""
    max_memory_bits: int | None = quantity("bits", default=None, ge=1)
    """Largest footprint in inference."""
    max_energy_j: float | None = quantity("J", default=None, gt=0)
    """Largest energy of one image in inference."""


class HalvingSpec(SpecModel):
    """Cheap first: the trials of a batch start on few training images, and only the best go on to more."""

    images: tuple[int, ...] = quantity("images", min_length=1)
    """Training images of each round before the last, which has all."""
    keep: float = quantity("1", gt=0, lt=1)
    """Share of the trials that goes on after each round, rounded up."""

    @model_validator(mode="after")
    def _check(self) -> HalvingSpec:
        if any(n < 1 for n in self.images) or list(self.images) != sorted(set(self.images)):
            raise ValueError(f"images = {list(self.images)}: rising numbers of at least 1 are required")
        return self


class SpaceSpec(SpecModel):
    """One search space, complete."""

    name: str
    summary: str
    network: str = quantity("-")
    """Network every configuration starts from: a shipped one or a ``.toml`` file."""
    recipe: str | None = quantity("-", default=None)
    """Recipe of the network; absent: the one named after the data set, else the network's default."""
    settings: dict[str, Scalar] = quantity("-", default={})
    """Values all configurations share, by key."""
    search: SearchSpec
    protocol: ProtocolSpec = ProtocolSpec()
    constraints: ConstraintsSpec = ConstraintsSpec()
    halving: HalvingSpec | None = None
    parameters: dict[str, Parameter] = quantity("-", min_length=1)
    """What is varied: a key of a network with its values, or one of the paper's parameters."""

    @model_validator(mode="after")
    def _check(self) -> SpaceSpec:
        for key, allowed in PAPER_PARAMETERS.items():
            parameter = self.parameters.get(key)
            if parameter is None:
                continue
            if not isinstance(parameter, ChoiceParameter):
                raise ValueError(f"parameters.{key}: list its values; it has no range")
            for value in parameter.choices:
                if allowed is not None and value not in allowed:
                    raise ValueError(
                        f"parameters.{key}: {value!r} is unknown; allowed: {', '.join(map(str, allowed))}"
                    )
        if "quantized" in self.parameters and "bits" not in self.parameters:
            raise ValueError(
                "parameters.quantized says which registers get 'bits', which is no parameter; add it"
            )
        foreign = sorted(set(self.parameters) & set(PAPER_PARAMETERS))
        if self.search.start is not None and foreign:
            raise ValueError(
                f"search.start = {self.search.start!r}: a recipe has no value of parameters.{foreign[0]}; leave out one"
            )
        both = sorted(set(self.settings) & set(self.parameters))
        if both:
            raise ValueError(f"settings.{both[0]} is a parameter too; leave it out of one of the two")
        if self.search.sampler == "grid":
            self._check_grid()
        if self.halving is not None and self.search.batch * self.halving.keep > self.search.batch - 1:
            raise ValueError(
                f"search.batch = {self.search.batch} with halving.keep = {self.halving.keep}: every trial of a batch "
                "would go on; make the batch larger or keep fewer"
            )
        return self

    def _check_grid(self) -> None:
        n = 1
        for key, parameter in self.parameters.items():
            values = values_of(parameter)
            if values is None:
                raise ValueError(
                    f"parameters.{key}: a grid needs values that can be counted; give a step, or another sampler"
                )
            n *= len(values)
        if n > MAX_GRID:
            raise ValueError(
                f"the grid has {n:,} points; at most {MAX_GRID:,} are allowed, or take another sampler"
            )

    @property
    def n_trials(self) -> int:
        """Trials of a study of this space."""
        if self.search.sampler != "grid":
            assert self.search.trials is not None
            return self.search.trials
        points = math.prod(len(values_of(parameter) or ()) for parameter in self.parameters.values())
        return points if self.search.trials is None else min(points, self.search.trials)

    def dump(self) -> dict[str, Any]:
        """Return the space as plain data."""
        return self.model_dump(mode="json")


def allows(parameter: ChoiceParameter | RangeParameter, value: Scalar) -> bool:
    """Return whether a value is one of a list, or lies between the ends of a range and on its steps."""
    if isinstance(parameter, ChoiceParameter):
        return any(type(value) is type(one) and value == one for one in parameter.choices)
    if isinstance(value, (bool, str)) or not parameter.low <= value <= parameter.high:
        return False
    step = 1 if parameter.step is None and parameter.is_whole else parameter.step
    n = 0.0 if step is None else (value - parameter.low) / step
    return abs(n - round(n)) < 1e-9


def values_of(parameter: ChoiceParameter | RangeParameter) -> tuple[Scalar, ...] | None:
    """Return the values of a parameter, or None where they cannot be counted."""
    return parameter.choices if isinstance(parameter, ChoiceParameter) else parameter.values


__all__ = [
    "FLOAT_BITS", "OBJECTIVES", "PAPER_PARAMETERS", "SCHEMES", "ChoiceParameter", "ConstraintsSpec", "HalvingSpec",
    "ProtocolSpec", "RangeParameter", "Scalar", "SearchSpec", "SpaceSpec", "allows", "values_of",
]  # fmt: skip
