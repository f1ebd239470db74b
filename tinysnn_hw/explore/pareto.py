"""Trade-offs: which outcomes no other one beats, where the front bends, and the paper's reward."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(costs: ArrayLike) -> NDArray[np.intp]:
    """Return the rows that no other row beats, in order of the first column, then the next.

    Parameters
    ----------
    costs : float[n, n_objectives]
        Smaller is better in every column.

    Returns
    -------
    intp[n_front]
        Row numbers.  Row a beats row b if it is nowhere larger and somewhere smaller; equal rows do not beat each
        other, so all of them are returned.
    """
    table = np.asarray(costs, float)
    if not len(table):
        return np.zeros(0, np.intp)
    unique, inverse = np.unique(table, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    kept = np.ones(len(unique), bool)
    # Rows are in lexicographic order, so that none is beaten by a later one.
    front = np.zeros((0, table.shape[1]))
    for row, values in enumerate(unique):
        if len(front) and (front <= values).all(axis=1).any():
            kept[row] = False
        else:
            front = np.vstack((front, values))
    found = np.flatnonzero(kept[inverse])
    return found[np.argsort(inverse[found], kind="stable")]


def front_ranks(costs: ArrayLike) -> NDArray[np.intp]:
    """Return for every row how many fronts have to be taken away until it is on one: 0 for the Pareto front."""
    table = np.asarray(costs, float)
    ranks = np.full(len(table), -1, np.intp)
    left = np.arange(len(table))
    rank = 0
    while len(left):
        front = pareto_front(table[left])
        ranks[left[front]] = rank
        left = np.delete(left, front)
        rank += 1
    return ranks


def knee(costs: ArrayLike) -> int:
    """Return the row of a front of two objectives where it bends most.

    Parameters
    ----------
    costs : float[n, 2]
        A Pareto front; smaller is better.

    Returns
    -------
    int
        The row farthest below the straight line between the ends of the front, both objectives scaled to 0..1
        (Das 1999, "On characterizing the knee of the Pareto curve"); the lowest of equals.
    """
    table = np.asarray(costs, float)
    low, high = table.min(axis=0), table.max(axis=0)
    scaled = (table - low) / np.where(high > low, high - low, 1.0)
    return int(np.argmin(scaled.sum(axis=1)))


def reward(
    accuracy: ArrayLike, memory_bits: ArrayLike, memory_bits_0: float, mu: float
) -> NDArray[np.float64]:
    """Return ``R = acc_q - mu * M_q / M_0`` (Putra & Shafique 2022, Eq. 3).

    Parameters
    ----------
    accuracy : float[n]
        Percent.
    memory_bits : float[n]
        ``M_q`` [bit].
    memory_bits_0 : float
        ``M_0``, memory of the model that is not quantized [bit].
    mu : float
        Percentage points of accuracy that a memory of ``M_0`` is worth, at least 0.
    """
    return np.asarray(accuracy, float) - mu * (np.asarray(memory_bits, float) / memory_bits_0)


__all__ = ["front_ranks", "knee", "pareto_front", "reward"]
