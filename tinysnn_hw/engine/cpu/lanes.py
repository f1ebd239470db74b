"""Vector code for Numba: lanes of one width, loads and stores, loops over vectors.

Numba's own vectoriser cannot keep the sums of a block of neurons in registers while it walks the active rows, nor
find a maximum and its place in whole vectors.  Those few inner loops are emitted as LLVM vector instructions.
They are target-independent: LLVM lowers them to AVX-512, AVX2, SSE2 or NEON.
"""

from __future__ import annotations

from llvmlite import ir

BLOCK = 64
"""Neurons per block of the weight layout."""
HALF_BLOCK = 32
"""Arrays over neurons are padded to a multiple; the last block may be half a one."""
VECTOR_BYTES = 64
"""Bytes of the vectors the code is written in; LLVM splits them where registers are narrower."""
I64 = ir.IntType(64)
I32 = ir.IntType(32)


def register_bytes(context) -> int:
    """Return the bytes of all vector registers of the machine code is generated for."""
    triple, _, features = context.codegen().magic_tuple()
    if "+avx512bw" in features:
        return 32 * 64
    if "+avx2" in features:
        return 16 * 32
    return 32 * 16 if triple.startswith(("aarch64", "arm64")) else 16 * 16


class Lanes:
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
        scalar = value if vector.element.width == I64.width else self.builder.trunc(value, vector.element)
        seed = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, I32(0))
        mask = ir.Constant(ir.VectorType(I32, self.count), [0] * self.count)
        return self.builder.shuffle_vector(seed, ir.Constant(vector, ir.Undefined), mask)

    def call(self, name: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the two-operand LLVM intrinsic ``llvm.<name>`` of two vectors."""
        vector = a.type
        function = self.builder.module.declare_intrinsic(
            f"llvm.{name}.v{vector.count}i{vector.element.width}",
            (),
            ir.FunctionType(vector, [vector, vector]),
        )
        return self.builder.call(function, [a, b])

    def add_saturated(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return ``a + b`` where it cannot pass the lane, or saturates: lanes of 32 bits hold values of 31."""
        return self.call("sadd.sat", a, b) if self.bits == 16 else self.builder.add(a, b)

    def subtract_saturated(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return ``a - b``, saturated in lanes of 16 bits; lanes of 32 bits hold values of 31."""
        return self.call("ssub.sat", a, b) if self.bits == 16 else self.builder.sub(a, b)

    def load(
        self, base: ir.Value, index: ir.Value, element_bits: int, *, units: int | None = None
    ) -> ir.Value:
        """Return ``count`` elements of ``element_bits`` from a pointer, ``index`` units of ``units`` bits behind it.

        All vectors lie on multiples of their own size.
        """
        vector = ir.VectorType(ir.IntType(element_bits), self.count)
        address = self.builder.gep(base, [index])
        align = self.count * (units or element_bits) // 8
        return self.builder.load(self.builder.bitcast(address, vector.as_pointer()), align=align)

    def part(self, vector: ir.Value, first: int, count: int) -> ir.Value:
        """Return the lanes ``first`` to ``first + count - 1`` of a vector."""
        mask = ir.Constant(ir.VectorType(I32, count), list(range(first, first + count)))
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def store(self, value: ir.Value, base: ir.Value, index: ir.Value) -> None:
        """Store a vector of lanes at element ``index`` of a pointer."""
        address = self.builder.gep(base, [index])
        self.builder.store(
            value, self.builder.bitcast(address, value.type.as_pointer()), align=self.count * self.bits // 8
        )


def any_lane(lanes: Lanes, mask: ir.Value) -> ir.Value:
    """Return whether any lane of a mask is set."""
    word = ir.IntType(lanes.count)
    return lanes.builder.icmp_unsigned("!=", lanes.builder.bitcast(mask, word), word(0))


def counted_loop(builder, start, stop, step, carried, body, *, opaque=False):
    """Emit ``k = start; while k + step <= stop: carried = body(k, carried); k += step``; return k and ``carried``.

    ``opaque`` keeps LLVM from unrolling it, which costs a loop of a handful of rounds more than it brings.
    """
    entry = builder.block
    block, done = builder.append_basic_block("loop"), builder.append_basic_block("loop.done")
    last_start = stop if step == 1 else builder.sub(stop, I64(step - 1))

    def more(k):
        builder.cbranch(builder.icmp_signed("<", k, last_start), block, done)

    more(start)
    builder.position_at_end(block)
    before = [start, *carried]
    phis = [builder.phi(value.type) for value in before]
    k = phis[0]
    if opaque:
        k = builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [k], side_effect=False)
    after = body(k, phis[1:])
    last = builder.block
    following = builder.add(k, I64(step))
    more(following)
    after = [following, *after]
    for phi, first, following in zip(phis, before, after, strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(following, last)
    builder.position_at_end(done)
    return _merged(builder, [(entry, before), (last, after)])


def when(builder, condition, carried, body):
    """Emit ``if condition: carried = body()``; return ``carried``."""
    entry = builder.block
    block, done = builder.append_basic_block("then"), builder.append_basic_block("then.done")
    builder.cbranch(condition, block, done)
    builder.position_at_end(block)
    after = body()
    last = builder.block
    builder.branch(done)
    builder.position_at_end(done)
    return _merged(builder, [(entry, carried), (last, after)])


def _merged(builder, incoming):
    """Return one phi per value that reaches a block from several."""
    phis = [builder.phi(value.type) for value in incoming[0][1]]
    for block, values in incoming:
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, block)
    return phis


def reduce_lanes(lanes: Lanes, name: str, vector: ir.Value) -> ir.Value:
    """Return the horizontal ``llvm.vector.reduce.<name>`` of a vector of lanes."""
    element = lanes.type.element
    function = lanes.builder.module.declare_intrinsic(
        f"llvm.vector.reduce.{name}.v{lanes.count}i{lanes.bits}", (), ir.FunctionType(element, [lanes.type])
    )
    return lanes.builder.call(function, [vector])
