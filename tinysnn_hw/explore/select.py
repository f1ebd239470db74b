"""Choose among finished trials: Eq. 3 of the paper under hard limits, the Pareto front, the knee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinysnn_hw.errors import SpecError
from tinysnn_hw.explore.pareto import knee, pareto_front, reward
from tinysnn_hw.explore.study import StudyRecord, TrialRow
from tinysnn_hw.explore.work import objective_costs

MU_SWEEP = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Trade-offs shown beside the one asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a choice must keep; ``None``: no limit.

    Attributes
    ----------
    min_accuracy : float or None
        Percent, on held-out training images.
    max_memory_bits : int or None
        In inference [bit].
    max_energy_j : float or None
        Of one image in inference [J].
    """

    min_accuracy: float | None = None
    max_memory_bits: int | None = None
    max_energy_j: float | None = None

    def keep(self, row: TrialRow) -> bool:
        """Return whether a trial keeps all limits."""
        result = row.result
        return (
            (self.min_accuracy is None or result["accuracy"] >= self.min_accuracy)
            and (self.max_memory_bits is None or result["memory_bits"] <= self.max_memory_bits)
            and (self.max_energy_j is None or result["energy_j"] <= self.max_energy_j)
        )

    def plain(self) -> dict[str, Any]:
        """Return the limits that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The trial of highest reward for one trade-off."""

    mu: float
    reward: float
    trial: TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What can be chosen from a study.

    Attributes
    ----------
    limits : Limits
    kept : tuple of TrialRow
        Distinct configurations within the limits.
    choices : tuple of Choice
        For every trade-off asked for, in its order; empty where no trial keeps the limits.
    front : tuple of TrialRow
        Of the objectives of the study, from the most accurate down.
    knee : TrialRow or None
        Where the front of accuracy and memory bends most.
    """

    limits: Limits
    kept: tuple[TrialRow, ...]
    choices: tuple[Choice, ...]
    front: tuple[TrialRow, ...]
    knee: TrialRow | None

    def choice(self, mu: float) -> Choice:
        """Return the choice for one of the trade-offs asked for.

        Raises
        ------
        SpecError
            No trial keeps the limits.
        """
        for found in self.choices:
            if found.mu == mu:
                return found
        raise SpecError(f"mu = {mu}: no trial keeps the limits {self.limits.plain()}; loosen one of them")


def select(study: StudyRecord, mus: Sequence[float] = MU_SWEEP, limits: Limits | None = None) -> Selection:
    """Choose the best configuration of a study for every trade-off.

    Parameters
    ----------
    study : StudyRecord
    mus : sequence of float
        Trade-off coefficients of Eq. 3: percentage points of accuracy that the memory of the network that is not
        quantized is worth; at least 0.
    limits : Limits, optional

    Returns
    -------
    Selection

    Raises
    ------
    SpecError
        A trade-off is negative or no number.

    Notes
    -----
    ``R = acc_q - mu * M_q / M_0`` with the accuracy in percent on held-out training images and ``M_0`` as in
    ``StudyRecord.memory_bits_0``.  Ties go to the smaller memory, then to the earlier trial.
    """
    for mu in mus:
        if not 0 <= mu < float("inf"):
            raise SpecError(f"mu = {mu}; a number of at least 0 is required")
    limits = limits or Limits()
    kept = tuple(row for row in study.distinct if limits.keep(row))
    if not kept:
        return Selection(limits=limits, kept=(), choices=(), front=(), knee=None)
    memory = np.array([row.result["memory_bits"] for row in kept], float)
    accuracy = np.array([row.result["accuracy"] for row in kept], float)
    numbers = np.array([row.number for row in kept])
    choices = []
    for mu in mus:
        rewards = reward(accuracy, memory, study.memory_bits_0, mu)
        best = int(np.lexsort((numbers, memory, -rewards))[0])
        choices.append(Choice(mu=mu, reward=float(rewards[best]), trial=kept[best]))
    objectives = study.space.search.objectives
    front = pareto_front([objective_costs(row.result, objectives) for row in kept])
    plane = np.column_stack((-accuracy, memory))
    edge = pareto_front(plane)
    by_accuracy = sorted((kept[row] for row in front), key=lambda row: (-row.result["accuracy"], row.number))
    return Selection(
        limits=limits,
        kept=kept,
        choices=tuple(choices),
        front=tuple(by_accuracy),
        knee=kept[int(edge[knee(plane[edge])])],
    )


__all__ = ["MU_SWEEP", "Choice", "Limits", "Selection", "select"]
