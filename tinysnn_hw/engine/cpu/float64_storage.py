"""Where the float64 twin keeps weights and what it works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tinysnn_hw.engine.cpu.float64_bounds import BLOCK, COUNT, above
from tinysnn_hw.engine.cpu.float64_learning import Columns, make_columns
from tinysnn_hw.engine.cpu.storage import aligned_zeros
from tinysnn_hw.fixed.compiled import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinysnn_hw.engine.params import Params

STEPS = 64
"""Steps whose sums are made at once: the weights they read do not change before the image ends."""


class Weights(NamedTuple):
    """Weights of one network as the kernel stores them."""

    bound: NDArray[np.float32]
    """`above` of the weight of input ``i`` and neuron ``j`` at ``origin[j] + i * width[j]``: blocks of neurons, within
    a block one short row per input; the last block may be narrower."""
    origin: NDArray[np.int64]
    width: NDArray[np.int64]
    weight: NDArray[np.float64]
    """[n_neurons, n_inputs]: the weights in use."""
    master: NDArray[np.float64]
    """Those that learning acts on; ``weight`` itself, unless that is a shadow's copy."""


def store_weights(weight: NDArray[np.float64], master: NDArray[np.float64] | None) -> Weights:
    """Return weights float64[n_inputs, n_neurons] in that storage."""
    n_inputs, n = weight.shape
    lanes = -(-n // COUNT) * COUNT
    j = np.arange(n)
    first = j // BLOCK * BLOCK
    origin, width = first * n_inputs + j - first, np.minimum(lanes - first, BLOCK)
    bound = aligned_zeros(n_inputs * lanes, np.float32)
    by_neuron = weight.T.copy()
    fill_bounds(by_neuron, origin, width, bound)
    return Weights(bound, origin, width, by_neuron, by_neuron if master is None else master.T.copy())


@njit(cache=True)
def fill_bounds(weight, origin, width, bound):
    """Write `above` of all weights to their places."""
    for j in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            bound[origin[j] + i * width[j]] = above(weight[j, i])


class Scratch(NamedTuple):
    """Working arrays of one running network, not shared between threads; one number per neuron, lanes padded."""

    u: NDArray[np.float32]
    """Upper bounds of the potentials."""
    reach: NDArray[np.float32]
    """Lower bounds of the thresholds; infinite for neurons that are held or have a column, and for padding."""
    floored: NDArray[np.int32]
    """The last step before which inhibition pushed the potential to the floor."""
    totals: NDArray[np.float32]
    """[STEPS + 1, lanes]: sums of bounds over the events of some steps, and zeros."""
    v: NDArray[np.float64]
    """The potential at the end of step ``known``, or as it is where the neuron has a column."""
    known: NDArray[np.int64]
    free_from: NDArray[np.int64]
    """The first step in which the neuron is no longer held."""
    inhibited: NDArray[np.int64]
    """[n_steps + 1]: who was spared by the inhibition before a step; -1: there was none."""
    columns: Columns


def make_scratch(p: Params, *, shadow: bool) -> Scratch:
    """Return the working arrays of `run_images` for one network."""
    n, lanes = p.n_neurons, -(-p.n_neurons // COUNT) * COUNT
    reach = aligned_zeros(lanes, np.float32)
    reach[:] = np.inf
    return Scratch(
        u=aligned_zeros(lanes, np.float32),
        reach=reach,
        floored=aligned_zeros(lanes, np.int32),
        totals=aligned_zeros((STEPS + 1, lanes), np.float32),
        v=np.zeros(n),
        known=np.zeros(n, np.int64),
        free_from=np.zeros(n, np.int64),
        inhibited=np.zeros(p.n_steps + 1, np.int64),
        columns=make_columns(p.n_inputs, n, shadow=shadow),
    )
