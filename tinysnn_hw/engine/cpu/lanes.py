"""One pass over all neurons of a step, as vector code: sums in registers, then add, leak, cut, compare, store.

Numba's own vectoriser cannot keep the sums of a tile of neurons in registers while it walks the active
rows, so this one inner loop is emitted as LLVM vector instructions.  They are target-independent: LLVM
lowers them to AVX-512, AVX2, SSE2 or NEON.  Every operation is on integers and means what
docs/numerics.md, section 6, step 2 says, under the bounds proven by `tinysnn_hw.engine.cpu.plan`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

TILE = 64
"""Neurons per tile; arrays over neurons are padded to a multiple."""
VECTOR_BYTES = 64
"""Bytes of the vectors the pass is written in; LLVM splits them where registers are narrower."""
_I64 = ir.IntType(64)
_I32 = ir.IntType(32)


class _Lanes:
    """Vector types and instructions for one lane width."""

    def __init__(self, builder: ir.IRBuilder, bits: int) -> None:
        self.builder = builder
        self.bits = bits
        self.count = 8 * VECTOR_BYTES // bits
        self.type = ir.VectorType(ir.IntType(bits), self.count)
        self.wide = ir.VectorType(ir.IntType(2 * bits), self.count)

    def splat(self, value: ir.Value, *, wide: bool = False) -> ir.Value:
        """Return a vector with ``value`` (an i64) truncated into every lane."""
        vector = self.wide if wide else self.type
        scalar = value if vector.element.width == _I64.width else self.builder.trunc(value, vector.element)
        seed = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, _I32(0))
        mask = ir.Constant(ir.VectorType(_I32, self.count), [0] * self.count)
        return self.builder.shuffle_vector(seed, ir.Constant(vector, ir.Undefined), mask)

    def call(self, name: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the two-operand LLVM intrinsic ``llvm.<name>`` of two vectors."""
        vector = a.type
        function = self.builder.module.declare_intrinsic(
            f"llvm.{name}.v{vector.count}i{vector.element.width}", (), ir.FunctionType(vector, [vector, vector])
        )
        return self.builder.call(function, [a, b])

    def load(self, base: ir.Value, index: ir.Value, element_bits: int) -> ir.Value:
        """Return ``count`` elements of ``element_bits`` starting at element ``index`` of a pointer."""
        vector = ir.VectorType(ir.IntType(element_bits), self.count)
        address = self.builder.gep(base, [index])
        return self.builder.load(self.builder.bitcast(address, vector.as_pointer()), align=1)

    def store(self, value: ir.Value, base: ir.Value, index: ir.Value) -> None:
        """Store a vector of lanes at element ``index`` of a pointer."""
        address = self.builder.gep(base, [index])
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer()), align=1)


