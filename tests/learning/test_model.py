"""A model file gives back every bit, and what is not whole is refused or was never there."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinysnn_hw.errors import ModelFileError
from tinysnn_hw.learning import Model, evaluate, load_model, save_model
from tinysnn_hw.learning import model as model_module
from tinysnn_hw.version import NUMERIC_VERSION, __version__

FILES = ["model.json", "model.npz"]


def differing(a: Model, b: Model) -> list[str]:
    """Fields that differ, arrays bit by bit."""
    found = []
    for field in dataclasses.fields(Model):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if field.name == "tables":
            same = one.n_steps == other.n_steps and all(
                getattr(one, name).tolist() == getattr(other, name).tolist()
                for name in ("interval", "quantile", "gain")
            )
        elif isinstance(one, np.ndarray):
            same = one.shape == other.shape and np.array_equal(one, other)
            same = same and (one.dtype.kind == "f") == (other.dtype.kind == "f")
        else:
            same = one == other
        if not same:
            found.append(field.name)
    return found


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "runs" / "a")


def refused(folder: Path) -> str:
    with pytest.raises(ModelFileError) as refusal:
        load_model(folder)
    return str(refusal.value)


# --- Round trip ----------------------------------------------------------------------------------------


def test_a_model_survives_its_file(model, saved, files_in, digits):
    assert saved.name == "a" and files_in(saved) == FILES
    loaded = load_model(saved)
    assert differing(model, loaded) == []
    assert evaluate(loaded, digits).confusion["naive_bayes"].tolist() == (
        evaluate(model, digits).confusion["naive_bayes"].tolist()
    )
    again = load_model(save_model(loaded, saved.parent / "b"))
    assert differing(model, again) == []


def test_a_float_model_survives_its_file(twin, tmp_path):
    loaded = load_model(save_model(twin, tmp_path / "float"))
    assert differing(twin, loaded) == []
    assert loaded.weight.dtype == np.float64 and loaded.weight.tobytes() == twin.weight.tobytes()


def test_the_comparison_sees_one_flipped_bit(model):
    weight = model.weight.copy()
    weight[3, 5] ^= 1
    assert differing(model, dataclasses.replace(model, weight=weight)) == ["weight"]
    assert differing(model, dataclasses.replace(model, seed=4)) == ["seed"]


def test_words_are_stored_as_narrow_as_they_are(saved, model):
    with np.load(saved / "model.npz", allow_pickle=False) as archive:
        assert archive["weight"].dtype == np.uint8 and archive["weight"].shape == (64, 16)
        assert archive["v_th"].dtype == np.int16 and archive["theta"].dtype == np.uint32
        assert archive["weight"].tolist() == model.weight.tolist()


def test_a_model_describes_itself(saved, model, network):
    meta = json.loads((saved / "model.json").read_text(encoding="utf-8"))
    assert meta["numeric_version"] == NUMERIC_VERSION
    assert meta["versions"]["tinysnn_hw"] == __version__
    assert {"python", "numpy", "numba", "llvmlite"} <= set(meta["versions"])
    assert meta["config"] == json.loads(json.dumps(model.config()))
    assert meta["config"]["network"] == network.model_dump(mode="json")
    assert meta["config"]["seed"] == 3 and meta["config"]["presentations"] == 600
    assert set(meta["config"]["digests"]) == {"train_images", "train_labels", "test_images", "test_labels"}


def test_a_file_loads_by_its_own_name_too(model, saved):
    assert differing(model, load_model(saved / "model.npz")) == []
    assert differing(model, load_model(str(saved))) == []


def test_the_folder_is_readable_by_others(saved):
    assert stat.S_IMODE(saved.stat().st_mode) == 0o755


def test_saving_twice_gives_the_same_arrays(model, tmp_path):
    """What is saved does not depend on where or when, apart from the archive's own time stamps."""
    contents = []
    for name in ("a", "b"):
        with np.load(save_model(model, tmp_path / name) / "model.npz", allow_pickle=False) as archive:
            contents.append({key: archive[key].tobytes() for key in archive.files})
    assert contents[0] == contents[1]


# --- Where a model may be written ----------------------------------------------------------------------


def test_an_empty_folder_is_taken(model, tmp_path):
    (tmp_path / "a").mkdir()
    assert differing(model, load_model(save_model(model, tmp_path / "a"))) == []


