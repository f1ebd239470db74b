"""The checkers find what they are for: one LSB too many or too few, in one word, once, on either side."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference import onestep
from tests.reference.accumulated import compare
from tests.reference.cases import Case, make_case
from tests.reference.courses import Course, Fault, oracle_course, reference_course

# Each leaves an error on less than one LSB, so a fault of one LSB cannot pass for rounding.
ROUNDINGS = ("floor", "to_zero", "nearest", "nearest_away")
REGISTERS = ("v_mem", "v_th", "theta", "x_pre", "c_pre", "weight", "refractory_count", "n_post", "n_window")
N_FAULTS = 15


def faulty_case(rng: Random, register: str, bits: tuple[int, int]) -> tuple[Case, Fault]:
    """Draw a network whose constants are exact, and a place in it; window traces change only in ``c_pre``."""
    while True:
        case = make_case(rng, bits, ROUNDINGS, representable=True)
        learning, n_steps = case.spec.learning, case.spec.encoding.n_steps
        if (register == "c_pre") <= (learning.trace == "window"):
            break
    places = n_steps // learning.update_steps if register == "weight" else n_steps
    place = (rng.randrange(case.raster.n_images), rng.randrange(places))
    return case, Fault(register, place, rng.randrange(1000), rng.choice((1, -1)))


@pytest.mark.parametrize("register", REGISTERS)
def test_one_lsb_in_the_oracle_is_found(register: str) -> None:
    rng = Random(register)
    for _ in range(N_FAULTS):
        case, fault = faulty_case(rng, register, (6, 12))
        assert onestep.check_steps(case, oracle_course(case)).violations == []
        assert onestep.check_steps(case, oracle_course(case, fault)).violations, fault


def changed_step(fault: Fault, lsb: float, real: Callable[..., Any]) -> Callable[..., Any]:
    def step(c: Any, state: Any, r: Any, *rest: Any, learn: bool) -> Any:
        fired = real(c, state, r, *rest, learn=learn)
        owner = r if fault.register == "v_mem" else state
        values = getattr(owner, fault.register).clone()
        values[fault.place[1], fault.index % values.shape[1]] += fault.lsb * lsb
        setattr(owner, fault.register, values)
        return fired

    return step


def changed_trace(fault: Fault, lsb: float, real: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter(range(10**9))

    def decayed_trace(*arguments: Any) -> Any:
        x = real(*arguments).clone()
        if next(calls) == fault.place[1]:
            x[0, fault.index % x.shape[1]] += fault.lsb * lsb
        return x

    return decayed_trace


def changed_weight(fault: Fault, lsb: float, real: Callable[..., Any]) -> Callable[..., Any]:
    def learn_window(c: Any, state: Any, r: Any, eta: Any, events: Any, u: int) -> Any:
        learners = real(c, state, r, eta, events, u)
        if u == fault.place[1] and not c.window_trace:
            rows, columns = state.weight.shape[1:]
            state.weight[0, fault.index % rows, fault.index % columns] += fault.lsb * lsb
        return learners

    return learn_window


@pytest.mark.parametrize(
    ("register", "function", "change"),
    [
        ("v_mem", "step", changed_step),
        ("v_th", "step", changed_step),
        ("theta", "step", changed_step),
        ("x_pre", "decayed_trace", changed_trace),
        ("weight", "learn_window", changed_weight),
    ],
)
def test_one_lsb_in_the_reference_is_found(
    register: str, function: str, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, real, found = Random(register), getattr(onestep, function), 0
    for _ in range(N_FAULTS):
        case, fault = faulty_case(rng, register, (6, 12))
        if register == "x_pre" and case.spec.learning.trace == "window":
            continue
        fixed = oracle_course(case)
        lsb = getattr(case.spec.formats, register).format.lsb
        monkeypatch.setattr(onestep, function, change(fault, lsb, real))
        # Where another neuron wins by a hair, the words of that step are not compared.
        assert onestep.check_steps(case, fixed).violations, fault
        found += 1
        monkeypatch.setattr(onestep, function, real)
    assert found >= N_FAULTS // 4


def whole_run(case: Case, fixed: Course) -> list[str]:
    return compare(case, fixed, reference_course(case, oracle_course(case))).violations


@pytest.mark.parametrize("register", ["v_mem", "v_th", "theta", "x_pre", "weight"])
def test_one_lsb_of_a_narrow_word_is_found_in_a_run_of_wide_ones(register: str) -> None:
    """A word of 40 fraction bits is off by 2**-10 once; the accumulated bound of the whole run is far smaller."""
    rng, found = Random(register), 0
    for _ in range(10):
        case, fault = faulty_case(rng, register, (40, 40))
        large = Fault(fault.register, fault.place, fault.index, fault.lsb << 30)
        assert whole_run(case, oracle_course(case)) == []
        # A column that is normalised before has a bound of 2**-16 of its weights, and of what they then excite.
        found += bool(whole_run(case, oracle_course(case, large)))
    assert found >= 9


@pytest.mark.parametrize("register", ["refractory_count", "n_post", "n_window"])
def test_one_count_too_many_is_found_in_a_whole_run(register: str) -> None:
    rng = Random(register)
    for _ in range(10):
        case, fault = faulty_case(rng, register, (40, 40))
        assert whole_run(case, oracle_course(case, fault)), fault
