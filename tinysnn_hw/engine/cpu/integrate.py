"""One pass over all neurons of a step: sums of the active rows, then add, leak, cut, compare, store.

It means what docs/numerics.md, section 6, step 2 says, under the bounds proven by `tinysnn_hw.engine.cpu.plan`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinysnn_hw.engine.cpu.lanes import I64, TILE, Lanes


def _sum_tiles(lanes, group, tile, n_tiles, rows, row_bits, stride, inputs, begin, end, sums_ptr):
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
    current = builder.phi(I64)
    current.add_incoming(tile, entry)
    following_tile = builder.add(current, I64(group))
    builder.cbranch(builder.icmp_signed("<=", following_tile, n_tiles), body, out)

    builder.position_at_end(body)
    first = builder.mul(current, I64(TILE))
    builder.cbranch(builder.icmp_signed("<", begin, end), loop, after)

    builder.position_at_end(loop)
    event = builder.phi(I64)
    event.add_incoming(begin, body)
    sums = [builder.phi(lanes.type) for _ in range(n_vectors)]
    for phi in sums:
        phi.add_incoming(zero, body)
    source = builder.zext(builder.load(builder.gep(inputs, [event])), I64)
    position = builder.add(builder.mul(source, stride), first)
    updated: list[ir.Value] = []
    if paired:
        # Two weights share a lane: the low one is recovered as (sum of words) - (sum of high ones << row_bits).
        for k in range(0, n_vectors, 2):
            address = builder.gep(rows, [builder.add(position, I64(k * lanes.count))])
            words = builder.load(builder.bitcast(address, lanes.type.as_pointer()), align=1)
            updated += [builder.add(sums[k], words), builder.add(sums[k + 1], builder.lshr(words, shift))]
    else:
        for k, phi in enumerate(sums):
            part = lanes.load(rows, builder.add(position, I64(k * lanes.count)), row_bits)
            part = part if row_bits == lanes.bits else builder.zext(part, lanes.type)
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
        result.add_incoming(zero, body)
        result.add_incoming(value, loop)
        results.append(result)
    for k in range(n_vectors):
        value = results[k]
        if paired and k % 2 == 0:
            value = builder.sub(value, builder.shl(results[k + 1], shift))
        lanes.store(value, sums_ptr, builder.add(first, I64(k * lanes.count)))
    current.add_incoming(following_tile, builder.block)
    builder.branch(head)
    builder.position_at_end(out)
    return current


def _cut_bias(lanes: Lanes, value, shift, bias, noise):
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
):  # fmt: skip
    """Integrate one step for all neurons.

    ``v``, ``v_th``: lanes of int16 or int32 on the accumulator grid, updated in place (``v``); ``peak``: running
    largest ``v``, one tile of lanes; ``sums``: scratch lanes; ``noise``: int32 per neuron, added before the cut
    (stochastic rounding);
    ``rows``: weight rows ``[input][stride]`` of uint8 or uint16; ``inputs[begin:end]``: the step's events.
    Returns ``2 * (number of neurons that saturated high) + (1 if any neuron is at or over threshold)``.
    """
    lane_bits = v.dtype.bitwidth
    row_bits = rows.dtype.bitwidth
    scalars = (types.int64,) * 14
    signature = types.int64(v, v_th, peak, sums, noise, rows, inputs, *scalars)

    def codegen(context, builder, signature, args):
        lanes = Lanes(builder, lane_bits)
        pointers = [
            context.make_array(ty)(context, builder, value).data
            for ty, value in zip(signature.args[:7], args[:7], strict=True)
        ]
        v_ptr, th_ptr, peak_ptr, sums_ptr, noise_ptr, rows_ptr, inputs_ptr = pointers
        begin, end, n_tiles, stride, leak, leak_shift, leak_mul, leak_sub, acc_max, v_shift, v_top = args[
            7:18
        ]
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
        wide_shift = lanes.splat(builder.add(v_shift, I64(16)), wide=True)
        v_top_raw = lanes.splat(builder.ashr(v_top, v_shift), wide=True)
        zero = ir.Constant(lanes.type, None)
        no_lane = ir.Constant(ir.VectorType(ir.IntType(1), lanes.count), None)

        begin_tile = I64(0)
        for group in (4, 2, 1) if lanes.bits == 16 else (2, 1):
            begin_tile = _sum_tiles(
                lanes,
                group,
                begin_tile,
                n_tiles,
                rows_ptr,
                row_bits,
                stride,
                inputs_ptr,
                begin,
                end,
                sums_ptr,
            )
        entry = builder.block
        peaks_in = [lanes.load(peak_ptr, I64(k * lanes.count), lane_bits) for k in range(n_vectors)]
        tile_loop = builder.append_basic_block("tile")
        done = builder.append_basic_block("done")
        builder.branch(tile_loop)
        builder.position_at_end(tile_loop)
        tile = builder.phi(I64)
        tile.add_incoming(I64(0), entry)
        crossed = builder.phi(no_lane.type)
        crossed.add_incoming(no_lane, entry)
        n_over = builder.phi(I64)
        n_over.add_incoming(I64(0), entry)
        peaks = [builder.phi(lanes.type) for _ in range(n_vectors)]
        for phi, value in zip(peaks, peaks_in, strict=True):
            phi.add_incoming(value, entry)
        start = builder.mul(tile, I64(TILE))
        at = [builder.add(start, I64(k * lanes.count)) for k in range(n_vectors)]
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
            choice.add_case(I64(code), block)
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
        builder.cbranch(builder.icmp_signed("==", v_shift, I64(0)), written, cut)

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
            count = builder.add(count, builder.zext(ones, I64))
            threshold = lanes.load(th_ptr, at[k], lane_bits)
            hit = builder.or_(hit, builder.icmp_signed(">=", new, threshold))
            new_peaks.append(lanes.call("smax", peaks[k], new))
            lanes.store(new, v_ptr, at[k])
        following = builder.add(tile, I64(1))
        tile.add_incoming(following, written)
        crossed.add_incoming(hit, written)
        n_over.add_incoming(count, written)
        for phi, value in zip(peaks, new_peaks, strict=True):
            phi.add_incoming(value, written)
        builder.cbranch(builder.icmp_signed("<", following, n_tiles), tile_loop, done)

        builder.position_at_end(done)
        for k, value in enumerate(new_peaks):
            lanes.store(value, peak_ptr, I64(k * lanes.count))
        any_hit = builder.icmp_unsigned(
            "!=", builder.bitcast(hit, ir.IntType(lanes.count)), ir.IntType(lanes.count)(0)
        )
        return builder.add(builder.shl(count, I64(1)), builder.zext(any_hit, I64))

    return signature, codegen
