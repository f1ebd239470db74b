"""The potentials of the float64 twin that matter, computed when they do, by the plain sums of every step."""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine.cpu.float64_bounds import COUNT, above, below, largest_margin, with_margin
from tinysnn_hw.fixed.compiled import njit


@njit(cache=True)
def leak(f, a):
    """Return the potential after the leak."""
    a = a * f.leak_factor
    if f.leak_step > 0.0:
        a = max(a - f.leak_step, 0.0) if a >= 0.0 else min(a + f.leak_step, 0.0)
    return a


@njit(cache=True)
def advance_exactly(p, f, j, t, inputs, offsets, amount, weight, scratch):
    """Bring the potential of neuron ``j`` to the end of step ``t``, from the last step at which it is known.

    ``offsets``: of the image; ``weight``: of the neuron, which has not learned since.
    """
    begin, value = scratch.known[j] + 1, scratch.v[j]
    if scratch.floored[j] > begin:
        begin, value = np.int64(scratch.floored[j]), f.v_floor
    free = scratch.free_from[j] + (0 if p.lay.on else 1)
    for s in range(begin, t + 1):
        spared = scratch.inhibited[s]
        if spared >= 0 and spared != j and s >= free:
            value = max(value - amount, f.v_floor)
        total = 0.0
        source = s - np.int64(p.lay.on)
        if source >= 0:
            for e in range(offsets[source], offsets[source + 1]):
                total += weight[inputs[e]]
        value = leak(f, value + total)
    scratch.v[j] = value
    scratch.known[j] = max(scratch.known[j], t)


@njit(cache=True)
def find_winner(p, f, t, inputs, offsets, amount, weights, v_th, n_columns, scratch):
    """Return the neuron farthest over its threshold, the lowest on a tie; -1 if none has reached it.

    The neuron whose bound is farthest over comes first; of the others only those that could still be farther.
    """
    winner, best = np.int64(-1), -1.0
    for k in range(n_columns):
        j = scratch.columns.owner[k]
        margin = scratch.v[j] - v_th[j]
        if t >= scratch.free_from[j] and margin >= 0.0 and (margin > best or (margin == best and j < winner)):
            winner, best = j, margin
    level = largest_margin(scratch.u, scratch.reach)
    for sweep in range(2):
        level = max(level if sweep == 0 else np.float32(0.0), np.float32(0.0) if best < 0.0 else below(best))
        for vector in range(scratch.u.shape[0] // COUNT):
            flags = with_margin(scratch.u, scratch.reach, vector, level)
            j = np.int64(vector * COUNT)
            while flags != 0:
                if flags & 1:
                    advance_exactly(p, f, j, t, inputs, offsets, amount, weights.weight[j], scratch)
                    scratch.u[j] = above(scratch.v[j])
                    margin = scratch.v[j] - v_th[j]
                    if margin >= 0.0 and (margin > best or (margin == best and j < winner)):
                        winner, best = j, margin
                        level = max(level, below(best))
                flags >>= 1
                j += 1
    return winner
