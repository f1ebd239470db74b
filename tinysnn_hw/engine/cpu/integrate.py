"""One pass over all neurons of a step: sums of the active rows, then add, leak, cut, compare, store.

It means what docs/numerics.md, section 6, step 2 says, under the bounds proven by `tinysnn_hw.engine.cpu.plan`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import (
    BLOCK,
    HALF_BLOCK,
    I64,
    Lanes,
    any_lane,
    counted_loop,
    register_bytes,
    when,
)
from tinysnn_hw.engine.cpu.leak import LEAK_SCALARS, GeneralLeak, MultiplyLeak, NoLeak, ShiftLeak

CROSSED, SUSPICIOUS = 1, 2
"""Bits of what `lif_pass` returns."""
_LEAK = types.UniTuple(types.int64, len(LEAK_SCALARS))
_SUMS = ("rows", "inputs", "now", "begin", "end", "block_step", "row_step", "sum_shift")


class _Pass:
    """Everything a pass reads, and the sums of weight rows."""

    def __init__(self, builder, v, values, leak):
        self.builder = builder
        self.lanes = Lanes(builder, v.dtype.bitwidth)
        self.row_bits = values["rows"].type.pointee.width
        # Sums of bytes fit 16 bits whatever the lanes of v_mem are.
        self.sum_lanes = Lanes(builder, 16 if self.row_bits == 8 else v.dtype.bitwidth)
        self.arg = values
        self.leak = leak(self.lanes, values, values["noise"])
        self.zero = ir.Constant(self.lanes.type, None)

    def over_blocks(self, sizes, carried, body):
        """Emit ``body(first, sums, carried)`` for all neurons, in groups of ``sizes`` blocks, then the half block.

        The sums of a group stay in registers while the rows go by.  Wide groups spend less on loop control,
        narrow ones finish the rest.
        """
        builder = self.builder
        n_blocks = builder.lshr(self.arg["n_lanes"], I64(BLOCK.bit_length() - 1))

        def group(block, size, width, values):
            first = builder.mul(block, I64(BLOCK))
            return body(first, self.sums(first, size, width), values)

        block = I64(0)
        for size in sizes:
            block, *carried = counted_loop(
                builder, block, n_blocks, size, carried,
                lambda at, values, size=size: group(at, size, BLOCK, values),
            )  # fmt: skip
        half = builder.icmp_signed("!=", builder.and_(self.arg["n_lanes"], I64(HALF_BLOCK)), I64(0))
        return when(builder, half, carried, lambda: group(block, 1, HALF_BLOCK, carried))

    def sums(self, first, n_blocks, width):
        """Emit the loop over the step's events; return the weight sums of the neurons as vectors of lanes."""
        builder, lanes = self.builder, self.sum_lanes
        per_block = width // lanes.count
        n_vectors = n_blocks * per_block
        paired = lanes.bits == 2 * self.row_bits and per_block % 2 == 0
        shift = ir.Constant(lanes.type, [self.row_bits] * lanes.count)
        block = builder.lshr(first, I64(BLOCK.bit_length() - 1))
        bases = [builder.gep(self.arg["rows"], [builder.mul(block, self.arg["block_step"])])]
        while len(bases) < n_blocks:
            bases.append(builder.gep(bases[-1], [self.arg["block_step"]]))
        in_blocks = builder.icmp_signed("==", self.arg["row_step"], I64(BLOCK))
        row_step = builder.select(in_blocks, I64(width), self.arg["row_step"])

        def add_row(event, sums):
            source = builder.zext(builder.load(builder.gep(self.arg["inputs"], [event])), I64)
            row = builder.mul(source, row_step)
            updated = []
            for k in range(0, n_vectors, 2 if paired else 1):
                base, address = bases[k // per_block], builder.add(row, I64(k % per_block * lanes.count))
                if paired:
                    # Two weights share a lane: the low one is (sum of words) - (sum of high ones << row_bits).
                    words = lanes.load(base, address, lanes.bits, units=self.row_bits)
                    updated += [
                        builder.add(sums[k], words),
                        builder.add(sums[k + 1], builder.lshr(words, shift)),
                    ]
                else:
                    part = lanes.load(base, address, self.row_bits)
                    part = part if self.row_bits == lanes.bits else builder.zext(part, lanes.type)
                    updated.append(builder.add(sums[k], part))
            return updated

        _, *sums = counted_loop(
            builder,
            self.arg["begin"],
            self.arg["end"],
            1,
            [ir.Constant(lanes.type, None)] * n_vectors,
            add_row,
            opaque=True,
        )
        if paired:
            for k in range(0, n_vectors, 2):
                sums[k] = builder.sub(sums[k], builder.shl(sums[k + 1], shift))
        return sums if self.lanes.bits == 16 else self.on_the_grid(sums)

    def on_the_grid(self, sums):
        """Widen sums of raw weights to 32-bit lanes on the accumulator grid; 16-bit lanes have stored them there."""
        builder, lanes = self.builder, self.lanes
        up = lanes.splat(self.arg["sum_shift"])
        if self.sum_lanes.bits == 16:
            sums = [
                builder.zext(self.sum_lanes.part(total, k * lanes.count, lanes.count), lanes.type)
                for total in sums
                for k in range(2)
            ]
        return [builder.shl(total, up) for total in sums]

    def places(self, first, sums):
        """Return the neuron at which each vector of ``sums`` begins."""
        return [self.builder.add(first, I64(k * self.lanes.count)) for k in range(len(sums))]

    def integrate(self, first, sums, carried):
        """Emit add, leak, cut, compare and store of the vectors that start at neuron ``first``; see `leak.apply`."""
        lanes, arg = self.lanes, self.arg
        margin, highest = carried
        at = self.places(first, sums)
        accumulated = []
        for place, total in zip(at, sums, strict=True):
            accumulated.append(lanes.add_saturated(lanes.load(arg["old"], place, lanes.bits), total))
            highest = lanes.call("smax", highest, accumulated[-1])
        for place, value in zip(at, self.leak.apply(at, accumulated), strict=True):
            threshold = lanes.load(arg["v_th"], place, lanes.bits)
            margin = lanes.call("smax", margin, lanes.subtract_saturated(value, threshold))
            lanes.store(value, arg["v"], place)
        return [margin, highest]

    def integrate_counting(self, first, sums, carried):
        """Emit the same for steps in which something may saturate, and the count of writes that left their range."""
        (count,) = carried
        for place, total in zip(self.places(first, sums), sums, strict=True):
            old = self.lanes.load(self.arg["old"], place, self.lanes.bits)
            value, over = self.leak.apply_counting(place, old, total)
            self.lanes.store(value, self.arg["v"], place)
            count = self.builder.add(count, over)
        return [count]


def _group_sizes(lane_bits, vector_registers_bytes):
    """Return blocks per group, widest first: as many sums as leave half of the vector registers free."""
    block_bytes = BLOCK * lane_bits // 8
    widest = max(vector_registers_bytes // 2 // block_bytes, 1)
    return [size for size in (4, 2, 1) if size <= widest]


def leak_kind(noise):
    """Return the kind of leak a kernel is compiled with, told by the Numba type of ``noise``.

    An empty tuple: neither leak nor cut.  None: shift leak without a cut.  uint16 per neuron: multiply leak without a
    cut; what its rounding adds.  int32 per neuron: anything; random bits added before the cut.
    """
    if isinstance(noise, types.BaseTuple):
        return NoLeak
    if noise is types.none:
        return ShiftLeak
    return MultiplyLeak if noise.dtype is types.uint16 else GeneralLeak


def _values(context, builder, names, kinds, args):
    """Return the arguments by name: pointers of arrays, others as they are.

    ``v`` becomes its row ``now``, ``old`` its other one, and ``n_lanes`` their length; the scalars of ``leak`` get
    names of their own.
    """
    values = {}
    for name, kind, value in zip(names, kinds, args, strict=True):
        array = context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else None
        values[name] = value if array is None else array.data
        if name == "v":
            values["n_lanes"] = builder.lshr(array.nitems, I64(1))
    values |= zip(LEAK_SCALARS, cgutils.unpack_tuple(builder, values["leak"]), strict=True)
    rows = (values["now"], builder.xor(values["now"], I64(1)))
    values["v"], values["old"] = (
        builder.gep(values["v"], [builder.mul(row, values["n_lanes"])]) for row in rows
    )
    return values


@intrinsic
def lif_pass(
    typingctx, v, v_th, peak, noise, rows, inputs, now, begin, end, block_step, row_step, sum_shift, leak,
):  # fmt: skip
    """Integrate one step for all neurons.

    ``v[2, n_lanes]``: `v_mem` in lanes of int16 or int32 on the accumulator grid, whole half blocks; row ``now`` is
    written, the other one holds the values before; ``v_th``: thresholds alike; ``peak``: running largest accumulator
    before it saturates and leaks, one vector of lanes; ``noise``: see `leak_kind`; ``rows``: weights of uint8 or
    uint16 in the layout of `tinysnn_hw.engine.cpu.storage`, with its steps; ``inputs[begin:end]``: the step's events;
    ``leak``: `leak_scalars`.
    Returns the bits `CROSSED`, if some neuron may be at or over its threshold, and `SUSPICIOUS`, if some write may
    have left the range; then row ``now`` is right only after `integrate_counting`.
    """
    names = ("v", "v_th", "peak", "noise", *_SUMS, "leak")
    kinds = (v, v_th, peak, noise, rows, inputs, *(types.int64,) * 6, _LEAK)

    def codegen(context, builder, signature, args):
        emitted = _Pass(builder, v, _values(context, builder, names, signature.args, args), leak_kind(noise))
        lanes, values = emitted.lanes, emitted.arg
        lowest = ir.Constant(lanes.type, [-(1 << (lanes.bits - 1))] * lanes.count)
        sizes = _group_sizes(lanes.bits, register_bytes(context))
        margin, highest = emitted.over_blocks(sizes, [lowest, lowest], emitted.integrate)
        so_far = lanes.load(values["peak"], I64(0), lanes.bits)
        lanes.store(lanes.call("smax", so_far, highest), values["peak"], I64(0))
        limit = lanes.splat(emitted.leak.first_suspicious())
        suspicious = any_lane(lanes, builder.icmp_signed(">=", highest, limit))
        crossed = any_lane(lanes, builder.icmp_signed(">=", margin, emitted.zero))
        crossed = builder.or_(crossed, suspicious)
        flags = (builder.zext(flag, I64) for flag in (crossed, suspicious))
        return builder.add(next(flags), builder.shl(next(flags), I64(1)))

    return types.int64(*kinds), codegen


@intrinsic
def integrate_counting(
    typingctx, v, noise, rows, inputs, now, begin, end, block_step, row_step, sum_shift, leak,
):  # fmt: skip
    """Integrate a step again, saturating, and return how many writes left the range of `v_mem` at the high end.

    Arguments as in `lif_pass`.
    """
    names = ("v", "noise", *_SUMS, "leak")
    kinds = (v, noise, rows, inputs, *(types.int64,) * 6, _LEAK)

    def codegen(context, builder, signature, args):
        emitted = _Pass(builder, v, _values(context, builder, names, signature.args, args), leak_kind(noise))
        (count,) = emitted.over_blocks([1], [I64(0)], emitted.integrate_counting)
        return count

    return types.int64(*kinds), codegen
