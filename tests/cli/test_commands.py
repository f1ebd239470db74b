"""Whole commands on a few digits: golden results, promised JSON, exit codes, clean failures.

The golden files hold what must never change while the numeric version stays: accuracy, registers and activity
in fixed point. Where a change of bits is meant, they are written anew with the commands in `GOLDEN_RUNS`.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw import learning
from tinysnn_hw.spec import list_networks

GOLDEN = Path(__file__).with_name("golden")
ROOT = Path(__file__).parents[2]
QUICK = ("--limit-train", 300, "--limit-test", 100, "--seed", 7)
GOLDEN_RUNS = {
    "validate-s8.8.json": QUICK,
    "validate-narrow.json": (
        *(*QUICK, "--weight", "u0.4", "--v-mem", "s6.2", "--v-th", "s6.2", "--theta", "u6.10"),
        *("--set", "neuron.v_th_cap=31", "--rounding", "stochastic"),
    ),
}


def stable(found):
    """What a validation must reproduce on every machine: all of the fixed-point side, none of the clock."""
    return {
        "accuracy": found["accuracy"]["fixed"],
        "readouts": {name: both["fixed"] for name, both in found["accuracy"]["readouts"].items()},
        "confusion": found["fixed"]["confusion"],
        "registers": found["registers"],
        "activity": found["fixed"]["activity"],
        "spikes_per_image": found["fixed"]["spikes_per_image"],
        "silent_images": found["fixed"]["silent_images"],
        "memory_bits": found["memory_bits"],
        "memory_bits_fp32": found["memory_bits_fp32"],
        "numeric_version": found["numeric_version"],
        "data": found["data"],
    }


@pytest.mark.parametrize("name", GOLDEN_RUNS)
def test_validation_reproduces_its_golden_run(tinysnn, tiny, name):
    ran = tinysnn("validate", tiny, *GOLDEN_RUNS[name], "--max-drop", 100, "--json")
    assert ran.code == 0, ran.err
    assert stable(ran.json) == json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def test_validation_json_keeps_its_promises(tinysnn, tiny):
    found = tinysnn("validate", tiny, *QUICK, "--json", "--max-drop", 100).json
    assert {"accuracy", "memory_bits", "memory_bits_fp32", "registers", "speed", "config", "versions"} <= set(
        found
    )
    accuracy = found["accuracy"]
    assert set(accuracy) == {"fixed", "float", "readouts"}
    assert set(accuracy["readouts"]) == {"mean_rate", "weighted_vote", "naive_bayes"}
    for both in accuracy["readouts"].values():
        assert set(both) == {"fixed", "float"} and all(0 <= value <= 100 for value in both.values())
    assert accuracy["readouts"]["naive_bayes"] == {key: accuracy[key] for key in ("fixed", "float")}
    assert accuracy["float"] > 50
    for name in ("weight", "v_mem", "v_th", "theta", "x_pre"):
        seen = found["registers"][name]
        assert {"format", "min", "max", "saturated_low", "saturated_high"} <= set(seen)
        assert seen["min"] <= seen["max"]
    for side in ("train_images_per_s", "inference_images_per_s"):
        assert found["speed"][side] > 0 and math.isfinite(found["speed"][side])
    assert isinstance(found["memory_bits"], int) and found["memory_bits"] < found["memory_bits_fp32"]
    assert found["config"]["network"]["network"]["neurons"] == 16
    assert found["config"]["seed"] == 7
    assert found["versions"]["numpy"] == np.__version__
    assert "300 training and 100 test images" in found["subset"]
    assert found["passed"] is True


def test_validation_table(tinysnn, tiny):
    ran = tinysnn("validate", tiny, *QUICK, "--max-drop", 100)
    assert ran.code == 0
    assert "tiny, recipe digits, on digits[train 300, test 100]" in ran.out
    for part in (
        "Accuracy on 100 test images",
        "Registers over",
        "Memory (Eq. 4",
        "Simulation speed",
        "In words",
    ):
        assert part in ran.out
    assert "A subset: only the first 300 training and 100 test images" in ran.out
    assert "recipe: digits" in ran.err
    assert "train: 600" in ran.err and "Accuracy" not in ran.err


def test_a_loss_is_a_negative_finding(tinysnn, tiny):
    words = (tiny, *QUICK, "--weight", "u0.1", "--rounding", "floor")
    ran = tinysnn("validate", *words)
    assert ran.code == 1
    assert "In words" in ran.out
    assert re.search(r"negative: \d+\.\d\d points are lost to the widths, more than --max-drop 2", ran.err)
    found = tinysnn("validate", *words, "--json")
    assert found.code == 1 and found.json["passed"] is False
    assert tinysnn("validate", *words, "--max-drop", 100).code == 0


def test_a_register_that_may_not_overflow(tinysnn, tiny):
    ran = tinysnn(
        "validate", tiny, *QUICK, "--v-mem", "s6.2", "--set", "neuron.v_th_cap=31", "--overflow", "error"
    )
    assert ran.code == 1 and ran.out == ""
    assert "error: formats.v_mem = s6.2" in ran.err and "Traceback" not in ran.err


def test_training_leaves_a_model(trained, tinysnn):
    assert sorted(path.name for path in trained.iterdir()) == ["model.json", "model.npz"]
    model = learning.load_model(trained)
    assert (model.data, model.seed, model.presentations) == ("digits[train 300]", 7, 600)


def test_training_says_what_it_did(tiny, tmp_path, tinysnn):
    out = tmp_path / "deep" / "a"
    ran = tinysnn("train", tiny, "--out", out, "--limit-train", 50)
    assert ran.code == 0
    assert (
        "trained on digits[train 50] with seed 0: 100 images" in ran.out
        and "Registers in training" in ran.out
    )
    assert "A subset: only the first 50 training images" in ran.out
    assert f"written to {out}; next: tinysnn evaluate {out}" in ran.err
    again = tinysnn("train", tiny, "--out", out, "--limit-train", 60, "--force", "--json")
    assert again.code == 0
    assert again.json["config"]["data"] == "digits[train 60]"
    assert {"registers", "activity", "speed", "memory", "versions", "folder"} <= set(again.json)
    assert learning.load_model(out).data == "digits[train 60]"


def test_training_is_reproducible(trained, tiny, tmp_path, tinysnn):
    assert tinysnn("train", tiny, "--out", tmp_path / "b", *QUICK[:2], "--seed", 7, "--threads", 1).code == 0
    first, second = learning.load_model(trained), learning.load_model(tmp_path / "b")
    for name in ("weight", "theta", "v_th"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "the folder is not empty; name another, or replace it with --force"),
        (("--force",), "holds something other than a model, which --force does not replace"),
    ],
)
def test_training_never_writes_over_other_files(tiny, tmp_path, tinysnn, words, said):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    ran = tinysnn("train", tiny, "--out", tmp_path, *words)
    assert ran.code == 2 and said in ran.err and "train:" not in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_training_into_a_file_is_refused(tiny, tmp_path, tinysnn):
    (tmp_path / "a").write_text("", encoding="utf-8")
    assert "is a file; name a folder" in tinysnn("train", tiny, "--out", tmp_path / "a").err


def test_a_place_that_cannot_be_written_is_refused_before_the_training(tiny, tmp_path, tinysnn, monkeypatch):
    monkeypatch.setattr(learning, "train", lambda *args, **how: pytest.fail("trained for nothing"))
    (tmp_path / "a").write_text("", encoding="utf-8")
    ran = tinysnn("train", tiny, "--out", tmp_path / "a" / "b" / "c")
    assert ran.code == 2 and f"{tmp_path / 'a'} is not a folder; name another place" in ran.err
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    for name in ("new", "new/deeper"):
        ran = tinysnn("train", tiny, "--out", tmp_path / name)
        assert ran.code == 2 and f"the folder {tmp_path} cannot be written to" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_training_leaves_nothing(tiny, tmp_path, tinysnn, monkeypatch):
    def interrupted(stage, done, total):
        raise KeyboardInterrupt

    train = learning.train
    monkeypatch.setattr(
        learning, "train", lambda *args, **how: train(*args, **how | {"progress": interrupted})
    )
    ran = tinysnn("train", tiny, "--out", tmp_path / "a", "--limit-train", 50)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.splitlines()[-1] == "interrupted: nothing was written"
    assert list(tmp_path.iterdir()) == []


def test_evaluation(trained, tinysnn):
    ran = tinysnn("evaluate", trained, "--limit-train", 300, "--limit-test", 100, "--json")
    golden = json.loads((GOLDEN / "validate-s8.8.json").read_text(encoding="utf-8"))
    assert ran.code == 0
    assert ran.json["readouts"] == golden["readouts"]
    assert ran.json["confusion"] == golden["confusion"]
    assert "data: digits[train 300, test 100]; the model was trained on digits[train 300]" in ran.err
    table = tinysnn("evaluate", trained, "--limit-test", 100)
    assert table.code == 0
    assert "Accuracy on digits[test 100]" in table.out and "Confusion (naive_bayes)" in table.out
    fewer = tinysnn("evaluate", trained, "--label-images", 40, "--limit-test", 100, "--json").json
    assert fewer["n_images"] == 100 and fewer["readouts"] != golden["readouts"]


def test_evaluation_on_data_without_a_name_needs_its_path(tiny, tmp_path, tinysnn):
    rng = np.random.default_rng(0)
    arrays = {f"{part}_images": rng.integers(0, 256, (12, 8, 8), np.uint8) for part in ("train", "test")}
    arrays |= {f"{part}_labels": np.arange(12) % 3 for part in ("train", "test")}
    np.savez(tmp_path / "mine.npz", **arrays)
    trained = tinysnn("train", tiny, "--data", tmp_path / "mine.npz", "--out", tmp_path / "a")
    assert trained.code == 0
    assert "recipe: digits, the default of tiny, which has none named 'mine'" in trained.err
    lost = tinysnn("evaluate", tmp_path / "a")
    assert lost.code == 2 and "trained on 'mine'" in lost.err and "--data" in lost.err
    found = tinysnn("evaluate", tmp_path / "a", "--data", tmp_path / "mine.npz", "--json")
    assert found.code == 0 and found.json["n_images"] == 12 and "data:" not in found.err
    arrays["test_labels"] = arrays["test_labels"][::-1]
    np.savez(tmp_path / "mine.npz", **arrays)
    changed = tinysnn("evaluate", tmp_path / "a", "--data", tmp_path / "mine.npz", "--json")
    assert "mine has other contents than the data set of that name" in changed.err


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".hex", ""])
def test_trace(trained, tmp_path, tinysnn, suffix):
    out = tmp_path / f"trace{suffix}"
    ran = tinysnn("trace", trained, "--image", 3, "--image", 5, "--out", out)
    assert ran.code == 0 and f"wrote {out}" in ran.err
    assert suffix == "" or out.stat().st_size > 1000
    if suffix == "":
        assert (out / "v_mem.hex").stat().st_size > 1000 and (out / "memories.svh").is_file()
    if suffix == ".npz":
        with np.load(out) as arrays:
            assert arrays["images"].tolist() == [3, 5] and arrays["v_mem"].shape == (2, 250, 16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--out", "t.vcd"),
            "--out t.vcd: the suffix '.vcd' names no format; allowed: .npz, .csv, .hex, or none",
        ),
        (("--out", "t.npz", "--split", "both"), "--split 'both': allowed: test, train"),
        (("--out", "t.npz", "--image", 999), "image 999"),
    ],
)
def test_trace_refuses_what_it_cannot_do(trained, tmp_path, tinysnn, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    ran = tinysnn("trace", trained, *words)
    assert ran.code == 2 and said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_trace_json(trained, tmp_path, tinysnn):
    ran = tinysnn("trace", trained, "--split", "train", "--out", tmp_path / "t.npz", "--json")
    assert ran.json == {
        "model": str(trained),
        "file": str(tmp_path / "t.npz"),
        "split": "train",
        "images": [0],
    }


def test_a_cut_model_is_refused(trained, tmp_path, tinysnn):
    whole = (trained / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(whole[: len(whole) // 2])
    for command in (("evaluate", tmp_path), ("show", tmp_path)):
        ran = tinysnn(*command)
        assert ran.code == 2 and ran.out == ""
        assert "model.npz: cut short" in ran.err and "Traceback" not in ran.err


def test_list(tinysnn):
    found = tinysnn("list", "--json").json
    assert sorted(found["networks"]) == list_networks()
    assert {"digits", "mnist", "fashion-mnist"} <= set(found["data"])
    assert "stochastic" in found["rounding"] and "wrap" in found["overflow"]
    text = tinysnn("list").out
    assert all(name in text for name in (*list_networks(), "digits", "nearest_even", "s8.8"))


def test_show_a_network(tinysnn):
    found = tinysnn("show", "tinysnn-wta", "--recipe", "digits", "--set", "learning.n_th=5", "--json").json
    value = found["values"]["learning.n_th"]
    assert (value["value"], value["unit"], value["origin"]) == (5, "spikes", "override")
    assert found["memory"]["memory_bits"] > 0
    text = tinysnn("show", "tinysnn-wta", "--recipe", "digits").out
    assert "neuron.refractory" in text and "recipe digits" in text and "Diehl & Cook" in text
    assert "Steps per image." in tinysnn("show", "--meanings").out


def test_show_a_model(trained, tinysnn):
    text = tinysnn("show", trained).out
    assert "trained on digits[train 300] with seed 7" in text and "Stored words" in text
    found = tinysnn("show", trained, "--json").json
    assert found["config"]["seed"] == 7 and found["network"]["values"]["network.neurons"]["value"] == 16
    ran = tinysnn("show", trained, "--v-mem", "s8.4", "--set", "a.b=1")
    assert ran.code == 2 and "leave out --v-mem, --set" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "tinysn"), "did you mean 'tinysnn'"),
        (("show", "nowhere.toml"), "'nowhere.toml' does not exist"),
        (("show", "--set", "learning.nth=5"), "did you mean 'n_th'"),
        (("show", "--weight", "u0.40"), "u0.40"),
        (("validate", "--v-mem", "s2.4"), "cannot hold neuron.v_th"),
        (("validate", "--data", "mnits"), "did you mean 'mnist'"),
        (("validate", "--limit-train", "5000"), "5000"),
        (("validate", "--label-images", "5000", "--limit-train", "20"), "5000"),
        (("validate", "--weigth", "u0.8"), "--weight"),
        (("validate", "--neurons", "many"), "--neurons"),
        (("validate", "--threads", "0"), "--threads"),
        (("validat",), "validate"),
        (("train",), "--out"),
        (("evaluate",), "FOLDER"),
    ],
)
def test_wrong_input_is_one_clean_message(tinysnn, words, said):
    ran = tinysnn(*words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err and "Traceback" not in ran.err


def test_a_typo_in_a_network_file_is_named(tiny, tmp_path, tinysnn):
    file = tmp_path / "tiny.toml"
    file.write_text(tiny.read_text(encoding="utf-8").replace("refractory =", "refactory ="), encoding="utf-8")
    ran = tinysnn("validate", file)
    assert ran.code == 2
    assert str(file) in ran.err and "refactory" in ran.err and "did you mean 'refractory'" in ran.err


def test_a_narrow_encoding_costs_no_result():
    code = "from tinysnn_hw.cli import main; main(['list'])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "tinysnn-wta" in ran.stdout, ran.stderr


def test_version(tinysnn):
    assert re.fullmatch(r"tinysnn_hw \S+, numeric version \d+\n", tinysnn("--version").out)


def test_help_is_quick_and_light():
    code = (
        "import sys; from tinysnn_hw.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numba', 'numpy', 'sklearn') if name in sys.modules])"
    )
    began = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 1.0
    assert all(
        f" {name} " in ran.stdout for name in ("validate", "train", "evaluate", "trace", "list", "show")
    )
    assert ran.stdout.splitlines()[-1] == "[]"
