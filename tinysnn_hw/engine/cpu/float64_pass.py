"""One pass of the float64 twin over all neurons of a step, in vectors: sums of the active rows, add, leak, compare.

Every neuron's sum takes the events in their order, one addition each and none of them fused or reassociated, so that the
bits are those of a plain loop whatever the width of the vectors.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I32, I64, counted_loop, when

COUNT = 8
"""Neurons per vector, 64 bytes; LLVM splits vectors where registers are narrower.  Arrays are padded to a multiple."""
BLOCK = 40
"""Neurons whose sums stay in registers while the rows go by; their weights lie together."""
_F64 = ir.DoubleType()
_VECTOR = ir.VectorType(_F64, COUNT)
_ALIGN = 64


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


def _sum_rows(builder, rows, row_step, n_vectors, inputs, begin, end):
    """Emit the loop over events ``begin`` to ``end - 1``; return the sums of ``n_vectors`` vectors of their rows."""

    def add_row(event, sums):
        # An empty assembly statement keeps LLVM from unrolling a loop of a handful of rounds.
        place = builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [event], side_effect=False)
        source = builder.zext(builder.load(builder.gep(inputs, [place])), I64)
        base = builder.mul(source, row_step)
        return [
            builder.fadd(total, _load(builder, rows, builder.add(base, I64(k * COUNT))))
            for k, total in enumerate(sums)
        ]

    _, *sums = counted_loop(builder, begin, end, 1, [_constant(0.0)] * n_vectors, add_row)
    return sums


@intrinsic
def sum_rows(typingctx, rows, n_inputs, inputs, offsets, first, n_steps, totals):
    """Fill ``totals[k]`` with the sums of all neurons' weights over the events of step ``first + k``, ``k < n_steps``.

    ``rows``: weights, see `tinysnn_hw.engine.cpu.float64.Rows`; events of step ``s``:
    ``inputs[offsets[s] : offsets[s + 1]]``; ``totals``: float64[:, padded neurons], aligned.

    All steps go by for one block of neurons before the next, so that the rows of a block stay in the first cache.
    """
    i64 = types.int64
    signature = types.void(rows, i64, inputs, offsets, i64, i64, totals)

    def codegen(context, builder, signature, args):
        weights, events, ends, sums = (
            _array(context, builder, signature.args[k], args[k]) for k in (0, 2, 3, 6)
        )
        n_inputs, first, n_steps = args[1], args[4], args[5]
        lanes = builder.extract_value(sums.shape, 1)

        def over_steps(lane, row_step, base, size):
            """Sum ``size`` vectors of all steps, from neuron ``lane`` on, whose weights start at element ``base``."""

            def step(k, carried):
                at = builder.gep(ends.data, [builder.add(first, k)])
                begin, end = builder.load(at), builder.load(builder.gep(at, [I64(1)]))
                found = _sum_rows(
                    builder, builder.gep(weights.data, [base]), row_step, size, events.data, begin, end
                )
                target = builder.add(builder.mul(k, lanes), lane)
                for v, total in enumerate(found):
                    _store(builder, total, sums.data, builder.add(target, I64(v * COUNT)))
                return []

            counted_loop(builder, I64(0), n_steps, 1, [], step)

        def whole(lane, carried):
            over_steps(lane, I64(BLOCK), builder.mul(lane, n_inputs), BLOCK // COUNT)
            return []

        (start,) = counted_loop(builder, I64(0), lanes, BLOCK, [], whole)
        width = builder.sub(lanes, start)

        def part(lane, carried):
            base = builder.add(builder.mul(start, n_inputs), builder.sub(lane, start))
            over_steps(lane, width, base, 1)
            return []

        counted_loop(builder, start, lanes, COUNT, [], part)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def integrate(typingctx, v, v_th, totals, row, leak_factor, leak_step):
    """Advance the potentials of all neurons by one step; return whether some neuron is at or over its threshold.

    ``v``, ``v_th``: float64 per neuron, padded to whole vectors, aligned to them; held neurons have an infinite
    threshold.  ``totals[row]``: what arrives.
    """
    f64 = types.float64
    signature = types.boolean(v, v_th, totals, types.int64, f64, f64)

    def codegen(context, builder, signature, args):
        potentials, thresholds, sums = (
            _array(context, builder, kind, value)
            for kind, value in zip(signature.args[:3], args[:3], strict=True)
        )
        factor, step = args[4:]
        arriving = builder.gep(sums.data, [builder.mul(args[3], potentials.nitems)])
        factors, steps, zero = _splat(builder, factor), _splat(builder, step), _constant(0.0)
        stepped = builder.fcmp_ordered(">", step, _F64(0.0))

        def subtracted(value):
            down = _larger(builder, builder.fsub(value, steps), zero)
            up = _smaller(builder, builder.fadd(value, steps), zero)
            return builder.select(builder.fcmp_ordered(">=", value, zero), down, up)

        def body(k, margin):
            at = builder.mul(k, I64(COUNT))
            added = builder.fadd(_load(builder, potentials.data, at), _load(builder, arriving, at))
            value = builder.fmul(added, factors)
            (value,) = when(builder, stepped, [value], lambda: [subtracted(value)])
            _store(builder, value, potentials.data, at)
            difference = builder.fsub(value, _load(builder, thresholds.data, at))
            return [_larger(builder, difference, margin[0])]

        n_vectors = builder.udiv(potentials.nitems, I64(COUNT))
        _, margin = counted_loop(builder, I64(0), n_vectors, 1, [_constant(-1.0)], body)
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
        rows = builder.gep(blocks.data, [block])
        (sums,) = _sum_rows(builder, rows, I64(COUNT), 1, events.data, args[3], args[4])
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
