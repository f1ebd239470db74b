"""More bits come closer to real numbers, and stochastic rounding is right on average."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference.cases import DETERMINISTIC, Case, make_case
from tests.reference.courses import oracle_course, reference_course
from tests.reference.onestep import check_steps

BITS = (6, 10, 14, 18)


def silent(case: Case) -> Case:
    """Put the threshold out of reach: then `v_mem` shows rounding and nothing else."""
    neuron = case.spec.neuron.model_copy(update={"v_th": 500.0, "v_th_cap": None})
    return Case(case.spec.model_copy(update={"neuron": neuron}), case.raster, case.seed, case.n_presentations)


@pytest.mark.slow
def test_error_of_v_mem_falls_with_every_bit() -> None:
    """The root mean square error of 16 networks' membranes falls by 2**4 per 4 bits; between 12 and 21 is asked for.

    The constants of these networks are exact; rounding is a random sum of steps of one LSB, biased or not.
    """
    errors = []
    for bits in BITS:
        squares, n = 0.0, 0
        for number in range(16):
            case = silent(make_case(Random(number), (bits, bits), DETERMINISTIC, representable=True))
            fixed = oracle_course(case)
            assert not fixed.saturated
            real = reference_course(case, fixed)
            squares += float(((fixed.registers["v_mem"] - real.registers["v_mem"]) ** 2).sum())
            n += fixed.registers["v_mem"].size
        errors.append((squares / n) ** 0.5)
    ratios = [a / b for a, b in pairwise(errors)]
    assert errors[0] > 2.0**-8, errors
    assert all(12.0 < ratio < 21.0 for ratio in ratios), ratios


@pytest.mark.slow
def test_error_of_weights_falls_with_every_bit() -> None:
    """Pair-wise learning without normalisation, whose quotients have 16 bits whatever the formats: as above, on every
    weight after every step of at least 6 networks that have the reference's spikes with 14 bits and more.
    """
    bits_of_run, squares, networks = (14, 18, 22, 26), np.zeros(4), 0
    for number in range(16):
        cases = [
            make_case(Random(number), (bits, bits), DETERMINISTIC, representable=True, pairwise=True)
            for bits in bits_of_run
        ]
        if cases[0].spec.learning.rule != "pairwise":
            continue
        learning = cases[0].spec.learning.model_copy(update={"weight_sum": None})
        errors = []
        for case in (
            replace(case, spec=case.spec.model_copy(update={"learning": learning})) for case in cases
        ):
            real = reference_course(case, fixed := oracle_course(case))
            same = (fixed.registers["winner"] == real.registers["winner"]).all() and not fixed.saturated
            errors.append(((fixed.weight_window - real.weight_window) ** 2).sum() if same else np.nan)
        networks += not np.isnan(errors).any()
        squares += 0.0 if np.isnan(errors).any() else np.array(errors)
    ratios = [a / b for a, b in pairwise(squares**0.5)]
    assert networks >= 6, networks
    assert all(12.0 < ratio < 21.0 for ratio in ratios), ratios


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [False, True], ids=["windows", "pairwise"])
def test_spikes_come_closer_with_more_bits(pairs: bool) -> None:
    """Over 15 trainings the spike counts that differ from the reference's fall with the bits, to none with 40."""
    differing = []
    for bits in (2, 5, 8, 40):
        total = 0
        for number in range(15):
            case = make_case(Random(number), (bits, bits), DETERMINISTIC, representable=True, pairwise=pairs)
            fixed = oracle_course(case)
            real = reference_course(case, fixed)
            neurons = np.arange(case.spec.network.neurons)
            counts = [
                (course.registers["winner"][..., None] == neurons).sum(axis=1) for course in (fixed, real)
            ]
            total += int(np.abs(counts[0] - counts[1]).sum())
        differing.append(total)
    assert differing[0] > 50, differing
    assert differing == sorted(differing, reverse=True) and len(set(differing)) == len(differing), differing
    assert differing[-1] == 0, differing


LIMIT = 5.3
"""Of a normal score: exceeded by chance once in 8.6 million."""


def scores(up: np.ndarray, p_up: np.ndarray) -> np.ndarray:
    """Return normal scores of the number of words rounded up, in eighths of the probability of it."""
    bins = np.minimum((p_up * 8).astype(int), 7)
    excess = np.bincount(bins, up - p_up, minlength=8)
    variance = np.bincount(bins, p_up * (1 - p_up), minlength=8)
    assert np.bincount(bins, minlength=8).min() >= 250
    return excess / np.sqrt(variance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pairs", "n_cases", "registers"),
    [
        (False, 110, {"v_mem", "x_pre", "weight"}),
        (True, 90, {"v_mem", "x_pre", "weight", "weight, depressed", "x_post", "v_inh"}),
    ],
    ids=["windows", "pairwise"],
)
def test_stochastic_rounding_is_unbiased(pairs: bool, n_cases: int, registers: set[str]) -> None:
    """A word is rounded up as often as its dropped bits say, whatever they are.

    For each register and each eighth of the probability, the number of words rounded up among at least 250 independent
    ones is a sum of Bernoulli variables; its normal score stays below 5.3. A correct rounding fails one of the 24
    comparisons of windows once in 350,000 choices of seeds, one of the 48 of pairs once in 170,000 (the seeds here are
    fixed).
    """
    up: dict[str, list[np.ndarray]] = {}
    p_up: dict[str, list[np.ndarray]] = {}
    for number in range(n_cases):
        case = make_case(Random(number), (6, 10), ("stochastic",), representable=True, pairwise=pairs)
        fixed = oracle_course(case)
        if fixed.saturated:
            continue
        found = check_steps(case, fixed)
        assert not found.violations, found.violations[:3]
        for name in found.up:
            up.setdefault(name, []).extend(x.ravel() for x in found.up[name])
            p_up.setdefault(name, []).extend(x.ravel() for x in found.p_up[name])
    assert set(up) == registers
    for name in up:
        ups, chances = np.concatenate(up[name]), np.concatenate(p_up[name])
        inexact = chances > 0.0
        assert (ups[~inexact] == 0.0).all()
        ups, chances = ups[inexact], chances[inexact]
        assert np.isin(ups, (0.0, 1.0)).all()
        assert np.abs(scores(ups, chances)).max() < LIMIT, name
        # Rounding to nearest and truncation are not taken for it.
        assert np.abs(scores(np.round(chances), chances)).max() > LIMIT
        assert np.abs(scores(np.zeros(len(chances)), chances)).max() > LIMIT
