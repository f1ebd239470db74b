"""The float64 twin: the step order of docs/numerics.md with real numbers, no format, no rounding to a grid.

It models neither word widths nor saturation; the spikes, windows, schedules and tie-breaks are the same.  With
`ShadowParams` the weights in use are a copy of real masters, cut to a format (docs/quantization.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.schedule import eta_pre_values, eta_values, full_counts, inhibition_values
from tinysnn_hw.fixed.kernels import round_real
from tinysnn_hw.fixed.random import Purpose, chain, start

if TYPE_CHECKING:
    from tinysnn_hw.engine.lower import Lowered

_INITIAL_WEIGHTS = np.uint32(Purpose.INITIAL_WEIGHTS)
_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)


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
        w_init_low=learning.w_init_low,
        w_init_high=learning.w_init_high,
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
def _use(q, key, i, j, master, weight):
    """Bring the weight in use up to date with its master; the last key word is ``i``."""
    if q.on:
        raw = round_real(master[i, j] * q.scale, q.rounding, chain(key, np.uint32(i)), q.rand_bits)
        weight[i, j] = min(raw, q.raw_max) / q.scale


@njit(cache=True)
def _key(seed, purpose, presentation, t, j):
    return chain(chain(chain(start(seed, purpose), presentation), np.uint32(t)), np.uint32(j))


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
        key = _key(seed, _ROUND_NORMALIZE, np.uint32(P.INIT_PRESENTATION), 0, j)
        for i in range(p.n_inputs):
            _use(q, key, i, j, master, weight)
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
def _learn_column(p, f, q, key, j, k_eta, weight, master, x_pre):
    attract = p.syn.rule == P.RULE_ATTRACT
    for i in range(weight.shape[0]):
        w, x = weight[i, j], x_pre[i]
        n = master[i, j] + k_eta * (x * f.w_max - w if attract else x * (f.w_max - w))
        master[i, j] = min(max(n, 0.0), f.w_max)
        _use(q, key, i, j, master, weight)


@njit(cache=True)
def _potentiate(p, f, q, key, j, eta, active, n_active, weight, master, x_pre):
    """Pair-wise learning of neuron ``j``: inputs without a trace would not change."""
    for k in range(n_active):
        i = active[k]
        if x_pre[i] > 0.0:
            w = weight[i, j]
            n = master[i, j] + eta * x_pre[i] * (f.w_max - w if p.pair.soft else f.w_max)
            master[i, j] = min(n, f.w_max)
            _use(q, key, i, j, master, weight)


@njit(cache=True)
def _depress(
    p, f, q, seed, presentation, eta_pre, inputs, begin, end, t, last_step, spikers, n_spikers, n_post, x_post,
    weight, master,
):  # fmt: skip
    """Lower the weights of the step's inputs to neurons that have fired; return the number of inputs."""
    n_inputs = 0
    for e in range(begin, end):
        i = inputs[e]
        if last_step[i] == t:
            continue
        last_step[i] = t
        n_inputs += 1
        for k in range(n_spikers):
            j = spikers[k]
            if n_post[j] >= p.pair.n_essential:
                w = weight[i, j]
                n = master[i, j] - eta_pre * x_post[j] * (w if p.pair.soft else f.w_max)
                master[i, j] = max(n, 0.0)
                _use(q, _key(seed, _ROUND_DEPRESSED, presentation, t, j), i, j, master, weight)
    return n_inputs


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