def test_an_existing_folder_is_left_alone(model, saved, files_in):
    before = (saved / "model.npz").read_bytes()
    with pytest.raises(ModelFileError, match="a: exists and is not empty; choose another folder"):
        save_model(dataclasses.replace(model, seed=9), saved)
    assert (saved / "model.npz").read_bytes() == before
    assert files_in(saved.parent) == ["a", *(f"a/{name}" for name in FILES)]


def test_force_replaces_a_model(model, saved, files_in):
    other = dataclasses.replace(model, seed=9)
    assert differing(other, load_model(save_model(other, saved, force=True))) == []
    assert files_in(saved.parent) == ["a", *(f"a/{name}" for name in FILES)]


@pytest.mark.parametrize("force", [False, True])
def test_nothing_but_a_model_is_replaced(model, tmp_path, force, files_in):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("years of work")
    (tmp_path / "b").write_text("a file")
    for name in ("a", "b"):
        with pytest.raises(ModelFileError, match=f"{name}: (exists and is not empty|holds something other)"):
            save_model(model, tmp_path / name, force=force)
    assert files_in(tmp_path) == ["a", "a/thesis.tex", "b"]


def test_force_into_a_free_place(model, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        assert differing(model, load_model(save_model(model, tmp_path / name, force=True))) == []


def test_a_place_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match=r"file.a: cannot be written"):
        save_model(model, tmp_path / "file" / "a")


# --- A failure in the middle ---------------------------------------------------------------------------


def half_written(error: BaseException):
    def write(file: Any, **arrays: Any) -> None:
        Path(file).write_bytes(b"PK half of an archive")
        raise error

    return write


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("a defect"), KeyboardInterrupt()])
@pytest.mark.parametrize("stage", ["arrays", "description", "rename"])
@pytest.mark.parametrize("force", [False, True])
def test_a_failure_leaves_nothing_new(model, tmp_path, files_in, monkeypatch, error, stage, force):
    """Nothing half-written stays, and a model that was there before is still whole."""
    target = tmp_path / "a"
    if force:
        save_model(model, target)
    before = files_in(tmp_path)
    rename, calls = Path.rename, []

    def failing(path: Path, to: Any) -> Any:
        # The new folder is the one that is moved to the final name from elsewhere.
        if Path(to) == target and not calls:
            calls.append(path)
            raise error
        return rename(path, to)

    if stage == "arrays":
        monkeypatch.setattr(np, "savez_compressed", half_written(error))
    elif stage == "description":
        monkeypatch.setattr(Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(error))
    else:
        monkeypatch.setattr(Path, "rename", failing)
    expected = ModelFileError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        save_model(dataclasses.replace(model, seed=9), target, force=force)
    monkeypatch.undo()
    assert files_in(tmp_path) == before
    if force:
        assert differing(model, load_model(target)) == []
    assert differing(model, load_model(save_model(model, target, force=force))) == []


# --- Damage --------------------------------------------------------------------------------------------


def test_a_missing_model_says_how_to_make_one(tmp_path):
    assert "no such model file; `tinysnn train ... --out" in refused(tmp_path)
    assert "no such model file" in refused(tmp_path / "nowhere")


