"""Moves of a fixed number of elements, as whole vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

COPY = 32
"""Elements moved at once."""


def copy_elements(target: NDArray[Any], at: int, source: NDArray[Any], begin: int) -> None:
    """Copy ``source[begin : begin + COPY]`` to ``target[at : at + COPY]``; both must be long enough.

    Compiled code of such a loop moves one element after another: Numba cannot know that two arrays share no memory.
    """
    target[at : at + COPY] = source[begin : begin + COPY]


@intrinsic
def _copy_vector(typingctx, target, at, source, begin):
    """Do the same with one load and one store."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.IntType(source.dtype.bitwidth), COPY)
        pointers = []
        for kind, array, index in zip(signature.args[::2], args[::2], args[1::2], strict=True):
            data = context.make_array(kind)(context, builder, array).data
            pointers.append(builder.bitcast(builder.gep(data, [index]), vector.as_pointer()))
        align = source.dtype.bitwidth // 8
        builder.store(builder.load(pointers[1], align=align), pointers[0], align=align)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), codegen


@overload(copy_elements, inline="always")
def _overload_copy_elements(target, at, source, begin):
    return lambda target, at, source, begin: _copy_vector(target, at, source, begin)
