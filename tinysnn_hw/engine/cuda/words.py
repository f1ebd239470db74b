"""Three machine instructions that Numba's own arithmetic misses, and what they mean where kernels are simulated.

A load at an index costs five instructions where it could cost one and the load, because the compiler joins the index
with the place where the network's weights begin; a permutation of bytes becomes a shift and a mask; a shift by an
amount the compiler does not know is done in 64 bits.
"""

from __future__ import annotations

import numpy as np

from tinysnn_hw.engine.cuda.device import is_simulated

if is_simulated():

    def place_of(words, at):
        """Return where element ``at`` of a uint32 array lies, for `load_word`."""
        return at

    def load_word(words, place, index):
        """Return the uint32 that lies ``index`` elements behind a place of the array it was asked of."""
        return words[np.int64(place) + np.int64(index)]

    def part_of(array, index):
        """Return ``array[index]`` as what functions take that are not simulated."""
        part = array[index]
        return getattr(getattr(part, "_item", part), "_ary", part)

    def right(word, amount):
        """Return int32 ``word >> amount``, 0 <= amount < 32."""
        return np.int32(word >> amount)

    def odd_bytes(word):
        """Return bytes 1 and 3 of a uint32, each in 16 bits."""
        return np.uint32((word >> np.uint32(8)) & np.uint32(0x00FF00FF))

else:
    from llvmlite import ir
    from numba import cuda
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    _I32, _I64 = ir.IntType(32), ir.IntType(64)

    @intrinsic
    def place_of(typingctx, words, at):
        """Return where element ``at`` of a uint32 array lies, for `load_word`."""

        def codegen(context, builder, signature, args):
            array = context.make_array(signature.args[0])(context, builder, args[0])
            begin = builder.ptrtoint(builder.addrspacecast(array.data, _I32.as_pointer(1)), _I64)
            return builder.add(begin, builder.shl(args[1], _I64(2)))

        return types.uint64(words, types.int64), codegen

    @intrinsic
    def load_word(typingctx, words, place, index):
        """Return the uint32 that lies ``index`` elements behind a place of the array it was asked of."""

        def codegen(context, builder, signature, args):
            offset = builder.mul(builder.zext(args[2], _I64), _I64(4))
            address = builder.inttoptr(builder.add(args[1], offset), _I32.as_pointer(1))
            return builder.load(address, align=4)

        return types.uint32(words, types.uint64, types.uint32), codegen

    @cuda.jit(device=True, inline="always")
    def part_of(array, index):
        """Return ``array[index]``; inlined, as no function may return a part of an array."""
        return array[index]

    @intrinsic
    def right(typingctx, word, amount):
        """Return int32 ``word >> amount``, 0 <= amount < 32."""

        def codegen(context, builder, signature, args):
            return builder.ashr(*args)

        return types.int32(types.int32, types.int32), codegen

    @intrinsic
    def odd_bytes(typingctx, word):
        """Return bytes 1 and 3 of a uint32, each in 16 bits."""

        def codegen(context, builder, signature, args):
            permute = builder.module.declare_intrinsic(
                "llvm.nvvm.prmt", (), ir.FunctionType(_I32, [_I32, _I32, _I32])
            )
            return builder.call(permute, [args[0], _I32(0), _I32(0x4341)])

        return types.uint32(types.uint32), codegen
