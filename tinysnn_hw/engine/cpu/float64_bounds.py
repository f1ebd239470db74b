"""Upper bounds of the float64 twin's potentials, in lanes of float32.

Most potentials decide nothing: they stay below their threshold until inhibition pushes them to the floor.  A step
therefore advances only a bound of each neuron, at twice the speed and half the memory of the real thing.  Where a bound
reaches its threshold, `tinysnn_hw.engine.cpu.float64_exact` computes the potential itself, from the same events in the
same order, and that alone decides.

A bound stays one because whatever float32 drops is added back: weights are rounded up (`above`), the sum of ``n`` of
them is raised by ``(n + 8) * 2**-23`` of itself, and every result ``x`` of the few operations after it by
``|x| * 2**-20``, several times what those can lose (``2**-24`` of ``|x|`` each).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I32, I64, counted_loop, when
from tinysnn_hw.fixed.compiled import njit

COUNT = 16
"""Neurons per vector, 64 bytes; LLVM splits vectors where registers are narrower.  Arrays are padded to a multiple."""
BLOCK = 80
"""Neurons whose sums stay in registers while the rows go by; their weights lie together."""
COLUMNS = 8
"""Columns side by side, see `tinysnn_hw.engine.cpu.float64_learning`."""
_F32, _F64 = ir.FloatType(), ir.DoubleType()
_MARGIN = 2.0**-20
_ALIGN = 64
_TINY = 1e-30


@njit(cache=True)
def above(x):
    """Return a float32 at or over the real number ``x``."""
    return np.float32(-np.inf) if x == -np.inf else np.float32(x + abs(x) * 2.0**-22 + _TINY)


@njit(cache=True)
def below(x):
    """Return a float32 at or under the real number ``x``."""
    return np.float32(-np.inf) if x == -np.inf else np.float32(x - abs(x) * 2.0**-22 - _TINY)


class _Lanes:
    """Vectors of one real type, 64 bytes wide."""

    def __init__(self, builder, element):
        self.builder = builder
        self.count = COUNT if element is _F32 else COLUMNS
        self.type = ir.VectorType(element, self.count)
        self.zero = self.constant(0.0)

    def constant(self, value):
        return ir.Constant(self.type, [value] * self.count)

    def splat(self, value):
        undefined = ir.Constant(self.type, ir.Undefined)
        seed = self.builder.insert_element(undefined, value, I32(0))
        mask = ir.Constant(ir.VectorType(I32, self.count), [0] * self.count)
        return self.builder.shuffle_vector(seed, undefined, mask)

    def address(self, base, index):
        return self.builder.bitcast(self.builder.gep(base, [index]), self.type.as_pointer())

    def load(self, base, index):
        return self.builder.load(self.address(base, index), align=_ALIGN)

    def store(self, value, base, index):
        self.builder.store(value, self.address(base, index), align=_ALIGN)

    def larger(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def smaller(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def size(self, value):
        name = f"llvm.fabs.v{self.count}f{32 if self.type.element is _F32 else 64}"
        kind = ir.FunctionType(self.type, [self.type])
        return self.builder.call(self.builder.module.declare_intrinsic(name, (), kind), [value])

    def mask(self, flags):
        """Return one bit per lane as an i64."""
        return self.builder.zext(self.builder.bitcast(flags, ir.IntType(self.count)), I64)

    def sum_rows(self, rows, row_step, n_vectors, inputs, begin, end):
        """Emit the loop over events ``begin`` to ``end - 1``; return the sums of ``n_vectors`` vectors of rows."""
        builder = self.builder

        def add_row(event, sums):
            # An empty assembly statement keeps LLVM from unrolling a loop of a handful of rounds.
            place = builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [event], side_effect=False)
            source = builder.zext(builder.load(builder.gep(inputs, [place])), I64)
            base = builder.mul(source, row_step)
            return [
                builder.fadd(total, self.load(rows, builder.add(base, I64(k * self.count))))
                for k, total in enumerate(sums)
            ]

        _, *sums = counted_loop(builder, begin, end, 1, [self.zero] * n_vectors, add_row)
        return sums


def _arrays(context, builder, signature, args, *which):
    return [context.make_array(signature.args[k])(context, builder, args[k]) for k in which]


@intrinsic
def sum_bounds(typingctx, rows, n_inputs, inputs, offsets, first, n_steps, totals):
    """Fill ``totals[k]`` with the sums of all neurons' rows over the events of step ``first + k``, ``k < n_steps``.

    ``rows``: ``bound`` of `tinysnn_hw.engine.cpu.float64_storage.Weights`; events of step ``s``:
    ``inputs[offsets[s] : offsets[s + 1]]``; ``totals``: float32[:, padded neurons], aligned.

    All steps go by for one block of neurons before the next, so that the rows of a block stay in the first cache.
    """
    i64 = types.int64
    signature = types.void(rows, i64, inputs, offsets, i64, i64, totals)

    def codegen(context, builder, signature, args):
        weights, events, ends, sums = _arrays(context, builder, signature, args, 0, 2, 3, 6)
        n_inputs, first, n_steps = args[1], args[4], args[5]
        lanes, padded = _Lanes(builder, _F32), builder.extract_value(sums.shape, 1)

        def over_steps(neuron, row_step, base, size):
            """Sum ``size`` vectors of all steps, from ``neuron`` on, whose weights start at element ``base``."""
            rows = builder.gep(weights.data, [base])

            def step(k, carried):
                at = builder.gep(ends.data, [builder.add(first, k)])
                begin, end = builder.load(at), builder.load(builder.gep(at, [I64(1)]))
                found = lanes.sum_rows(rows, row_step, size, events.data, begin, end)
                target = builder.add(builder.mul(k, padded), neuron)
                for v, total in enumerate(found):
                    lanes.store(total, sums.data, builder.add(target, I64(v * COUNT)))
                return []

            counted_loop(builder, I64(0), n_steps, 1, [], step)

        def whole(neuron, carried):
            over_steps(neuron, I64(BLOCK), builder.mul(neuron, n_inputs), BLOCK // COUNT)
            return []

        (start,) = counted_loop(builder, I64(0), padded, BLOCK, [], whole)
        width = builder.sub(padded, start)

        def part(neuron, carried):
            base = builder.add(builder.mul(start, n_inputs), builder.sub(neuron, start))
            over_steps(neuron, width, base, 1)
            return []

        counted_loop(builder, start, padded, COUNT, [], part)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def advance_bounds(typingctx, u, reach, totals, row, growth, leak_factor, leak_step):
    """Advance the bounds of all neurons by one step; return whether one is at or over what it has to ``reach``.

    ``u``, ``reach``: float32 per neuron, padded to whole vectors, aligned to them; ``totals[row]``: what arrives, times
    ``growth``.
    """
    f32 = types.float32
    signature = types.boolean(u, reach, totals, types.int64, f32, f32, f32)

    def codegen(context, builder, signature, args):
        bounds, reached, sums = _arrays(context, builder, signature, args, 0, 1, 2)
        lanes, step = _Lanes(builder, _F32), args[6]
        arriving = builder.gep(sums.data, [builder.mul(args[3], bounds.nitems)])
        growth, factor, steps = (lanes.splat(value) for value in args[4:])
        margin = lanes.constant(_MARGIN)
        slack = builder.fadd(builder.fmul(steps, margin), lanes.constant(2.0**-99))
        stepped = builder.fcmp_ordered(">", step, _F32(0.0))

        def subtracted(value):
            down = lanes.larger(builder.fsub(value, steps), lanes.zero)
            up = lanes.smaller(builder.fadd(value, steps), lanes.zero)
            return builder.select(builder.fcmp_ordered(">=", value, lanes.zero), down, up)

        def body(k, carried):
            at = builder.mul(k, I64(COUNT))
            total = builder.fmul(lanes.load(arriving, at), growth)
            value = builder.fmul(builder.fadd(lanes.load(bounds.data, at), total), factor)
            lost = builder.fadd(builder.fmul(lanes.size(value), margin), slack)
            (value,) = when(builder, stepped, [value], lambda: [subtracted(value)])
            value = builder.fadd(value, lost)
            lanes.store(value, bounds.data, at)
            return [lanes.larger(builder.fsub(value, lanes.load(reached.data, at)), carried[0])]

        n_vectors = builder.udiv(bounds.nitems, I64(COUNT))
        _, highest = counted_loop(builder, I64(0), n_vectors, 1, [lanes.constant(-1.0)], body)
        flags = builder.fcmp_ordered(">=", highest, lanes.zero)
        return builder.icmp_unsigned("!=", lanes.mask(flags), I64(0))

    return signature, codegen


@intrinsic
def inhibit_bounds(typingctx, u, floored, amount, floor, limit, step):
    """Lower all bounds by ``amount`` to ``floor`` at most, before step ``step``.

    Where one was at or under ``limit``, the potential is now the floor itself, which ``floored``, int32, notes.
    """
    f32 = types.float32
    signature = types.void(u, floored, f32, f32, f32, types.int32)

    def codegen(context, builder, signature, args):
        bounds, notes = _arrays(context, builder, signature, args, 0, 1)
        lanes = _Lanes(builder, _F32)
        amount, floor, limit = (lanes.splat(value) for value in args[2:5])
        margin, words = lanes.constant(_MARGIN), _Lanes(builder, _F32)
        words.type = ir.VectorType(I32, COUNT)
        now = words.splat(args[5])

        def body(k, carried):
            at = builder.mul(k, I64(COUNT))
            old = lanes.load(bounds.data, at)
            known = builder.fcmp_ordered("<=", old, limit)
            words.store(builder.select(known, now, words.load(notes.data, at)), notes.data, at)
            value = builder.fsub(old, amount)
            value = builder.fadd(value, builder.fmul(lanes.size(value), margin))
            lanes.store(lanes.larger(value, floor), bounds.data, at)
            return []

        counted_loop(builder, I64(0), builder.udiv(bounds.nitems, I64(COUNT)), 1, [], body)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def largest_margin(typingctx, u, reach):
    """Return the largest ``u - reach``."""
    signature = types.float32(u, reach)

    def codegen(context, builder, signature, args):
        bounds, reached = _arrays(context, builder, signature, args, 0, 1)
        lanes = _Lanes(builder, _F32)

        def body(k, highest):
            at = builder.mul(k, I64(COUNT))
            margin = builder.fsub(lanes.load(bounds.data, at), lanes.load(reached.data, at))
            return [lanes.larger(margin, highest[0])]

        n_vectors = builder.udiv(bounds.nitems, I64(COUNT))
        _, highest = counted_loop(builder, I64(0), n_vectors, 1, [lanes.constant(-1.0)], body)
        top = builder.extract_element(highest, I32(0))
        for lane in range(1, COUNT):
            top = lanes.larger(builder.extract_element(highest, I32(lane)), top)
        return top

    return signature, codegen


@intrinsic
def with_margin(typingctx, u, reach, k, margin):
    """Return which of the neurons of vector ``k`` have ``u - reach >= margin``, one bit each."""
    signature = types.int64(u, reach, types.int64, types.float32)

    def codegen(context, builder, signature, args):
        bounds, reached = _arrays(context, builder, signature, args, 0, 1)
        lanes, at = _Lanes(builder, _F32), builder.mul(args[2], I64(COUNT))
        margins = builder.fsub(lanes.load(bounds.data, at), lanes.load(reached.data, at))
        return lanes.mask(builder.fcmp_ordered(">=", margins, lanes.splat(args[3])))

    return signature, codegen


@intrinsic
def sum_columns(typingctx, columns, group, inputs, begin, end, total):
    """Fill ``total`` with the sums of rows ``inputs[begin:end]`` of ``columns[group]``, float64[:, :, COLUMNS]."""
    signature = types.void(columns, types.int64, inputs, types.int64, types.int64, total)

    def codegen(context, builder, signature, args):
        groups, events, target = _arrays(context, builder, signature, args, 0, 2, 5)
        lanes = _Lanes(builder, _F64)
        size = builder.mul(builder.extract_value(groups.shape, 1), I64(COLUMNS))
        rows = builder.gep(groups.data, [builder.mul(args[1], size)])
        (sums,) = lanes.sum_rows(rows, I64(COLUMNS), 1, events.data, args[3], args[4])
        lanes.store(sums, target.data, I64(0))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def depress_row(typingctx, weight, master, group, i, factors, soft, w_max):
    """Lower the masters of input ``i`` in columns ``group`` by ``factors`` times the weights, or ``w_max`` unless soft.

    No master falls below 0.  ``weight``, ``master``: float64[:, :, COLUMNS]; ``factors``: one per column.
    """
    i64 = types.int64
    signature = types.void(weight, master, i64, i64, factors, types.boolean, types.float64)

    def codegen(context, builder, signature, args):
        weights, masters, scales = _arrays(context, builder, signature, args, 0, 1, 4)
        lanes, (group, i) = _Lanes(builder, _F64), args[2:4]
        row = builder.add(builder.mul(group, builder.extract_value(weights.shape, 1)), i)
        place = builder.mul(row, I64(COLUMNS))
        w = lanes.load(weights.data, place)
        scale = lanes.load(scales.data, builder.mul(group, I64(COLUMNS)))
        change = builder.fmul(scale, builder.select(args[5], w, lanes.splat(args[6])))
        lowered = builder.fsub(lanes.load(masters.data, place), change)
        lanes.store(lanes.larger(lowered, lanes.zero), masters.data, place)
        return context.get_dummy_value()

    return signature, codegen