def test_a_file_cut_anywhere_is_refused(saved):
    content = (saved / "model.npz").read_bytes()
    cuts = {0, 1, 3, 4, 21, 22, 100, len(content) // 2, len(content) - 23, len(content) - 1}
    for cut in sorted(cuts | set(range(0, len(content), 97))):
        (saved / "model.npz").write_bytes(content[:cut])
        said = refused(saved)
        assert "model.npz" in said and ("cut short or not a model file" in said or "digest" in said), cut


def test_no_altered_byte_goes_unnoticed(saved, model):
    """A byte changed anywhere is refused, or it was one that says nothing, such as a time stamp."""
    content = bytearray((saved / "model.npz").read_bytes())
    refusals = 0
    for place in [*range(0, 60), *range(60, len(content), 61), *range(len(content) - 80, len(content))]:
        for change in (0x01, 0xFF):
            content[place] ^= change
            (saved / "model.npz").write_bytes(content)
            content[place] ^= change
            try:
                loaded = load_model(saved)
            except ModelFileError as refusal:
                assert "model.npz" in str(refusal)
                refusals += 1
            else:
                assert differing(model, loaded) == []
    assert refusals > 200


def test_other_files_are_refused(saved):
    rng = np.random.default_rng(0)
    archive, array = io.BytesIO(), io.BytesIO()
    np.savez(archive, weight=np.zeros(3))
    np.save(array, np.zeros(3))
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as zipped:
        zipped.writestr("weight.txt", "hello")
    pickled = io.BytesIO()
    np.savez(pickled, weight=np.array([{"a": 1}], object))
    for content in (
        b"", b"hello", rng.bytes(5000), archive.getvalue(), array.getvalue(), text.getvalue(), pickled.getvalue(),
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'",
    ):  # fmt: skip
        (saved / "model.npz").write_bytes(content)
        said = refused(saved)
        assert "cut short or not a model file" in said and "unsafely" not in said


def rewritten(saved: Path, change: Any, *, sign: bool = True) -> None:
    """Change the arrays of a model file and, if so, sign them anew, as someone who means it would."""
    with np.load(saved / "model.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    digest = arrays.pop("digest")
    meta = json.loads(bytes(arrays["meta"]).decode())
    change(arrays, meta)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    if sign:
        digest = np.frombuffer(model_module._digest(arrays).encode(), np.uint8)
    np.savez_compressed(saved / "model.npz", digest=digest, **arrays)


def test_rewriting_without_a_change_loads(saved, model):
    rewritten(saved, lambda arrays, meta: None)
    assert differing(model, load_model(saved)) == []


def flip(arrays, meta):
    arrays["weight"] = arrays["weight"] ^ (np.arange(arrays["weight"].size).reshape(64, 16) == 77).astype(
        np.uint8
    )


def test_an_archive_with_one_other_bit_does_not_match_its_digest(saved):
    rewritten(saved, flip, sign=False)
    assert "contents do not match their digest; the file was altered or damaged" in refused(saved)


def test_another_numeric_version_is_named(saved):
    rewritten(saved, lambda arrays, meta: meta.update(numeric_version=NUMERIC_VERSION + 1))
    said = refused(saved)
    assert (
        f"written under numeric_version {NUMERIC_VERSION + 1}" in said
        and f"computes {NUMERIC_VERSION}" in said
    )
    assert "train again" in said and __version__ in said


def set_config(key, value):
    return lambda arrays, meta: meta["config"].update({key: value})


def set_array(name, change):
    return lambda arrays, meta: arrays.update({name: change(arrays[name])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_array("weight", lambda weight: weight[:10]), r"weight has shape \(10, 16\); \(64, 16\) is required"),
        (set_array("v_th", lambda v_th: v_th[:, None]), r"v_th has shape \(16, 1\); \(16,\) is required"),
        (set_array("weight", lambda words: words.astype(np.int64) + 200), "weight holds raw values outside its format"),
        (set_array("theta", lambda theta: theta.astype(np.int64) - 2**24), "theta holds raw values outside its format"),
        (lambda arrays, meta: arrays.pop("theta"), "incomplete"),
        (lambda arrays, meta: arrays.pop("table_gain"), "incomplete"),
        (lambda arrays, meta: meta.pop("config"), "incomplete"),
        (lambda arrays, meta: meta.pop("activity"), "incomplete"),
        (lambda arrays, meta: meta["activity"].update(colour=3), "incomplete"),
        (set_config("seed", "three"), "incomplete"),
        (lambda arrays, meta: meta["config"]["network"]["neuron"].update(leak="drip"), r"neuron\.leak = 'drip'"),
    ],
)  # fmt: skip
def test_contents_that_cannot_be_are_named(saved, change, message):
    """A valid archive of the right version that no run wrote."""
    rewritten(saved, change)
    with pytest.raises((ModelFileError, ValueError), match=message):
        load_model(saved)


def test_an_object_array_is_never_unpickled(saved):
    def change(arrays, meta):
        arrays["extra"] = np.array([{"code": "runs"}], object)

    with np.load(saved / "model.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez_compressed(saved / "model.npz", extra=np.array([{"a": 1}], object), **arrays)
    assert "cut short or not a model file (ValueError" in refused(saved)


def test_a_copy_is_the_model(saved, model, tmp_path):
    shutil.copytree(saved, tmp_path / "elsewhere")
    assert differing(model, load_model(tmp_path / "elsewhere")) == []
