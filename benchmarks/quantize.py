"""Speed of turning float64 arrays into 8-bit numbers, side by side with a copy and with other libraries.

    python benchmarks/quantize.py [--elements 1000000 10000000] [--rounds 7]

Everything runs on one core. The rows take turns, so that a busy machine slows all alike; in its turn a row
runs once unmeasured, to fill the caches with its own arrays, then three times. The table shows medians. The
yardstick is a copy of the same float64 array: a million elements and their copy stay in a large cache, ten
million do not. Rounding is to nearest with ties upward, saturating, `s1.7`, unless a row says otherwise; what
can be compared is first compared bit for bit. fxpmath is measured on the first 50,000 elements.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import numpy as np

from tinysnn_hw.fixed import dequantize, quantize, requantize

FORMAT = "s1.7"
SLOW_PART = 50_000

Row = tuple[str, Callable[[], Any], int]


def own_rows(x: np.ndarray) -> list[Row]:
    raw = np.empty(x.shape, np.int8)
    wide = quantize(x, "s4.12")
    return [
        ("tinysnn_hw quantize", lambda: quantize(x, FORMAT, out=raw), x.size),
        ("  with a new array", lambda: quantize(x, FORMAT), x.size),
        ("  nearest_even", lambda: quantize(x, FORMAT, "nearest_even", out=raw), x.size),
        ("  with counters", lambda: quantize(x, FORMAT, stats=True, out=raw), x.size),
        ("  wrap", lambda: quantize(x, FORMAT, overflow="wrap", out=raw), x.size),
        ("  stochastic", lambda: quantize(x, FORMAT, "stochastic", out=raw), x.size),
        ("tinysnn_hw requantize, s4.12", lambda: requantize(wide, "s4.12", FORMAT, out=raw), x.size),
        ("tinysnn_hw dequantize, s4.12", lambda: dequantize(wide, "s4.12"), x.size),
    ]


def numpy_rows(x: np.ndarray) -> list[Row]:
    scaled, below, raw = np.empty_like(x), np.empty_like(x), np.empty(x.shape, np.int8)

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

    return [("NumPy expression", expression, x.size), ("NumPy, arrays reused", in_place, x.size)]


def apytypes_rows(x: np.ndarray) -> list[Row]:
    from apytypes import APyFixedArray, OverflowMode, QuantizationMode

    def convert() -> Any:
        # from_float rounds ties away and wraps, so it reads 20 bits more and the cast does the rounding.
        exact = APyFixedArray.from_float(x, int_bits=8, frac_bits=27)
        return exact.cast(1, 7, QuantizationMode.RND, OverflowMode.SAT)

    def convert_alone() -> Any:
        return APyFixedArray.from_float(x, int_bits=1, frac_bits=7)

    return [
        ("APyTypes from_float, cast", convert, x.size),
        ("  from_float (away, wrap)", convert_alone, x.size),
    ]


def fxpmath_rows(x: np.ndarray) -> list[Row]:
    from fxpmath import Fxp

    part = x[:SLOW_PART]

    def convert() -> Any:
        return Fxp(part, signed=True, n_word=8, n_frac=7, rounding="nearest_posinf", overflow="saturate")

    return [("fxpmath", convert, part.size)]


def as_raw(result: Any) -> np.ndarray:
    if hasattr(result, "to_bits"):  # APyTypes
        return np.asarray(result.to_bits(numpy=True)).astype(np.uint8).view(np.int8)
    return np.asarray(getattr(result, "val", result)).astype(np.int8)


COMPARED = {"tinysnn_hw quantize", "NumPy expression", "NumPy, arrays reused"} | {
    "APyTypes from_float, cast",
    "fxpmath",
}


def measure(rows: list[Row], rounds: int) -> list[float]:
    """Median seconds per element of every row, the rows taking turns."""
    seconds: list[list[float]] = [[] for _ in rows]
    for _ in range(rounds):
        for (_, run, n), taken in zip(rows, seconds, strict=True):
            run()
            for _ in range(3):
                begin = time.perf_counter()
                run()
                taken.append((time.perf_counter() - begin) / n)
    return [median(taken) for taken in seconds]


def show(n_elements: int, rounds: int) -> None:
    # Multiples of 2**-20, so that APyTypes reads them exactly; a fifth saturates.
    x = np.round(np.random.default_rng(0).normal(0.0, 0.8, n_elements) * 2**20) / 2**20
    twin = np.empty_like(x)
    rows: list[Row] = [("copy of the float64 array", lambda: np.copyto(twin, x), x.size)]
    rows += own_rows(x) + numpy_rows(x)
    for library, make in (("apytypes", apytypes_rows), ("fxpmath", fxpmath_rows)):
        try:
            print(f"{library} {version(library)}")
            rows += make(x)
        except PackageNotFoundError:
            print(f"{library} is not installed")
    expected = quantize(x, FORMAT, "nearest", "saturate")
    for name, run, n in rows:
        result = run()
        if name in COMPARED and not np.array_equal(as_raw(result), expected[:n]):
            raise SystemExit(f"{name} disagrees")
    per_element = measure(rows, rounds)
    print(f"\n{n_elements:,} elements, {8 * n_elements / 1e6:.0f} MB of float64")
    print(f"{'':32s}{'ns/element':>12s}{'M elements/s':>14s}{'x copy speed':>14s}")
    for (name, _, _), seconds in zip(rows, per_element, strict=True):
        print(f"{name:32s}{seconds * 1e9:12.3f}{1e-6 / seconds:14.0f}{per_element[0] / seconds:14.4f}")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of quantize beside a copy and other libraries.")
    parser.add_argument("--elements", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for n_elements in options.elements:
        show(n_elements, options.rounds)


if __name__ == "__main__":
    main()
