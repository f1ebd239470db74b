"""Raster files come back as they were saved, and faulty ones are refused by name, line and value."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinysnn_hw.data import Raster, load_raster, save_raster
from tinysnn_hw.data.files import read_npz, read_raster
from tinysnn_hw.errors import DataError, DataNotFoundError

RASTER = Raster.from_events(
    [1, 0, 0, 0], [2, 0, 0, 0], [4, 3, 3, 0], n_images=2, n_steps=3, n_inputs=6
)  # fmt: skip
CSV = "# n_images=2 n_steps=3 n_inputs=6\nimage,step,input\n0,0,0\n0,0,3\n0,0,3\n1,2,4\n"


def same(one: Raster, other: Raster) -> None:
    assert (one.n_inputs, one.n_steps) == (other.n_inputs, other.n_steps)
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.inputs, other.inputs)
    assert one.offsets.dtype == other.offsets.dtype
    assert one.inputs.dtype == other.inputs.dtype


@pytest.fixture
def csv_file(tmp_path: Path):
    def write(text: str | bytes, name: str = "events.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@st.composite
def rasters(draw):
    n_images, n_steps, n_inputs = (draw(st.integers(1, n)) for n in (3, 4, 65536))
    event = st.tuples(st.integers(0, n_images - 1), st.integers(0, n_steps - 1), st.integers(0, n_inputs - 1))
    events = np.array(draw(st.lists(event, max_size=20)), np.int64).reshape(-1, 3)
    return Raster.from_events(*events.T, n_images=n_images, n_steps=n_steps, n_inputs=n_inputs)


@given(raster=rasters(), kind=st.sampled_from([".npz", ".csv", ".NPZ"]))
@settings(max_examples=50, deadline=None)
def test_round_trip(raster, kind):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"events{kind}"
        save_raster(raster, path)
        same(load_raster(path), raster)
        sizes = (raster.n_images, raster.n_steps, raster.n_inputs)
        same(load_raster(path, sizes=sizes), raster)
        assert [entry.name for entry in Path(folder).iterdir()] == [path.name]


def test_saved_csv_text(tmp_path):
    save_raster(RASTER, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == CSV.encode()


def test_labels_travel_in_npz(tmp_path):
    save_raster(RASTER, tmp_path / "a.npz", labels=[7, 3])
    raster, labels = read_raster(tmp_path / "a.npz")
    same(raster, RASTER)
    assert labels is not None
    assert labels.tolist() == [7, 3]
    save_raster(RASTER, tmp_path / "b.npz")
    assert read_raster(tmp_path / "b.npz")[1] is None


def test_saving_replaces_and_a_failure_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    save_raster(RASTER.slice([0]), path)
    save_raster(RASTER, path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save_raster(RASTER, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("a.txt", None, r"end in \.npz or \.csv"),
        ("a.csv", [0, 1], "cannot hold labels"),
        ("a.npz", [0], r"shape \(1,\), expected integers of shape \(2,\)"),
        ("a.npz", [0.0, 1.0], "labels: float64"),
    ],
)
def test_refused_saving(tmp_path, name, labels, words):
    with pytest.raises(DataError, match=words):
        save_raster(RASTER, tmp_path / name, labels=labels)
    assert list(tmp_path.iterdir()) == []


# .csv written by others


@pytest.mark.parametrize(
    "text",
    [
        CSV,
        CSV.replace("\n", "\r\n"),
        "\ufeff" + CSV,
        CSV + "\n\n",
        CSV.replace(",", " , "),
        "input,image,step\n4,1,2\n3,0,0\n0,0,0\n3,0,0\n",
        '# from my sensor\n"image","step","input"\n"0","0","0"\n0,0,3\n0,0,3\n1,2,4\n',
    ],
    ids=["saved", "crlf", "bom", "blank-end", "spaces", "order", "quoted"],
)
def test_csv_spellings(csv_file, text):
    sizes = None if "n_images" in text else (2, 3, 6)
    same(load_raster(csv_file(text), sizes=sizes), RASTER)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty, expected a header line image,step,input"),
        ("0,0,0\n", "line 1: header '0,0,0', expected image,step,input"),
        ("image,step\n0,0\n", "line 1: header"),
        ("image,step,input\n0,0,0\n", "does not state its sizes"),
        (CSV + "0,0\n", "line 7: '0,0', expected three integers"),
        (CSV + "0,0,0,0\n", "line 7"),
        (CSV + "0,0,1.0\n", r"line 7: '0,0,1\.0'"),
        (CSV + "0,0,x\n", "line 7"),
        (CSV + "0,0,1_0\n", "line 7"),
        (CSV + "0,0,\n", "line 7"),
        (CSV + "0,0,9999999999999999999999\n", "line 7"),
        (CSV + "0,0,6\n", r"events.csv: event 4: input = 6, allowed 0\.\.5"),
        (CSV + "0,-1,0\n", r"event 4: step = -1, allowed 0\.\.2"),
        (CSV.replace("n_steps=3", "n_steps=0"), "n_steps = 0"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_faulty_csv(csv_file, text, words):
    with pytest.raises(DataError, match=words):
        load_raster(csv_file(text))


def test_stated_and_passed_sizes_must_agree(csv_file):
    with pytest.raises(DataError, match=r"states the sizes \(2, 3, 6\), but sizes=\(2, 3, 7\)"):
        load_raster(csv_file(CSV), sizes=(2, 3, 7))


# .npz written by others


def test_dense_npz(tmp_path):
    np.savez(tmp_path / "a.npz", spikes=RASTER.to_dense(), labels=[0, 1])
    same(load_raster(tmp_path / "a.npz"), RASTER)
    with pytest.raises(DataError, match="states the sizes"):
        load_raster(tmp_path / "a.npz", sizes=(1, 3, 6))


@pytest.mark.parametrize("dtype", ["u1", ">i4", "u8"])
def test_event_npz(tmp_path, dtype):
    events = np.array([[1, 2, 4], [0, 0, 3], [0, 0, 0], [0, 0, 3]], dtype)
    np.savez(tmp_path / "a.npz", events=events, sizes=[2, 3, 6])
    same(load_raster(tmp_path / "a.npz"), RASTER)
    np.savez(tmp_path / "b.npz", events=events)
    same(load_raster(tmp_path / "b.npz", sizes=(2, 3, 6)), RASTER)
    with pytest.raises(DataError, match="does not state its sizes"):
        load_raster(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": [1]}, r"holds the arrays \['x'\], expected either 'spikes'"),
        ({"spikes": [[[1]]], "events": [[0, 0, 0]]}, "expected either"),
        ({"spikes": [[[1.0]]]}, "dense spikes: dtype float64"),
        ({"spikes": [[[0, -1]]]}, r"\[0, 0, 1\] = -1"),
        ({"events": [[0, 0]], "sizes": [1, 1, 1]}, r"events has shape \(1, 2\)"),
        ({"events": [[0, 0, 0.0]], "sizes": [1, 1, 1]}, "event column image: float64"),
        ({"events": [[0, 0, 1]], "sizes": [1, 1, 1]}, "event 0: input = 1"),
        ({"events": [[0, 0, 0]], "sizes": [1, 1]}, r"sizes is int64 with shape \(2,\)"),
        ({"events": [[0, 0, 0]], "sizes": [1, 1, 1.0]}, "sizes is float64"),
        ({"events": [[0, 0, 0]], "sizes": [1, 1, 0]}, "n_inputs = 0"),
    ],
)
def test_faulty_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words) as caught:
        load_raster(tmp_path / "a.npz")
    assert str(caught.value).startswith(str(tmp_path / "a.npz"))


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(DataNotFoundError, match="no such file"):
        load_raster(tmp_path / "a.npz")
    (tmp_path / "a.h5").touch()
    with pytest.raises(DataError, match=r"end in \.npz or \.csv; found '\.h5'"):
        load_raster(tmp_path / "a.h5")


@pytest.mark.parametrize("kept", [0, 3, 40, -30])
def test_cut_npz(tmp_path, kept):
    path = tmp_path / "a.npz"
    save_raster(RASTER, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"not an \.npz file, or cut short"):
        read_npz(path)


def test_damaged_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, spikes=np.ones((2, 3, 400), np.uint8))
    content = bytearray(path.read_bytes())
    content[1500] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged \.npz file"):
        read_npz(path)


def test_zip_that_is_no_npz(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"'readme\.txt' is not an array"):
        read_npz(path)
