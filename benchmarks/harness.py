"""What the benchmarks share: one core, repeats that take turns, the machine, tables and CSV."""

from __future__ import annotations

import csv
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llvmlite import binding

REPEATS = 7
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
"""Environment in which every library keeps to one thread."""

Work = Callable[[], object]


def pin(n_cores: int = 1) -> list[int]:
    """Keep this process, and what it starts, to the first cores it may use; return them ([]: cannot be set)."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:n_cores]
    os.sched_setaffinity(0, cores)
    return cores


@dataclass(frozen=True)
class Sample:
    """Repeats of one measurement, each in the unit of its table."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{number(self.median)} ({number(low)}-{number(high)})"

    def over(self, other: Sample) -> Sample:
        """Return the ratios of repeats that were measured in turn."""
        return Sample(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


def number(value: float) -> str:
    """Return a number with about three digits and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def seconds_of(work: Work) -> float:
    """Return the seconds one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def take_turns(works: Mapping[str, Work], repeats: int, calls: int = 1) -> dict[str, list[float]]:
    """Measure all works in turn, so that a busy machine slows all alike.

    In its turn a work runs once unmeasured, to fill the caches with its own data, then ``calls`` times measured.
    Returns the seconds of every measured call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            work()
            seconds[name] += [seconds_of(work) for _ in range(calls)]
    return seconds


def best_seconds(work: Work, least_s: float) -> float:
    """Return the shortest of the calls of ``least_s`` seconds: for ceilings, where all but the work itself is noise."""
    work()
    found, end = [], time.perf_counter() + least_s
    while len(found) < 3 or time.perf_counter() < end:
        found.append(seconds_of(work))
    return min(found)


# --- Rows -------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of a table and of the CSV file."""

    section: str
    subject: str
    what: str
    unit: str
    sample: Sample | None = None
    """None: not measured, for the reason in ``note``."""
    size: int | None = None
    """Neurons of a network, or elements of an array."""
    encoder: str = ""
    ratios: dict[str, Sample] = field(default_factory=dict)
    settings: str = ""
    note: str = ""


def csv_lines(rows: Iterable[Row]) -> Iterable[list[object]]:
    """Return one line per row, and one per ratio of a row."""
    yield [
        "section", "subject", "what", "size", "encoder", "unit", "median", "min", "max", "repeats", "settings",
        "note",
    ]  # fmt: skip
    for row in rows:
        samples = [(row.unit, row.sample)] + [(f"ratio: {name}", ratio) for name, ratio in row.ratios.items()]
        for unit, sample in samples:
            spread = (
                [f"{value:.6g}" for value in (sample.median, min(sample.values), max(sample.values))]
                if sample
                else ["", "", ""]
            )
            yield [
                row.section, row.subject, row.what, "" if row.size is None else row.size, row.encoder, unit,
                *spread, len(sample.values) if sample else 0, row.settings, row.note,
            ]  # fmt: skip


def write_csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    """Write lines to a temporary file, then give it its name."""
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    unfinished.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary file, then give it its name."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def table(heading: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return aligned columns; the first ``left`` of them to the left, the others to the right."""
    widths = [max(len(line[column]) for line in [heading, *lines]) for column in range(len(heading))]

    def aligned(line: Sequence[str]) -> str:
        cells = [
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([aligned(heading), "-" * (sum(widths) + 2 * len(widths) - 2), *map(aligned, lines)])


# --- The machine ------------------------------------------------------------------------------------------------


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cache_sizes() -> str:
    """Return the sizes of the first core's caches where the system tells them."""
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level = (index / "type").read_text().strip(), (index / "level").read_text().strip()
        if kind != "Instruction":
            found.append(f"L{level} {(index / 'size').read_text().strip()}")
    return ", ".join(found) or "unknown"


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def machine(cores: Sequence[int]) -> dict[str, str]:
    """Return what a reader needs to know about the machine of a run."""
    features = binding.get_host_cpu_features()
    named = [name for name in ("sse4.2", "avx2", "avx512f", "avx512bw", "neon", "sve2") if features.get(name)]
    load = f", load average {os.getloadavg()[0]:.2f} at the start" if hasattr(os, "getloadavg") else ""
    return {
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": f"{cpu_name()} ({binding.get_host_cpu_name()}: {' '.join(named)})",
        "caches": cache_sizes(),
        "cores": f"{os.cpu_count()} in the machine, {len(cores) or 'unpinned'} used{load}",
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": ", ".join(
            f"{name} {package_version(name)}" for name in ("tinysnn-hw", "numpy", "numba", "llvmlite")
        ),
    }
