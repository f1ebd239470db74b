"""Leak of the accumulator and its cut to `v_mem`, in lanes (docs/numerics.md, section 6, step 2).

Four kinds, one of which a kernel is compiled with.  The three plain ones serve networks whose `v_mem` lies on the
accumulator grid already, so that nothing is cut but the product of the multiply leak.

Each has two ways.  ``apply`` takes accumulators that nothing has saturated and is right for those below
``first_suspicious``.  ``apply_counting`` saturates, and counts what left its range; it repeats the steps in which an
accumulator was suspicious.
"""

from __future__ import annotations

from llvmlite import ir

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu.lanes import I64, Lanes
from tinysnn_hw.fixed.compiled import njit

LEAK_SCALARS = (
    "leak", "leak_shift", "leak_mul", "leak_sub", "acc_max", "v_shift", "v_top", "bias0", "bias1", "bias2",
)  # fmt: skip
"""Run-time constants, all int64; ``v_top`` is the largest `v_mem` on the accumulator grid."""


@njit(cache=True, inline="always")
def leak_scalars(mem, bias):
    """Return the values of `LEAK_SCALARS` for a membrane and the bias of its rounding."""
    return (
        mem.leak, mem.leak_shift, mem.leak_mul, mem.leak_sub, mem.acc_max, mem.v_shift, mem.v_max << mem.v_shift,
        bias[0], bias[1], bias[2],
    )  # fmt: skip


def popcount(lanes, mask):
    """Return how many lanes of a mask are set, as i64."""
    builder = lanes.builder
    return builder.zext(builder.ctpop(builder.bitcast(mask, ir.IntType(lanes.count))), I64)


class NoLeak:
    """The accumulator as it is, which also is the base of the other plain kinds."""

    def __init__(self, lanes: Lanes, scalars: dict[str, ir.Value], noise: ir.Value | None) -> None:
        self.lanes = lanes
        self.arg = scalars
        self.noise = noise
        self.top = lanes.splat(scalars["acc_max"])

    def first_suspicious(self):
        """Return the smallest accumulator that may have been cut."""
        return self.arg["acc_max"]

    def apply(self, at, accumulated):
        """Emit the leak; return the new lanes."""
        return accumulated

    def apply_counting(self, at, old, total):
        """Emit the saturated sum of a vector and its leak; return the new lanes and how many left their range."""
        lanes = self.lanes
        over = lanes.builder.icmp_signed(">", total, lanes.subtract_saturated(self.top, old))
        (new,) = self.apply([at], [lanes.call("smin", lanes.add_saturated(old, total), self.top)])
        return new, popcount(lanes, over)


class ShiftLeak(NoLeak):
    """Leak ``a - (a >> leak_shift)``."""

    def __init__(self, lanes: Lanes, scalars: dict[str, ir.Value], noise: ir.Value | None) -> None:
        super().__init__(lanes, scalars, noise)
        self.shift = lanes.splat(scalars["leak_shift"])

    def apply(self, at, accumulated):
        """Emit the leak; return the new lanes."""
        builder = self.lanes.builder
        return [builder.sub(a, builder.ashr(a, self.shift)) for a in accumulated]


class MultiplyLeak(NoLeak):
    """Leak ``(a * leak_mul + r) >> 16``: ``r`` is 0 for floor, 2**15 for nearest, the random bits for stochastic.

    16-bit lanes compute with ``c = 65536 - leak_mul``: where ``a * c = high * 65536 + low``, the exact value is
    ``a - high - low / 65536``, so the result is ``a - high``, or 1 less if ``low > r``.  32-bit lanes add the products
    of the halves of ``a``; the lower one and ``r`` stay below 2**32.
    """

    def __init__(self, lanes: Lanes, scalars: dict[str, ir.Value], noise: ir.Value | None) -> None:
        super().__init__(lanes, scalars, noise)
        self.loss = lanes.splat(lanes.builder.sub(I64(1 << P.DECAY_BITS), scalars["leak_mul"]))
        self.factor = lanes.splat(scalars["leak_mul"])

    def apply(self, at, accumulated):
        """Emit the leak; return the new lanes."""
        multiply = self._multiply if self.lanes.bits == 16 else self._multiply_halves
        return [multiply(*each) for each in zip(at, accumulated, strict=True)]

    def _multiply_halves(self, at, a):
        builder, lanes = self.lanes.builder, self.lanes
        sixteen, low_half = (ir.Constant(lanes.type, [n] * lanes.count) for n in (16, 0xFFFF))
        low = builder.mul(builder.and_(a, low_half), self.factor)
        low = builder.add(low, builder.zext(lanes.load(self.noise, at, 16), lanes.type))
        high = builder.mul(builder.ashr(a, sixteen), self.factor)
        return builder.add(high, builder.lshr(low, sixteen))

    def _multiply(self, at, a):
        builder, lanes = self.lanes.builder, self.lanes
        sixteen = ir.Constant(lanes.wide, [16] * lanes.count)
        # Factors visibly of 16 bits: LLVM then takes the high half by one instruction.
        product = builder.mul(builder.sext(a, lanes.wide), builder.sext(self.loss, lanes.wide))
        high = builder.trunc(builder.ashr(product, sixteen), lanes.type)
        low = builder.mul(a, self.loss)
        threshold = lanes.load(self.noise, at, lanes.bits)
        more = builder.sext(builder.icmp_unsigned(">", low, threshold), lanes.type)
        return builder.add(builder.sub(a, high), more)


