"""Emulator and reference held together: every register within its accumulated bound, every statement within its cut.

The bounds are derived in `tests.reference.accumulated` and `tests.reference.onestep`.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference.accumulated import compare
from tests.reference.cases import Case, cases
from tests.reference.courses import oracle_course, reference_course
from tests.reference.onestep import check_steps

WIDE, NARROW = (40, 46), (3, 14)


def run_case(case: Case, tally: Counter[str]) -> None:
    """Check one training both ways and count what was compared."""
    fixed = oracle_course(case)
    tally["drawn"] += 1
    tally["saturated"] += fixed.saturated > 0
    assume(not fixed.saturated)
    seen = compare(case, fixed, reference_course(case, fixed))
    assert not seen.violations, seen.violations[:5]
    tally["to the end"] += not (seen.differs or seen.ended)
    for name in ("steps", "spikes", "updates", "differs"):
        tally[name] += int(getattr(seen, name))
    residuals = check_steps(case, fixed)
    assert not residuals.violations, residuals.violations[:5]
    tally["undecided"] += residuals.undecided
    tally["all steps"] += case.raster.n_images * case.spec.encoding.n_steps
    tally.update({f"{name} writes": n for name, n in residuals.writes.items()})


@pytest.mark.slow
@pytest.mark.parametrize("bits", [WIDE, NARROW], ids=["wide", "narrow"])
def test_fixed_point_stays_within_its_bounds(bits: tuple[int, int]) -> None:
    """All rules, leaks, traces and roundings, on random networks of 2 to 12 inputs and 1 to 8 neurons.

    With 40 and more fraction bits what is left are the 16 fraction bits of constants and the cuts of 2**-41; the bound
    that grows out of them stays so small that nearly all runs have the same spikes to the end. With 3 to 14 bits the
    runs part sooner or later, always at a spike whose lead is smaller than the bound. At least 3,000 steps with 1,000
    spikes and 200 updates are compared with wide words, at least 1,500 steps with 500 spikes with narrow ones; one
    statement at a time, every write of every step counts.
    """
    tally: Counter[str] = Counter()

    @settings(max_examples=60)
    @given(cases(*bits))
    def check(case: Case) -> None:
        run_case(case, tally)

    check()
    assert tally["saturated"] <= 0.05 * tally["drawn"], tally
    if bits == WIDE:
        assert tally["steps"] >= 2000 and tally["spikes"] >= 1000 and tally["updates"] >= 200, tally
        assert tally["to the end"] >= 0.9 * tally["drawn"], tally
    else:
        assert tally["steps"] >= 1500 and tally["spikes"] >= 500, tally
        assert tally["differs"] >= 10, tally
    assert tally["undecided"] <= 0.02 * tally["all steps"], tally
    for name in ("weight", "v_mem", "v_th", "theta", "x_pre"):
        assert tally[f"{name} writes"] >= 5000, tally


@settings(max_examples=25)
@given(cases(20, 24))
def test_bounds_are_of_the_size_of_what_they_bound(case: Case) -> None:
    """A weight is never a thousandth of its range off with 20 bits: the bounds above do not hide gross errors."""
    fixed = oracle_course(case)
    assume(not fixed.saturated)
    seen = compare(case, fixed, reference_course(case, fixed))
    assert seen.largest["weight"] < 1e-3 and seen.largest["theta"] < 1e-3