def _sum_tiles(lanes, group, tile, n_tiles, rows, row_bits, stride, inputs, begin, end, sums_ptr):  # type: ignore[no-untyped-def]
    """Emit ``while tile + group <= n_tiles``: sum the step's rows over ``group`` tiles; return the next tile.

    The sums of a group stay in registers while the rows go by, then are stored once.  Wide groups spend less
    on loop control, narrow ones finish the rest.
    """
    builder = lanes.builder
    paired = lanes.bits == 2 * row_bits
    n_vectors = group * TILE // lanes.count
    zero = ir.Constant(lanes.type, None)
    shift = ir.Constant(lanes.type, [row_bits] * lanes.count)
    entry = builder.block
    head = builder.append_basic_block(f"group{group}")
    body = builder.append_basic_block(f"group{group}.body")
    loop = builder.append_basic_block(f"group{group}.events")
    after = builder.append_basic_block(f"group{group}.summed")
    out = builder.append_basic_block(f"group{group}.done")
    builder.branch(head)

    builder.position_at_end(head)
    current = builder.phi(_I64)
    current.add_incoming(tile, entry)
    following_tile = builder.add(current, _I64(group))
    builder.cbranch(builder.icmp_signed("<=", following_tile, n_tiles), body, out)

    builder.position_at_end(body)
    first = builder.mul(current, _I64(TILE))
    builder.cbranch(builder.icmp_signed("<", begin, end), loop, after)

    builder.position_at_end(loop)
    event = builder.phi(_I64)
    event.add_incoming(begin, body)
    sums = [builder.phi(lanes.type) for _ in range(n_vectors)]
    for phi in sums:
        phi.add_incoming(zero, body)
    source = builder.zext(builder.load(builder.gep(inputs, [event])), _I64)
    position = builder.add(builder.mul(source, stride), first)
    updated: list[ir.Value] = []
    if paired:
        # Two weights share a lane: the low one is recovered as (sum of words) - (sum of high ones << row_bits).
        for k in range(0, n_vectors, 2):
            address = builder.gep(rows, [builder.add(position, _I64(k * lanes.count))])
            words = builder.load(builder.bitcast(address, lanes.type.as_pointer()), align=1)
            updated += [builder.add(sums[k], words), builder.add(sums[k + 1], builder.lshr(words, shift))]
    else:
        for k, phi in enumerate(sums):
            part = lanes.load(rows, builder.add(position, _I64(k * lanes.count)), row_bits)
            part = part if row_bits == lanes.bits else builder.zext(part, lanes.type)
            updated.append(builder.add(phi, part))
    following = builder.add(event, _I64(1))
    event.add_incoming(following, loop)
    for phi, value in zip(sums, updated, strict=True):
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, after)

    builder.position_at_end(after)
    results = []
    for value in updated:
        result = builder.phi(lanes.type)
        result.add_incoming(zero, body)
        result.add_incoming(value, loop)
        results.append(result)
    for k in range(n_vectors):
        value = results[k]
        if paired and k % 2 == 0:
            value = builder.sub(value, builder.shl(results[k + 1], shift))
        lanes.store(value, sums_ptr, builder.add(first, _I64(k * lanes.count)))
    current.add_incoming(following_tile, builder.block)
    builder.branch(head)
    builder.position_at_end(out)
    return current


def _cut_bias(lanes: _Lanes, value, shift, bias, noise):  # type: ignore[no-untyped-def]
    """Return what a rounding mode adds before the shift: b0 + (sign & b1) + ((value >> shift) & b2) + noise."""
    builder = lanes.builder
    width = value.type.element.width
    sign = builder.ashr(value, ir.Constant(value.type, [width - 1] * lanes.count))
    total = builder.add(bias[0], builder.and_(sign, bias[1]))
    total = builder.add(total, builder.and_(builder.ashr(value, shift), bias[2]))
    return builder.add(total, noise)


