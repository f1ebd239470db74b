"""Traces for a test bench: what `$readmemh` and the declarations give is what was recorded."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw.errors import DataError
from tinysnn_hw.learning import Trace, trace, train, write_trace
from tinysnn_hw.spec import load_network

IMAGES = [17, 3]
SIGNED = {"neuron.v_floor": -100.0}


@pytest.fixture(scope="module", params=["tinysnn-wta", "baseline"])
def recorded(request: pytest.FixtureRequest, digits) -> Trace:
    spec = load_network(request.param, recipe="digits", neurons=16, epochs=1)
    return trace(train(spec, digits.limit(40), seed=3), digits, IMAGES)


def loaded(folder: Path) -> dict[str, np.ndarray]:
    """Read the memories as a simulator would that includes the declarations."""
    found = {}
    text = (folder / "memories.svh").read_text(encoding="ascii")
    pattern = (
        r"logic (signed )?\[(\d+):0\] (\w+) \[0:(\d+)\];.*\n"
        r'initial \$readmemh\(\{`TRACE_DIR, "/(\w+\.hex)"\}, (\w+)\);'
    )
    for signed, top, name, last, file, read in re.findall(pattern, text):
        assert file == f"{name}.hex" and read == name
        lines = (folder / file).read_text(encoding="ascii").splitlines()
        words = np.array([int(line, 16) for line in lines if not line.startswith("//")], np.int64)
        top_bit = int(top)
        width = top_bit + 1
        assert len(words) == int(last) + 1 and words.max() < 1 << width
        assert {len(line) for line in lines[1:]} == {-(-width // 4)}
        found[name] = np.where((words >> top_bit) & bool(signed), words - (1 << width), words)
    assert len(found) == text.count("$readmemh") == len(list(folder.glob("*.hex")))
    return found


def test_every_word_comes_back(recorded, tmp_path):
    found = loaded(write_trace(recorded, tmp_path / "bench"))
    registers = {"weight": recorded.weight, "v_th": recorded.v_th, **recorded.registers}
    for name, array in registers.items():
        assert found.pop(name).tolist() == array.ravel().tolist(), name
    n_images, n_steps = recorded.winner.shape
    n_neurons = recorded.weight.shape[1]
    for name in ("winner", "inhibitory_winner"):
        expected = getattr(recorded, name)
        assert (name in found) == (expected is not None)
        if expected is not None:
            words = found.pop(name)
            none = (1 << n_neurons.bit_length()) - 1
            assert np.where(words == none, -1, words).tolist() == expected.ravel().tolist()
            assert (expected >= 0).any() and (expected < 0).any()
    counts, events = found.pop("event_count").reshape(n_images, n_steps), found.pop("events").tolist()
    assert not found
    for place, rows in enumerate(recorded.inputs):
        for step in range(n_steps):
            here = [events.pop(0) for _ in range(counts[place, step])]
            assert here == rows[rows[:, 0] == step, 1].tolist()
    assert events == []


def test_negative_words_and_the_manifest(digits, tmp_path):
    spec = load_network("tinysnn-wta", recipe="digits", neurons=5, epochs=1, v_mem="s8.5", settings=SIGNED)
    recorded = trace(train(spec, digits.limit(20), seed=0), digits, [0])
    folder = write_trace(recorded, tmp_path / "bench")
    assert loaded(folder)["v_mem"].min() == recorded.registers["v_mem"].min() < 0
    about = json.loads((folder / "trace.json").read_text(encoding="utf-8"))
    assert about["images"] == [0] and about["config"] == recorded.meta["config"]
    assert about["memories"]["v_mem"] == {
        "file": "v_mem.hex", "width": 13, "signed": True, "format": "s8.5",
        "shape": list(recorded.registers["v_mem"].shape), "meaning": "[image][step][neuron] after the step",
    }  # fmt: skip
    sizes = dict(re.findall(r"localparam int (\w+) = (\d+);", (folder / "memories.svh").read_text()))
    n_images, n_steps, n_neurons = recorded.registers["v_mem"].shape
    assert sizes == {
        "N_IMAGES": f"{n_images}", "N_STEPS": f"{n_steps}", "N_INPUTS": "64", "N_NEURONS": f"{n_neurons}",
    }  # fmt: skip


def test_a_trace_without_events(recorded, tmp_path):
    silent = dataclasses.replace(recorded, inputs=[np.zeros((0, 2), np.int64) for _ in recorded.inputs])
    folder = write_trace(silent, tmp_path / "bench")
    assert (folder / "events.hex").read_text(encoding="ascii").count("\n") == 1
    counts = (folder / "event_count.hex").read_text(encoding="ascii").splitlines()[1:]
    assert set(counts) == {"0"} and len(counts) == recorded.winner.size


def test_a_folder_that_holds_something_is_kept(recorded, tmp_path, files_in):
    folder = tmp_path / "bench"
    folder.mkdir()
    write_trace(recorded, folder)
    before = files_in(folder)
    with pytest.raises(DataError, match="bench: exists and is not an empty folder; choose another one"):
        write_trace(recorded, folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: exists and is not an empty folder"):
        write_trace(recorded, tmp_path / "file")
    with pytest.raises(DataError, match="cannot be written"):
        write_trace(recorded, tmp_path / "file" / "bench")
    assert files_in(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench", "file"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(recorded, tmp_path, monkeypatch, files_in, error):
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("json.dumps", fails)
    with pytest.raises(DataError if isinstance(error, OSError) else KeyboardInterrupt):
        write_trace(recorded, tmp_path / "bench")
    assert files_in(tmp_path) == []
