"""Learning of the float64 twin: the weights of neurons that learn lie in columns of their own.

While an image is shown, few neurons learn.  The first update of a neuron copies its weights into a column; from then to
the end of the image that copy is the one that counts, and `rows` is behind.  Eight columns stand side by side, one row per
input, so that a step adds, and lowers, the weights of all of them at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.float64_pass import COUNT, sum_columns
from tinysnn_hw.engine.cpu.storage import aligned_zeros
from tinysnn_hw.fixed.kernels import round_real
from tinysnn_hw.fixed.random import Purpose, chain, start

_ROUND_WEIGHT = np.uint32(Purpose.ROUND_WEIGHT)
_ROUND_NORMALIZE = np.uint32(Purpose.ROUND_NORMALIZE)
_ROUND_DEPRESSED = np.uint32(Purpose.ROUND_DEPRESSED)


class Columns(NamedTuple):
    """Weights of the neurons that have learned in the current image; not shared between threads."""

    weight: NDArray[np.float64]
    """[groups, n_inputs, COUNT]: the weights in use."""
    master: NDArray[np.float64]
    """Those that learning acts on; ``weight`` itself, unless that is a shadow's copy."""
    place: NDArray[np.int64]
    """[n_neurons]: the column of a neuron, ``COUNT * group + lane``; -1: its weights are in ``rows``."""
    owner: NDArray[np.int64]
    """[n_neurons]: the neuron of a column."""
    before: NDArray[np.float64]
    """[n_neurons]: working space, one number per column."""
    total: NDArray[np.float64]
    """[COUNT]: working space."""
    every: NDArray[np.uint16]
    """[n_inputs]: 0, 1, 2, ..."""


def make_columns(n_inputs: int, n_neurons: int, *, shadow: bool) -> Columns:
    """Return the columns of one running network, all closed; pages that no neuron needs are never touched."""
    shape = (-(-n_neurons // COUNT), n_inputs, COUNT)
    weight = aligned_zeros(shape, np.float64)
    return Columns(
        weight=weight,
        master=aligned_zeros(shape, np.float64) if shadow else weight,
        place=np.full(n_neurons, -1, np.int64),
        owner=np.zeros(n_neurons, np.int64),
        before=aligned_zeros(shape[0] * COUNT, np.float64),
        total=aligned_zeros(COUNT, np.float64),
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
def open_column(q, columns, n_columns, j, rows):
    """Copy the weights of neuron ``j`` into a column, unless it has one; return the number of columns."""
    if columns.place[j] >= 0:
        return n_columns
    columns.place[j] = n_columns
    columns.owner[n_columns] = j
    g, s = n_columns // COUNT, n_columns % COUNT
    origin, width = rows.origin[j], rows.width[j]
    for i in range(columns.weight.shape[1]):
        columns.weight[g, i, s] = rows.weight[origin + i * width]
    if q.on:
        for i in range(columns.weight.shape[1]):
            columns.master[g, i, s] = rows.master[origin + i * width]
    return n_columns + 1


@njit(cache=True)
def close_columns(q, columns, n_columns, rows):
    """Copy all columns back."""
    for k in range(n_columns):
        j, g, s = columns.owner[k], k // COUNT, k % COUNT
        columns.place[j] = -1
        origin, width = rows.origin[j], rows.width[j]
        for i in range(columns.weight.shape[1]):
            rows.weight[origin + i * width] = columns.weight[g, i, s]
        if q.on:
            for i in range(columns.weight.shape[1]):
                rows.master[origin + i * width] = columns.master[g, i, s]


@njit(cache=True)
def integrate_columns(f, columns, n_columns, inputs, begin, end, v, v_th):
    """Advance the neurons that have columns from the potentials ``before``; return whether one is at its threshold."""
    crossed = False
    for first in range(0, n_columns, COUNT):
        sum_columns(columns.weight, first // COUNT, inputs, begin, end, columns.total)
        for k in range(first, min(first + COUNT, n_columns)):
            j = columns.owner[k]
            a = (columns.before[k] + columns.total[k - first]) * f.leak_factor
            if f.leak_step > 0.0:
                a = max(a - f.leak_step, 0.0) if a >= 0.0 else min(a + f.leak_step, 0.0)
            v[j] = a
            crossed |= a >= v_th[j]
    return crossed


@njit(cache=True)
def learn_column(p, f, q, seed, presentation, u, j, k_eta, columns, x_pre):
    """Move all weights of neuron ``j`` by the traces, once per window."""
    k = columns.place[j]
    weight, master = columns.weight[k // COUNT], columns.master[k // COUNT]
    s = k % COUNT
    attract = p.syn.rule == P.RULE_ATTRACT
    key = weight_key(seed, _ROUND_WEIGHT, presentation, u, j)
    for i in range(x_pre.shape[0]):
        w, x = weight[i, s], x_pre[i]
        n = master[i, s] + k_eta * (x * f.w_max - w if attract else x * (f.w_max - w))
        master[i, s] = min(max(n, 0.0), f.w_max)
        use(q, key, i, (i, s), master, weight)


@njit(cache=True)
def potentiate(p, f, q, seed, presentation, t, j, eta, active, trace, n_active, columns):
    """Raise the weights of neuron ``j`` pair-wise: inputs without a trace would not change."""
    k = columns.place[j]
    weight, master = columns.weight[k // COUNT], columns.master[k // COUNT]
    s = k % COUNT
    key = weight_key(seed, _ROUND_WEIGHT, presentation, t, j)
    for a in range(n_active):
        i, x = active[a], trace[a]
        if q.on and x == 0.0:
            continue
        w = weight[i, s]
        n = master[i, s] + eta * x * (f.w_max - w if p.pair.soft else f.w_max)
        master[i, s] = min(n, f.w_max)
        use(q, key, i, (i, s), master, weight)


@njit(cache=True)
def depress(p, f, q, seed, presentation, t, eta_pre, inputs, begin, end, last_step, x_post, columns, n_columns):
    """Lower the weights of the step's inputs to the neurons that have columns; return the number of inputs."""
    factors = columns.before
    n_groups = -(-n_columns // COUNT)
    factors[: n_groups * COUNT] = 0.0
    for k in range(n_columns):
        factors[k] = eta_pre * x_post[columns.owner[k]]
    n_inputs = 0
    for e in range(begin, end):
        i = np.int64(inputs[e])
        if last_step[i] == t:
            continue
        last_step[i] = t
        n_inputs += 1
        for g in range(n_groups):
            weight, master = columns.weight[g, i], columns.master[g, i]
            for s in range(COUNT):
                w = weight[s]
                n = master[s] - factors[g * COUNT + s] * (w if p.pair.soft else f.w_max)
                master[s] = max(n, 0.0)
        for k in range(n_columns if q.on else 0):
            key = weight_key(seed, _ROUND_DEPRESSED, presentation, t, columns.owner[k])
            at = (k // COUNT, i, k % COUNT)
            use(q, key, i, at, columns.master, columns.weight)
    return n_inputs


@njit(cache=True)
def normalize(f, q, seed, presentation, columns, n_columns):
    """Scale the weights of all columns to ``weight_sum``; the rounding of a shadow's copy is drawn anew."""
    for k in range(n_columns):
        g, s = k // COUNT, k % COUNT
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
