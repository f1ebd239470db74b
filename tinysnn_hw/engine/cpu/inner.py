"""How a function is compiled that only kernels call, and one that all of them call."""

from typing import Any

import numpy as np

from tinysnn_hw.fixed.compiled import njit

_WITHOUT_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(cache=True, **_WITHOUT_WRAPPERS)
"""As `njit`, without the wrappers that let Python and C call it: a fifth of the time a first compilation takes.

Such a function must never be called from Python; there it ends the process.
"""
inlined = njit(inline="always")
"""Compiled into its caller: for what steps call often.

LLVM may call what it could inline; an array then costs seven words to pass and a group of parameters one word each.
"""


@inlined
def fill(values, value):
    """Set a row of numbers to one value: in vectors, while Numba's assignment to a slice goes one by one."""
    for k in range(np.uint64(values.shape[0])):
        values[k] = value
