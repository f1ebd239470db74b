"""Emulator and reference held together: every register within its accumulated bound, every statement within its cut.

The bounds are derived in `tests.reference.accumulated` and `tests.reference.onestep`.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from statistics import median

import pytest
from hypothesis import assume, given, settings

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference.accumulated import compare
from tests.reference.cases import Case, cases, make_case
from tests.reference.courses import oracle_course, reference_course
from tests.reference.onestep import check_steps

WIDE, NARROW = (40, 46), (3, 14)
WINDOWS, PAIRWISE = False, True
REGISTERS = ("weight", "v_mem", "v_th", "theta", "x_pre")
OF_PAIRWISE = ("x_post", "v_inh", "inhibitory_count")


def run_case(case: Case, tally: Counter[str]) -> None:
    """Check one training both ways and count what was compared."""
    fixed = oracle_course(case)
    tally["drawn"] += 1
    tally["saturated"] += fixed.saturated > 0
    assume(not fixed.saturated)
    seen = compare(case, fixed, reference_course(case, fixed))
    assert not seen.violations, seen.violations[:5]
    tally["to the end"] += not (seen.differs or seen.ended)
    tally["differs"] += seen.differs
    tally.update(seen.compared)
    residuals = check_steps(case, fixed)
    assert not residuals.violations, residuals.violations[:5]
    tally["undecided"] += residuals.undecided
    tally["all steps"] += case.raster.n_images * case.spec.encoding.n_steps
    tally.update({f"{name} writes": n for name, n in residuals.writes.items()})


@pytest.mark.slow
@pytest.mark.parametrize("pairwise", [WINDOWS, PAIRWISE], ids=["windows", "pairwise"])
@pytest.mark.parametrize("bits", [WIDE, NARROW], ids=["wide", "narrow"])
def test_fixed_point_stays_within_its_bounds(bits: tuple[int, int], pairwise: bool) -> None:
    """All rules, leaks, traces and roundings, on random networks of 2 to 12 inputs and 1 to 8 neurons.

    ``windows`` are networks like `tinysnn` and `tinysnn-wta`; ``pairwise`` those like `baseline` and `sl-stdp`: three
    in five with an inhibitory layer and pair-wise learning, the others with either alone.

    With 40 and more fraction bits what is left are the 16 fraction bits of constants and the cuts of 2**-41; the bound
    that grows out of them stays so small that nearly all runs have the same spikes to the end. With 3 to 14 bits the
    runs part sooner or later, always at a spike whose lead is smaller than the bound. At least 2,000 steps with 800
    spikes and 200 updates are compared with wide words, at least 1,000 steps with 300 spikes with narrow ones; one
    statement at a time, every write of every step counts.
    """
    tally: Counter[str] = Counter()

    @settings(max_examples=40)
    @given(cases(*bits, pairwise=pairwise))
    def check(case: Case) -> None:
        run_case(case, tally)

    check()
    assert tally["saturated"] <= 0.05 * tally["drawn"], tally
    if bits == WIDE:
        assert tally["steps"] >= 2000 and tally["spikes"] >= 800 and tally["updates"] >= 200, tally
        assert tally["to the end"] >= 0.9 * tally["drawn"], tally
    else:
        assert tally["steps"] >= 1000 and tally["spikes"] >= 300, tally
        assert tally["differs"] >= 10, tally
    if pairwise:
        assert tally["inhibitory spikes"] >= 150 and tally["depressions"] >= 2000, tally
    assert tally["undecided"] <= 0.02 * tally["all steps"], tally
    for name in (*REGISTERS, *(OF_PAIRWISE if pairwise else ())):
        assert tally[f"{name} writes"] >= 3000, tally


LEAST_USED = {
    "weight": 0.5, "v_mem": 0.5, "x_pre": 0.35, "v_th": 0.2, "theta": 0.25, "x_post": 0.2, "v_inh": 0.2,
}  # fmt: skip
"""What is asked of the median part of a bound that the worst word of a register uses up, per step or window."""


@pytest.mark.parametrize("pairwise", [WINDOWS, PAIRWISE], ids=["windows", "pairwise"])
def test_bounds_are_used(pairwise: bool) -> None:
    """The bounds are not slack: of thousands of comparisons half use up the part of the bound that is stated above.

    A bound adds up the largest errors there can be. Cuts err by half of that on average, and to either side if they
    round to nearest; constants err always the same way.
    """
    used: dict[str, list[float]] = {}
    for number in range(30):
        case = make_case(Random(number), (6, 24), pairwise=pairwise)
        fixed = oracle_course(case)
        if fixed.saturated:
            continue
        for name, parts in compare(case, fixed, reference_course(case, fixed)).used.items():
            used.setdefault(name, []).extend(parts)
    expected = set(LEAST_USED) - (set() if pairwise else {"x_post", "v_inh"})
    assert set(used) == expected
    for name in expected:
        assert len(used[name]) >= 150, (name, len(used[name]))
        assert median(used[name]) >= LEAST_USED[name], (name, median(used[name]))
