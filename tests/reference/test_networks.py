"""The four shipped networks on digits, in their own formats and in wide ones, held to the accumulated bounds."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

from tests.reference.accumulated import compare
from tests.reference.cases import Case
from tests.reference.courses import oracle_course, reference_course, registers_of
from tests.reference.onestep import check_steps
from tinysnn_hw.data import load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec import load_network

WIDE = 40


def case_of(name: str, *, wide: bool) -> Case:
    """Return a shipped network with 8 neurons on one digit; ``wide``: with 40 fraction bits in every register."""
    spec = load_network(name, recipe="digits", neurons=8)
    images = load_dataset("digits").train_images[:1]
    raster = encode(images, encoding_tables(spec.encoding), spikes="poisson", phase="train", seed=3)
    if wide:
        changed = {}
        for register in (*registers_of(spec), "eta", *(("eta_pre",) if spec.formats.eta_pre else ())):
            own = getattr(spec.formats, register)
            fmt = Format(own.format.signed, own.format.int_bits, WIDE)
            changed[register] = own.model_copy(update={"format": fmt})
        spec = spec.model_copy(update={"formats": spec.formats.model_copy(update=changed)})
    return Case(spec, raster, seed=3, n_presentations=20)


LEAST_STEPS = {"tinysnn": 200, "tinysnn-wta": 150, "baseline": 80, "sl-stdp": 80}
"""Steps that are compared, at least, until the own formats lead to another spike than real numbers."""


@pytest.mark.parametrize("name", LEAST_STEPS)
def test_own_formats(name: str) -> None:
    case = case_of(name, wide=False)
    fixed = oracle_course(case)
    assert not fixed.saturated
    seen = compare(case, fixed, reference_course(case, fixed))
    assert not seen.violations, seen.violations[:5]
    assert seen.compared["steps"] >= LEAST_STEPS[name] and seen.compared["spikes"] >= 5, seen.compared
    residuals = check_steps(case, fixed)
    assert not residuals.violations, residuals.violations[:5]
    assert residuals.undecided <= 0.05 * case.spec.encoding.n_steps


@pytest.mark.parametrize("name", LEAST_STEPS)
def test_wide_formats(name: str) -> None:
    """The same spikes to the end of the image."""
    case = case_of(name, wide=True)
    fixed = oracle_course(case)
    assert not fixed.saturated
    seen = compare(case, fixed, reference_course(case, fixed))
    assert not seen.violations, seen.violations[:5]
    assert seen.compared["steps"] == case.spec.encoding.n_steps and seen.compared["spikes"] >= 10, (
        seen.compared
    )
    assert seen.compared["updates"] >= 2
