"""One pass of the float64 twin over all neurons of a step, in vectors: sums of the active rows, add, leak, compare.

Every neuron's sum takes the events in their order, one addition each and none of them fused or reassociated, so that the
bits are those of a plain loop whatever the width of the vectors.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I32, I64, counted_loop, register_bytes, when

COUNT = 8
"""Neurons per vector, 64 bytes; LLVM splits vectors where registers are narrower.  Arrays are padded to a multiple."""
_F64 = ir.DoubleType()
_VECTOR = ir.VectorType(_F64, COUNT)
_ALIGN = 64
_GROUPS = (10, 5, 2, 1)
"""Vectors whose sums stay in registers while the rows go by, widest first."""


def _splat(builder, value):
    seed = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, I32(0))
    mask = ir.Constant(ir.VectorType(I32, COUNT), [0] * COUNT)
    return builder.shuffle_vector(seed, ir.Constant(_VECTOR, ir.Undefined), mask)


def _constant(value):
    return ir.Constant(_VECTOR, [value] * COUNT)


def _address(builder, base, index):
    return builder.bitcast(builder.gep(base, [index]), _VECTOR.as_pointer())


def _load(builder, base, index):
    return builder.load(_address(builder, base, index), align=_ALIGN)


def _store(builder, value, base, index):
    builder.store(value, _address(builder, base, index), align=_ALIGN)


def _larger(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _smaller(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _array(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value)


def _sum_rows(builder, rows, row_step, first, n_vectors, inputs, begin, end):
    """Emit the loop over events ``begin`` to ``end - 1``; return the sums of ``n_vectors`` vectors from ``first`` on."""

    def add_row(event, sums):
        # An empty assembly statement keeps LLVM from unrolling a loop of a handful of rounds.
        place = builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [event], side_effect=False)
        source = builder.zext(builder.load(builder.gep(inputs, [place])), I64)
        base = builder.add(builder.mul(source, row_step), first)
        return [
            builder.fadd(total, _load(builder, rows, builder.add(base, I64(k * COUNT))))
            for k, total in enumerate(sums)
        ]

    _, *sums = counted_loop(builder, begin, end, 1, [_constant(0.0)] * n_vectors, add_row)
    return sums


@intrinsic
def integrate(typingctx, v, v_th, rows, inputs, begin, end, leak_factor, leak_step):
    """Advance the potentials of all neurons by one step; return whether some neuron is at or over its threshold.

    ``v``, ``v_th``: float64 per neuron, padded to whole vectors, aligned to them; held neurons have an infinite
    threshold.  ``rows``: weights float64[n_inputs, padded neurons]; ``inputs[begin:end]``: the step's events.
    """
    f64 = types.float64
    signature = types.boolean(v, v_th, rows, inputs, types.int64, types.int64, f64, f64)

    def codegen(context, builder, signature, args):
        potentials, thresholds, weights, events = (
            _array(context, builder, kind, value)
            for kind, value in zip(signature.args[:4], args[:4], strict=True)
        )
        begin, end, factor, step = args[4:]
        n_vectors = builder.udiv(potentials.nitems, I64(COUNT))
        row_step = potentials.nitems
        factors, steps, zero = _splat(builder, factor), _splat(builder, step), _constant(0.0)
        stepped = builder.fcmp_ordered(">", step, _F64(0.0))

        def subtracted(value):
            down = _larger(builder, builder.fsub(value, steps), zero)
            up = _smaller(builder, builder.fadd(value, steps), zero)
            return builder.select(builder.fcmp_ordered(">=", value, zero), down, up)

        def group(vector, size, margin):
            first = builder.mul(vector, I64(COUNT))
            sums = _sum_rows(builder, weights.data, row_step, first, size, events.data, begin, end)
            at = [builder.add(first, I64(k * COUNT)) for k in range(size)]
            values = [
                builder.fmul(builder.fadd(_load(builder, potentials.data, place), total), factors)
                for place, total in zip(at, sums, strict=True)
            ]
            values = when(builder, stepped, values, lambda: [subtracted(value) for value in values])
            for place, value in zip(at, values, strict=True):
                _store(builder, value, potentials.data, place)
                difference = builder.fsub(value, _load(builder, thresholds.data, place))
                margin = _larger(builder, difference, margin)
            return [margin]

        vector, margin = I64(0), _constant(-1.0)
        widest = register_bytes(context) * 5 // 8
        for size in (size for size in _GROUPS if size == 1 or size * _ALIGN <= widest):
            vector, margin = counted_loop(
                builder, vector, n_vectors, size, [margin],
                lambda at, values, size=size: group(at, size, values[0]),
            )  # fmt: skip
        word = ir.IntType(COUNT)
        mask = builder.bitcast(builder.fcmp_ordered(">=", margin, zero), word)
        return builder.icmp_unsigned("!=", mask, word(0))

    return signature, codegen


@intrinsic
def sum_columns(typingctx, columns, group, inputs, begin, end, total):
    """Fill ``total[COUNT]`` with the sums of rows ``inputs[begin:end]`` of ``columns[group]``, float64[:, :, COUNT]."""
    signature = types.void(columns, types.int64, inputs, types.int64, types.int64, total)

    def codegen(context, builder, signature, args):
        blocks = _array(context, builder, signature.args[0], args[0])
        events = _array(context, builder, signature.args[2], args[2])
        block = builder.mul(args[1], builder.mul(builder.extract_value(blocks.shape, 1), I64(COUNT)))
        (sums,) = _sum_rows(builder, blocks.data, I64(COUNT), block, 1, events.data, args[3], args[4])
        _store(builder, sums, _array(context, builder, signature.args[5], args[5]).data, I64(0))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def inhibit(typingctx, v, amount, floor):
    """Lower all of ``v`` by ``amount``, bounded by ``floor``."""
    signature = types.void(v, types.float64, types.float64)

    def codegen(context, builder, signature, args):
        potentials = _array(context, builder, signature.args[0], args[0])
        amounts, floors = _splat(builder, args[1]), _splat(builder, args[2])

        def body(k, carried):
            at = builder.mul(k, I64(COUNT))
            lowered = builder.fsub(_load(builder, potentials.data, at), amounts)
            _store(builder, _larger(builder, lowered, floors), potentials.data, at)
            return []

        counted_loop(builder, I64(0), builder.udiv(potentials.nitems, I64(COUNT)), 1, [], body)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def find_winner(typingctx, v, v_th):
    """Return the index of the largest ``v - v_th`` that is not negative, the lowest on a tie; else -1."""
    signature = types.int64(v, v_th)

    def codegen(context, builder, signature, args):
        potentials, thresholds = (
            _array(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)
        )
        n_vectors = builder.udiv(potentials.nitems, I64(COUNT))

        def margin(k):
            at = builder.mul(k, I64(COUNT))
            return builder.fsub(
                _load(builder, potentials.data, at), _load(builder, thresholds.data, at)
            )

        _, best = counted_loop(
            builder, I64(0), n_vectors, 1, [_constant(-1.0)],
            lambda k, best: [_larger(builder, margin(k), best[0])],
        )  # fmt: skip
        top = builder.extract_element(best, I32(0))
        for lane in range(1, COUNT):
            top = _larger(builder, builder.extract_element(best, I32(lane)), top)
        tops, word = _splat(builder, top), ir.IntType(COUNT)

        def search(k, found):
            mask = builder.bitcast(builder.fcmp_ordered("==", margin(k), tops), word)
            place = builder.zext(builder.cttz(mask, ir.IntType(1)(0)), I64)
            place = builder.add(place, builder.mul(k, I64(COUNT)))
            new = builder.and_(
                builder.icmp_signed("<", found[0], I64(0)), builder.icmp_unsigned("!=", mask, word(0))
            )
            return [builder.select(new, place, found[0])]

        _, winner = counted_loop(builder, I64(0), n_vectors, 1, [I64(-1)], search)
        return builder.select(builder.fcmp_ordered("<", top, _F64(0.0)), I64(-1), winner)

    return signature, codegen
