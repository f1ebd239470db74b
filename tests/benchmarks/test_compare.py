"""The benchmarks run on a tiny load, say what they could not measure, and compute what they claim."""

from __future__ import annotations

import csv
import importlib
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tinysnn_hw.data import Raster

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
NEURONS = 16

FAKE_PEER = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS / "peers")!r})
from protocol import arguments, first, serve

options = arguments()
print("a peer may print what it likes")

def prepare():
    n = len(first(options.images, 10, options.limit))
    return lambda: (n, 0.5, 3.0)

def broken():
    raise RuntimeError("no luck")

serve({{"a model, train 350/63.75": prepare, "a model, infer 350/63.75": %s}}, ["numpy"], "set so", "differs so")
"""


@pytest.fixture(scope="module")
def load() -> Iterator[object]:
    """Import modules of benchmarks/ as its scripts do."""
    pytest.importorskip(
        "matplotlib", reason="the benchmarks need the extra 'bench': matplotlib is not installed"
    )
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def compare(load) -> ModuleType:
    return load("compare")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (64, 784)) * (rng.random((64, 784)) < 0.2)).astype(np.uint8)


@pytest.fixture
def small(compare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "PEER_NEURONS", NEURONS)


def run_peer(
    compare: ModuleType, monkeypatch, tmp_path: Path, images: np.ndarray, infer: str
) -> tuple[list, object]:
    """Measure a stand-in for a peer."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE_PEER % infer)
    np.savez(tmp_path / "images.npz", images=images)
    monkeypatch.setattr(compare, "ready", lambda peer, folder: Path(sys.executable))
    partners = compare.Partners(images, 8)
    peer = compare.Peer("Fake", str(script), "fake", ())
    plan = compare.Plan(repeats=2, environments=tmp_path / "environments")
    return compare.peer_rows(peer, partners, tmp_path / "images.npz", plan), partners


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(load, name: str) -> None:
    assert load(name).__doc__


@pytest.mark.slow
def test_a_run_without_peers(compare: ModuleType, images: np.ndarray, tmp_path: Path) -> None:
    plan = compare.Plan(
        neurons=(NEURONS,), images=8, repeats=2, peers=(), elements=(3000,), ceiling_s=0.0, recipes=False
    )
    rows, text = compare.collect({"mnist": images}, plan)
    for network in compare.NETWORKS:
        for what in ("train, encoding included", "infer, encoding included", "train, raster shared"):
            (rate,) = [
                row for row in rows if (row.section, row.subject, row.what) == ("tinysnn_hw", network, what)
            ]
            (limit,) = [
                row for row in rows if (row.section, row.subject, row.what) == ("limit", network, what)
            ]
            assert rate.encoder == limit.encoder == "renewal"
            assert len(rate.sample.values) == 2
            assert min(rate.sample.values) > 0
            assert limit.ratios["reached"].median == pytest.approx(rate.sample.median / limit.sample.median)
            assert f"{network}  {what}" in text.replace("tinysnn      ", "tinysnn  ")
    assert {row.subject for row in rows if row.section == "array"} >= {"tinysnn_hw", "APyTypes", "fxpmath"}
    compare.write_csv(tmp_path / "rows.csv", compare.csv_lines(rows))
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(1 + len(row.ratios) for row in rows)
    assert all(float(line["min"]) <= float(line["median"]) <= float(line["max"]) for line in lines)
    figure = importlib.import_module("figure")
    figure.draw(rows, compare.machine([0]), tmp_path / "rows.png")
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "rows.png"]


@pytest.mark.usefixtures("small")
def test_a_peer_takes_turns_with_the_networks(compare, images, monkeypatch, tmp_path) -> None:
    rows, partners = run_peer(compare, monkeypatch, tmp_path, images, "prepare")
    assert [row.what for row in rows] == ["a model, train 350/63.75", "a model, infer 350/63.75"]
    for row, phase in zip(rows, ("train", "infer"), strict=True):
        assert row.sample.values == (20.0, 20.0)  # 10 images in half a second
        assert "set so" in row.settings and "differs so" in row.note and row.note.startswith("3.00 output")
        for network in compare.NETWORKS:
            rates = partners.rates[network, f"{phase}, encoding included", "350/63.75"]
            assert row.ratios[network].values == pytest.approx([rate / 20.0 for rate in rates])
    text = compare.peer_table(partners.rows() + rows)
    assert "Fake" in text and "Not the same: differs so." in text


