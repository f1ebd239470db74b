"""Traces, thresholds and weights of the plain kernel: which registers learning writes, and with which random words."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine import writes
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.random import Purpose, chain, start

_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_V_TH = np.uint32(Purpose.ROUND_V_TH)
_ROUND_THETA = np.uint32(Purpose.ROUND_THETA)
_ROUND_X_PRE = np.uint32(Purpose.ROUND_X_PRE)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)
_ROUND_X_POST = np.uint32(Purpose.ROUND_X_POST)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)


@njit(cache=True)
def spike_theta(thr, seed, presentation, t, j, theta, v_th, stats):
    """Raise the threshold of neuron ``j`` after its spike in step ``t``."""
    draw = chain(chain(chain(start(seed, _ROUND_THETA), presentation), np.uint32(t)), np.uint32(j))
    theta[j] = writes.raise_theta(thr, theta[j], draw, stats)
    draw = chain(chain(chain(start(seed, _ROUND_V_TH), presentation), np.uint32(t)), np.uint32(j))
    v_th[j] = writes.write_v_th(thr, theta[j], draw, stats)


@njit(cache=True)
def forget_theta(thr, n_steps, seed, presentation, theta, v_th, stats):
    """Lower every ``theta`` at the end of a training image and compute the thresholds anew."""
    if thr.theta_forget == P.FORGET_NONE:
        return
    key_theta = chain(chain(start(seed, _ROUND_THETA), presentation), np.uint32(n_steps))
    key_th = chain(chain(start(seed, _ROUND_V_TH), presentation), np.uint32(n_steps))
    for j in range(theta.shape[0]):
        theta[j] = writes.forget_theta(thr, theta[j], chain(key_theta, np.uint32(j)), stats)
        v_th[j] = writes.write_v_th(thr, theta[j], chain(key_th, np.uint32(j)), stats)


@njit(cache=True)
def potentiation(syn, most):
    """Return the factor k of Eq. 1, or 1 where it is constant; ``most`` is the highest number of output spikes."""
    if syn.eq1 == 0:
        return np.int64(1)
    return (most + syn.n_th - 1) // syn.n_th


@njit(cache=True)
def read_x_pre(tra, seed, presentation, u, x_scale, c_pre, x_pre, stats):
    """Turn the windowed counts of update ``u`` into ``x_pre``."""
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(u))
    for i in range(x_pre.shape[0]):
        x_pre[i] = writes.read_x_pre(tra, c_pre[i], x_scale[u], chain(key, np.uint32(i)), stats)


@njit(cache=True)
def decay_x_pre(tra, seed, presentation, t, n_events, x_pre, stats):
    """Advance the exponential trace by one step with ``n_events[i]`` new events."""
    key = chain(chain(start(seed, _ROUND_X_PRE), presentation), np.uint32(t))
    for i in range(x_pre.shape[0]):
        x_pre[i] = writes.decay_x_pre(tra, x_pre[i], n_events[i], chain(key, np.uint32(i)), stats)


@njit(cache=True)
def learn_column(syn, soft, seed, presentation, u, j, k_eta, weight, x_pre, stats):
    """Apply one update to all weights of neuron ``j``; ``soft``: the bounds of pair-wise learning."""
    key = chain(chain(chain(start(seed, _ROUND_WEIGHT), presentation), np.uint32(u)), np.uint32(j))
    for i in range(weight.shape[0]):
        draw = chain(key, np.uint32(i))
        weight[i, j] = writes.learn_weight(syn, soft, k_eta, weight[i, j], x_pre[i], draw, stats)


@njit(cache=True)
def normalize_column(syn, seed, presentation, j, weight, stats):
    """Scale the weights of neuron ``j`` to ``weight_sum``."""
    total = np.int64(0)
    for i in range(weight.shape[0]):
        total += weight[i, j]
    if total == 0:
        return
    scale = (syn.weight_sum << P.DECAY_BITS) // total
    key = chain(chain(chain(start(seed, _ROUND_NORMALIZE), presentation), np.uint32(0)), np.uint32(j))
    for i in range(weight.shape[0]):
        weight[i, j] = writes.normalize_weight(syn, scale, weight[i, j], chain(key, np.uint32(i)), stats)


@njit(cache=True)
def decay_x_post(pair, trace_mul, seed, presentation, t, x_post, stats):
    """Advance the post-synaptic trace by one step."""
    key = chain(chain(start(seed, _ROUND_X_POST), presentation), np.uint32(t))
    for j in range(x_post.shape[0]):
        x_post[j] = writes.decay_x_post(pair, trace_mul, x_post[j], chain(key, np.uint32(j)), stats)


@njit(cache=True)
def depress(pair, syn, seed, presentation, t, eta_pre, n_events, n_post, x_post, weight, stats):
    """Lower the weights of the step's inputs to neurons with a trace; return how many synapses that concerns."""
    n_inputs = np.int64(0)
    key = chain(chain(start(seed, _ROUND_DEPRESSED), presentation), np.uint32(t))
    for i in range(weight.shape[0]):
        if n_events[i] == 0:
            continue
        n_inputs += 1
        for j in range(weight.shape[1]):
            if x_post[j] == 0 or n_post[j] < pair.n_essential:
                continue
            draw = chain(chain(key, np.uint32(j)), np.uint32(i))
            weight[i, j] = writes.depress_weight(pair, syn, eta_pre, weight[i, j], x_post[j], draw, stats)
    n_essential = np.int64(0)
    for j in range(n_post.shape[0]):
        n_essential += np.int64(n_post[j] >= pair.n_essential)
    return n_inputs * n_essential
