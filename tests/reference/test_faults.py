"""The checkers find what they are for: one LSB too many or too few, in one word, once, on either side."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference import onestep, onestep_learning
from tests.reference.accumulated import compare
from tests.reference.cases import Case, make_case
from tests.reference.courses import Fault, oracle_course, reference_course

# Each leaves an error on less than one LSB, so a fault of one LSB cannot pass for rounding.
ROUNDINGS = ("floor", "to_zero", "nearest", "nearest_away")
COUNTERS = ("refractory_count", "n_post", "n_window")
REGISTERS = ("v_mem", "v_th", "theta", "x_pre", "c_pre", "weight", *COUNTERS)
OF_PAIRWISE = ("v_mem", "x_pre", "weight", "n_post", "x_post", "v_inh", "inhibitory_count")
ALL = [(name, False) for name in REGISTERS] + [(name, True) for name in OF_PAIRWISE]
WORDS = [pair for pair in ALL if pair[0] not in (*COUNTERS, "c_pre", "inhibitory_count")]
N_FAULTS = 8


def shows(register: str, case: Case) -> bool:
    """Say whether a register of a network changes; traces of a window do only in ``c_pre``."""
    formats, window = case.spec.formats, case.spec.learning.trace == "window"
    needed = {
        "c_pre": window, "x_post": formats.x_post is not None, "v_inh": formats.v_inh is not None,
        "inhibitory_count": formats.v_inh is not None,
    }  # fmt: skip
    return needed.get(register, True)


def faulty_case(rng: Random, register: str, bits: tuple[int, int], *, pairwise: bool) -> tuple[Case, Fault]:
    """Draw a network whose constants are exact, and a place in it."""
    while not shows(register, case := make_case(rng, bits, ROUNDINGS, representable=True, pairwise=pairwise)):
        pass
    learning, n_steps = case.spec.learning, case.spec.encoding.n_steps
    places = n_steps // learning.update_steps if register == "weight" else n_steps
    place = (rng.randrange(case.raster.n_images), rng.randrange(places))
    return case, Fault(register, place, rng.randrange(1000), rng.choice((1, -1)))


@pytest.mark.parametrize(("register", "pairwise"), ALL)
def test_one_lsb_in_the_oracle_is_found(register: str, pairwise: bool) -> None:
    rng = Random(register)
    for _ in range(N_FAULTS):
        case, fault = faulty_case(rng, register, (6, 12), pairwise=pairwise)
        assert onestep.check_steps(case, oracle_course(case)).violations == []
        assert onestep.check_steps(case, oracle_course(case, fault)).violations, fault


def changed_registers(fault: Fault, lsb: float, real: Callable[..., Any]) -> Callable[..., Any]:
    """Change a register after a function of ``(c, state, r, ...)`` or ``(c, r, ...)`` on all steps at once."""

    def function(*arguments: Any, **options: Any) -> Any:
        outcome = real(*arguments, **options)
        owner = next(thing for thing in arguments[::-1] if hasattr(thing, fault.register))
        values = getattr(owner, fault.register).clone()
        values[fault.place[1], fault.index % values.shape[1]] += fault.lsb * lsb
        setattr(owner, fault.register, values)
        return outcome

    return function


def changed_trace(fault: Fault, lsb: float, real: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter(range(10**9))

    def decayed_trace(*arguments: Any) -> Any:
        x = real(*arguments).clone()
        if next(calls) == fault.place[1]:
            x[0, fault.index % x.shape[1]] += fault.lsb * lsb
        return x

    return decayed_trace


def changed_weight(fault: Fault, lsb: float, real: Callable[..., Any]) -> Callable[..., Any]:
    """Change a weight after one window, or after either half of one step of pair-wise learning."""

    def learn(c: Any, state: Any, *rest: Any) -> Any:
        outcome = real(c, state, *rest)
        network = fault.place[1] if c.pairwise else 0
        if c.pairwise or (rest[-1] == fault.place[1] and not c.window_trace):
            rows, columns = state.weight.shape[1:]
            state.weight[network, fault.index % rows, fault.index % columns] += fault.lsb * lsb
        return outcome

    return learn


@pytest.mark.parametrize(
    ("register", "pairwise", "module", "function", "change"),
    [
        ("v_mem", False, onestep, "step", changed_registers),
        ("v_th", False, onestep, "step", changed_registers),
        ("theta", False, onestep, "step", changed_registers),
        ("x_pre", False, onestep, "decayed_trace", changed_trace),
        ("weight", False, onestep_learning, "learn_window", changed_weight),
        ("v_mem", True, onestep, "step", changed_registers),
        ("x_pre", True, onestep, "decayed_trace", changed_trace),
        ("x_post", True, onestep, "mark_post", changed_registers),
        ("v_inh", True, onestep, "inhibitory_step", changed_registers),
        ("weight", True, onestep_learning, "learn_pairs", changed_weight),
    ],
)
def test_one_lsb_in_the_reference_is_found(
    register: str,
    pairwise: bool,
    module: ModuleType,
    function: str,
    change: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, real, found = Random(register), getattr(module, function), 0
    for _ in range(N_FAULTS):
        case, fault = faulty_case(rng, register, (6, 12), pairwise=pairwise)
        if register in ("x_pre", "weight") and (case.spec.learning.rule == "pairwise") != pairwise:
            continue
        if register == "x_pre" and case.spec.learning.trace == "window":
            continue
        fixed = oracle_course(case)
        lsb = getattr(case.spec.formats, register).format.lsb
        monkeypatch.setattr(module, function, change(fault, lsb, real))
        # Where another neuron wins by a hair, the words of that step are not compared.
        assert onestep.check_steps(case, fixed).violations, fault
        found += 1
        monkeypatch.setattr(module, function, real)
    assert found >= N_FAULTS // 4


@pytest.mark.parametrize(("register", "pairwise"), WORDS)
def test_one_lsb_of_a_narrow_word_is_found_in_a_run_of_wide_ones(register: str, pairwise: bool) -> None:
    """A word of 40 fraction bits is off by 2**-10 once; the accumulated bound of the whole run is far smaller."""
    rng, found = Random(register), 0
    for _ in range(6):
        case, fault = faulty_case(rng, register, (40, 40), pairwise=pairwise)
        large = Fault(fault.register, fault.place, fault.index, fault.lsb << 30)
        ref = reference_course(case, fixed := oracle_course(case))
        assert compare(case, fixed, ref).violations == []
        # A column that is normalised before has a bound of 2**-16 of its weights, and of what they then excite.
        found += bool(compare(case, oracle_course(case, large), ref).violations)
    assert found >= 5


@pytest.mark.parametrize(
    ("register", "pairwise"),
    [(name, False) for name in COUNTERS] + [("n_post", True), ("inhibitory_count", True)],
)
def test_one_count_too_many_is_found_in_a_whole_run(register: str, pairwise: bool) -> None:
    rng = Random(register)
    for _ in range(5):
        case, fault = faulty_case(rng, register, (40, 40), pairwise=pairwise)
        ref = reference_course(case, oracle_course(case))
        assert compare(case, oracle_course(case, fault), ref).violations, fault


@pytest.mark.parametrize("pairwise", [False, True], ids=["windows", "pairwise"])
def test_a_few_lsb_are_found_in_a_run_of_narrow_words(pairwise: bool) -> None:
    """The accumulated bounds, too, are of the size of an LSB: of faults of 8 LSB in words of 6 to 14 bits, placed
    anywhere before the runs part, at least two in three are found by them alone, and some of a single LSB.
    """
    found = {1: 0, 8: 0}
    registers = [name for name, kind in WORDS if kind == pairwise]
    for number in range(3 * len(registers)):
        rng, register = Random(number), registers[number % len(registers)]
        case, _ = faulty_case(rng, register, (6, 14), pairwise=pairwise)
        ref = reference_course(case, fixed := oracle_course(case))
        steps = compare(case, fixed, ref).compared["steps"]
        k = rng.randrange(max(steps, 1))
        image, t = divmod(k, case.spec.encoding.n_steps)
        place = (image, t // case.spec.learning.update_steps if register == "weight" else t)
        for lsb in found:
            fault = Fault(register, place, rng.randrange(1000), rng.choice((lsb, -lsb)))
            found[lsb] += bool(compare(case, oracle_course(case, fault), ref).violations)
    total = 3 * len(registers)
    assert found[8] >= 2 / 3 * total and found[1] >= 0.2 * total, (found, total)
