"""Learning of the float64 twin: the weights of neurons that learn lie in columns of their own.

While an image is shown, few neurons learn.  The first update of a neuron copies its weights into a column; from then to
the end of the image that copy is the one that counts, and the potential is computed in every step.  Eight columns stand
side by side, one row per input, so that a step adds, and lowers, the weights of all of them at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.float64_bounds import COLUMNS, above, depress_row, sum_columns
from tinysnn_hw.engine.cpu.float64_exact import leak
from tinysnn_hw.engine.cpu.storage import aligned_zeros
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.kernels import round_real
from tinysnn_hw.fixed.random import Purpose, chain, start

_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)


class Columns(NamedTuple):
    """Weights of the neurons that have learned in the current image; not shared between threads."""

    weight: NDArray[np.float64]
    """[groups, n_inputs, COLUMNS]: the weights in use."""
    master: NDArray[np.float64]
    """Those that learning acts on; ``weight`` itself, unless that is a shadow's copy."""
    place: NDArray[np.int64]
    """[n_neurons]: the column of a neuron, ``COLUMNS * group + lane``; -1: none."""
    owner: NDArray[np.int64]
    """[n_neurons]: the neuron of a column."""
    factors: NDArray[np.float64]
    """Working space, one number per column."""
    total: NDArray[np.float64]
    """[COLUMNS]: working space."""
    every: NDArray[np.uint16]
    """[n_inputs]: 0, 1, 2, ..."""


