"""Who fires, and what it does to the others: docs/numerics.md, section 6, step 3, in lanes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I64, Lanes, counted_loop, reduce_lanes


def _row(context, lanes, kind, value, now):
    """Return a pointer to row ``now`` of an array ``[2, n]`` of lanes, and its number of vectors."""
    builder = lanes.builder
    array = context.make_array(kind)(context, builder, value)
    n = builder.lshr(array.nitems, I64(1))
    return builder.gep(array.data, [builder.mul(now, n)]), builder.udiv(n, I64(lanes.count))


@intrinsic
def find_winner(typingctx, v, now, v_th):
    """Return the index of the largest ``v[now] - v_th`` that is not negative, the lowest on a tie; else -1.

    ``v_th`` is never negative, so a saturating difference is exact wherever it decides.
    """
    signature = types.int64(v, types.int64, v_th)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):
        lanes = Lanes(builder, bits)
        row, n_vectors = _row(context, lanes, signature.args[0], args[0], args[1])
        thresholds = context.make_array(signature.args[2])(context, builder, args[2]).data
        minus_one = ir.Constant(lanes.type, [-1] * lanes.count)

        def margin(k):
            at = builder.mul(k, I64(lanes.count))
            return lanes.subtract_saturated(lanes.load(row, at, bits), lanes.load(thresholds, at, bits))

        _, best = counted_loop(
            builder,
            I64(0),
            n_vectors,
            1,
            [minus_one],
            lambda k, best: [lanes.call("smax", best[0], margin(k))],
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

        _, winner = counted_loop(builder, I64(0), n_vectors, 1, [I64(-1)], search)
        return builder.select(builder.icmp_signed("<", top, lanes.type.element(0)), I64(-1), winner)

    return signature, codegen


@intrinsic
def inhibit(typingctx, v, now, n, amount, floor, low):
    """Lower all lanes of ``v[now]`` by ``amount``, bounded by ``floor``, in place.

    Returns ``(lowest, n_low)`` over the first ``n`` lanes as ``lowest << 32 | n_low``: the smallest result, and how
    many lanes were below ``low`` beforehand, that is, would have left the range.
    """
    signature = types.int64(v, *(types.int64,) * 5)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):
        lanes = Lanes(builder, bits)
        row, n_vectors = _row(context, lanes, signature.args[0], args[0], args[1])
        amount, floor, low = (lanes.splat(value) for value in args[3:])
        word = ir.IntType(lanes.count)
        iota = ir.Constant(lanes.type, list(range(lanes.count)))
        highest = ir.Constant(lanes.type, [(1 << (bits - 1)) - 1] * lanes.count)

        def body(k, state):
            at = builder.mul(k, I64(lanes.count))
            old = lanes.load(row, at, bits)
            left = builder.sub(args[2], at)
            left = builder.select(builder.icmp_signed(">", left, I64(lanes.count)), I64(lanes.count), left)
            real = builder.icmp_signed("<", iota, lanes.splat(left))
            below = builder.bitcast(builder.and_(real, builder.icmp_signed("<", old, low)), word)
            new = lanes.call("smax", lanes.subtract_saturated(old, amount), floor)
            lanes.store(new, row, at)
            lowest = lanes.call("smin", state[0], builder.select(real, new, highest))
            return [lowest, builder.add(state[1], builder.zext(builder.ctpop(below), I64))]

        _, lowest, n_low = counted_loop(builder, I64(0), n_vectors, 1, [highest, I64(0)], body)
        lowest = builder.sext(reduce_lanes(lanes, "smin", lowest), I64)
        return builder.or_(builder.shl(lowest, I64(32)), n_low)

    return signature, codegen


@intrinsic
def largest(typingctx, v, now):
    """Return the largest lane of ``v[now]``."""
    signature = types.int64(v, types.int64)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):
        lanes = Lanes(builder, bits)
        row, n_vectors = _row(context, lanes, signature.args[0], args[0], args[1])
        lowest = ir.Constant(lanes.type, [-(1 << (bits - 1))] * lanes.count)

        def body(k, best):
            return [lanes.call("smax", best[0], lanes.load(row, builder.mul(k, I64(lanes.count)), bits))]

        _, best = counted_loop(builder, I64(0), n_vectors, 1, [lowest], body)
        return builder.sext(reduce_lanes(lanes, "smax", best), I64)

    return signature, codegen
