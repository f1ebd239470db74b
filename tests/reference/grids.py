"""What formats do to a real number: errors of constants and of cuts, from docs/numerics.md sections 1 and 4."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.reference import constants as real
from tinysnn_hw.spec.network import NetworkSpec, RegisterSpec

FLOAT = 2.0**-50
"""Relative error allowed for the reference's own float64 sums of up to a few dozen terms (2**-53 each)."""


def gap(x: float, frac_bits: int) -> float:
    """Return the distance of ``const(x, frac_bits)`` from ``x``; at most ``2**-(frac_bits + 1)``."""
    exact = Fraction(x) * Fraction(2) ** frac_bits
    return float(abs(math.floor(exact + Fraction(1, 2)) - exact) * Fraction(2) ** -frac_bits)


def floor_gap(x: float, frac_bits: int) -> float:
    """Return the distance of ``floor(x * 2**frac_bits)`` from ``x``; below ``2**-frac_bits``."""
    exact = Fraction(x) * Fraction(2) ** frac_bits
    return float((exact - math.floor(exact)) * Fraction(2) ** -frac_bits)


def largest_cut(register: RegisterSpec, dropped: int) -> float:
    """Return the largest error of a cut that drops so many bits: one LSB, half of it to nearest, none if none drop."""
    if dropped <= 0:
        return 0.0
    directed = register.rounding in (Rounding.FLOOR, Rounding.TO_ZERO, Rounding.STOCHASTIC)
    return register.format.lsb * (1.0 if directed else 0.5)


