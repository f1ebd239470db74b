"""Moves of a fixed number of elements, as whole vectors."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

COPY = 32
"""Elements moved at once."""


@intrinsic
def copy_elements(typingctx, target, at, source, begin):
    """Copy ``source[begin : begin + COPY]`` to ``target[at : at + COPY]``; both must be long enough.

    Numba cannot know that two arrays share no memory, and moves one element after another.
    """

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