@pytest.mark.usefixtures("small")
def test_a_peer_that_fails_says_why(compare, images, monkeypatch, tmp_path) -> None:
    rows, _ = run_peer(compare, monkeypatch, tmp_path, images, "broken")
    assert [row.sample is None for row in rows] == [False, True]
    assert rows[1].note == "failed: RuntimeError: no luck"
    assert "no luck" in compare.peer_table(rows)


@pytest.mark.usefixtures("small")
def test_a_peer_that_does_not_install_has_a_row(compare, images, monkeypatch, tmp_path) -> None:
    environments = sys.modules["environments"]
    calls = []
    monkeypatch.setattr(environments, "install", lambda *_: calls.append(1) or "no such package")
    peer = compare.Peer("Fake", "fake.py", "fake", ("no-such-package",))
    plan = compare.Plan(environments=tmp_path)
    (tmp_path / "fake").mkdir()
    for _ in range(2):
        (row,) = compare.peer_rows(peer, SimpleNamespace(), tmp_path / "images.npz", plan)
        assert row.sample is None and row.note == "not installed: no such package"
    assert len(calls) == 1  # remembered
    old = compare.Peer("Old", "old.py", "old", (), python=(3, 1))
    (row,) = compare.peer_rows(old, SimpleNamespace(), tmp_path / "images.npz", plan)
    assert row.note == "not installed: needs Python 3.1, and none was found"


def test_the_bound_is_the_sum_of_its_parts(load) -> None:
    limits, ceilings = load("limits"), load("ceilings")
    measured = ceilings.Ceilings(
        row_add={"L1": 1.0, "L2": 3.0, "L3": 7.0}, byte_add={}, copy={}, lif_pass={40: 100.0}, draw=10.0,
        scatter={40: 1000.0}, caches={"L1": 100, "L2": 300, "L3": 1000},
    )  # fmt: skip
    offsets = np.array([[0, 2, 2, 3], [3, 3, 5, 5]], np.int64)
    raster = Raster(5, 3, offsets, np.array([0, 3, 3, 1, 2], np.uint16))
    events = limits.events_of(raster, [5, 1, 3, 1])
    assert (events.steps, events.inputs, events.active_inputs, events.columns) == (3, 2.5, 2.0, 2.0)
    bound = limits.bound_of(events, 40, 5, True, measured)
    # 40 neurons fill 64 lanes; 2 different rows are 128 bytes, which fit L2.
    assert (bound.rows, bound.rows_where_they_fit, bound.level) == (2.5 * 64, 2.5 * 64 * 3, "L2")
    assert (bound.passes, bound.draws, bound.learning) == (300.0, 25.0, 2 * (1000.0 + 5 * 10.0))
    assert bound.seconds(shared=False) == 160 + 300 + 25 + 2100
    assert bound.seconds(shared=True, fitting=True) == 480 + 300 + 2100
    assert limits.bound_of(events, 40, 5, False, measured).learning == 2000.0
    faster = replace(measured, row_add={"L1": 2.0, "L2": 2.0, "L3": 9.0}, draw=3.0)
    assert measured.best(faster) == replace(measured, row_add={"L1": 1.0, "L2": 2.0, "L3": 7.0}, draw=3.0)


def test_tables_line_up_and_ratios_pair_repeats(load) -> None:
    harness = load("harness")
    assert harness.table(["a", "b"], [["long", "1"], ["x", "23"]]) == "a      b\n--------\nlong   1\nx     23"
    sample = harness.Sample((4.0, 1.0, 2.0))
    assert str(sample) == "2.00 (1.00-4.00)"
    assert sample.over(harness.Sample((2.0, 1.0, 4.0))).values == (2.0, 1.0, 0.5)
    out = io.StringIO()
    csv.writer(out).writerows(harness.csv_lines([harness.Row("s", "a", "b", "x", note="not measured")]))
    assert out.getvalue().splitlines()[1] == "s,a,b,,,x,,,,0,,not measured"
