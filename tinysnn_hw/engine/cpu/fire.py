"""Who fires, and what it does to the others: docs/numerics.md, section 6, step 3, in lanes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I64, Lanes, reduce_lanes, vector_loop


@intrinsic
def find_winner(typingctx, v, v_th):
    """Return the index of the largest ``v - v_th`` that is not negative, the lowest on a tie; else -1.

    ``v_th`` is never negative, so the saturating difference is exact wherever it decides.
    """
    signature = types.int64(v, v_th)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):
        lanes = Lanes(builder, bits)
        arrays = [
            context.make_array(ty)(context, builder, a) for ty, a in zip(signature.args, args, strict=True)
        ]
        n_vectors = builder.udiv(arrays[0].nitems, I64(lanes.count))
        minus_one = ir.Constant(lanes.type, [-1] * lanes.count)

        def margin(k):
            at = builder.mul(k, I64(lanes.count))
            return lanes.call(
                "ssub.sat", lanes.load(arrays[0].data, at, bits), lanes.load(arrays[1].data, at, bits)
            )

        (best,) = vector_loop(
            builder, n_vectors, [minus_one], lambda k, best: [lanes.call("smax", best[0], margin(k))]
        )
        top = reduce_lanes(lanes, "smax", best)
        top_lane = lanes.splat(builder.sext(top, I64))
        word = ir.IntType(lanes.count)

        def search(k, found):
            mask = builder.bitcast(builder.icmp_signed("==", margin(k), top_lane), word)
            place = builder.zext(builder.cttz(mask, ir.IntType(1)(0)), I64)
            place = builder.add(place, builder.mul(k, I64(lanes.count)))
            new = builder.and_(
                builder.icmp_signed("<", found[0], I64(0)), builder.icmp_unsigned("!=", mask, word(0))
            )
            return [builder.select(new, place, found[0])]

        (winner,) = vector_loop(builder, n_vectors, [I64(-1)], search)
        return builder.select(builder.icmp_signed("<", top, lanes.type.element(0)), I64(-1), winner)

    return signature, codegen


@intrinsic
def inhibit(typingctx, v, n, amount, floor, low):
    """Lower all lanes by ``amount``, bounded by ``floor``, in place.

    Returns ``(lowest, n_low)`` over the first ``n`` lanes as ``lowest << 32 | n_low``: the smallest result, and how
    many lanes were below ``low`` beforehand, that is, would have left the range.
    """
    signature = types.int64(v, types.int64, types.int64, types.int64, types.int64)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):
        lanes = Lanes(builder, bits)
        array = context.make_array(signature.args[0])(context, builder, args[0])
        n_vectors = builder.udiv(array.nitems, I64(lanes.count))
        amount, floor, low = (lanes.splat(value) for value in args[2:])
        word = ir.IntType(lanes.count)
        iota = ir.Constant(lanes.type, list(range(lanes.count)))
        highest = ir.Constant(lanes.type, [(1 << (bits - 1)) - 1] * lanes.count)

        def body(k, state):
            at = builder.mul(k, I64(lanes.count))
            old = lanes.load(array.data, at, bits)
            left = builder.sub(args[1], at)
            left = builder.select(builder.icmp_signed(">", left, I64(lanes.count)), I64(lanes.count), left)
            real = builder.icmp_signed("<", iota, lanes.splat(left))
            below = builder.bitcast(builder.and_(real, builder.icmp_signed("<", old, low)), word)
            new = lanes.call("smax", lanes.call("ssub.sat", old, amount), floor)
            lanes.store(new, array.data, at)
            lowest = lanes.call("smin", state[0], builder.select(real, new, highest))
            return [lowest, builder.add(state[1], builder.zext(builder.ctpop(below), I64))]

        lowest, n_low = vector_loop(builder, n_vectors, [highest, I64(0)], body)
        lowest = builder.sext(reduce_lanes(lanes, "smin", lowest), I64)
        return builder.or_(builder.shl(lowest, I64(32)), n_low)

    return signature, codegen
