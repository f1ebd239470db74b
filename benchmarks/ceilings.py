"""What this core can do at best in the inner loops of such a network, each measured with a kernel of its own.

The kernels are written as LLVM vectors of 64 bytes, which LLVM splits where registers are narrower, in several
unrollings; the fastest counts. They do nothing but the work named, on data prepared in the cache named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from harness import best_seconds
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

VECTOR = 64
I64, I32, I16, I8 = (ir.IntType(bits) for bits in (64, 32, 16, 8))
MIX_1, MIX_2 = 0x7FEB352D, 0x846CA68B


def vector_type(bits: int) -> ir.VectorType:
    return ir.VectorType(ir.IntType(bits), 8 * VECTOR // bits)


def splat(builder, value, vector):
    seed = builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
    mask = ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(seed, ir.Constant(vector, ir.Undefined), mask)


def constant(vector, value: int):
    return ir.Constant(vector, [value] * vector.count)


def address(builder, base, byte, vector):
    """Return a pointer to the vector at byte ``byte`` of an array's data."""
    data = builder.bitcast(base, I8.as_pointer())
    return builder.bitcast(builder.gep(data, [byte]), vector.as_pointer())


def counted(builder, n, carried, body):
    """Emit ``for k in range(n)`` (n > 0); ``body(k, values)`` returns the next values; return the last ones."""
    entry, block, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.branch(block)
    builder.position_at_end(block)
    k = builder.phi(I64)
    k.add_incoming(I64(0), entry)
    phis = [builder.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, entry)
    results = body(k, phis)
    following = builder.add(k, I64(1))
    for phi, value in zip([k, *phis], [following, *results], strict=True):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n), block, done)
    builder.position_at_end(done)
    return results


def folded(builder, values):
    """Return one i64 that depends on every vector, so that no work can be left out."""
    total = values[0]
    for value in values[1:]:
        total = builder.xor(total, value)
    words = builder.bitcast(total, vector_type(64))
    result = builder.extract_element(words, I32(0))
    for lane in range(1, words.type.count):
        result = builder.xor(result, builder.extract_element(words, I32(lane)))
    return result


