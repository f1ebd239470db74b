"""The float64 twin: the step order of docs/numerics.md with real numbers, no format, no rounding to a grid.

It models neither word widths nor saturation; the spikes, windows, schedules and tie-breaks are the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.schedule import eta_values, full_counts, inhibition_values
from tinysnn_hw.fixed.random import Purpose, chain, start

if TYPE_CHECKING:
    from tinysnn_hw.engine.lower import Lowered

_INITIAL_WEIGHTS = np.uint32(Purpose.INITIAL_WEIGHTS)


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
    )


def float_schedule(lowered: Lowered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return learning rate and inhibition of every piece, and the full-rate count of every window."""
    spec = lowered.spec
    full = full_counts(spec) if spec.learning.trace == "window" else [1] * lowered.n_updates
    return np.array(eta_values(spec.learning)), np.array(inhibition_values(spec)), np.array(full, np.float64)


@njit(cache=True)
def initialize(p, f, seed, weight, theta, v_th):
    """Fill the initial state with the draws of the integer network, as real numbers."""
    key = start(seed, _INITIAL_WEIGHTS)
    for j in range(p.n_neurons):
        column = chain(key, np.uint32(j))
        for i in range(p.n_inputs):
            weight[i, j] = f.w_init_low + (f.w_init_high - f.w_init_low) * (
                np.float64(chain(column, np.uint32(i))) / 4294967296.0
            )
        if f.weight_sum > 0.0:
            _normalize(f, weight, j)
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
def _learn_column(p, f, j, k_eta, weight, x_pre):
    attract = p.syn.rule == P.RULE_ATTRACT
    for i in range(weight.shape[0]):
        w, x = weight[i, j], x_pre[i]
        w += k_eta * (x * f.w_max - w if attract else x * (f.w_max - w))
        weight[i, j] = min(max(w, 0.0), f.w_max)


@njit(cache=True, nogil=True)
def run_images(
    p, f, learn, offsets, inputs, eta, inhibition, full, weight, theta, v_th, counts, activity
):  # fmt: skip
    """Run images one after another; arrays as in `generic.run_images`, those of real numbers float64."""
    n, m = p.n_neurons, p.n_inputs
    v = np.zeros(n)
    total = np.zeros(n)
    free_from = np.zeros(n, np.int64)
    n_post = np.zeros(n, np.int64)
    n_window = np.zeros(n, np.int64)
    learned = np.zeros(n, np.bool_)
    x_pre = np.zeros(m)
    c_pre = np.zeros(m, np.int64)
    for image in range(offsets.shape[0]):
        v[:] = 0.0
        free_from[:] = 0
        n_post[:] = 0
        n_window[:] = 0
        learned[:] = False
        x_pre[:] = 0.0
        c_pre[:] = 0
        counts[image, :] = 0
        window_begin = offsets[image, 0]
        for t in range(p.n_steps):
            begin, end = offsets[image, t], offsets[image, t + 1]
            total[:] = 0.0
            for e in range(begin, end):
                row = weight[inputs[e]]
                for j in range(n):
                    total[j] += row[j]
            if learn and p.trace == P.TRACE_EXPONENTIAL:
                for i in range(m):
                    x_pre[i] *= f.trace_factor
                for e in range(begin, end):
                    x_pre[inputs[e]] += 1.0
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
                for j in range(n):
                    if t >= free_from[j]:
                        v[j] = max(v[j] - inhibition[image], f.v_floor)
                v[winner] = f.v_reset
                free_from[winner] = t + p.refractory + 1
                counts[image, winner] += 1
                activity[P.ACT_OUTPUT_SPIKES] += 1
                if learn:
                    n_post[winner] += 1
                    n_window[winner] += 1
                    theta[winner] = min(theta[winner] + f.theta_plus, f.theta_clamp)
                    v_th[winner] = f.v_th + theta[winner]
            if learn and (t + 1) % p.update_steps == 0:
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
                        _learn_column(p, f, j, k_eta, weight, x_pre)
                        learned[j] = True
                        activity[P.ACT_UPDATES] += 1
                n_window[:] = 0
        activity[P.ACT_INPUT_SPIKES] += offsets[image, p.n_steps] - offsets[image, 0]
        if learn:
            if f.weight_sum > 0.0:
                for j in range(n):
                    if learned[j]:
                        _normalize(f, weight, j)
                        activity[P.ACT_NORMALIZATIONS] += 1
            if p.thr.theta_forget != P.FORGET_NONE:
                for j in range(n):
                    theta[j] = max((theta[j] - f.theta_down) * f.theta_factor, 0.0)
                    v_th[j] = f.v_th + theta[j]
