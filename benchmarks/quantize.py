"""Speed of cutting arrays in every mode and width, side by side with a copy and with other libraries.

    python benchmarks/quantize.py [--elements 1000000 10000000] [--rounds 7]

Everything runs on one core. The rows take turns, so that a busy machine slows all alike; in its turn a row
runs once unmeasured, to fill the caches with its own arrays, then three times. The table shows medians. The
yardstick of a row is a copy of the larger of the arrays it reads and writes: a million float64 elements and their
copy stay in a large cache, ten million do not. Rounding is to nearest with ties upward, saturating, unless a row
says otherwise; what can be compared is first compared bit for bit. fxpmath is measured on the first 50,000 elements.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from harness import REPEATS, Row, Sample, number, pin, table, take_turns

from tinysnn_hw.fixed import Format, dequantize, quantize, requantize

FORMAT, WIDE_FORMAT = "s1.7", "s4.12"
COPIED = ("int8", "int16", "int32", "int64", "float64")
SLOW_PART = 50_000
CALLS = 3
QUANTIZE, REQUANTIZE = f"quantize float64 to {FORMAT}", f"requantize {WIDE_FORMAT} to {FORMAT}"


MODES = ("floor", "to_zero", "nearest_away", "nearest_even", "stochastic")
OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((mode, {"rounding": mode}) for mode in MODES),
    ("wrap", {"overflow": "wrap"}),
    ("stochastic, wrap", {"rounding": "stochastic", "overflow": "wrap"}),
    ("with counters", {"stats": True}),
    ("stochastic, with counters", {"rounding": "stochastic", "stats": True}),
)
"""What is measured beside the usual modes, the slowest included."""

WIDTHS = (
    (Format.parse("s2.6"), Format.parse("s2.4")),
    (Format.parse("s1.7"), Format.parse("s4.12")),
    (Format.parse("s4.12"), Format.parse("s8.8")),
    (Format.parse("s8.24"), Format.parse("s8.8")),
    (Format.parse("s8.24"), Format.parse("s16.16")),
    (Format(True, 36, 12), Format.parse("s20.8")),
)
"""From 8 to 8 bits, 8 to 16, 16 to 16, 32 to 16, 32 to 32 and from 48 bits in int64 to 28."""


@dataclass(frozen=True)
class Contestant:
    """One way to do one operation."""

    library: str
    operation: str
    run: Callable[[], Any]
    n: int
    copied: str = "float64"
    """Data type of its yardstick."""
    compared: bool = False
    """Its result must be that of tinysnn_hw, bit for bit."""


def own(x: np.ndarray, wide: np.ndarray) -> list[Contestant]:
    raw = np.empty(x.shape, np.int8)
    me, n = "tinysnn_hw", x.size
    return [
        Contestant(me, QUANTIZE, lambda: quantize(x, FORMAT, out=raw), n, compared=True),
        Contestant(me, "  with a new array", lambda: quantize(x, FORMAT), n, compared=True),
        *(
            Contestant(me, f"  {name}", lambda modes=modes: quantize(x, FORMAT, out=raw, **modes), n)
            for name, modes in OTHERS
        ),
        Contestant(me, REQUANTIZE, lambda: requantize(wide, WIDE_FORMAT, FORMAT, out=raw), n, "int16", True),
        *(
            Contestant(
                me, f"  {name}", lambda modes=modes: requantize(wide, WIDE_FORMAT, FORMAT, out=raw, **modes), n, "int16"
            )
            for name, modes in OTHERS
        ),
        *(way for pair in WIDTHS for way in own_widths(x, *pair)),
        Contestant(me, f"dequantize {WIDE_FORMAT}", lambda: dequantize(wide, WIDE_FORMAT), n),
    ]  # fmt: skip


def own_widths(x: np.ndarray, wide: Format, narrow: Format) -> list[Contestant]:
    """Return the ways from one format to another: nearest, and stochastic, which takes longest."""
    source = np.clip(np.rint(x * (0.5 * wide.raw_max)), wide.raw_min, wide.raw_max).astype(wide.storage_dtype)
    target = np.empty(x.shape, narrow.storage_dtype)
    larger = max(source.dtype, target.dtype, key=lambda dtype: dtype.itemsize).name

    def way(name: str, mode: str) -> Contestant:
        return Contestant(
            "tinysnn_hw", name, lambda: requantize(source, wide, narrow, mode, out=target), x.size, larger
        )

    name = f"requantize {wide} to {narrow} ({source.dtype} to {target.dtype})"
    return [way(name, "nearest"), way("  stochastic", "stochastic")]


def numpy_ways(x: np.ndarray, wide: np.ndarray) -> list[Contestant]:
    scaled, below, raw = np.empty_like(x), np.empty_like(x), np.empty(x.shape, np.int8)
    shifted = np.empty_like(wide)

    def expression() -> np.ndarray:
        scaled = x * 128.0
        below = np.floor(scaled)
        return np.clip(below + (scaled - below >= 0.5), -128.0, 127.0).astype(np.int8)

    def in_place() -> np.ndarray:
        np.multiply(x, 128.0, out=scaled)
        np.floor(scaled, out=below)
        np.subtract(scaled, below, out=scaled)
        np.add(below, scaled >= 0.5, out=below)
        np.clip(below, -128.0, 127.0, out=below)
        np.copyto(raw, below, casting="unsafe")
        return raw

    def narrow() -> np.ndarray:
        # Exact only because no element comes near the end of int16.
        np.add(wide, 16, out=shifted)
        np.right_shift(shifted, 5, out=shifted)
        np.clip(shifted, -128, 127, out=shifted)
        np.copyto(raw, shifted, casting="unsafe")
        return raw

    return [
        Contestant("NumPy, plain expression", QUANTIZE, expression, x.size, compared=True),
        Contestant("NumPy, arrays reused", QUANTIZE, in_place, x.size, compared=True),
        Contestant("NumPy, arrays reused", REQUANTIZE, narrow, x.size, "int16", True),
    ]


def apytypes_ways(x: np.ndarray, wide: np.ndarray) -> list[Contestant]:
    from apytypes import APyFixedArray, OverflowMode, QuantizationMode

    stored = APyFixedArray(wide.astype(np.int64), int_bits=4, frac_bits=12)

    def convert() -> Any:
        # from_float rounds ties away and wraps, so it reads 20 bits more and the cast does the rounding.
        exact = APyFixedArray.from_float(x, int_bits=8, frac_bits=27)
        return exact.cast(1, 7, QuantizationMode.RND, OverflowMode.SAT)

    def convert_alone() -> Any:
        return APyFixedArray.from_float(x, int_bits=1, frac_bits=7)

    def narrow() -> Any:
        return stored.cast(1, 7, QuantizationMode.RND, OverflowMode.SAT)

    return [
        Contestant("APyTypes", QUANTIZE, convert, x.size, compared=True),
        Contestant("APyTypes", "  from_float alone (ties away, wrap)", convert_alone, x.size),
        Contestant("APyTypes", REQUANTIZE, narrow, x.size, "int16", True),
    ]


def fxpmath_ways(x: np.ndarray, wide: np.ndarray) -> list[Contestant]:
    from fxpmath import Fxp

    part = x[:SLOW_PART]
    target = {"signed": True, "n_word": 8, "n_frac": 7, "rounding": "nearest_posinf", "overflow": "saturate"}
    stored = Fxp(dequantize(wide[:SLOW_PART], WIDE_FORMAT), signed=True, n_word=16, n_frac=12)
    narrowed = Fxp(None, **target)
    return [
        Contestant("fxpmath", QUANTIZE, lambda: Fxp(part, **target), part.size, compared=True),
        Contestant("fxpmath", REQUANTIZE, lambda: stored.like(narrowed), part.size, "int16", True),
    ]


def as_raw(result: Any) -> np.ndarray:
    if hasattr(result, "to_bits"):  # APyTypes
        return np.asarray(result.to_bits(numpy=True)).astype(np.uint8).view(np.int8)
    return np.asarray(getattr(result, "val", result)).astype(np.int8)


def array_rows(n_elements: int, rounds: int) -> list[Row]:
    """Measure every library on arrays of one size; a library that is not installed has a row that says so."""
    # Multiples of 2**-20, so that APyTypes reads them exactly; a fifth saturates.
    x = np.round(np.random.default_rng(0).normal(0.0, 0.8, n_elements) * 2**20) / 2**20
    wide = quantize(x, WIDE_FORMAT)
    ways = []
    for name in COPIED:
        source = np.ones(n_elements, name)
        twin = np.empty_like(source)
        ways.append(
            Contestant(
                "NumPy", f"copy of a {name} array", lambda s=source, t=twin: np.copyto(t, s), n_elements, name
            )
        )
    ways += own(x, wide) + numpy_ways(x, wide)
    missing, versions = [], {"NumPy": np.__version__}
    for library, package, make in (
        ("APyTypes", "apytypes", apytypes_ways),
        ("fxpmath", "fxpmath", fxpmath_ways),
    ):
        try:
            versions[library] = version(package)
            ways += make(x, wide)
        except PackageNotFoundError:
            missing.append(
                Row("array", library, QUANTIZE, "M elements/s", note="not installed: pip install " + package)
            )
    expected = {QUANTIZE: quantize(x, FORMAT), REQUANTIZE: requantize(wide, WIDE_FORMAT, FORMAT)}
    for way in ways:
        result = way.run()
        if way.compared and not np.array_equal(
            as_raw(result), expected.get(way.operation, expected[QUANTIZE])[: way.n]
        ):
            raise SystemExit(f"{way.library}, {way.operation.strip()}: its numbers differ from tinysnn_hw's")
    seconds = take_turns({str(k): way.run for k, way in enumerate(ways)}, rounds, CALLS)
    speeds = [Sample(tuple(1e-6 * way.n / taken for taken in seconds[str(k)])) for k, way in enumerate(ways)]
    rows = []
    for way, speed in zip(ways, speeds, strict=True):
        copy = speeds[COPIED.index(way.copied)]
        name = way.library.split(",")[0]
        settings = f"{n_elements:,} elements" + (f", measured on {way.n:,}" if way.n != n_elements else "")
        settings += f"; {name} {versions[name]}" if name in versions else ""
        rows.append(
            Row("array", way.library, way.operation, "M elements/s", speed, n_elements,
                ratios={"of the copy's speed": speed.over(copy)}, settings=settings)
        )  # fmt: skip
    return rows + missing


def array_table(rows: Sequence[Row]) -> str:
    """Return the table of one array size."""
    lines = []
    for row in rows:
        if row.sample is None:
            lines.append([row.subject, row.what, row.note, "", ""])
            continue
        ratio = row.ratios["of the copy's speed"].median
        lines.append([row.subject, row.what, str(row.sample), number(1e3 / row.sample.median), number(ratio)])
    return table(["library", "operation", "M elements/s", "ns/element", "x copy"], lines, left=2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of quantize beside a copy and other libraries.")
    parser.add_argument("--elements", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=REPEATS)
    options = parser.parse_args()
    pin()
    for n_elements in options.elements:
        print(f"\n{n_elements:,} elements, {8 * n_elements / 1e6:.0f} MB of float64")
        print(array_table(array_rows(n_elements, options.rounds)))


if __name__ == "__main__":
    main()