def data_of(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


@cache
def reader(n_vectors: int, paired: bool):
    """Return an intrinsic that adds rows of ``n_vectors`` vectors: into 16-bit sums (paired) or 8-bit ones."""

    @intrinsic
    def add_rows(typingctx, rows, n_rows):
        def codegen(context, builder, signature, args):
            base = data_of(context, builder, signature.args[0], args[0])
            vector = vector_type(16 if paired else 8)
            shift = constant(vector, 8)

            def body(k, sums):
                results = []
                start = builder.mul(k, I64(n_vectors * VECTOR))
                for j in range(n_vectors):
                    place = address(builder, base, builder.add(start, I64(j * VECTOR)), vector)
                    words = builder.load(place, align=VECTOR)
                    if paired:
                        low, high = sums[2 * j], sums[2 * j + 1]
                        results += [builder.add(low, words), builder.add(high, builder.lshr(words, shift))]
                    else:
                        results.append(builder.add(sums[j], words))
                return results

            zero = ir.Constant(vector, None)
            return folded(builder, counted(builder, args[1], [zero] * (n_vectors * (1 + paired)), body))

        return types.int64(rows, types.int64), codegen

    @njit
    def run(rows, n_rows, times):
        total = np.int64(0)
        for _ in range(times):
            total += add_rows(rows, n_rows)
        return total

    return run


@cache
def lif_kernel(n_vectors: int, n_unrolled: int, as_mask: bool):
    """Return a kernel: ``times`` passes of add, shift leak, store and compare over all neurons.

    Crossings are collected as bits (``as_mask``: fast where the core has mask registers) or as whole lanes.
    """

    @intrinsic
    def lif_passes(typingctx, v, v_th, times, current, shift):
        def codegen(context, builder, signature, args):
            v_base, th_base = (data_of(context, builder, signature.args[k], args[k]) for k in (0, 1))
            vector = vector_type(16)
            current = splat(builder, builder.trunc(args[3], I16), vector)
            shift = splat(builder, builder.trunc(args[4], I16), vector)

            def one(byte, crossed):
                place = address(builder, v_base, byte, vector)
                value = builder.add(builder.load(place, align=VECTOR), current)
                value = builder.sub(value, builder.ashr(value, shift))
                builder.store(value, place, align=VECTOR)
                threshold = builder.load(address(builder, th_base, byte, vector), align=VECTOR)
                hit = builder.icmp_signed(">=", value, threshold)
                return builder.or_(crossed, hit if as_mask else builder.sext(hit, vector))

            def group(k, crossed):
                start = builder.mul(k, I64(n_unrolled * VECTOR))
                return [one(builder.add(start, I64(j * VECTOR)), crossed[j]) for j in range(n_unrolled)]

            def whole_pass(_, crossed):
                crossed = counted(builder, I64(n_vectors // n_unrolled), crossed, group)
                rest = range(n_vectors // n_unrolled * n_unrolled, n_vectors)
                left = [one(I64(k * VECTOR), crossed[j]) for j, k in enumerate(rest)]
                return left + crossed[len(left) :]

            none = ir.Constant(ir.VectorType(ir.IntType(1), vector.count) if as_mask else vector, None)
            hits = counted(builder, args[2], [none] * n_unrolled, whole_pass)
            return folded(builder, [builder.sext(hit, vector) for hit in hits] if as_mask else hits)

        return types.int64(v, v_th, *(types.int64,) * 3), codegen

    @njit
    def run(v, v_th, times):
        return lif_passes(v, v_th, times, 40, 7)

    return run


@cache
def hash_kernel(n_unrolled: int):
    """Return a kernel that draws ``n`` groups of ``16 * n_unrolled`` words of a counter and folds them."""

    @intrinsic
    def draw(typingctx, prefix, n_groups):
        def codegen(context, builder, signature, args):
            vector = vector_type(32)
            prefix = splat(builder, builder.trunc(args[0], I32), vector)
            step = constant(vector, vector.count * n_unrolled)

            def mixed(x):
                for shift, factor in ((16, MIX_1), (15, MIX_2), (16, None)):
                    x = builder.xor(x, builder.lshr(x, constant(vector, shift)))
                    x = x if factor is None else builder.mul(x, constant(vector, factor))
                return x

            def body(k, carried):
                words, counters = carried[:n_unrolled], carried[n_unrolled:]
                drawn = [mixed(builder.xor(counter, prefix)) for counter in counters]
                words = [builder.xor(word, new) for word, new in zip(words, drawn, strict=True)]
                return words + [builder.add(counter, step) for counter in counters]

            zero = ir.Constant(vector, None)
            firsts = [
                ir.Constant(vector, list(range(vector.count * j, vector.count * (j + 1))))
                for j in range(n_unrolled)
            ]
            results = counted(builder, args[1], [zero] * n_unrolled + firsts, body)
            return folded(builder, results[:n_unrolled])

        return types.int64(types.int64, types.int64), codegen

    @njit
    def run(prefix, n_groups):
        return draw(prefix, n_groups)

    return run


@cache
def copy_kernel(n_unrolled: int):
    """Return a kernel that copies one array to another ``times`` times."""

    @intrinsic
    def copy(typingctx, source, target, n_groups):
        def codegen(context, builder, signature, args):
            bases = [data_of(context, builder, signature.args[k], args[k]) for k in (0, 1)]
            vector = vector_type(64)

            def body(k, _):
                start = builder.mul(k, I64(n_unrolled * VECTOR))
                for j in range(n_unrolled):
                    byte = builder.add(start, I64(j * VECTOR))
                    word = builder.load(address(builder, bases[0], byte, vector), align=VECTOR)
                    builder.store(word, address(builder, bases[1], byte, vector), align=VECTOR)
                return []

            counted(builder, args[2], [], body)
            return I64(0)

        return types.int64(source, target, types.int64), codegen

    @njit
    def run(source, target, n_groups, times):
        for _ in range(times):
            copy(source, target, n_groups)

    return run


@njit
def scatter_columns(columns, rows, times):
    """Write contiguous columns into a row-major matrix, one after another: the store of a learned column."""
    for t in range(times):
        j = t % columns.shape[0]
        column = columns[j]
        for i in range(column.shape[0]):
            rows[i, j] = column[i]


def aligned(n_bytes: int) -> np.ndarray:
    """Return uint8[n_bytes] zeros on a 64-byte boundary, every page touched."""
    raw = np.full(n_bytes + VECTOR, 1, np.uint8)
    start = -raw.ctypes.data % VECTOR
    data = raw[start : start + n_bytes]
    data[:] = 0
    return data


def fastest(units: float, works: Iterable[Callable[[], object]], least_s: float) -> float:
    """Return seconds per unit of the fastest work."""
    return min(best_seconds(work, least_s) for work in works) / units


def cache_bytes() -> dict[str, int]:
    """Return the sizes of the data caches; where the system does not tell, those of a small modern core."""
    sizes = {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (index / "type").read_text().strip() == "Instruction":
            continue
        text = (index / "size").read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}[text[-1]]
        sizes[f"L{(index / 'level').read_text().strip()}"] = int(text[:-1]) * unit
    return sizes


@dataclass(frozen=True)
class Ceilings:
    """Measured ceilings of one core: seconds per unit of work."""

    row_add: dict[str, float]
    """Seconds per byte of 8-bit rows added into 16-bit sums, by the cache the rows lie in."""
    byte_add: dict[str, float]
    """Seconds per byte of 8-bit rows added into 8-bit sums."""
    copy: dict[str, float]
    """Seconds per byte copied (one read and one write), by the cache both arrays lie in, or memory."""
    lif_pass: dict[int, float]
    """Seconds of one pass over N neurons."""
    draw: float
    """Seconds per 32-bit hash word."""
    scatter: dict[int, float]
    """Seconds to write one column of 784 bytes into the row-major matrix of N neurons."""
    caches: dict[str, int]
    """Bytes of the caches."""

    def best(self, other: Ceilings) -> Ceilings:
        """Return the faster of two measurements in everything: a busy moment only ever slows."""

        def faster(mine: dict[Any, float], others: dict[Any, float]) -> dict[Any, float]:
            return {key: min(value, others[key]) for key, value in mine.items()}

        return Ceilings(
            faster(self.row_add, other.row_add), faster(self.byte_add, other.byte_add),
            faster(self.copy, other.copy), faster(self.lif_pass, other.lif_pass), min(self.draw, other.draw),
            faster(self.scatter, other.scatter), self.caches,
        )  # fmt: skip

    def level(self, n_bytes: float) -> str:
        """Return the smallest cache that holds so many bytes (the last one, if none does)."""
        return next((name for name in self.row_add if n_bytes <= self.caches[name]), list(self.row_add)[-1])

    def lines(self) -> list[tuple[str, float, str]]:
        """Return name, value and unit of every ceiling."""
        found = [
            (f"8-bit rows into 16-bit sums, from {at}", 1e-9 / s, "GB/s") for at, s in self.row_add.items()
        ]
        found += [
            (f"8-bit rows into 8-bit sums, from {at}", 1e-9 / s, "GB/s") for at, s in self.byte_add.items()
        ]
        found += [(f"copy, in {at} (bytes copied)", 1e-9 / s, "GB/s") for at, s in self.copy.items()]
        found += [(f"LIF pass, int16 lanes, N={n}", s * 1e9, "ns") for n, s in self.lif_pass.items()]
        found += [("hash, one 32-bit word", self.draw * 1e9, "ns")]
        found += [(f"store of a learned column, N={n}", s * 1e9, "ns") for n, s in self.scatter.items()]
        return found


def lanes_of(neurons: int) -> int:
    """Return the neurons of a size filled up to whole vectors of 16-bit lanes."""
    return -(-neurons // 32) * 32


def measure_ceilings(neurons: Iterable[int], n_inputs: int = 784, least_s: float = 0.1) -> Ceilings:
    """Measure all ceilings on the core this process is pinned to, each kernel for ``least_s`` seconds."""
    caches = cache_bytes()
    sizes = {"L1": caches["L1"] // 2, "L2": caches["L2"] // 2, "L3": min(4 * caches["L2"], caches["L3"] // 2)}
    row_add: dict[str, float] = {}
    byte_add: dict[str, float] = {}
    for paired, found, unrolls in ((True, row_add, (1, 2, 3, 4, 6, 8)), (False, byte_add, (2, 4, 8))):
        kernels = {n: reader(n, paired) for n in unrolls}
        for at, size in sizes.items():
            rates = []
            for n, kernel in kernels.items():
                n_rows = size // (n * VECTOR)
                rows = aligned(n_rows * n * VECTOR)
                times = max(1, (16 << 20) // rows.size)
                seconds = best_seconds(lambda k=kernel, r=rows, m=n_rows, t=times: k(r, m, t), least_s)
                rates.append(seconds / (times * rows.size))
            found[at] = min(rates)
    copy: dict[str, float] = {}
    kernels = [copy_kernel(n) for n in (2, 4, 8)]
    for at, size in (*((at, size // 2) for at, size in sizes.items()), ("memory", 4 * caches["L3"])):
        n_groups = size // (8 * VECTOR)
        source, target = aligned(n_groups * 8 * VECTOR), aligned(n_groups * 8 * VECTOR)
        times = max(1, (16 << 20) // source.size)
        works = [
            lambda k=kernel, g=n_groups * 8 // n, s=source, d=target, t=times: k(s, d, g, t)
            for kernel, n in zip(kernels, (2, 4, 8), strict=True)
        ]
        works.append(lambda s=source, d=target, t=times: [np.copyto(d, s) for _ in range(t)])
        copy[at] = fastest(times * source.size, works, least_s)
    passes: dict[int, float] = {}
    scatter: dict[int, float] = {}
    for size in neurons:
        # Small networks stand side by side: a pass that follows itself at once would wait for its own stores.
        copies = max(1, 4096 // lanes_of(size))
        n_vectors = copies * lanes_of(size) // 32
        # The thresholds lie 512 bytes past a whole page: loads that seem to meet a store in flight are slow.
        n_bytes = n_vectors * VECTOR
        both = aligned(2 * n_bytes + 8192).view(np.int16)
        gap = -(-n_bytes // 4096) * 4096 + 512
        v, v_th = both[: n_bytes // 2], both[gap // 2 : (gap + n_bytes) // 2]
        v_th[:] = 30000
        times = 400_000 // v.size
        kernels = [lif_kernel(n_vectors, n, as_mask) for n in (2, 3) for as_mask in (False, True)]
        works = [lambda k=kernel, v=v, h=v_th, t=times: k(v, h, t) for kernel in kernels]
        passes[size] = fastest(times * copies, works, least_s)
        rows = np.zeros((n_inputs, lanes_of(size)), np.uint8)
        columns = np.zeros((size, n_inputs), np.uint8)
        scatter[size] = fastest(1000, [lambda c=columns, r=rows: scatter_columns(c, r, 1000)], least_s)
    hashes = {n: hash_kernel(n) for n in (1, 2, 4)}
    words = 1 << 16
    draw = fastest(words, [lambda k=k, g=words // (16 * n): k(7, g) for n, k in hashes.items()], least_s)
    return Ceilings(row_add, byte_add, copy, passes, draw, scatter, caches)
