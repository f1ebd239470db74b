"""Shifts of words by a run-time amount, in the width of the word.

Numba shifts in 64 bits, and LLVM cannot narrow a shift whose amount it does not know, so one such shift makes a
whole vector loop run in lanes two or four times as wide.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic


@intrinsic
def arithmetic_right(typingctx, word, amount):
    """Return ``word >> amount`` of two int16 or two int32, 0 <= amount < width."""
    return word(word, word), lambda _, builder, __, args: builder.ashr(*args)


@intrinsic
def logical_right(typingctx, word, amount):
    """Return uint32 ``word >> amount``, 0 <= amount < 32."""
    return types.uint32(types.uint32, types.uint32), lambda _, builder, __, args: builder.lshr(*args)


@intrinsic
def left(typingctx, word, amount):
    """Return uint32 ``word << amount``, 0 <= amount < 32."""
    return types.uint32(types.uint32, types.uint32), lambda _, builder, __, args: builder.shl(*args)
