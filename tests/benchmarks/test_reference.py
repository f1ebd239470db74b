"""The benchmark of the PyTorch reference on a tiny load: it compares equals, and fails when asked for too much."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinysnn-hw[torch]'")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ["reference.py", "--images", "1", "--rounds", "1", "--neurons", "10", "--networks", "1", "2"]


@pytest.fixture
def benchmark() -> Iterator[ModuleType]:
    """Import the benchmark as its script is run."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("reference")
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("reference", None)


def test_reports_a_ratio(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", TINY)
    benchmark.main()
    printed = capsys.readouterr().out
    assert "spikes of 1 images are the same in both" in printed
    assert [line.split("  ")[0] for line in printed.splitlines()[-3:]] == [
        "plain loop, 1 network", "reference, 1 networks", "reference, 2 networks",
    ]  # fmt: skip


def test_fails_where_the_ratio_is_missed(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [*TINY, "--at-least", "1e9"])
    with pytest.raises(SystemExit, match="less than"):
        benchmark.main()


def test_a_plain_loop_of_another_network_is_not_measured(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = benchmark.plain_loop

    def slower_learning(spec, raster, weight):
        learning = spec.learning.model_copy(update={"eta_start": 0.9 * spec.learning.eta_start})
        return loop(spec.model_copy(update={"learning": learning}), raster, weight)

    monkeypatch.setattr(benchmark, "plain_loop", slower_learning)
    monkeypatch.setattr(sys, "argv", TINY)
    with pytest.raises(SystemExit, match="disagree"):
        benchmark.main()
