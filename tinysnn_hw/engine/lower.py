"""Spec to integers, with proofs: every constant on its grid, every intermediate inside its carrier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.lower_pairwise import lower_layer, lower_pair
from tinysnn_hw.engine.params import MembraneParams, Params, SynapseParams, ThresholdParams, TraceParams
from tinysnn_hw.engine.proofs import CARRIER_BITS, Proof, largest_pull, max_potentiation, prove
from tinysnn_hw.engine.schedule import (
    constant,
    eta_pre_values,
    eta_values,
    full_counts,
    inhibition_values,
    named_constant,
    piece_of,
    require,
)
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.modes import Overflow, rounding_bias
from tinysnn_hw.spec.network import NetworkSpec
from tinysnn_hw.spec.registers import register_formats

_LEAKS = {
    "none": P.LEAK_NONE,
    "shift": P.LEAK_SHIFT,
    "multiply": P.LEAK_MULTIPLY,
    "subtract": P.LEAK_SUBTRACT,
}
_RULES = {"potentiate": P.RULE_POTENTIATE, "attract": P.RULE_ATTRACT, "pairwise": P.RULE_PAIRWISE}
_FORGETS = {"none": P.FORGET_NONE, "subtract": P.FORGET_SUBTRACT, "multiply": P.FORGET_MULTIPLY}


@dataclass(frozen=True, slots=True)
class Lowered:
    """A network as integers.

    Attributes
    ----------
    spec : NetworkSpec
    params : Params
        Scalars of the kernels.
    eta : int64[schedule_pieces]
        Raw learning rate of each piece of the training.
    eta_pre : int64[schedule_pieces]
        Raw rate of depression of each piece; 0 without pair-wise learning.
    inhibition : int64[schedule_pieces]
        Raw inhibition of each piece of the training, on the grid of `v_mem`.
    inhibition_full : int
        Raw inhibition after the ramp; used in labelling and test.
    x_scale : int64[n_updates]
        Factor that turns the windowed count of an update into `x_pre`, with 16 + x_frac fraction bits.
    formats : dict of str to Format
        Format of every stored register, counters included.
    proofs : tuple of Proof
    """

    spec: NetworkSpec
    params: Params
    eta: npt.NDArray[np.int64]
    eta_pre: npt.NDArray[np.int64]
    inhibition: npt.NDArray[np.int64]
    inhibition_full: int
    x_scale: npt.NDArray[np.int64]
    formats: dict[str, Format]
    proofs: tuple[Proof, ...]

    @property
    def n_updates(self) -> int:
        """Learning windows that end within an image."""
        return self.params.n_steps // self.params.update_steps


def lower(spec: NetworkSpec, *, max_events: int | None = None) -> Lowered:
    """Turn a network into integers and prove that no intermediate can leave its carrier.

    Parameters
    ----------
    spec : NetworkSpec
    max_events : int, optional
        Largest number of input events in one step; absent: 16 per input.  A session proves again for the
        rasters it runs.

    Returns
    -------
    Lowered

    Raises
    ------
    SpecError
        A constant does not fit its register, or an intermediate would need more than 64 bits.
    """
    formats = register_formats(spec)
    neuron, learning, fm = spec.neuron, spec.learning, spec.formats
    v, w, th, theta, x = (formats[name] for name in ("v_mem", "weight", "v_th", "theta", "x_pre"))
    acc_frac = max(v.frac_bits, w.frac_bits) + fm.guard_bits
    acc_width = v.int_bits + acc_frac
    sym = fm.v_mem.overflow == Overflow.SATURATE_SYMMETRIC
    v_min = -v.raw_max if sym and v.signed else v.raw_min
    if acc_width < 1 + v.signed:
        raise SpecError(
            f"formats.v_mem = {v}: the accumulator (v_mem's integer bits, {acc_frac} fraction bits) is empty"
        )
    acc_max = (1 << (acc_width - v.signed)) - 1
    th_frac = max(th.frac_bits, theta.frac_bits, P.THRESHOLD_BITS)
    cmp_frac = max(v.frac_bits, th.frac_bits)
    require(spec, "v_mem", v, "neuron.v_reset", neuron.v_reset)
    if neuron.v_floor is not None:
        require(spec, "v_mem", v, "neuron.v_floor", neuron.v_floor)
    for key, value in (("v_reset", neuron.v_reset), ("v_floor", neuron.v_floor)):
        if value is not None and constant(value, v.frac_bits) < v_min:
            raise SpecError(
                f"neuron.{key} = {value:g}: with overflow saturate_symmetric {v} goes down to {v_min * v.lsb:g} only"
            )
    require(spec, "v_mem", v, "neuron.v_th", neuron.v_th)
    require(spec, "v_th", th, "neuron.v_th", neuron.v_th)
    clamp = theta.raw_max
    if neuron.v_th_cap is not None:
        require(spec, "v_th", th, "neuron.v_th_cap", neuron.v_th_cap)
        room = Fraction(neuron.v_th_cap) - Fraction(neuron.v_th)
        clamp = math.floor(room * Fraction(2) ** theta.frac_bits)
        if clamp > theta.raw_max:
            raise SpecError(
                f"formats.theta = {theta}: v_th_cap - v_th = {float(room):g} mV does not fit; "
                f"its largest value is {theta.max:g}; use at least "
                f"u{max(clamp.bit_length() - theta.frac_bits, 0)}.{theta.frac_bits}"
            )
    eta_frac = fm.eta.format.frac_bits
    eta = _rate_table(eta_values(learning), "eta", fm.eta.format)
    eta_pre = np.zeros(learning.schedule_pieces, np.int64)
    if fm.eta_pre is not None:
        eta_pre = _rate_table(eta_pre_values(learning), "eta_pre", fm.eta_pre.format)
    w_max = min(constant(learning.w_max, w.frac_bits), w.raw_max)
    if w.raw_max < 1:
        raise SpecError(
            f"formats.weight = {w}: the largest value of the format is {w.max:g}; a weight needs more than 0"
        )
    if w_max < 1:
        raise SpecError(f"formats.weight = {w}: w_max = {learning.w_max:g} is below one LSB ({w.lsb:g})")
    w_low = min(constant(learning.w_init_low, w.frac_bits), w_max)
    w_high = min(constant(learning.w_init_high, w.frac_bits), w_max + 1)
    if learning.weight_sum is not None and constant(learning.weight_sum, w.frac_bits) < 1:
        raise SpecError(
            f"learning.weight_sum = {learning.weight_sum:g} is below one LSB of formats.weight = {w}"
        )
    down = 0.0
    if neuron.theta_forget == "subtract":
        down = neuron.theta_plus * neuron.theta_forget_spikes / spec.network.neurons
    n_updates = spec.encoding.n_steps // learning.update_steps
    mem = MembraneParams(
        acc_width=acc_width,
        acc_min=-(acc_max + 1) if v.signed else 0,
        acc_max=acc_max,
        sum_shift=acc_frac - w.frac_bits,
        v_shift=acc_frac - v.frac_bits,
        v_min=v_min,
        v_max=v.raw_max,
        v_width=v.width,
        v_signed=int(v.signed),
        v_rounding=int(fm.v_mem.rounding),
        v_overflow=int(fm.v_mem.overflow),
        v_rand_bits=fm.v_mem.rand_bits,
        leak=_LEAKS[neuron.leak],
        leak_shift=neuron.leak_shift,
        leak_mul=constant(math.exp(-1.0 / neuron.tau_mem), P.DECAY_BITS),
        leak_sub=named_constant("neuron.leak_step", neuron.leak_step, acc_frac),
        v_reset=constant(neuron.v_reset, v.frac_bits),
        has_floor=int(neuron.v_floor is not None),
        v_floor=v_min if neuron.v_floor is None else constant(neuron.v_floor, v.frac_bits),
        cmp_v_shift=cmp_frac - v.frac_bits,
        cmp_th_shift=cmp_frac - th.frac_bits,
        th_lane_shift=acc_frac - th.frac_bits,
    )
    thr = ThresholdParams(
        th_min=th.raw_min,
        th_max=th.raw_max,
        th_width=th.width,
        th_signed=int(th.signed),
        th_rounding=int(fm.v_th.rounding),
        th_overflow=int(fm.v_th.overflow),
        th_rand_bits=fm.v_th.rand_bits,
        th_base=named_constant("neuron.v_th", neuron.v_th, th_frac),
        th_cut_shift=th_frac - th.frac_bits,
        th_bias0=rounding_bias(fm.v_th.rounding, th_frac - th.frac_bits)[0],
        th_bias2=rounding_bias(fm.v_th.rounding, th_frac - th.frac_bits)[2],
        theta_sum_shift=th_frac - theta.frac_bits,
        theta_plus=named_constant("neuron.theta_plus", neuron.theta_plus, th_frac),
        theta_min=theta.raw_min,
        theta_max=theta.raw_max,
        theta_width=theta.width,
        theta_signed=int(theta.signed),
        theta_rounding=int(fm.theta.rounding),
        theta_overflow=int(fm.theta.overflow),
        theta_rand_bits=fm.theta.rand_bits,
        theta_clamp=clamp,
        theta_forget=_FORGETS[neuron.theta_forget],
        theta_down=named_constant("neuron.theta_forget_spikes", down, th_frac),
        theta_mul=constant(math.exp(-spec.encoding.n_steps / neuron.tau_theta), P.THETA_DECAY_BITS),
    )
    syn = SynapseParams(
        w_max=w_max,
        w_rounding=int(fm.weight.rounding),
        w_rand_bits=fm.weight.rand_bits,
        w_init_low=w_low,
        w_init_span=max(w_high - w_low, 1),
        x_frac=x.frac_bits,
        eta_frac=eta_frac,
        rule=_RULES[learning.rule],
        eq1=int(learning.potentiation == "eq1"),
        n_th=learning.n_th,
        weight_sum=named_constant("learning.weight_sum", learning.weight_sum or 0.0, w.frac_bits),
        narrow_learning=0,
    )
    tra = TraceParams(
        x_frac=x.frac_bits,
        x_one=min(1 << x.frac_bits, x.raw_max),
        x_max=x.raw_max,
        x_width=x.width,
        x_rounding=int(fm.x_pre.rounding),
        x_overflow=int(fm.x_pre.overflow),
        x_rand_bits=fm.x_pre.rand_bits,
        trace_mul=constant(math.exp(-1.0 / learning.tau_trace), P.DECAY_BITS),
        set_mode=int(learning.trace_mode == "set"),
        c_max=formats["c_pre"].raw_max,
        narrow_counts=0,
    )
    values = Params(
        n_inputs=spec.network.inputs,
        n_neurons=spec.network.neurons,
        n_steps=spec.encoding.n_steps,
        refractory=neuron.refractory,
        trace=P.TRACE_WINDOW if learning.trace == "window" else P.TRACE_EXPONENTIAL,
        learners=P.LEARN_WINNER if learning.learners == "winner" else P.LEARN_SPIKERS,
        update_steps=learning.update_steps,
        mem=mem,
        thr=thr,
        syn=syn,
        tra=tra,
        lay=lower_layer(spec),
        pair=lower_pair(spec),
    )
    grid, pull = syn.x_frac + syn.eta_frac, largest_pull(values, int(eta.max()))
    syn = syn._replace(narrow_learning=int(pull + (2 << grid) < 1 << 31))
    x_scale = _x_scale(spec, values, n_updates)
    largest = int(x_scale.max(initial=0)) * tra.c_max + (1 << P.DECAY_BITS)
    values = values._replace(syn=syn, tra=tra._replace(narrow_counts=int(largest < 1 << 31)))
    events = 16 * spec.network.inputs if max_events is None else max_events
    return Lowered(
        spec=spec,
        params=values,
        eta=eta,
        eta_pre=eta_pre,
        inhibition=_inhibition_table(spec, v),
        inhibition_full=named_constant("inhibition.strength", spec.inhibition.strength, v.frac_bits),
        x_scale=x_scale,
        formats=formats,
        proofs=prove(values, int(eta.max()), events, int(eta_pre.max())),
    )


def _rate_table(values: list[float], register: str, fmt: Format) -> npt.NDArray[np.int64]:
    raws = [constant(value, fmt.frac_bits) for value in values]
    for raw, value in zip(raws, values, strict=True):
        if not 1 <= raw <= fmt.raw_max:
            raise SpecError(
                f"formats.{register} = {fmt}: learning rate {value:g} becomes raw {raw}; "
                f"1 to {fmt.raw_max} is allowed ({fmt.lsb:g} to {fmt.max:g})"
            )
    return np.array(raws, np.int64)


def _inhibition_table(spec: NetworkSpec, v: Format) -> npt.NDArray[np.int64]:
    values = inhibition_values(spec)
    return np.array([named_constant("inhibition.strength", value, v.frac_bits) for value in values], np.int64)


def _x_scale(spec: NetworkSpec, values: Params, n_updates: int) -> npt.NDArray[np.int64]:
    if values.trace != P.TRACE_WINDOW:
        return np.zeros(n_updates, np.int64)
    scales = []
    for count in full_counts(spec):
        if not 1 <= count <= values.tra.c_max:
            raise SpecError(
                f"formats.c_pre = {spec.formats.c_pre.format}: a full-rate pixel counts {count} in a window of "
                f"{spec.learning.update_steps} steps; 1 to {values.tra.c_max} is allowed"
            )
        scales.append(math.floor(Fraction(1 << (P.DECAY_BITS + values.syn.x_frac), count) + Fraction(1, 2)))
    return np.array(scales, np.int64)


__all__ = [
    "CARRIER_BITS", "Lowered", "Proof", "constant", "eta_values", "full_counts", "inhibition_values",
    "largest_pull", "lower", "max_potentiation", "piece_of", "prove",
]  # fmt: skip
