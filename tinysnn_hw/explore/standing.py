"""How far a study is, and where the time of a run went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinysnn_hw.explore.pareto import pareto_front
from tinysnn_hw.explore.work import objective_costs
from tinysnn_hw.spec.space import SpaceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a study is.

    Attributes
    ----------
    done, total : int
        Trials finished in any way, and to be finished.
    failed, pruned, reused : int
        Of those done: failed, stopped early, and known before.
    best : dict
        The most accurate result; empty before there is one.
    best_trial : int
        Its number, or -1.
    front : int
        Results on the Pareto front of the objectives.
    elapsed_s, left_s : float
        Time of this run, and what is left at its pace; -1 before anything is known [s].
    """

    done: int
    total: int
    failed: int
    pruned: int
    reused: int
    best: dict[str, Any]
    best_trial: int
    front: int
    elapsed_s: float
    left_s: float


@dataclass(slots=True)
class Timing:
    """Where the time of a run went.

    Attributes
    ----------
    wall_s : float
        From the first batch handed out to the last outcome written [s].
    kernel_s : float
        Spent in training and judging, over all workers [s].
    busy_s : float
        Spent by workers on batches, over all workers [s].
    workers : int
    trials : int
        Told in this run.
    images : int
        Shown in this run.
    full_images : int
        What the configurations computed would have been shown without halving.
    """

    wall_s: float = 0.0
    kernel_s: float = 0.0
    busy_s: float = 0.0
    workers: int = 0
    trials: int = 0
    images: int = 0
    full_images: int = 0

    @property
    def overhead(self) -> float:
        """Share of the workers' time not spent in training and judging: search, storage, hand-off, start-up."""
        total = self.wall_s * self.workers
        return 1.0 - self.kernel_s / total if total > 0 else 0.0


def standing_of(trials: Sequence[Any], space: SpaceSpec, told: int, elapsed: float) -> Standing:
    """Return how far a study is, from its trials, and how many were told in how much time [s]."""
    outcomes = [(one.number, one.state.name, one.user_attrs.get("outcome", {})) for one in trials]
    complete = [(number, outcome["result"]) for number, state, outcome in outcomes if state == "COMPLETE"]
    number, best = max(complete, key=lambda pair: (pair[1]["accuracy"], -pair[0]), default=(-1, {}))
    costs = [objective_costs(result, space.search.objectives) for _, result in complete]
    states = [state for _, state, _ in outcomes]
    done = sum(state in ("COMPLETE", "PRUNED", "FAIL") for state in states)
    total = max(space.n_trials, done)
    return Standing(
        done=done,
        total=total,
        failed=states.count("FAIL"),
        pruned=states.count("PRUNED"),
        reused=sum(outcome.get("same_as") is not None for _, _, outcome in outcomes),
        best=best,
        best_trial=number,
        front=len({tuple(costs[row]) for row in pareto_front(costs)}) if costs else 0,
        elapsed_s=elapsed,
        left_s=elapsed / told * (total - done) if told else -1.0,
    )


__all__ = ["Standing", "Timing", "standing_of"]
