"""One cut in a loop of the fast kernel: a rounding mode as a handful of numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinysnn_hw.engine.cpu.inner import inlined
from tinysnn_hw.fixed.modes import Rounding
from tinysnn_hw.fixed.random import chain

_STOCHASTIC = int(Rounding.STOCHASTIC)


class Cut(NamedTuple):
    """How bits are dropped: ``shift`` of them, after ``bits`` random bits or a deterministic bias has been added.

    ``bits`` is 0 where nothing is drawn; the bias is ``b0 + (sign & b1) + ((n >> shift) & b2)``.
    """

    shift: int
    bits: int
    b0: int
    b1: int
    b2: int


@inlined
def make_cut(shift, rounding, rand_bits, bias):
    """Return the `Cut` of a rounding mode with its `rounding_bias`, all int64."""
    bits = min(np.int64(shift), np.int64(rand_bits)) if rounding == _STOCHASTIC else np.int64(0)
    return Cut(np.int64(shift), bits, np.int64(bias[0]), np.int64(bias[1]), np.int64(bias[2]))


@inlined
def cut_drawn(cut, n, key, index):
    """Return what is left of ``n``; the random word, where one is drawn, is that of ``index`` under ``key``."""
    if cut.bits > 0:
        word = np.int64(chain(key, np.uint32(index)) >> np.uint32(32 - cut.bits))
        return (n + (word << (cut.shift - cut.bits))) >> cut.shift
    return (n + cut.b0 + ((n >> np.int64(63)) & cut.b1) + ((n >> cut.shift) & cut.b2)) >> cut.shift