@intrinsic
def lif_pass(
    typingctx, v, v_th, peak, sums, noise, rows, inputs, begin, end, n_tiles, stride,
    leak, leak_shift, leak_mul, leak_sub, acc_max, v_shift, v_top, bias0, bias1, bias2,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Integrate one step for all neurons.

    ``v``, ``v_th``: lanes of int16 or int32 on the accumulator grid, updated in place (``v``); ``peak``: running
    largest ``v``, one tile of lanes; ``sums``: scratch lanes; ``noise``: int32 per neuron, added before the cut (stochastic rounding);
    ``rows``: weight rows ``[input][stride]`` of uint8 or uint16; ``inputs[begin:end]``: the step's events.
    Returns ``2 * (number of neurons that saturated high) + (1 if any neuron is at or over threshold)``.
    """
    lane_bits = v.dtype.bitwidth
    row_bits = rows.dtype.bitwidth
    scalars = (types.int64,) * 14
    signature = types.int64(v, v_th, peak, sums, noise, rows, inputs, *scalars)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        lanes = _Lanes(builder, lane_bits)
        pointers = [
            context.make_array(ty)(context, builder, value).data
            for ty, value in zip(signature.args[:7], args[:7], strict=True)
        ]
        v_ptr, th_ptr, peak_ptr, sums_ptr, noise_ptr, rows_ptr, inputs_ptr = pointers
        begin, end, n_tiles, stride, leak, leak_shift, leak_mul, leak_sub, acc_max, v_shift, v_top = args[7:18]
        n_vectors = TILE // lanes.count
        top = lanes.splat(acc_max)
        v_top_lane = lanes.splat(v_top)
        shift_lane = lanes.splat(leak_shift)
        sub_lane = lanes.splat(leak_sub)
        cut_lane = lanes.splat(v_shift)
        keep = builder.shl(ir.Constant(lanes.type, [-1] * lanes.count), cut_lane)
        bias = [lanes.splat(value) for value in args[18:21]]
        wide_bias = [lanes.splat(value, wide=True) for value in args[18:21]]
        mul_wide = lanes.splat(leak_mul, wide=True)
        wide_shift = lanes.splat(builder.add(v_shift, _I64(16)), wide=True)
        v_top_raw = lanes.splat(builder.ashr(v_top, v_shift), wide=True)
        zero = ir.Constant(lanes.type, None)
        no_lane = ir.Constant(ir.VectorType(ir.IntType(1), lanes.count), None)

        begin_tile = _I64(0)
        for group in (4, 2, 1) if lanes.bits == 16 else (2, 1):
            begin_tile = _sum_tiles(
                lanes, group, begin_tile, n_tiles, rows_ptr, row_bits, stride, inputs_ptr, begin, end, sums_ptr
            )
        entry = builder.block
        peaks_in = [lanes.load(peak_ptr, _I64(k * lanes.count), lane_bits) for k in range(n_vectors)]
        tile_loop = builder.append_basic_block("tile")
        done = builder.append_basic_block("done")
        builder.branch(tile_loop)
        builder.position_at_end(tile_loop)
        tile = builder.phi(_I64)
        tile.add_incoming(_I64(0), entry)
        crossed = builder.phi(no_lane.type)
        crossed.add_incoming(no_lane, entry)
        n_over = builder.phi(_I64)
        n_over.add_incoming(_I64(0), entry)
        peaks = [builder.phi(lanes.type) for _ in range(n_vectors)]
        for phi, value in zip(peaks, peaks_in, strict=True):
            phi.add_incoming(value, entry)
        start = builder.mul(tile, _I64(TILE))
        at = [builder.add(start, _I64(k * lanes.count)) for k in range(n_vectors)]
        accumulated, over = [], []
        for k in range(n_vectors):
            total = lanes.load(sums_ptr, at[k], lane_bits)
            old = lanes.load(v_ptr, at[k], lane_bits)
            over.append(builder.icmp_signed(">", total, lanes.call("ssub.sat", top, old)))
            accumulated.append(lanes.call("smin", lanes.call("sadd.sat", old, total), top))

        shifted = builder.append_basic_block("leak_shift")
        plain = builder.append_basic_block("leak_none")
        subtracted = builder.append_basic_block("leak_subtract")
        multiplied = builder.append_basic_block("leak_multiply")
        leaked = builder.append_basic_block("leaked")
        cut = builder.append_basic_block("cut")
        written = builder.append_basic_block("written")
        choice = builder.switch(leak, plain)
        for code, block in ((1, shifted), (2, multiplied), (3, subtracted)):
            choice.add_case(_I64(code), block)
        builder.position_at_end(plain)
        builder.branch(leaked)
        builder.position_at_end(shifted)
        by_shift = [builder.sub(a, builder.ashr(a, shift_lane)) for a in accumulated]
        builder.branch(leaked)
        builder.position_at_end(subtracted)
        by_sub = []
        for a in accumulated:
            falling = lanes.call("smax", builder.sub(a, sub_lane), zero)
            rising = lanes.call("smin", builder.add(a, sub_lane), zero)
            by_sub.append(builder.select(builder.icmp_signed(">=", a, zero), falling, rising))
        builder.branch(leaked)

        builder.position_at_end(leaked)
        after_leak = []
        for k in range(n_vectors):
            phi = builder.phi(lanes.type)
            phi.add_incoming(accumulated[k], plain)
            phi.add_incoming(by_shift[k], shifted)
            phi.add_incoming(by_sub[k], subtracted)
            after_leak.append(phi)
        builder.cbranch(builder.icmp_signed("==", v_shift, _I64(0)), written, cut)

        builder.position_at_end(cut)
        by_cut, over_cut = [], []
        for k, a in enumerate(after_leak):
            drawn = lanes.load(noise_ptr, at[k], 32)
            drawn = drawn if lane_bits == 32 else builder.trunc(drawn, lanes.type)
            extra = _cut_bias(lanes, a, cut_lane, bias, drawn)
            over_cut.append(builder.or_(over[k], builder.icmp_signed(">", a, builder.sub(top, extra))))
            kept = builder.and_(lanes.call("sadd.sat", a, extra), keep)
            by_cut.append(lanes.call("smin", kept, v_top_lane))
        builder.branch(written)

        builder.position_at_end(multiplied)
        by_mul, over_mul = [], []
        for k, a in enumerate(accumulated):
            drawn = lanes.load(noise_ptr, at[k], 32)
            drawn = drawn if lane_bits == 16 else builder.zext(drawn, lanes.wide)
            product = builder.mul(builder.sext(a, lanes.wide), mul_wide)
            extra = _cut_bias(lanes, product, wide_shift, wide_bias, drawn)
            raw = builder.ashr(builder.add(product, extra), wide_shift)
            over_mul.append(builder.or_(over[k], builder.icmp_signed(">", raw, v_top_raw)))
            raw = builder.trunc(lanes.call("smin", raw, v_top_raw), lanes.type)
            by_mul.append(builder.shl(raw, cut_lane))
        builder.branch(written)

        builder.position_at_end(written)
        count, hit = n_over, crossed
        phis = []
        for k in range(n_vectors):
            new = builder.phi(lanes.type)
            flag = builder.phi(no_lane.type)
            for value, mask, block in (
                (after_leak[k], over[k], leaked), (by_cut[k], over_cut[k], cut), (by_mul[k], over_mul[k], multiplied)
            ):  # fmt: skip
                new.add_incoming(value, block)
                flag.add_incoming(mask, block)
            phis.append((k, new, flag))
        new_peaks = []
        for k, new, flag in phis:
            ones = builder.ctpop(builder.bitcast(flag, ir.IntType(lanes.count)))
            count = builder.add(count, builder.zext(ones, _I64))
            threshold = lanes.load(th_ptr, at[k], lane_bits)
            hit = builder.or_(hit, builder.icmp_signed(">=", new, threshold))
            new_peaks.append(lanes.call("smax", peaks[k], new))
            lanes.store(new, v_ptr, at[k])
        following = builder.add(tile, _I64(1))
        tile.add_incoming(following, written)
        crossed.add_incoming(hit, written)
        n_over.add_incoming(count, written)
        for phi, value in zip(peaks, new_peaks, strict=True):
            phi.add_incoming(value, written)
        builder.cbranch(builder.icmp_signed("<", following, n_tiles), tile_loop, done)

        builder.position_at_end(done)
        for k, value in enumerate(new_peaks):
            lanes.store(value, peak_ptr, _I64(k * lanes.count))
        any_hit = builder.icmp_unsigned("!=", builder.bitcast(hit, ir.IntType(lanes.count)), ir.IntType(lanes.count)(0))
        return builder.add(builder.shl(count, _I64(1)), builder.zext(any_hit, _I64))

    return signature, codegen


def _loop(builder, n_vectors, carried, body):  # type: ignore[no-untyped-def]
    """Emit ``for k in range(n_vectors)``; ``body(k, values)`` returns the next ``values``; return the last ones."""
    entry = builder.block
    block = builder.append_basic_block("vectors")
    done = builder.append_basic_block("vectors.done")
    builder.branch(block)
    builder.position_at_end(block)
    k = builder.phi(_I64)
    k.add_incoming(_I64(0), entry)
    phis = []
    for value in carried:
        phi = builder.phi(value.type)
        phi.add_incoming(value, entry)
        phis.append(phi)
    results = body(k, phis)
    following = builder.add(k, _I64(1))
    k.add_incoming(following, builder.block)
    for phi, value in zip(phis, results, strict=True):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n_vectors), block, done)
    builder.position_at_end(done)
    return results


def _reduce(lanes: _Lanes, name: str, vector: ir.Value) -> ir.Value:
    """Return the horizontal ``llvm.vector.reduce.<name>`` of a vector of lanes."""
    element = lanes.type.element
    function = lanes.builder.module.declare_intrinsic(
        f"llvm.vector.reduce.{name}.v{lanes.count}i{lanes.bits}", (), ir.FunctionType(element, [lanes.type])
    )
    return lanes.builder.call(function, [vector])


@intrinsic
def find_winner(typingctx, v, v_th):  # type: ignore[no-untyped-def]
    """Return the index of the largest ``v - v_th`` that is not negative, the lowest on a tie; else -1.

    ``v_th`` is never negative, so the saturating difference is exact wherever it decides.
    """
    signature = types.int64(v, v_th)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        lanes = _Lanes(builder, bits)
        arrays = [context.make_array(ty)(context, builder, a) for ty, a in zip(signature.args, args, strict=True)]
        n_vectors = builder.udiv(arrays[0].nitems, _I64(lanes.count))
        minus_one = ir.Constant(lanes.type, [-1] * lanes.count)

        def margin(k):  # type: ignore[no-untyped-def]
            at = builder.mul(k, _I64(lanes.count))
            return lanes.call("ssub.sat", lanes.load(arrays[0].data, at, bits), lanes.load(arrays[1].data, at, bits))

        (best,) = _loop(
            builder, n_vectors, [minus_one], lambda k, best: [lanes.call("smax", best[0], margin(k))]
        )
        top = _reduce(lanes, "smax", best)
        top_lane = lanes.splat(builder.sext(top, _I64))
        word = ir.IntType(lanes.count)

        def search(k, found):  # type: ignore[no-untyped-def]
            mask = builder.bitcast(builder.icmp_signed("==", margin(k), top_lane), word)
            place = builder.zext(builder.cttz(mask, ir.IntType(1)(0)), _I64)
            place = builder.add(place, builder.mul(k, _I64(lanes.count)))
            new = builder.and_(
                builder.icmp_signed("<", found[0], _I64(0)), builder.icmp_unsigned("!=", mask, word(0))
            )
            return [builder.select(new, place, found[0])]

        (winner,) = _loop(builder, n_vectors, [_I64(-1)], search)
        return builder.select(builder.icmp_signed("<", top, lanes.type.element(0)), _I64(-1), winner)

    return signature, codegen


@intrinsic
def inhibit(typingctx, v, n, amount, floor, low):  # type: ignore[no-untyped-def]
    """Lower all lanes by ``amount``, bounded by ``floor``, in place.

    Returns ``(lowest, n_low)`` over the first ``n`` lanes as ``lowest << 32 | n_low``: the smallest result, and how
    many lanes were below ``low`` beforehand, that is, would have left the range.
    """
    signature = types.int64(v, types.int64, types.int64, types.int64, types.int64)
    bits = v.dtype.bitwidth

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        lanes = _Lanes(builder, bits)
        array = context.make_array(signature.args[0])(context, builder, args[0])
        n_vectors = builder.udiv(array.nitems, _I64(lanes.count))
        amount, floor, low = (lanes.splat(value) for value in args[2:])
        word = ir.IntType(lanes.count)
        iota = ir.Constant(lanes.type, list(range(lanes.count)))
        highest = ir.Constant(lanes.type, [(1 << (bits - 1)) - 1] * lanes.count)

        def body(k, state):  # type: ignore[no-untyped-def]
            at = builder.mul(k, _I64(lanes.count))
            old = lanes.load(array.data, at, bits)
            left = builder.sub(args[1], at)
            left = builder.select(builder.icmp_signed(">", left, _I64(lanes.count)), _I64(lanes.count), left)
            real = builder.icmp_signed("<", iota, lanes.splat(left))
            below = builder.bitcast(builder.and_(real, builder.icmp_signed("<", old, low)), word)
            new = lanes.call("smax", lanes.call("ssub.sat", old, amount), floor)
            lanes.store(new, array.data, at)
            lowest = lanes.call("smin", state[0], builder.select(real, new, highest))
            return [lowest, builder.add(state[1], builder.zext(builder.ctpop(below), _I64))]

        lowest, n_low = _loop(builder, n_vectors, [highest, _I64(0)], body)
        lowest = builder.sext(_reduce(lanes, "smin", lowest), _I64)
        return builder.or_(builder.shl(lowest, _I64(32)), n_low)

    return signature, codegen


__all__ = ["TILE", "VECTOR_BYTES", "find_winner", "inhibit", "lif_pass"]
