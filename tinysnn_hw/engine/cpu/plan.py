"""Choose the narrowest lanes of the fast kernel for which every intermediate is proven to fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.lower import largest_pull
from tinysnn_hw.engine.params import MembraneParams, Params
from tinysnn_hw.fixed.modes import Overflow, Rounding, rounding_bias


@dataclass(frozen=True, slots=True)
class LanePlan:
    """How the fast kernel stores one network.

    Attributes
    ----------
    lane : dtype
        int16 or int32: `v_mem` and thresholds on the accumulator grid.
    row : dtype
        uint8 or uint16: weights, for 16-bit lanes on the accumulator grid (``raw << sum_shift``), for 32-bit ones raw.
    noise : dtype or None
        What the leak is compiled for, see `tinysnn_hw.engine.cpu.integrate.leak_kind`.
    """

    lane: np.dtype
    row: np.dtype
    noise: np.dtype | None

    @property
    def name(self) -> str:
        """Short name, such as ``fast w8 l16``."""
        return f"fast w{8 * self.row.itemsize} l{8 * self.lane.itemsize}"


class Biases(NamedTuple):
    """`rounding_bias` of every cut of the fast kernel."""

    v_mem: tuple[int, int, int]
    weight: tuple[int, int, int]
    normalize: tuple[int, int, int]
    x_pre: tuple[int, int, int]
    theta: tuple[int, int, int]
    """The cut at the end of an image."""
    depressed: tuple[int, int, int]
    x_post: tuple[int, int, int]
    v_inh: tuple[int, int, int]


def rounding_biases(p: Params) -> Biases:
    """Return the biases of a network's rounding modes at the shifts of their cuts."""
    v_shift = p.mem.v_shift + (P.DECAY_BITS if p.mem.leak == P.LEAK_MULTIPLY else 0)
    multiply = p.thr.theta_forget == P.FORGET_MULTIPLY
    return Biases(
        v_mem=rounding_bias(p.mem.v_rounding, v_shift),
        weight=rounding_bias(p.syn.w_rounding, p.syn.x_frac + p.syn.eta_frac),
        normalize=rounding_bias(p.syn.w_rounding, P.DECAY_BITS),
        x_pre=rounding_bias(p.tra.x_rounding, P.DECAY_BITS),
        theta=rounding_bias(p.thr.theta_rounding, P.THETA_DECAY_BITS if multiply else p.thr.theta_sum_shift),
        depressed=rounding_bias(p.syn.w_rounding, p.pair.y_frac + p.pair.eta_frac),
        x_post=rounding_bias(p.pair.y_rounding, P.DECAY_BITS),
        v_inh=rounding_bias(p.lay.v_rounding, P.DECAY_BITS),
    )


def _noise(mem: MembraneParams, lane: np.dtype) -> np.dtype | None:
    """Return what a pass reads per neuron before it cuts: nothing, thresholds of a product, or random bits."""
    if mem.v_shift == 0 and mem.leak in (P.LEAK_NONE, P.LEAK_SHIFT):
        return None
    plain = mem.v_shift == 0 and mem.leak == P.LEAK_MULTIPLY and mem.v_rounding in NOISE_THRESHOLDS
    # 16-bit lanes multiply by 65536 - leak_mul, which has to fit them.
    fits = lane.itemsize == 4 or 2 * mem.leak_mul > 1 << P.DECAY_BITS
    return np.dtype(np.uint16 if plain and fits else np.int32)


NOISE_THRESHOLDS = {Rounding.FLOOR: 0, Rounding.NEAREST: 1 << (P.DECAY_BITS - 1), Rounding.STOCHASTIC: 0}
"""What is added to a leak product of 16 fraction bits before they are dropped (stochastic: random bits)."""


def plan_lanes(p: Params, eta_max: int, inhibition_max: int, max_events: int) -> LanePlan | None:
    """Return the narrowest plan that is proven exact, or None where only the generic kernel is.

    The bounds, with ``L`` lane bits and ``total = max_events * w_max << sum_shift``, of one event at least:

    - the accumulator fits the lane (30 bits of a 32-bit one), and ``total`` is below half its range: then one
      saturating addition per step is exact, and a held neuron, parked at the lowest lane value, can neither fire
      nor saturate nor raise the peak;
    - sums of paired weights never carry: those of bytes are below 2**16;
    - the leak product plus its rounding bias fits twice the lane;
    - inhibition fits the lane and does not exceed the range of `v_mem`, so parked neurons never add a low
      saturation; with a floor, more than the range is the same as the range;
    - a threshold on the accumulator grid and a weight update fit 62 bits, a trace 31, an exponential
      one with the events of a step.
    """
    modes = {p.mem.v_overflow, p.thr.th_overflow, p.tra.x_overflow, p.thr.theta_overflow}
    w_top = p.syn.w_max << p.mem.sum_shift
    if p.mem.has_floor:
        inhibition_max = min(inhibition_max, p.mem.v_max - p.mem.v_min)
    if Overflow.WRAP in modes or p.syn.w_max > 0xFFFF or inhibition_max > p.mem.v_max - p.mem.v_min:
        return None
    if p.thr.th_width + max(p.mem.th_lane_shift, 0) > 62:
        return None
    if p.trace == P.TRACE_WINDOW and p.tra.x_one >= 1 << 31:
        return None
    if p.trace == P.TRACE_EXPONENTIAL and (
        p.tra.x_width + P.DECAY_BITS > 30
        or p.syn.x_frac < 1
        or p.tra.x_max + (max_events << p.syn.x_frac) >= 1 << 31
    ):
        return None
    if largest_pull(p, eta_max).bit_length() > 61:
        return None
    total = max(max_events, 1) * w_top  # silent rasters too: a weight has to fit its row
    for lane in (np.dtype(np.int16), np.dtype(np.int32)):
        bits = 8 * lane.itemsize
        width = 16 if bits == 16 else 30
        if p.mem.acc_max.bit_length() >= width or total >= 1 << (width - 1):
            continue
        stored = w_top if bits == 16 else p.syn.w_max
        narrow_sums = stored <= 0xFF and max_events * stored < 1 << 16
        row = np.dtype(np.uint8 if narrow_sums else np.uint16)
        if p.mem.leak == P.LEAK_MULTIPLY:
            cut = P.DECAY_BITS + p.mem.v_shift
            if p.mem.acc_max * p.mem.leak_mul + (1 << cut) >= 1 << (2 * bits - 1) or cut > 30:
                continue
        if p.mem.leak == P.LEAK_SUBTRACT and p.mem.leak_sub + p.mem.acc_max >= 1 << (bits - 1):
            continue
        if p.mem.leak == P.LEAK_SHIFT and p.mem.leak_shift >= bits:
            continue
        if p.mem.v_shift >= bits - 1 or inhibition_max << p.mem.v_shift >= 1 << (bits - 1):
            continue
        return LanePlan(lane, row, _noise(p.mem, lane))
    return None
