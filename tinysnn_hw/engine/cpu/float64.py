"""The float64 twin: the step order of docs/numerics.md with real numbers, no format, no rounding to a grid.

It models neither word widths nor saturation; the spikes, windows, schedules and tie-breaks are the same.  With
`ShadowParams` the weights in use are a copy of real masters, cut to a format (docs/quantization.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.float64_bounds import above, advance_bounds, below, inhibit_bounds, sum_bounds
from tinysnn_hw.engine.cpu.float64_exact import advance_exactly, find_winner
from tinysnn_hw.engine.cpu.float64_learning import (
    advance_columns,
    close_columns,
    depress,
    inhibit_columns,
    learn_column,
    normalize,
    open_column,
    potentiate,
    use,
    use_depressed,
    weight_key,
)
from tinysnn_hw.engine.cpu.float64_storage import STEPS
from tinysnn_hw.engine.schedule import eta_pre_values, eta_values, full_counts, inhibition_values
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.random import Purpose, chain, start

if TYPE_CHECKING:
    from tinysnn_hw.engine.lower import Lowered

_INITIAL_WEIGHTS = np.uint32(Purpose.INITIAL_WEIGHTS)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)


class FloatParams(NamedTuple):
    """Real constants of the twin, in mV and steps; the integer choices stay in `Params`."""

    leak_factor: float
    leak_step: float
    v_reset: float
    v_floor: float
    v_th: float
    theta_plus: float
    theta_clamp: float
    theta_down: float
    theta_factor: float
    w_max: float
    w_init_low: float
    w_init_high: float
    trace_factor: float
    weight_sum: float
    excitation: float
    layer_factor: float
    layer_v_th: float
    layer_v_reset: float


def float_params(lowered: Lowered) -> FloatParams:
    """Return the real constants of a network."""
    spec = lowered.spec
    neuron, learning = spec.neuron, spec.learning
    leak = {
        "none": 1.0,
        "subtract": 1.0,
        "shift": 1.0 - 2.0**-neuron.leak_shift,
        "multiply": math.exp(-1.0 / neuron.tau_mem),
    }[neuron.leak]
    layer = spec.inhibitory
    return FloatParams(
        leak_factor=leak,
        leak_step=neuron.leak_step if neuron.leak == "subtract" else 0.0,
        v_reset=neuron.v_reset,
        v_floor=-math.inf if neuron.v_floor is None else neuron.v_floor,
        v_th=neuron.v_th,
        theta_plus=neuron.theta_plus,
        theta_clamp=math.inf if neuron.v_th_cap is None else neuron.v_th_cap - neuron.v_th,
        theta_down=neuron.theta_plus * neuron.theta_forget_spikes / spec.network.neurons
        if neuron.theta_forget == "subtract"
        else 0.0,
        theta_factor=math.exp(-spec.encoding.n_steps / neuron.tau_theta)
        if neuron.theta_forget == "multiply"
        else 1.0,
        w_max=learning.w_max,
        w_init_low=min(learning.w_init_low, learning.w_max),
        w_init_high=min(learning.w_init_high, learning.w_max),
        trace_factor=math.exp(-1.0 / learning.tau_trace),
        weight_sum=learning.weight_sum or 0.0,
        excitation=0.0 if layer is None else layer.excitation,
        layer_factor=0.0 if layer is None else math.exp(-1.0 / layer.tau_mem),
        layer_v_th=0.0 if layer is None else layer.v_th,
        layer_v_reset=0.0 if layer is None else layer.v_reset,
    )


class ShadowParams(NamedTuple):
    """How the weights in use follow from their masters; where ``on`` is 0 the two are one array."""

    on: int
    scale: float
    raw_max: float
    rounding: int
    rand_bits: int


def shadow_params(lowered: Lowered, *, on: bool) -> ShadowParams:
    """Return the format of the weights in use: that of `weight`, with its rounding."""
    weight = lowered.spec.formats.weight
    return ShadowParams(
        on=int(on),
        scale=2.0**weight.format.frac_bits,
        raw_max=float(lowered.params.syn.w_max),
        rounding=int(weight.rounding),
        rand_bits=weight.rand_bits,
    )


class FloatSchedule(NamedTuple):
    """Learning rate, rate of depression and inhibition of every piece; the full-rate count of every window."""

    eta: np.ndarray
    eta_pre: np.ndarray
    inhibition: np.ndarray
    full: np.ndarray


def float_schedule(lowered: Lowered) -> FloatSchedule:
    """Return the real schedules of a network."""
    spec = lowered.spec
    full = full_counts(spec) if spec.learning.trace == "window" else [1] * lowered.n_updates
    values = (eta_values(spec.learning), eta_pre_values(spec.learning), inhibition_values(spec), full)
    return FloatSchedule(*(np.array(each, np.float64) for each in values))


@njit(cache=True)
def initialize(p, f, q, seed, weight, master, theta, v_th):
    """Fill the initial state with the draws of the integer network, as real numbers."""
    first = start(seed, _INITIAL_WEIGHTS)
    for j in range(p.n_neurons):
        column = chain(first, np.uint32(j))
        for i in range(p.n_inputs):
            master[i, j] = f.w_init_low + (f.w_init_high - f.w_init_low) * (
                np.float64(chain(column, np.uint32(i))) / 4294967296.0
            )
        if f.weight_sum > 0.0:
            _normalize(f, master, j)
        key = weight_key(seed, _ROUND_NORMALIZE, np.uint32(P.INIT_PRESENTATION), 0, j)
        for i in range(p.n_inputs):
            use(q, key, i, (i, j), master, weight)
        theta[j] = 0.0
        v_th[j] = f.v_th


@njit(cache=True)
def _normalize(f, weight, j):
    total = 0.0
    for i in range(weight.shape[0]):
        total += weight[i, j]
    if total > 0.0:
        scale = f.weight_sum / total
        for i in range(weight.shape[0]):
            weight[i, j] = min(weight[i, j] * scale, f.w_max)


@njit(cache=True)
def _step_layer(p, f, t, excited, spikers, n_spikers, v_inh, free_from):
    """Advance the inhibitory neurons of those that have fired, the others being at rest; return who fires or -1."""
    fired = -1
    for k in range(n_spikers):
        j = spikers[k]
        if t < free_from[j]:
            continue
        v_inh[j] = (v_inh[j] + (f.excitation if j == excited else 0.0)) * f.layer_factor
        if v_inh[j] >= f.layer_v_th:
            fired = j
            v_inh[j] = f.layer_v_reset
            free_from[j] = t + p.lay.refractory + 1
    return fired


@njit(cache=True)
def _begin_image(scratch, v_th):
    scratch.u[:] = 0.0
    scratch.floored[:] = -1
    scratch.v[:] = 0.0
    scratch.known[:] = -1
    scratch.free_from[:] = 0
    scratch.inhibited[:] = -1
    for j in range(v_th.shape[0]):
        scratch.reach[j] = below(v_th[j])


@njit(cache=True)
def _inhibit(p, f, spared, amount, t, step, n_columns, scratch):
    """Let inhibition act in step ``t``, before ``step`` integrates, on all neurons that are neither spared nor held.

    The caller puts the bounds of held neurons right.
    """
    scratch.inhibited[step] = spared
    u, floored = scratch.u[spared], scratch.floored[spared]
    inhibit_bounds(
        scratch.u, scratch.floored, below(amount), above(f.v_floor), below(amount + f.v_floor), np.int32(step)
    )
    scratch.u[spared], scratch.floored[spared] = u, floored
    inhibit_columns(f, scratch.columns, n_columns, spared, amount, t, scratch.free_from, scratch.v)


@njit(cache=True, nogil=True)
def run_images(
    p, f, q, learn, seed, first, offsets, inputs, eta, eta_pre, inhibition, full, weights, scratch, theta, v_th,
    counts, activity,
):  # fmt: skip
    """Run images one after another; arrays as in `generic.run_images`, those of real numbers float64.

    Learning acts on masters, from the values of the weights in use, which follow by `use`; without a shadow both
    are the same arrays.

    Parameters
    ----------
    weights : tinysnn_hw.engine.cpu.float64_storage.Weights
    scratch : tinysnn_hw.engine.cpu.float64_storage.Scratch
    """
    n, m = p.n_neurons, p.n_inputs
    columns, soft = scratch.columns, bool(p.pair.soft)
    reset, factor, leak_step = above(f.v_reset), np.float32(f.leak_factor), np.float32(f.leak_step)
    n_post = np.zeros(n, np.int64)
    n_window = np.zeros(n, np.int64)
    x_pre = np.zeros(m)
    c_pre = np.zeros(m, np.int64)
    x_post = np.zeros(n)
    v_inh = np.zeros(n)
    inh_free_from = np.zeros(n, np.int64)
    spikers = np.zeros(n, np.int64)
    last_step = np.full(m, -1, np.int64)
    # The traces of the inputs that spike in an image, side by side; all others stay 0.
    active = np.zeros(m, np.int64)
    slot_of = np.full(m, -1, np.int64)
    trace = np.zeros(m)
    winners = np.zeros(p.n_steps, np.int64)
    traced = learn and p.trace == P.TRACE_EXPONENTIAL
    for image in range(offsets.shape[0]):
        _begin_image(scratch, v_th)
        amount = inhibition[image]
        n_post[:] = 0
        n_window[:] = 0
        counts[image, :] = 0
        x_post[:] = 0.0
        v_inh[:] = 0.0
        inh_free_from[:] = 0
        n_spikers, n_active, n_columns = 0, 0, 0
        # Winners first_held to n_fired - 1 are still refractory.
        first_held, n_fired = 0, 0
        presentation = np.uint32(first + image)
        winner, inhibitory = np.int64(-1), np.int64(-1)
        if traced:
            for e in range(offsets[image, 0], offsets[image, p.n_steps]):
                i = inputs[e]
                if slot_of[i] < 0:
                    slot_of[i] = n_active
                    active[n_active] = i
                    trace[n_active] = 0.0
                    n_active += 1
        elif learn:
            c_pre[:] = 0
        last_step[:] = -1
        n_essential = np.int64(n if p.pair.n_essential == 0 else 0)
        window_begin = offsets[image, 0]
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            if first_held < n_fired and scratch.free_from[winners[first_held]] == t:
                j = winners[first_held]
                if columns.place[j] < 0:
                    scratch.reach[j] = below(v_th[j])
                first_held += 1
            arrived, last = begin, end
            if p.lay.on:
                arrived, last = (offsets[image, t - 1], begin) if t > 0 else (begin, begin)
                if inhibitory >= 0:
                    _inhibit(p, f, inhibitory, amount, t, t, n_columns, scratch)
                inhibitory = _step_layer(p, f, t, winner, spikers, n_spikers, v_inh, inh_free_from)
                activity[P.ACT_INHIBITORY_SPIKES] += inhibitory >= 0
            if traced:
                for k in range(n_active):
                    trace[k] *= f.trace_factor
                for e in range(begin, end):
                    k = slot_of[inputs[e]]
                    trace[k] = 1.0 if p.tra.set_mode else trace[k] + 1.0
            if p.pair.on:
                for k in range(n_spikers):
                    x_post[spikers[k]] *= f.trace_factor
            source = t - np.int64(p.lay.on)
            row = source % STEPS if source >= 0 else np.int64(STEPS)
            if row == 0:
                n_steps = min(p.n_steps - source, STEPS)
                sum_bounds(weights.bound, m, inputs, offsets[image], source, n_steps, scratch.totals)
            growth = np.float32(1.0 + (last - arrived + 8) * 2.0**-23)
            crossed = advance_bounds(scratch.u, scratch.reach, scratch.totals, row, growth, factor, leak_step)
            if n_columns > 0:
                crossed |= advance_columns(
                    f, columns, n_columns, inputs, arrived, last, t, scratch.free_from, v_th, scratch.v
                )
            winner = np.int64(-1)
            if crossed:
                winner = find_winner(
                    p, f, t, inputs, offsets[image], amount, weights, v_th, n_columns, scratch
                )
            if winner >= 0:
                if not p.lay.on:
                    _inhibit(p, f, winner, amount, t, t + 1, n_columns, scratch)
                scratch.v[winner] = f.v_reset
                scratch.known[winner] = t + p.refractory
                scratch.free_from[winner] = t + p.refractory + 1
                winners[n_fired] = winner
                n_fired += 1
                if counts[image, winner] == 0:
                    spikers[n_spikers] = winner
                    n_spikers += 1
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_essential += np.int64(n_post[winner] == p.pair.n_essential)
                    n_window[winner] += 1
                    x_post[winner] = 1.0 if p.tra.set_mode else x_post[winner] + 1.0
                    theta[winner] = min(theta[winner] + f.theta_plus, f.theta_clamp)
                    v_th[winner] = f.v_th + theta[winner]
                scratch.reach[winner] = np.inf
            for k in range(first_held, n_fired):
                scratch.u[winners[k]] = reset
            if learn and p.pair.on:
                learns = winner >= 0 and n_post[winner] >= p.pair.n_essential
                if learns and columns.place[winner] < 0:
                    n_columns = open_column(q, columns, n_columns, winner, weights)
                n_inputs = depress(
                    soft, f.w_max, t, eta_pre[image], inputs, begin, end, last_step, x_post, columns.weight,
                    columns.master, columns.factors, columns.owner, n_columns,
                )  # fmt: skip
                if q.on:
                    use_depressed(q, seed, presentation, t, inputs, begin, end, columns, n_columns)
                activity[P.ACT_DEPRESSIONS] += n_inputs * n_essential
                if learns:
                    potentiate(
                        p, f, q, seed, presentation, t, winner, eta[image], active, trace, n_active, columns
                    )
                    activity[P.ACT_UPDATES] += 1
            elif learn and (t + 1) % p.update_steps == 0:
                u = (t + 1) // p.update_steps - 1
                if p.trace == P.TRACE_WINDOW:
                    for i in range(m):
                        c_pre[i] >>= 1
                    for e in range(window_begin, end):
                        c_pre[inputs[e]] += 1
                    window_begin = end
                    for i in range(m):
                        x_pre[i] = min(c_pre[i] / full[u], 1.0)
                else:
                    for k in range(n_active):
                        x_pre[active[k]] = trace[k]
                most = n_post.max()
                k_eta = (-(-most // p.syn.n_th) if p.syn.eq1 else 1) * eta[image]
                first_learner, last_learner = np.int64(0), np.int64(n)
                if p.learners == P.LEARN_WINNER:
                    first_learner = np.argmax(n_window)
                    last_learner = first_learner + 1
                for j in range(first_learner, last_learner):
                    if n_window[j] > 0:
                        if columns.place[j] < 0:
                            advance_exactly(
                                p, f, j, t, inputs, offsets[image], amount, weights.weight[j], scratch
                            )
                            if scratch.inhibited[t + 1] >= 0 and scratch.inhibited[t + 1] != j:
                                if t >= scratch.free_from[j]:
                                    scratch.v[j] = max(scratch.v[j] - amount, f.v_floor)
                            n_columns = open_column(q, columns, n_columns, j, weights)
                            scratch.reach[j] = np.inf
                        learn_column(p, f, q, seed, presentation, u, j, k_eta, columns, x_pre)
                        activity[P.ACT_UPDATES] += 1
                n_window[:] = 0
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        for k in range(n_active):
            slot_of[active[k]] = -1
            x_pre[active[k]] = 0.0
        if learn:
            if f.weight_sum > 0.0:
                normalize(f, q, seed, presentation, columns, n_columns)
                activity[P.ACT_NORMALIZATIONS] += n_columns
            close_columns(q, columns, n_columns, weights)
            if p.thr.theta_forget != P.FORGET_NONE:
                for j in range(n):
                    theta[j] = max((theta[j] - f.theta_down) * f.theta_factor, 0.0)
                    v_th[j] = f.v_th + theta[j]
