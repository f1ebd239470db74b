"""Shifts of 32-bit words by a run-time amount.

Numba shifts in 64 bits, and LLVM cannot narrow a shift whose amount it does not know, so one such shift makes a
whole vector loop run in lanes twice as wide.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic


@intrinsic
def arithmetic_right(typingctx, word, amount):
    """Return int32 ``word >> amount``, 0 <= amount < 32."""
    return types.int32(types.int32, types.int32), lambda _, builder, __, args: builder.ashr(*args)


@intrinsic
def logical_right(typingctx, word, amount):
    """Return uint32 ``word >> amount``, 0 <= amount < 32."""
    return types.uint32(types.uint32, types.uint32), lambda _, builder, __, args: builder.lshr(*args)


@intrinsic
def left(typingctx, word, amount):
    """Return uint32 ``word << amount``, 0 <= amount < 32."""
    return types.uint32(types.uint32, types.uint32), lambda _, builder, __, args: builder.shl(*args)
