"""Bounds at which the fast kernel or a 64-bit word would be wrong, each once a bug."""

from __future__ import annotations

import numpy as np
import pytest

from tinysnn_hw.data import Raster
from tinysnn_hw.engine import choose_plan, initial_state, lower, run
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import load_network


def raster_of(spec, rate: float, n_images: int = 3, seed: int = 1) -> Raster:
    shape = (n_images, spec.encoding.n_steps, spec.network.inputs)
    return Raster.from_dense(np.random.default_rng(seed).poisson(rate, shape))


def same_with_every_kernel(spec, raster: Raster) -> None:
    lowered = lower(spec)
    ends = []
    for kernel in ("generic", "auto"):
        state = initial_state(lowered, 0)
        result = run(
            lowered, state, raster, phase="train", seed=0, n_presentations=raster.n_images, kernel=kernel
        )
        ends.append((state.weight, state.theta, state.v_th, result.counts, result.stats, result.activity))
    for plain, fast in zip(*ends, strict=True):
        np.testing.assert_array_equal(plain, fast)


@pytest.mark.parametrize("weight", ["u0.31", "u0.32"])
def test_initial_weights_of_the_widest_formats(weight):
    """The product of a draw and a span of 32 bits each does not fit a signed 64-bit word."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=5, weight=weight, settings={"learning.w_init_high": 1.0}
    )
    state = initial_state(lower(spec), 7)
    assert state.weight.min() >= 0
    np.testing.assert_array_equal(state.weight, np.array(Oracle(spec, 7).weight))


def test_a_trace_narrower_than_one_still_bounds_the_pull_of_the_weight():
    """The attract rule subtracts w * 2**x_frac, which exceeds x_max * w_max where the trace cannot reach 1."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=16, weight="u0.4",
        settings={
            "formats.x_pre.format": "u-4.8", "learning.potentiation": "eq1", "learning.n_th": 1, "neuron.refractory": 0,
            "neuron.v_th": 1.0, "inhibition.strength": 2.0, "learning.epochs": 1,
        },
    )  # fmt: skip
    same_with_every_kernel(spec, raster_of(spec, 0.3))


@pytest.mark.parametrize("x_pre", ["u4.8", "u0.14", "u-21.31"])
def test_a_trace_with_every_event_of_a_step_fits_its_lane(x_pre):
    spec = load_network("tinysnn", recipe="digits", neurons=9, settings={"formats.x_pre.format": x_pre})
    same_with_every_kernel(spec, raster_of(spec, 0.2))


@pytest.mark.parametrize("x_pre", ["u27.5", "u0.32"])
def test_a_windowed_trace_of_32_bits_has_its_own_least_value(x_pre):
    """The largest value of the format does not fit the signed 32-bit lanes in which counts are read."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=5,
        settings={"formats.x_pre.format": x_pre, "learning.epochs": 1, "learning.update_steps": 10},
    )  # fmt: skip
    same_with_every_kernel(spec, raster_of(spec, 0.5))


def test_inhibition_beyond_the_range_keeps_the_fast_kernel_where_a_floor_makes_it_harmless():
    spec = load_network("tinysnn-wta", recipe="digits", neurons=70, v_mem="s6.8", settings={
        "neuron.v_th_cap": 20.0, "inhibition.strength": 121.0, "learning.epochs": 1,
    })  # fmt: skip
    assert choose_plan(lower(spec), 40) is not None
    same_with_every_kernel(spec, raster_of(spec, 0.1))


def test_the_plain_kernel_is_proven_for_the_raster_it_runs():
    """16 events per input are only assumed; a denser raster is proven again, or refused."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=2, weight="u8.0", v_mem="s2.28",
        settings={
            "network.inputs": 1, "formats.guard_bits": 16, "neuron.v_th": 0.5, "neuron.v_th_cap": 1.0,
            "learning.w_max": 200.0, "learning.w_init_high": 200.0, "formats.v_th.format": "s2.8",
            "formats.theta.format": "u1.16", "encoding.n_steps": 83,
        },
    )  # fmt: skip
    lowered = lower(spec)
    events = np.zeros((1, 83, 1), np.int64)
    events[0, 0, 0] = 65_535
    with pytest.raises(SpecError, match="input sum"):
        run(lowered, initial_state(lowered, 0), Raster.from_dense(events), phase="test", seed=0)
