"""Registers of a given width: which of their bits stand before the binary point, and which behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.quantize.points import Points, Trial
from tinysnn_hw.quantize.ptq import PRESETS, with_width
from tinysnn_hw.quantize.search import Choice, Space

REACH = 2
"""Integer bits fewer than a register's values need that are tried, unless told otherwise."""
UNSPLIT = ("c_pre",)
"""Registers that count, and so have integer bits only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Outcome of `choose_splits`.

    Attributes
    ----------
    formats : dict of str to Format
        The split chosen for every register.
    trials : dict of str to tuple of Trial
        Register -> one trial per split of the space, in its order, the other registers as they then were.
    margin : float
        How much more accurate a split had to be than the one that holds all values [points].
    """

    formats: Choice
    trials: dict[str, tuple[Trial, ...]]
    margin: float


def parse_widths(text: str, possible: tuple[str, ...]) -> dict[str, int]:
    """Return the widths that ``"qWN=8"`` or ``"weight=4,v_mem=8"`` gives to registers; later ones take precedence.

    Parameters
    ----------
    text : str
        Presets or registers with a width of 1 to 32 bits each.
    possible : tuple of str
        Registers whose format can be chosen.

    Raises
    ------
    SpecError
        A part cannot be read, or its register cannot be chosen.
    """
    widths: dict[str, int] = {}
    for part in text.split(","):
        name, _, bits = (word.strip() for word in part.partition("="))
        if not bits.isascii() or not bits.isdigit() or not 1 <= int(bits) <= 32:
            raise SpecError(
                f"--bits: {part.strip()!r}; give REGISTER=BITS with 1 to 32 bits, such as weight=8"
            )
        for register in PRESETS.get(name, (name,)):
            if register not in possible:
                raise SpecError(
                    f"--bits: {register!r} is neither a preset ({', '.join(PRESETS)}) nor a register that can be "
                    f"chosen: {', '.join(possible)}"
                )
            widths[register] = int(bits)
    return widths


def make_splits(
    starts: Mapping[str, Format], widths: Mapping[str, int], *, reach: int = REACH
) -> dict[str, tuple[Format, ...]]:
    """Return the formats of given widths to choose from, those of the starts' integer bits first.

    Parameters
    ----------
    starts : mapping of str to Format
        Such as `tinysnn_hw.quantize.fitted_formats` returns: sign and fewest integer bits that hold every value.
    widths : mapping of str to int
        Register -> bits in all.
    reach : int
        Integer bits fewer that are tried: they leave more fraction bits, but large values are cut off.
    """
    space: dict[str, tuple[Format, ...]] = {}
    for name, bits in widths.items():
        fmt = starts[name]
        if name in UNSPLIT:
            space[name] = (Format(fmt.signed, bits, 0),)
            continue
        space[name] = tuple(
            with_width(Format(fmt.signed, fmt.int_bits - fewer, fmt.frac_bits), bits, name)
            for fewer in range(reach + 1)
        )
    return space


def choose_splits(points: Points, space: Space) -> Splits:
    """Choose the split of every register: one register after the other, until nothing changes.

    The first split of a register, which holds all its values, stays unless another one is more accurate by at least
    two standard errors of an accuracy measured on this many images, so that luck does not choose, or the first is
    refused.

    Parameters
    ----------
    points : Points
    space : mapping
        See `make_splits`.

    Raises
    ------
    SpecError
        No split of a register is possible.
    """
    now: Choice = {name: formats[0] for name, formats in space.items()}
    mean = sum(points.reference) / len(points.reference)
    margin = 2.0 * math.sqrt(mean * (100.0 - mean) / points.data.n_test)
    seen: list[Choice] = []
    trials: dict[str, tuple[Trial, ...]] = {}
    while now not in seen:
        seen.append(dict(now))
        for name, formats in space.items():
            trials[name] = tuple(points.evaluate([{**now, name: fmt} for fmt in formats], f"split of {name}"))
            now[name] = formats[_most_accurate(name, trials[name], margin)]
    return Splits(formats=now, trials=trials, margin=margin)


def _most_accurate(name: str, trials: Sequence[Trial], margin: float) -> int:
    accuracies = [-math.inf if trial.accuracy is None else trial.accuracy for trial in trials]
    best = max(range(len(trials)), key=lambda k: accuracies[k])
    if accuracies[best] == -math.inf:
        raise SpecError(
            f"no format of {trials[0].formats[name]}'s width is possible for {name}: {trials[0].refused}"
        )
    return best if accuracies[best] >= accuracies[0] + margin else 0


__all__ = ["REACH", "Splits", "choose_splits", "make_splits", "parse_widths"]