def cut_range(register: RegisterSpec, dropped: int, exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest error ``fixed - exact`` of a cut of these numbers.

    A number with ``dropped`` bits below the LSB is a multiple of ``2**-dropped`` LSB, so ``floor`` leaves at least
    ``-(1 - 2**-dropped)`` LSB, and of the modes to nearest that round a tie upward none leaves ``-1/2``.
    """
    none = np.zeros(exact.shape)
    if dropped <= 0:
        return none, none
    lsb = register.format.lsb
    below_one, half, below_half = (
        size * lsb + none for size in (1 - 2.0**-dropped, 0.5, 0.5 - 2.0**-dropped)
    )
    positive = exact >= 0.0
    match register.rounding:
        case Rounding.FLOOR:
            return -below_one, none
        case Rounding.TO_ZERO:
            return np.where(positive, -below_one, none), np.where(positive, none, below_one)
        case Rounding.NEAREST:
            return -below_half, half
        case Rounding.NEAREST_AWAY:
            return np.where(positive, -below_half, -half), np.where(positive, half, below_half)
        case Rounding.NEAREST_EVEN:
            return -half, half
        case Rounding.STOCHASTIC:
            return -below_one, below_one


@dataclass(frozen=True)
class Grid:
    """Numbers of fraction bits, and how far each constant of a network is from its real value."""

    f_a: int
    f_t: int
    dropped_v_mem: int
    dropped_theta: int
    dropped_v_th: int
    dropped_weight: int
    accumulator: float
    leak_factor: float
    leak_gap: float
    leak_step_gap: float
    v_reset_gap: float
    v_floor_gap: float
    base_gap: float
    plus_gap: float
    down_gap: float
    theta_factor: float
    theta_factor_gap: float
    clamp_gap: float
    trace_factor: float
    trace_gap: float
    w_max_gap: float
    weight_sum_gap: float
    dropped_depressed: int
    excitation_gap: float
    inhibitory_factor: float
    inhibitory_factor_gap: float
    inhibitory_v_th_gap: float
    inhibitory_v_reset_gap: float


def grid_of(spec: NetworkSpec) -> Grid:
    """Return the grid of a network."""
    formats, neuron, learning = spec.formats, spec.neuron, spec.learning
    f_v, f_w = formats.v_mem.format.frac_bits, formats.weight.format.frac_bits
    f_theta, f_v_th = formats.theta.format.frac_bits, formats.v_th.format.frac_bits
    f_a, f_t = max(f_v, f_w) + formats.guard_bits, max(16, f_v_th, f_theta)
    leak = {"multiply": math.exp(-1 / neuron.tau_mem), "shift": 1 - 2.0**-neuron.leak_shift}.get(
        neuron.leak, 1.0
    )
    leak_gap = gap(leak, 16) if neuron.leak == "multiply" else 0.0
    down = neuron.theta_plus * neuron.theta_forget_spikes / spec.network.neurons
    theta_factor, trace = (
        math.exp(-spec.encoding.n_steps / neuron.tau_theta),
        math.exp(-1 / learning.tau_trace),
    )
    return Grid(
        f_a=f_a,
        f_t=f_t,
        dropped_v_mem=f_a - f_v + (16 if neuron.leak == "multiply" else 0),
        dropped_theta=f_t - f_theta,
        dropped_v_th=f_t - f_v_th,
        dropped_weight=formats.x_pre.format.frac_bits + formats.eta.format.frac_bits,
        # The shift leak subtracts a floor of its own.
        accumulator=2.0**-f_a * (1 - 2.0**-neuron.leak_shift) if neuron.leak == "shift" else 0.0,
        leak_factor=leak + leak_gap,
        leak_gap=leak_gap,
        leak_step_gap=gap(neuron.leak_step, f_a) if neuron.leak == "subtract" else 0.0,
        v_reset_gap=gap(neuron.v_reset, f_v),
        v_floor_gap=0.0 if neuron.v_floor is None else gap(neuron.v_floor, f_v),
        base_gap=gap(neuron.v_th, f_t),
        plus_gap=gap(neuron.theta_plus, f_t),
        down_gap=gap(down, f_t),
        theta_factor=theta_factor,
        theta_factor_gap=gap(theta_factor, 32),
        clamp_gap=0.0 if neuron.v_th_cap is None else floor_gap(neuron.v_th_cap - neuron.v_th, f_theta),
        trace_factor=trace + gap(trace, 16),
        trace_gap=gap(trace, 16),
        # A format that cannot hold w_max bounds the weight at its own largest number.
        w_max_gap=max(gap(learning.w_max, f_w), learning.w_max - formats.weight.format.max),
        weight_sum_gap=0.0 if learning.weight_sum is None else gap(learning.weight_sum, f_w),
        dropped_depressed=0
        if formats.x_post is None or formats.eta_pre is None
        else formats.x_post.format.frac_bits + formats.eta_pre.format.frac_bits,
        **_layer_of(spec),
    )


def _layer_of(spec: NetworkSpec) -> dict[str, float]:
    layer, v_inh = spec.inhibitory, spec.formats.v_inh
    names = ("excitation", "inhibitory_v_th", "inhibitory_v_reset", "inhibitory_factor")
    if layer is None or v_inh is None:
        return {**{f"{name}_gap": 0.0 for name in names}, "inhibitory_factor": 0.0}
    f, factor = v_inh.format.frac_bits, math.exp(-1 / layer.tau_mem)
    values, bits = (layer.excitation, layer.v_th, layer.v_reset, factor), (f, f, f, 16)
    gaps = {f"{name}_gap": gap(x, n) for name, x, n in zip(names, values, bits, strict=True)}
    return {**gaps, "inhibitory_factor": factor + gaps["inhibitory_factor_gap"]}


def scale_gap(spec: NetworkSpec, u: int) -> float:
    """Return how far the factor from windowed count to `x_pre` is from ``1 / full``, as a real number."""
    full = real.full_counts(spec)[u]
    f = 16 + spec.formats.x_pre.format.frac_bits
    return float(abs(Fraction(math.floor(Fraction(2**f, full) + Fraction(1, 2)), 2**f) - Fraction(1, full)))


@dataclass(frozen=True)
class Rates:
    """What the schedules give one training presentation, and how far each is from its fixed-point value."""

    eta: float
    eta_gap: float
    eta_pre: float
    eta_pre_gap: float
    inhibition: float
    inhibition_gap: float


def rates(spec: NetworkSpec, image: int, n_presentations: int) -> Rates:
    """Return the rates of one training presentation."""
    piece, formats = image * spec.learning.schedule_pieces // n_presentations, spec.formats

    def with_gap(x: float, register: RegisterSpec | None) -> tuple[float, float]:
        # The schedule itself is computed twice, in another order of operations.
        return x, 0.0 if register is None else gap(x, register.format.frac_bits) + FLOAT * x

    return Rates(
        *with_gap(real.eta(spec, piece), formats.eta),
        *with_gap(real.eta_pre(spec, piece), formats.eta_pre),
        *with_gap(real.inhibition(spec, piece), formats.v_mem),
    )


def one_gap(register: RegisterSpec) -> float:
    """Return how far a trace that is set to 1 is from it: a format without integer bits holds less."""
    return max(0.0, 1.0 - register.format.max)
