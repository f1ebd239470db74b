"""One pass over all neurons of a step: sums of the active rows, then add, leak, cut, compare, store.

It means what docs/numerics.md, section 6, step 2 says, under the bounds proven by `tinysnn_hw.engine.cpu.plan`.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.lanes import I64, TILE, Lanes

_ARRAYS = ("v", "v_th", "peak", "noise", "rows", "inputs")
_SCALARS = (
    "begin", "end", "n_tiles", "stride", "leak", "leak_shift", "leak_mul", "leak_sub", "acc_max", "v_shift", "v_top",
    "bias0", "bias1", "bias2",
)  # fmt: skip


@dataclass
class _Running:
    """Values carried from tile to tile: largest `v`, threshold crossings, number of saturations."""

    peak: ir.Value
    crossed: ir.Value
    n_over: ir.Value

    def values(self):
        return (self.peak, self.crossed, self.n_over)


class _Pass:
    """The pass for one lane width and weight width, being emitted into one function."""

    def __init__(self, builder, lane_bits, row_bits, pointers, scalars):
        self.builder = builder
        self.lanes = Lanes(builder, lane_bits)
        self.row_bits = row_bits
        self.paired = lane_bits == 2 * row_bits
        self.at = pointers
        self.arg = scalars
        lanes = self.lanes
        self.top = lanes.splat(scalars["acc_max"])
        self.v_top = lanes.splat(scalars["v_top"])
        self.leak_shift = lanes.splat(scalars["leak_shift"])
        self.leak_sub = lanes.splat(scalars["leak_sub"])
        self.cut_shift = lanes.splat(scalars["v_shift"])
        self.keep = builder.shl(ir.Constant(lanes.type, [-1] * lanes.count), self.cut_shift)
        biases = [scalars[f"bias{k}"] for k in range(3)]
        self.bias = [lanes.splat(value) for value in biases]
        self.wide_bias = [lanes.splat(value, wide=True) for value in biases]
        self.leak_mul = lanes.splat(scalars["leak_mul"], wide=True)
        self.wide_shift = lanes.splat(builder.add(scalars["v_shift"], I64(P.DECAY_BITS)), wide=True)
        self.v_top_raw = lanes.splat(builder.ashr(scalars["v_top"], scalars["v_shift"]), wide=True)
        self.zero = ir.Constant(lanes.type, None)

    def tiles(self, group, tile, running):
        """Emit ``while tile + group <= n_tiles``: integrate ``group`` tiles; return the next tile and `_Running`.

        The sums of a group stay in registers while the rows go by.  Wide groups spend less on loop control,
        narrow ones finish the rest.
        """
        builder = self.builder
        entry = builder.block
        head, body, out = (
            builder.append_basic_block(f"group{group}.{part}") for part in ("head", "body", "done")
        )
        builder.branch(head)
        builder.position_at_end(head)
        current = builder.phi(I64)
        current.add_incoming(tile, entry)
        carried = []
        for value in running.values():
            phi = builder.phi(value.type)
            phi.add_incoming(value, entry)
            carried.append(phi)
        following = builder.add(current, I64(group))
        builder.cbranch(builder.icmp_signed("<=", following, self.arg["n_tiles"]), body, out)
        builder.position_at_end(body)
        first = builder.mul(current, I64(TILE))
        results = self.integrate(first, self.sums(first, group), _Running(*carried))
        current.add_incoming(following, builder.block)
        for phi, value in zip(carried, results.values(), strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(out)
        return current, _Running(*carried)

    def sums(self, first, group):
        """Emit the loop over the step's events; return the weight sums of ``group`` tiles as vectors of lanes."""
        builder, lanes = self.builder, self.lanes
        begin, end = self.arg["begin"], self.arg["end"]
        n_vectors = group * TILE // lanes.count
        shift = ir.Constant(lanes.type, [self.row_bits] * lanes.count)
        entry = builder.block
        loop = builder.append_basic_block("events")
        after = builder.append_basic_block("summed")
        builder.cbranch(builder.icmp_signed("<", begin, end), loop, after)
        builder.position_at_end(loop)
        event = builder.phi(I64)
        event.add_incoming(begin, entry)
        sums = [builder.phi(lanes.type) for _ in range(n_vectors)]
        for phi in sums:
            phi.add_incoming(self.zero, entry)
        source = builder.zext(builder.load(builder.gep(self.at["inputs"], [event])), I64)
        position = builder.add(builder.mul(source, self.arg["stride"]), first)
        updated: list[ir.Value] = []
        if self.paired:
            # Two weights share a lane: the low one is (sum of words) - (sum of high ones << row_bits).
            for k in range(0, n_vectors, 2):
                address = builder.gep(self.at["rows"], [builder.add(position, I64(k * lanes.count))])
                words = builder.load(builder.bitcast(address, lanes.type.as_pointer()), align=1)
                updated += [builder.add(sums[k], words), builder.add(sums[k + 1], builder.lshr(words, shift))]
        else:
            for k, phi in enumerate(sums):
                part = lanes.load(self.at["rows"], builder.add(position, I64(k * lanes.count)), self.row_bits)
                part = part if self.row_bits == lanes.bits else builder.zext(part, lanes.type)
                updated.append(builder.add(phi, part))
        following = builder.add(event, I64(1))
        event.add_incoming(following, loop)
        for phi, value in zip(sums, updated, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
        builder.position_at_end(after)
        results = []
        for value in updated:
            result = builder.phi(lanes.type)
            result.add_incoming(self.zero, entry)
            result.add_incoming(value, loop)
            results.append(result)
        if self.paired:
            for k in range(0, n_vectors, 2):
                results[k] = builder.sub(results[k], builder.shl(results[k + 1], shift))
        return results

    def integrate(self, first, sums, running):
        """Emit add, leak, cut, compare and store of the vectors that start at neuron ``first``."""
        builder, lanes = self.builder, self.lanes
        at = [builder.add(first, I64(k * lanes.count)) for k in range(len(sums))]
        accumulated, over = [], []
        for k, total in enumerate(sums):
            old = lanes.load(self.at["v"], at[k], lanes.bits)
            over.append(builder.icmp_signed(">", total, lanes.call("ssub.sat", self.top, old)))
            accumulated.append(lanes.call("smin", lanes.call("sadd.sat", old, total), self.top))
        new, over = self.leak_and_cut(at, accumulated, over)
        peak, crossed, n_over = running.values()
        for k, value in enumerate(new):
            ones = builder.ctpop(builder.bitcast(over[k], ir.IntType(lanes.count)))
            n_over = builder.add(n_over, builder.zext(ones, I64))
            threshold = lanes.load(self.at["v_th"], at[k], lanes.bits)
            crossed = builder.or_(crossed, builder.icmp_signed(">=", value, threshold))
            peak = lanes.call("smax", peak, value)
            lanes.store(value, self.at["v"], at[k])
        return _Running(peak, crossed, n_over)

    def leak_and_cut(self, at, accumulated, over):
        """Emit the leak of the network and the cut to `v_mem`; return the new lanes and which saturated."""
        builder = self.builder
        names = ("none", "shift", "multiply", "subtract", "leaked", "cut", "written")
        plain, shifted, multiplied, subtracted, leaked, cut, written = (
            builder.append_basic_block(f"leak.{name}") for name in names
        )
        choice = builder.switch(self.arg["leak"], plain)
        choice.add_case(I64(P.LEAK_SHIFT), shifted)
        choice.add_case(I64(P.LEAK_MULTIPLY), multiplied)
        choice.add_case(I64(P.LEAK_SUBTRACT), subtracted)
        builder.position_at_end(plain)
        builder.branch(leaked)
        builder.position_at_end(shifted)
        by_shift = [builder.sub(a, builder.ashr(a, self.leak_shift)) for a in accumulated]
        builder.branch(leaked)
        builder.position_at_end(subtracted)
        by_sub = [self._toward_zero(a) for a in accumulated]
        builder.branch(leaked)

        builder.position_at_end(leaked)
        after_leak = [
            self._merge([(a, plain), (s, shifted), (b, subtracted)])
            for a, s, b in zip(accumulated, by_shift, by_sub, strict=True)
        ]
        builder.cbranch(builder.icmp_signed("==", self.arg["v_shift"], I64(0)), written, cut)
        builder.position_at_end(cut)
        by_cut = [self._cut(*each) for each in zip(at, after_leak, over, strict=True)]
        builder.branch(written)
        builder.position_at_end(multiplied)
        by_mul = [self._multiply_and_cut(*each) for each in zip(at, accumulated, over, strict=True)]
        builder.branch(written)

        builder.position_at_end(written)
        new, flags = [], []
        for k in range(len(accumulated)):
            new.append(
                self._merge([(after_leak[k], leaked), (by_cut[k][0], cut), (by_mul[k][0], multiplied)])
            )
        for k in range(len(accumulated)):
            flags.append(self._merge([(over[k], leaked), (by_cut[k][1], cut), (by_mul[k][1], multiplied)]))
        return new, flags

    def _merge(self, incoming):
        phi = self.builder.phi(incoming[0][0].type)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    def _toward_zero(self, a):
        falling = self.lanes.call("smax", self.builder.sub(a, self.leak_sub), self.zero)
        rising = self.lanes.call("smin", self.builder.add(a, self.leak_sub), self.zero)
        return self.builder.select(self.builder.icmp_signed(">=", a, self.zero), falling, rising)

    def _bias(self, value, shift, bias, noise):
        """Return what the rounding mode adds: b0 + (sign & b1) + ((value >> shift) & b2) + noise."""
        builder = self.builder
        width = value.type.element.width
        sign = builder.ashr(value, ir.Constant(value.type, [width - 1] * self.lanes.count))
        total = builder.add(bias[0], builder.and_(sign, bias[1]))
        total = builder.add(total, builder.and_(builder.ashr(value, shift), bias[2]))
        return builder.add(total, noise)

    def _cut(self, at, a, over):
        builder, lanes = self.builder, self.lanes
        noise = lanes.load(self.at["noise"], at, 32)
        noise = noise if lanes.bits == 32 else builder.trunc(noise, lanes.type)
        extra = self._bias(a, self.cut_shift, self.bias, noise)
        over = builder.or_(over, builder.icmp_signed(">", a, builder.sub(self.top, extra)))
        kept = builder.and_(lanes.call("sadd.sat", a, extra), self.keep)
        return lanes.call("smin", kept, self.v_top), over

    def _multiply_and_cut(self, at, a, over):
        builder, lanes = self.builder, self.lanes
        noise = lanes.load(self.at["noise"], at, 32)
        noise = noise if lanes.bits == 16 else builder.zext(noise, lanes.wide)
        product = builder.mul(builder.sext(a, lanes.wide), self.leak_mul)
        extra = self._bias(product, self.wide_shift, self.wide_bias, noise)
        raw = builder.ashr(builder.add(product, extra), self.wide_shift)
        over = builder.or_(over, builder.icmp_signed(">", raw, self.v_top_raw))
        raw = builder.trunc(lanes.call("smin", raw, self.v_top_raw), lanes.type)
        return builder.shl(raw, self.cut_shift), over


@intrinsic
def lif_pass(
    typingctx, v, v_th, peak, noise, rows, inputs, begin, end, n_tiles, stride,
    leak, leak_shift, leak_mul, leak_sub, acc_max, v_shift, v_top, bias0, bias1, bias2,
):  # fmt: skip
    """Integrate one step for all neurons.

    ``v``, ``v_th``: lanes of int16 or int32 on the accumulator grid, updated in place (``v``); ``peak``: running
    largest ``v``, one vector of lanes; ``noise``: int32 per neuron, added before the cut (stochastic rounding);
    ``rows``: weight rows ``[input][stride]`` of uint8 or uint16; ``inputs[begin:end]``: the step's events.
    Returns ``2 * (number of neurons that saturated high) + (1 if any neuron is at or over threshold)``.
    """
    lane_bits, row_bits = v.dtype.bitwidth, rows.dtype.bitwidth
    arrays = (v, v_th, peak, noise, rows, inputs)
    signature = types.int64(*arrays, *(types.int64,) * len(_SCALARS))

    def codegen(context, builder, signature, args):
        pointers = {
            name: context.make_array(kind)(context, builder, value).data
            for name, kind, value in zip(_ARRAYS, signature.args, args, strict=False)
        }
        scalars = dict(zip(_SCALARS, args[len(_ARRAYS) :], strict=True))
        emitted = _Pass(builder, lane_bits, row_bits, pointers, scalars)
        lanes = emitted.lanes
        running = _Running(
            lanes.load(pointers["peak"], I64(0), lane_bits),
            ir.Constant(ir.VectorType(ir.IntType(1), lanes.count), None),
            I64(0),
        )
        tile = I64(0)
        for group in (4, 2, 1) if lane_bits == 16 else (2, 1):
            tile, running = emitted.tiles(group, tile, running)
        lanes.store(running.peak, pointers["peak"], I64(0))
        mask = ir.IntType(lanes.count)
        hit = builder.icmp_unsigned("!=", builder.bitcast(running.crossed, mask), mask(0))
        return builder.add(builder.shl(running.n_over, I64(1)), builder.zext(hit, I64))

    return signature, codegen
