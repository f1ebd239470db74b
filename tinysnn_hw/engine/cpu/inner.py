"""How a function is compiled that only kernels call."""

from numba import njit

inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""As `njit`, without the wrappers that let Python and C call it: a fifth of the time a first compilation takes.

Such a function must never be called from Python; there it ends the process.
"""
