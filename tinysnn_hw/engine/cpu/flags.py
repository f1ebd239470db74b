"""Flags of a byte each, looked at 64 at a time."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I64

FLAGS = 64
"""Flags per block."""


@intrinsic
def take_flags(typingctx, flags, block):
    """Return the flags of a block as the bits of an int64, the first the lowest, and clear them.

    ``flags`` is uint8, 0 or 1, whole blocks, aligned to them.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vector = ir.VectorType(ir.IntType(8), FLAGS)
        address = builder.gep(data, [builder.mul(args[1], I64(FLAGS))])
        address = builder.bitcast(address, vector.as_pointer())
        none = ir.Constant(vector, None)
        found = builder.icmp_unsigned("!=", builder.load(address, align=FLAGS), none)
        builder.store(none, address, align=FLAGS)
        return builder.bitcast(found, I64)

    return types.int64(flags, types.int64), codegen


@intrinsic
def lowest_bit(typingctx, bits):
    """Return the place of the lowest bit that is set in an int64 other than 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.int64), codegen