class GeneralLeak(NoLeak):
    """Any leak with any cut, chosen at run time."""

    def __init__(self, lanes: Lanes, scalars: dict[str, ir.Value], noise: ir.Value) -> None:
        super().__init__(lanes, scalars, noise)
        builder = lanes.builder
        self.v_top = lanes.splat(scalars["v_top"])
        self.leak_shift = lanes.splat(scalars["leak_shift"])
        self.leak_sub = lanes.splat(scalars["leak_sub"])
        self.cut_shift = lanes.splat(scalars["v_shift"])
        self.keep = builder.shl(ir.Constant(lanes.type, [-1] * lanes.count), self.cut_shift)
        biases = [scalars[f"bias{k}"] for k in range(3)]
        self.bias = [lanes.splat(value) for value in biases]
        self.wide_bias = [lanes.splat(value, wide=True) for value in biases]
        self.leak_mul = lanes.splat(scalars["leak_mul"], wide=lanes.bits == 16)
        self.wide_shift = lanes.splat(builder.add(scalars["v_shift"], I64(P.DECAY_BITS)), wide=True)
        self.v_top_raw = lanes.splat(
            builder.ashr(scalars["v_top"], scalars["v_shift"]), wide=lanes.bits == 16
        )
        self.zero = ir.Constant(lanes.type, None)
        self._counter = None

    def first_suspicious(self):
        """Return the smallest accumulator whose cut may leave the range: that of `v_top`'s LSB, plus one."""
        builder = self.lanes.builder
        beyond = builder.add(self.arg["v_top"], I64(1))
        return builder.select(
            builder.icmp_signed("<", beyond, self.arg["acc_max"]), beyond, self.arg["acc_max"]
        )

    def apply(self, at, accumulated):
        """Emit leak and cut; return the new lanes."""
        return self._apply(at, accumulated, None)

    def _apply(self, at, accumulated, over):
        """Emit leak and cut, saturated where ``over`` is given; return the new lanes.

        ``over`` has one mask per vector of the accumulators that saturated; the masks of those whose write left the
        range one way or the other replace its entries.
        """
        builder = self.lanes.builder
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
        clip = over is not None
        by_cut = [self._cut(*each, clip) for each in zip(at, after_leak, strict=True)]
        builder.branch(written)
        builder.position_at_end(multiplied)
        multiply = self._multiply_and_cut if self.lanes.bits == 16 else self._multiply_in_halves
        by_mul = [multiply(*each, clip) for each in zip(at, accumulated, strict=True)]
        builder.branch(written)

        builder.position_at_end(written)
        new = [
            self._merge([(a, leaked), (c[0], cut), (m[0], multiplied)])
            for a, c, m in zip(after_leak, by_cut, by_mul, strict=True)
        ]
        if clip:
            never = ir.Constant(over[0].type, None)
            for k in range(len(over)):
                rounded = self._merge([(never, leaked), (by_cut[k][1], cut), (by_mul[k][1], multiplied)])
                over[k] = builder.or_(over[k], rounded)
        return new

    def apply_counting(self, at, old, total):
        """Emit the saturated sum of a vector, its leak and cut; return the new lanes and how many left their range."""
        if self._counter is None:
            self._counter = self._make_counter()
        scalars = [self.arg[name] for name in LEAK_SCALARS]
        result = self.lanes.builder.call(self._counter, [old, total, at, self.noise, *scalars])
        return tuple(self.lanes.builder.extract_value(result, k) for k in range(2))

    def _make_counter(self):
        """Return `apply_counting` as a function of its own: it is called rarely and would crowd the pass."""
        lanes, scalars = self.lanes, LEAK_SCALARS
        module = lanes.builder.module
        kinds = [lanes.type, lanes.type, I64, self.noise.type, *(I64 for _ in scalars)]
        name = module.get_unique_name(f"apply_counting_{lanes.bits}")
        result = ir.LiteralStructType([lanes.type, I64])
        function = ir.Function(module, ir.FunctionType(result, kinds), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("cold")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        old, total, at, noise, *values = function.args
        leak = GeneralLeak(Lanes(inner, lanes.bits), dict(zip(LEAK_SCALARS, values, strict=True)), noise)
        over = [inner.icmp_signed(">", total, leak.lanes.subtract_saturated(leak.top, old))]
        accumulated = leak.lanes.call("smin", leak.lanes.add_saturated(old, total), leak.top)
        (new,) = leak._apply([at], [accumulated], over)
        pair = inner.insert_value(ir.Constant(result, ir.Undefined), new, 0)
        inner.ret(inner.insert_value(pair, popcount(leak.lanes, over[0]), 1))
        return function

    def _merge(self, incoming):
        phi = self.lanes.builder.phi(incoming[0][0].type)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    def _toward_zero(self, a):
        builder, lanes = self.lanes.builder, self.lanes
        falling = lanes.call("smax", builder.sub(a, self.leak_sub), self.zero)
        rising = lanes.call("smin", builder.add(a, self.leak_sub), self.zero)
        return builder.select(builder.icmp_signed(">=", a, self.zero), falling, rising)

    def _bias(self, value, shift, bias, noise):
        """Return what the rounding mode adds: b0 + (sign & b1) + ((value >> shift) & b2) + noise."""
        builder = self.lanes.builder
        width = value.type.element.width
        sign = builder.ashr(value, ir.Constant(value.type, [width - 1] * self.lanes.count))
        total = builder.add(bias[0], builder.and_(sign, bias[1]))
        total = builder.add(total, builder.and_(builder.ashr(value, shift), bias[2]))
        return builder.add(total, noise)

    def _cut(self, at, a, clip):
        """Return the lanes cut to `v_mem`, back on the accumulator grid, and which rounded beyond its range."""
        builder, lanes = self.lanes.builder, self.lanes
        noise = lanes.load(self.noise, at, 32)
        noise = noise if lanes.bits == 32 else builder.trunc(noise, lanes.type)
        extra = self._bias(a, self.cut_shift, self.bias, noise)
        over = builder.icmp_signed(">", a, builder.sub(self.top, extra))
        kept = builder.and_(lanes.call("sadd.sat", a, extra), self.keep)
        return lanes.call("smin", kept, self.v_top) if clip else kept, over

    def _multiply_and_cut(self, at, a, clip):
        builder, lanes = self.lanes.builder, self.lanes
        noise = lanes.load(self.noise, at, 32)
        product = builder.mul(builder.sext(a, lanes.wide), self.leak_mul)
        extra = self._bias(product, self.wide_shift, self.wide_bias, noise)
        raw = builder.ashr(builder.add(product, extra), self.wide_shift)
        over = builder.icmp_signed(">", raw, self.v_top_raw)
        raw = lanes.call("smin", raw, self.v_top_raw) if clip else raw
        return builder.shl(builder.trunc(raw, lanes.type), self.cut_shift), over

    def _multiply_in_halves(self, at, a, clip):
        """Do the same in 32-bit lanes, which have no product of 64 bits: by the halves of ``a``.

        ``a * leak_mul = whole * 65536 + low`` with ``whole = (a >> 16) * leak_mul + ((a & 65535) * leak_mul >> 16)``;
        what rounding adds is split alike.
        """
        builder, lanes = self.lanes.builder, self.lanes
        sixteen, low_half = (ir.Constant(lanes.type, [n] * lanes.count) for n in (16, 0xFFFF))
        low_product = builder.mul(builder.and_(a, low_half), self.leak_mul)
        whole = builder.mul(builder.ashr(a, sixteen), self.leak_mul)
        whole = builder.add(whole, builder.lshr(low_product, sixteen))
        sign = builder.ashr(a, ir.Constant(lanes.type, [31] * lanes.count))
        extra = builder.add(self.bias[0], builder.and_(sign, self.bias[1]))
        extra = builder.add(extra, builder.and_(builder.ashr(whole, self.cut_shift), self.bias[2]))
        extra = builder.add(extra, lanes.load(self.noise, at, 32))
        carry = builder.add(builder.and_(low_product, low_half), builder.and_(extra, low_half))
        rounded = builder.add(builder.add(whole, builder.ashr(extra, sixteen)), builder.lshr(carry, sixteen))
        raw = builder.ashr(rounded, self.cut_shift)
        over = builder.icmp_signed(">", raw, self.v_top_raw)
        raw = lanes.call("smin", raw, self.v_top_raw) if clip else raw
        return builder.shl(raw, self.cut_shift), over
