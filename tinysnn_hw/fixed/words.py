"""Arithmetic of words in the width of the word.

Numba computes in 64 bits whatever is narrower. LLVM can often narrow a sum again, but no shift whose amount it does
not know and no conditional term, and one such step makes a whole vector loop run in lanes two or four times as wide.
Each function takes integers of one type, the first one's, and returns that type, modulo its width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

__all__ = [
    "add", "arithmetic_right", "as_real", "as_word", "both", "differing", "either", "larger", "left", "less",
    "logical_right", "multiply", "sign_bits", "smaller", "subtract",
]  # fmt: skip


def _binary(build: Callable[[Any, bool, Any, Any], Any]) -> Any:
    """Return a function of two words; ``build`` gets the LLVM builder, whether words are signed, and both."""

    @intrinsic
    def function(typingctx, a, b):
        return a(a, a), lambda _, builder, __, args: build(builder, a.signed, *args)

    return function


def _ordered(builder: Any, signed: bool, operator: str, a: Any, b: Any) -> Any:
    return (builder.icmp_signed if signed else builder.icmp_unsigned)(operator, a, b)


add = _binary(lambda llvm, _, a, b: llvm.add(a, b))
subtract = _binary(lambda llvm, _, a, b: llvm.sub(a, b))
multiply = _binary(lambda llvm, _, a, b: llvm.mul(a, b))
both = _binary(lambda llvm, _, a, b: llvm.and_(a, b))
either = _binary(lambda llvm, _, a, b: llvm.or_(a, b))
differing = _binary(lambda llvm, _, a, b: llvm.xor(a, b))
left = _binary(lambda llvm, _, a, b: llvm.shl(a, b))
logical_right = _binary(lambda llvm, _, a, b: llvm.lshr(a, b))
arithmetic_right = _binary(lambda llvm, signed, a, b: (llvm.ashr if signed else llvm.lshr)(a, b))
smaller = _binary(lambda llvm, signed, a, b: llvm.select(_ordered(llvm, signed, "<", a, b), a, b))
larger = _binary(lambda llvm, signed, a, b: llvm.select(_ordered(llvm, signed, ">", a, b), a, b))
less = _binary(lambda llvm, signed, a, b: llvm.zext(_ordered(llvm, signed, "<", a, b), a.type))


@intrinsic
def as_word(typingctx, value, like):
    """Return an integer in the type of ``like``: its low bits, or extended by its own sign."""
    return like(value, like), lambda context, builder, _, args: context.cast(builder, args[0], value, like)


@intrinsic
def as_real(typingctx, word):
    """Return a word as float64; exact up to 32 bits, which Numba would widen to 64 and so keep from vectors."""

    def build(context, builder, _, args):
        real = context.get_value_type(types.float64)
        return (builder.sitofp if word.signed else builder.uitofp)(args[0], real)

    return types.float64(word), build


@intrinsic
def sign_bits(typingctx, word):
    """Return a word of ones if ``word`` is negative, else 0."""

    def build(context, builder, _, args):
        if not word.signed:
            return context.get_constant(word, 0)
        return builder.ashr(args[0], context.get_constant(word, word.bitwidth - 1))

    return word(word), build