@njit(cache=True, nogil=True)
def run_images(
    p, f, q, learn, seed, first, offsets, inputs, eta, eta_pre, inhibition, full, weight, master, theta, v_th,
    counts, activity,
):  # fmt: skip
    """Run images one after another; arrays as in `generic.run_images`, those of real numbers float64.

    Learning acts on ``master``, from the values of ``weight``, which follows by `_use`; without a shadow both
    are the same array.
    """
    n, m = p.n_neurons, p.n_inputs
    v = np.zeros(n)
    total = np.zeros(n)
    free_from = np.zeros(n, np.int64)
    n_post = np.zeros(n, np.int64)
    n_window = np.zeros(n, np.int64)
    learned = np.zeros(n, np.bool_)
    x_pre = np.zeros(m)
    c_pre = np.zeros(m, np.int64)
    x_post = np.zeros(n)
    v_inh = np.zeros(n)
    inh_free_from = np.zeros(n, np.int64)
    spikers = np.zeros(n, np.int64)
    last_step = np.full(m, -1, np.int64)
    active = np.zeros(m, np.int64)
    for image in range(offsets.shape[0]):
        v[:] = 0.0
        free_from[:] = 0
        n_post[:] = 0
        n_window[:] = 0
        learned[:] = False
        x_pre[:] = 0.0
        c_pre[:] = 0
        counts[image, :] = 0
        x_post[:] = 0.0
        v_inh[:] = 0.0
        inh_free_from[:] = 0
        n_spikers, n_active = 0, 0
        presentation = np.uint32(first + image)
        winner, inhibitory = -1, -1
        if learn and p.pair.on:
            last_step[:] = -2
            for e in range(offsets[image, 0], offsets[image, p.n_steps]):
                if last_step[inputs[e]] == -2:
                    last_step[inputs[e]] = -1
                    active[n_active] = inputs[e]
                    n_active += 1
        window_begin = offsets[image, 0]
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            total[:] = 0.0
            arrived, last = begin, end
            if p.lay.on:
                arrived, last = (offsets[image, t - 1], begin) if t > 0 else (begin, begin)
                if inhibitory >= 0:
                    for j in range(n):
                        if t >= free_from[j] and j != inhibitory:
                            v[j] = max(v[j] - inhibition[image], f.v_floor)
                inhibitory = _step_layer(p, f, t, winner, spikers, n_spikers, v_inh, inh_free_from)
                activity[P.ACT_INHIBITORY_SPIKES] += inhibitory >= 0
            for e in range(arrived, last):
                row = weight[inputs[e]]
                for j in range(n):
                    total[j] += row[j]
            if learn and p.trace == P.TRACE_EXPONENTIAL:
                for i in range(m):
                    x_pre[i] *= f.trace_factor
                for e in range(begin, end):
                    x_pre[inputs[e]] = 1.0 if p.tra.set_mode else x_pre[inputs[e]] + 1.0
            if p.pair.on:
                for k in range(n_spikers):
                    x_post[spikers[k]] *= f.trace_factor
            winner = -1
            best = -1.0
            for j in range(n):
                a = (v[j] + total[j]) * f.leak_factor
                if f.leak_step > 0.0:
                    a = max(a - f.leak_step, 0.0) if a >= 0.0 else min(a + f.leak_step, 0.0)
                v[j] = a if t >= free_from[j] else f.v_reset
                margin = v[j] - v_th[j] if t >= free_from[j] else -1.0
                best = max(best, margin)
            if best >= 0.0:
                winner = 0
                while t < free_from[winner] or v[winner] - v_th[winner] != best:
                    winner += 1
                if not p.lay.on:
                    for j in range(n):
                        if t >= free_from[j]:
                            v[j] = max(v[j] - inhibition[image], f.v_floor)
                v[winner] = f.v_reset
                free_from[winner] = t + p.refractory + 1
                if counts[image, winner] == 0:
                    spikers[n_spikers] = winner
                    n_spikers += 1
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_window[winner] += 1
                    x_post[winner] = 1.0 if p.tra.set_mode else x_post[winner] + 1.0
                    theta[winner] = min(theta[winner] + f.theta_plus, f.theta_clamp)
                    v_th[winner] = f.v_th + theta[winner]
            if learn and p.pair.on:
                n_inputs = _depress(
                    p, f, q, seed, presentation, eta_pre[image], inputs, begin, end, t, last_step, spikers,
                    n_spikers, n_post, x_post, weight, master,
                )  # fmt: skip
                activity[P.ACT_DEPRESSIONS] += n_inputs * (n_post >= p.pair.n_essential).sum()
                if winner >= 0 and n_post[winner] >= p.pair.n_essential:
                    key = _key(seed, _ROUND_WEIGHT, presentation, t, winner)
                    _potentiate(p, f, q, key, winner, eta[image], active, n_active, weight, master, x_pre)
                    learned[winner] = True
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
                most = n_post.max()
                k_eta = (-(-most // p.syn.n_th) if p.syn.eq1 else 1) * eta[image]
                first_learner, last_learner = np.int64(0), np.int64(n)
                if p.learners == P.LEARN_WINNER:
                    first_learner = np.argmax(n_window)
                    last_learner = first_learner + 1
                for j in range(first_learner, last_learner):
                    if n_window[j] > 0:
                        key = _key(seed, _ROUND_WEIGHT, presentation, u, j)
                        _learn_column(p, f, q, key, j, k_eta, weight, master, x_pre)
                        learned[j] = True
                        activity[P.ACT_UPDATES] += 1
                n_window[:] = 0
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        if learn:
            if f.weight_sum > 0.0:
                for j in range(n):
                    if learned[j]:
                        _normalize(f, master, j)
                        key = _key(seed, _ROUND_NORMALIZE, presentation, 0, j)
                        for i in range(m):
                            _use(q, key, i, j, master, weight)
                        activity[P.ACT_NORMALIZATIONS] += 1
            if p.thr.theta_forget != P.FORGET_NONE:
                for j in range(n):
                    theta[j] = max((theta[j] - f.theta_down) * f.theta_factor, 0.0)
                    v_th[j] = f.v_th + theta[j]