def make_columns(n_inputs: int, n_neurons: int, *, shadow: bool) -> Columns:
    """Return the columns of one running network, all closed; pages that no neuron needs are never touched."""
    shape = (-(-n_neurons // COLUMNS), n_inputs, COLUMNS)
    weight = aligned_zeros(shape, np.float64)
    return Columns(
        weight=weight,
        master=aligned_zeros(shape, np.float64) if shadow else weight,
        place=np.full(n_neurons, -1, np.int64),
        owner=np.zeros(n_neurons, np.int64),
        factors=aligned_zeros(shape[0] * COLUMNS, np.float64),
        total=aligned_zeros(COLUMNS, np.float64),
        every=np.arange(n_inputs, dtype=np.uint16),
    )


@njit(cache=True)
def use(q, key, i, place, master, weight):
    """Bring the weight in use up to date with its master; the last key word is ``i``."""
    if q.on:
        raw = round_real(master[place] * q.scale, q.rounding, chain(key, np.uint32(i)), q.rand_bits)
        weight[place] = min(raw, q.raw_max) / q.scale


@njit(cache=True)
def weight_key(seed, purpose, presentation, t, j):
    """Return the key of the draws of neuron ``j``'s weights."""
    return chain(chain(chain(start(seed, purpose), presentation), np.uint32(t)), np.uint32(j))


@njit(cache=True)
def open_column(q, columns, n_columns, j, weights):
    """Copy the weights of neuron ``j`` into a column; return the number of columns."""
    columns.place[j] = n_columns
    columns.owner[n_columns] = j
    g, s = n_columns // COLUMNS, n_columns % COLUMNS
    source, target = weights.weight[j], columns.weight[g]
    for i in range(source.shape[0]):
        target[i, s] = source[i]
    if q.on:
        source, target = weights.master[j], columns.master[g]
        for i in range(source.shape[0]):
            target[i, s] = source[i]
    return n_columns + 1


@njit(cache=True)
def close_columns(q, columns, n_columns, weights):
    """Copy all columns back."""
    for k in range(n_columns):
        j, g, s = columns.owner[k], k // COLUMNS, k % COLUMNS
        columns.place[j] = -1
        source, target = columns.weight[g], weights.weight[j]
        origin, width = weights.origin[j], weights.width[j]
        for i in range(target.shape[0]):
            w = source[i, s]
            target[i] = w
            weights.bound[origin + i * width] = above(w)
        if q.on:
            source, target = columns.master[g], weights.master[j]
            for i in range(target.shape[0]):
                target[i] = source[i, s]


@njit(cache=True)
def advance_columns(f, columns, n_columns, inputs, begin, end, t, free_from, v_th, v):
    """Advance the potentials of the neurons that have columns; return whether one is at or over its threshold."""
    crossed = False
    for first in range(0, n_columns, COLUMNS):
        sum_columns(columns.weight, first // COLUMNS, inputs, begin, end, columns.total)
        for k in range(first, min(first + COLUMNS, n_columns)):
            j = columns.owner[k]
            if t >= free_from[j]:
                v[j] = leak(f, v[j] + columns.total[k - first])
                crossed |= v[j] >= v_th[j]
    return crossed


@njit(cache=True)
def inhibit_columns(f, columns, n_columns, spared, amount, t, free_from, v):
    """Lower the potentials of the neurons that have columns, but ``spared`` and held ones."""
    for k in range(n_columns):
        j = columns.owner[k]
        if j != spared and t >= free_from[j]:
            v[j] = max(v[j] - amount, f.v_floor)


@njit(cache=True)
def learn_column(p, f, q, seed, presentation, u, j, k_eta, columns, x_pre):
    """Move all weights of neuron ``j`` by the traces, once per window."""
    k = columns.place[j]
    weight, master = columns.weight[k // COLUMNS], columns.master[k // COLUMNS]
    s = k % COLUMNS
    attract = p.syn.rule == P.RULE_ATTRACT
    for i in range(x_pre.shape[0]):
        w, x = weight[i, s], x_pre[i]
        n = master[i, s] + k_eta * (x * f.w_max - w if attract else x * (f.w_max - w))
        master[i, s] = min(max(n, 0.0), f.w_max)
    if q.on:
        key = weight_key(seed, _ROUND_WEIGHT, presentation, u, j)
        for i in range(x_pre.shape[0]):
            use(q, key, i, (i, s), master, weight)


@njit(cache=True)
def potentiate(p, f, q, seed, presentation, t, j, eta, active, trace, n_active, columns):
    """Raise the weights of neuron ``j`` pair-wise: inputs without a trace do not change."""
    k = columns.place[j]
    weight, master = columns.weight[k // COLUMNS], columns.master[k // COLUMNS]
    s = k % COLUMNS
    for a in range(n_active):
        i = active[a]
        w = weight[i, s]
        n = master[i, s] + eta * trace[a] * (f.w_max - w if p.pair.soft else f.w_max)
        master[i, s] = min(n, f.w_max)
    if q.on:
        key = weight_key(seed, _ROUND_WEIGHT, presentation, t, j)
        for a in range(n_active):
            if trace[a] > 0.0:
                use(q, key, active[a], (active[a], s), master, weight)


@njit(cache=True)
def depress(
    soft, w_max, t, eta_pre, inputs, begin, end, last_step, x_post, weight, master, factors, owner, n_columns
):
    """Lower the weights of the step's inputs to the neurons that have columns; return the number of inputs."""
    n_groups = -(-n_columns // COLUMNS)
    for k in range(n_groups * COLUMNS):
        factors[k] = eta_pre * x_post[owner[k]] if k < n_columns else 0.0
    n_inputs = 0
    for e in range(begin, end):
        i = np.int64(inputs[e])
        if last_step[i] != t:
            last_step[i] = t
            n_inputs += 1
            for g in range(n_groups):
                depress_row(weight, master, g, i, factors, soft, w_max)
    return n_inputs


@njit(cache=True)
def use_depressed(q, seed, presentation, t, inputs, begin, end, columns, n_columns):
    """Bring the weights in use of the step's inputs up to date with their masters."""
    for k in range(n_columns):
        key = weight_key(seed, _ROUND_DEPRESSED, presentation, t, columns.owner[k])
        for e in range(begin, end):
            i = np.int64(inputs[e])
            use(q, key, i, (k // COLUMNS, i, k % COLUMNS), columns.master, columns.weight)


@njit(cache=True)
def normalize(f, q, seed, presentation, columns, n_columns):
    """Scale the weights of all columns to ``weight_sum``; the rounding of a shadow's copy is drawn anew."""
    for k in range(n_columns):
        g, s = k // COLUMNS, k % COLUMNS
        master, weight = columns.master[g], columns.weight[g]
        if s == 0:
            sum_columns(columns.master, g, columns.every, 0, columns.every.shape[0], columns.total)
        if columns.total[s] > 0.0:
            scale = f.weight_sum / columns.total[s]
            for i in range(master.shape[0]):
                master[i, s] = min(master[i, s] * scale, f.w_max)
        key = weight_key(seed, _ROUND_NORMALIZE, presentation, 0, columns.owner[k])
        for i in range(master.shape[0] if q.on else 0):
            use(q, key, i, (i, s), master, weight)
