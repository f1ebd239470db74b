"""The smallest formats that keep the accuracy: sensitivity of every register, greedy descent, exhaustive search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.quantize.points import BATCH, Points, Trial
from tinysnn_hw.quantize.ptq import with_width
from tinysnn_hw.spec import NetworkSpec
from tinysnn_hw.spec.registers import register_formats

N_WIDTHS = 10
"""Widths per register of a sensitivity table, unless told otherwise."""

Space = Mapping[str, Sequence[Format]]
"""Register -> formats to choose from, the widest first; the first is where a search starts."""
Choice = dict[str, Format]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Accuracy when one register alone is narrowed.

    Attributes
    ----------
    reference : tuple of float
        Accuracy of the float64 twin, seed by seed [percent].
    start : Trial
        Every register at its widest.
    trials : dict of str to tuple of Trial
        Register -> one trial per format of the space, in its order.
    """

    reference: tuple[float, ...]
    start: Trial
    trials: dict[str, tuple[Trial, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Outcome of a search.

    Attributes
    ----------
    reference : tuple of float
        Accuracy of the float64 twin, seed by seed [percent].
    least : float
        Accuracy that a choice has to hold [percent]: the mean reference less the drop allowed.
    start, best : Trial
        Every register at its widest; the smallest that was found to hold, None if not even the start does.
    formats : dict of str to Format
        Those of ``best``; empty without.
    passes : int
        Descents and exchanges until nothing changed.
    """

    reference: tuple[float, ...]
    least: float
    start: Trial
    best: Trial | None
    formats: dict[str, Format]
    passes: int


def make_space(
    network: NetworkSpec,
    registers: Sequence[str],
    *,
    n_widths: int = N_WIDTHS,
    starts: Mapping[str, Format] | None = None,
) -> dict[str, tuple[Format, ...]]:
    """Return formats to choose from: each register keeps sign and integer bits and loses fraction bits.

    Parameters
    ----------
    network : NetworkSpec
    registers : sequence of str
    n_widths : int
        Widths per register, one bit apart, from that of its start down; fewer where a format ends at 1 bit.
    starts : mapping, optional
        Other formats to start from, such as those with the integer bits of `tinysnn_hw.quantize.analyse_ranges`.

    Raises
    ------
    SpecError
        The network has no such register.
    """
    formats = {**register_formats(network), **(starts or {})}
    if n_widths < 1:
        raise SpecError(f"n_widths = {n_widths}; at least 1 is required")
    space = {}
    for name in registers:
        if name not in formats:
            raise SpecError(f"network {network.name!r} has no register {name!r}; it has {', '.join(formats)}")
        start = formats[name]
        narrowest = max(start.width - n_widths + 1, 1)
        # A count has no fraction bits to lose: its range shrinks instead.
        space[name] = tuple(
            Format(start.signed, bits, 0) if name == "c_pre" else with_width(start, bits, name)
            for bits in range(start.width, narrowest - 1, -1)
        )
    return space


def sensitivity(points: Points, space: Space) -> Sensitivity:
    """Return the accuracy of every format of every register, all others at their widest."""
    start = _start(space)
    rows = [(name, {**start, name: fmt}) for name in space for fmt in space[name]]
    trials = points.evaluate([start, *(choice for _, choice in rows)], "sensitivity")
    per_register: dict[str, list[Trial]] = {name: [] for name in space}
    for (name, _), trial in zip(rows, trials[1:], strict=True):
        per_register[name].append(trial)
    return Sensitivity(
        reference=points.reference,
        start=trials[0],
        trials={name: tuple(found) for name, found in per_register.items()},
    )


def greedy(points: Points, space: Space, max_drop: float) -> Found:
    """Narrow one register after the other as far as the accuracy holds, then exchange bits between registers.

    Registers are taken in the order of ``points.registers``, those of the most bits first.  Descent: each is
    lowered format by format until the first that does not hold, all others as they then are; repeated until nothing
    changes.  Exchange: one register one format lower together with another one format lower or higher, the smallest
    such choice (`Points.size`) first; the first that holds is taken, and the descent goes on from there.  What remains
    is the smallest choice among its neighbours of both kinds.

    Parameters
    ----------
    points : Points
    space : mapping
        See `make_space`.
    max_drop : float
        Loss of accuracy against float64 that is allowed [points].

    Returns
    -------
    Found
    """
    least = _least(points, max_drop)
    now = _start(space)
    (start,) = points.evaluate([now], "start")
    if not start.holds(least):
        return _found(points, least, start, None, {}, 0)
    best, passes = start, 0
    while True:
        passes += 1
        descended, best = _descend(points, space, least, now, best, passes)
        if descended != now:
            now = descended
            continue
        exchange = _exchange(points, space, least, now, best, passes)
        if exchange is None:
            return _found(points, least, start, best, now, passes)
        now, best = exchange


def _descend(
    points: Points, space: Space, least: float, now: Choice, best: Trial, number: int
) -> tuple[Choice, Trial]:
    for name in (name for name in points.registers if name in space):
        below = _neighbours(space, now, name)[0] if number > 1 else _below(space, now, name)
        choices = [{**now, name: fmt} for fmt in below]
        for choice, trial in _one_by_one(points, choices, f"pass {number}: {name}"):
            if not trial.holds(least):
                break
            now, best = choice, trial
    return now, best


def _one_by_one(points: Points, choices: Sequence[Choice], stage: str) -> Iterator[tuple[Choice, Trial]]:
    """Yield choices with their trials, which are computed in batches: those behind the first to fail mostly not."""
    size = max(BATCH // len(points.seeds), 1)
    for first in range(0, len(choices), size):
        batch = choices[first : first + size]
        yield from zip(batch, points.evaluate(batch, stage), strict=True)


def _exchange(
    points: Points, space: Space, least: float, now: Choice, best: Trial, number: int
) -> tuple[Choice, Trial] | None:
    choices = []
    for name, other in permutations(space, 2):
        for fmt in _neighbours(space, now, name)[0]:
            lower, higher = _neighbours(space, now, other)
            choices += [{**now, name: fmt, other: changed} for changed in (*lower, *higher)]
    sized = [(points.size(choice), k) for k, choice in enumerate(choices)]
    smaller = [choices[k] for size, k in sorted(sized) if size < points.size(now)]
    for first in range(0, len(smaller), BATCH):
        batch = smaller[first : first + BATCH]
        for choice, trial in zip(batch, points.evaluate(batch, f"pass {number}: exchange"), strict=True):
            if trial.holds(least):
                return choice, trial
    return None


def _below(space: Space, now: Choice, name: str) -> Sequence[Format]:
    return space[name][list(space[name]).index(now[name]) + 1 :]


def _neighbours(space: Space, now: Choice, name: str) -> tuple[Sequence[Format], Sequence[Format]]:
    """Return the next lower and the next higher format of a register, each none or one."""
    at = list(space[name]).index(now[name])
    return space[name][at + 1 : at + 2], space[name][max(at - 1, 0) : at]


def _found(
    points: Points, least: float, start: Trial, best: Trial | None, formats: Choice, passes: int
) -> Found:
    return Found(
        reference=points.reference, least=least, start=start, best=best, formats=formats, passes=passes
    )


def failing_neighbour(points: Points, space: Space, found: Found) -> Choice | None:
    """Return the choice to ask why it broke: the start if nothing holds, else one register one format lower.

    The register is the one of the most bits that can still be lowered; None if none can.
    """
    if found.best is None:
        return _start(space)
    for name in (name for name in points.registers if name in space):
        for fmt in _neighbours(space, found.formats, name)[0]:
            return {**found.formats, name: fmt}
    return None


def exhaustive(points: Points, space: Space, max_drop: float) -> Found:
    """Try every combination of a small space and return the smallest (`Points.size`) that holds.

    On a tie the more accurate one counts.
    """
    least = _least(points, max_drop)
    names = list(space)
    choices = [dict(zip(names, formats, strict=True)) for formats in product(*space.values())]
    trials = points.evaluate(choices, "exhaustive")
    held = [
        (points.size(choice), -(trial.accuracy or 0.0), k)
        for k, (choice, trial) in enumerate(zip(choices, trials, strict=True))
        if trial.holds(least)
    ]
    if not held:
        return _found(points, least, trials[0], None, {}, 1)
    best = min(held)[-1]
    return _found(points, least, trials[0], trials[best], choices[best], 1)


def _start(space: Space) -> dict[str, Format]:
    return {name: formats[0] for name, formats in space.items()}


def _least(points: Points, max_drop: float) -> float:
    if not 0.0 <= max_drop <= 100.0:
        raise SpecError(f"max_drop = {max_drop:g} points; 0 to 100 is allowed")
    return sum(points.reference) / len(points.reference) - max_drop


__all__ = [
    "N_WIDTHS", "Found", "Sensitivity", "exhaustive", "failing_neighbour", "greedy", "make_space", "sensitivity",
]  # fmt: skip
