"""Vector code for Numba: lanes of one width, loads and stores, loops over vectors.

Numba's own vectoriser cannot keep the sums of a tile of neurons in registers while it walks the active rows, nor
find a maximum and its place in whole vectors.  Those few inner loops are emitted as LLVM vector instructions.
They are target-independent: LLVM lowers them to AVX-512, AVX2, SSE2 or NEON.
"""

from __future__ import annotations

from llvmlite import ir

TILE = 64
"""Neurons per tile; arrays over neurons are padded to a multiple."""
VECTOR_BYTES = 64
"""Bytes of the vectors the code is written in; LLVM splits them where registers are narrower."""
I64 = ir.IntType(64)
I32 = ir.IntType(32)


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

    def load(self, base: ir.Value, index: ir.Value, element_bits: int) -> ir.Value:
        """Return ``count`` elements of ``element_bits`` starting at element ``index`` of a pointer."""
        vector = ir.VectorType(ir.IntType(element_bits), self.count)
        address = self.builder.gep(base, [index])
        return self.builder.load(self.builder.bitcast(address, vector.as_pointer()), align=1)

    def store(self, value: ir.Value, base: ir.Value, index: ir.Value) -> None:
        """Store a vector of lanes at element ``index`` of a pointer."""
        address = self.builder.gep(base, [index])
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer()), align=1)


def vector_loop(builder, n_vectors, carried, body):
    """Emit ``for k in range(n_vectors)``; ``body(k, values)`` returns the next ``values``; return the last ones."""
    entry = builder.block
    block = builder.append_basic_block("vectors")
    done = builder.append_basic_block("vectors.done")
    builder.branch(block)
    builder.position_at_end(block)
    k = builder.phi(I64)
    k.add_incoming(I64(0), entry)
    phis = []
    for value in carried:
        phi = builder.phi(value.type)
        phi.add_incoming(value, entry)
        phis.append(phi)
    results = body(k, phis)
    following = builder.add(k, I64(1))
    k.add_incoming(following, builder.block)
    for phi, value in zip(phis, results, strict=True):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n_vectors), block, done)
    builder.position_at_end(done)
    return results


def reduce_lanes(lanes: Lanes, name: str, vector: ir.Value) -> ir.Value:
    """Return the horizontal ``llvm.vector.reduce.<name>`` of a vector of lanes."""
    element = lanes.type.element
    function = lanes.builder.module.declare_intrinsic(
        f"llvm.vector.reduce.{name}.v{lanes.count}i{lanes.bits}", (), ir.FunctionType(element, [lanes.type])
    )
    return lanes.builder.call(function, [vector])
