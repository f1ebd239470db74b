"""Traces: the registers of the run itself, and files that hold them in three forms, each whole or not there."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw.data import make_spike_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import lower, run
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import DataError, SpecError
from tinysnn_hw.learning import Trace, present, trace, train, write_trace
from tinysnn_hw.spec import load_network, network_from_dict
from tinysnn_hw.version import NUMERIC_VERSION

IMAGES = [17, 3, 3]
SUFFIXES = [".npz", ".csv", ".hex"]


@pytest.fixture(scope="module")
def recorded(model, digits) -> Trace:
    return trace(model, digits, IMAGES)


# --- What is recorded ----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["test", "train"])
def test_registers_are_those_of_the_pass(model, digits, network, split):
    """A trace is a run of its own: the recorded registers of a second run, and the spikes of the real pass."""
    recorded = trace(model, digits, IMAGES, split=split)
    phase = "test" if split == "test" else "label"
    images = digits.test_images if split == "test" else digits.train_images
    spikes = network.encoding.inference_spikes
    raster = encode(images[:20], encoding_tables(network.encoding), spikes=spikes, phase=phase, seed=3)
    second = run(
        lower(network), model.state, raster, phase=phase, seed=3, kernel="generic", record=True
    ).trace  # fmt: skip
    for name in ("v_mem", "refractory_count"):
        assert recorded.registers[name].tolist() == second[name][IMAGES].tolist()
    assert recorded.winner.tolist() == second["winner"][IMAGES].tolist()
    # The winners are the output spikes that the fast kernel counts in the whole pass.
    counts = present(model, digits, phase).counts
    for place, image in enumerate(IMAGES):
        fired = recorded.winner[place][recorded.winner[place] >= 0]
        assert np.bincount(fired, minlength=16).tolist() == counts[image].tolist()
        events = raster.inputs[raster.offsets[image, 0] : raster.offsets[image, -1]]
        assert recorded.inputs[place][:, 1].tolist() == events.tolist()
    assert (recorded.winner >= 0).any()


def test_fields_of_a_trace(recorded, model, digits, network):
    n_steps, neurons = network.encoding.n_steps, 16
    assert recorded.images.tolist() == IMAGES and recorded.split == "test"
    assert recorded.labels.tolist() == digits.test_labels[IMAGES].tolist()
    assert set(recorded.registers) == {"v_mem", "refractory_count"} and recorded.inhibitory_winner is None
    for array in recorded.registers.values():
        assert array.shape == (3, n_steps, neurons)
    assert recorded.winner.shape == (3, n_steps)
    assert recorded.weight.tolist() == model.weight.tolist() and recorded.v_th.tolist() == model.v_th.tolist()
    assert {name: str(fmt) for name, fmt in recorded.formats.items()} == {
        "weight": "u0.8", "v_th": "s8.8", "v_mem": "s8.6", "refractory_count": "u2.0",
    }  # fmt: skip
    assert recorded.meta["numeric_version"] == NUMERIC_VERSION
    assert recorded.meta["config"] == model.config() and recorded.meta["versions"] == model.versions


def test_a_trace_can_be_followed_by_hand(digits):
    """Each step from the one before it: what any simulation of the hardware would do with these files."""
    network = load_network("tinysnn-wta", recipe="digits", neurons=16, epochs=1, v_mem="s8.8", v_th="s8.8")
    recorded = trace(train(network, digits, seed=0), digits, IMAGES)
    neuron = network.neuron
    for place in range(len(IMAGES)):
        v = np.zeros(16, np.int64)
        held = np.zeros(16, np.int64)
        steps = recorded.inputs[place]
        for t in range(network.encoding.n_steps):
            total = recorded.weight[steps[steps[:, 0] == t, 1]].sum(axis=0)
            free = held == 0
            a = np.minimum(v + total, 2**15 - 1)
            v = np.where(free, a - (a >> neuron.leak_shift), 0)
            held = np.maximum(held - 1, 0)
            margin = np.where(free, v - recorded.v_th, -1)
            winner = int(margin.argmax()) if margin.max() >= 0 else -1
            if winner >= 0:
                inhibited = free & (np.arange(16) != winner)
                v = np.where(inhibited, np.maximum(v - round(network.inhibition.strength * 256), 0), v)
                v[winner], held[winner] = 0, neuron.refractory
            assert winner == recorded.winner[place, t]
            assert v.tolist() == recorded.registers["v_mem"][place, t].tolist()
            assert held.tolist() == recorded.registers["refractory_count"][place, t].tolist()


LAYER = ("v_inh", "inhibitory_count")


@pytest.fixture(scope="module", params=["baseline", "sl-stdp"])
def layered(request, digits):
    """A trained network with an inhibitory layer whose every cut draws random bits, and its trace."""
    network = load_network(
        request.param, recipe="digits", neurons=16, epochs=1, rounding="stochastic",
        settings={"inhibitory.refractory": 3},
    )  # fmt: skip
    model = train(network, digits.limit(100), seed=3, threads=1)
    return model, trace(model, digits, IMAGES)


def test_an_inhibitory_layer_is_traced_as_the_oracle_has_it(layered, digits):
    model, recorded = layered
    oracle = Oracle(model.network, model.seed)
    oracle.weight, oracle.v_th = model.weight.tolist(), model.v_th.tolist()
    for place, image in enumerate(IMAGES):
        events = [[] for _ in range(model.network.encoding.n_steps)]
        for step, pixel in recorded.inputs[place].tolist():
            events[step].append(pixel)
        expected = oracle.present(events, phase="test", presentation=image)
        for name in ("v_mem", "refractory_count", *LAYER):
            assert recorded.registers[name][place].tolist() == getattr(expected, name)
        assert recorded.winner[place].tolist() == expected.winner
        assert recorded.inhibitory_winner[place].tolist() == expected.inhibitory_winner
    assert (recorded.inhibitory_winner >= 0).any() and recorded.registers["v_inh"].any()
    assert recorded.registers["inhibitory_count"].max() == 3
    assert list(recorded.registers) == ["v_mem", "refractory_count", *LAYER]
    assert recorded.formats["v_inh"] == model.network.formats.v_inh.format


def test_files_have_the_inhibitory_layer(layered, tmp_path):
    _, recorded = layered
    with np.load(write_trace(recorded, tmp_path / "t.npz"), allow_pickle=False) as archive:
        for name in LAYER:
            assert archive[name].tolist() == recorded.registers[name].tolist()
        assert archive["inhibitory_winner"].tolist() == recorded.inhibitory_winner.tolist()
    with write_trace(recorded, tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[3:] == [
        "v_mem_raw", "refractory_count_raw", "v_inh_raw", "inhibitory_count_raw", "fired", "inhibitory_fired",
    ]  # fmt: skip
    cube = np.array(rows, np.int64).reshape(*recorded.registers["v_inh"].shape, len(header))
    for column, name in enumerate(recorded.registers, 3):
        assert cube[..., column].tolist() == recorded.registers[name].tolist()
    for column, winner in ((7, recorded.winner), (8, recorded.inhibitory_winner)):
        assert (cube[..., column] == (winner[..., None] == np.arange(16))).all()
    text = write_trace(recorded, tmp_path / "t.hex").read_text(encoding="ascii")
    for name in LAYER:
        fmt = recorded.formats[name]
        words = np.array(readmemh(text.partition(f"// {name} ")[2].partition("\n")[2].partition("//")[0]))
        signed = np.where(words > fmt.raw_max, words - (1 << fmt.width), words)
        assert signed.tolist() == recorded.registers[name].ravel().tolist()


def test_one_image_by_its_number(model, digits, recorded):
    one = trace(model, digits, 17)
    assert one.images.tolist() == [17]
    assert one.registers["v_mem"][0].tolist() == recorded.registers["v_mem"][0].tolist()


def test_the_same_image_twice_is_the_same(recorded):
    for array in (*recorded.registers.values(), recorded.winner):
        assert array[1].tolist() == array[2].tolist() != array[0].tolist()
    assert recorded.inputs[1].tolist() == recorded.inputs[2].tolist()


def test_a_trace_of_given_spikes(digits, network):
    raster = encode(
        digits.train_images[:9], encoding_tables(network.encoding), spikes="regular", phase="train", seed=0
    )
    labels = digits.train_labels[:9]
    data = make_spike_dataset("own", raster, labels, raster.slice(slice(4, 9)), labels[4:], n_classes=10)
    model = train(network, data, seed=0)
    recorded = trace(model, data, [2, 0])
    first = raster.slice([6])
    assert recorded.inputs[0][:, 1].tolist() == first.inputs.tolist()
    assert recorded.labels.tolist() == labels[[6, 4]].tolist()
    counts = present(model, data, "test").counts
    assert (recorded.winner[0] >= 0).sum() == counts[2].sum()


def test_a_model_is_not_changed_by_its_trace(model, digits):
    before = model.weight.copy()
    recorded = trace(model, digits, 0)
    recorded.weight[:] = 0
    assert np.array_equal(model.weight, before)


# --- Files ---------------------------------------------------------------------------------------------


def test_npz(recorded, tmp_path):
    path = write_trace(recorded, tmp_path / "deep" / "trace.npz")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(bytes(arrays.pop("meta")))
    for name in ("v_mem", "refractory_count"):
        assert arrays.pop(name).tolist() == recorded.registers[name].tolist()
    for name in ("winner", "weight", "v_th", "images", "labels"):
        assert arrays.pop(name).tolist() == getattr(recorded, name).tolist()
    events = arrays.pop("events")
    assert not arrays
    for place in range(len(IMAGES)):
        assert events[events[:, 0] == place][:, 1:].tolist() == recorded.inputs[place].tolist()
    assert len(events) == sum(map(len, recorded.inputs))
    assert meta["formats"] == {name: str(fmt) for name, fmt in recorded.formats.items()}
    traced = meta["traced"]
    assert (traced["split"], traced["phase"], traced["events"][1:]) == ("test", "test", ["step", "input"])
    assert meta["config"]["seed"] == 3 and meta["numeric_version"] == NUMERIC_VERSION


def test_csv(recorded, tmp_path, network):
    path = write_trace(recorded, tmp_path / "trace.csv")
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "step", "neuron", "v_mem_raw", "refractory_count_raw", "fired"]
    table = np.array(rows, np.int64)
    n_steps = network.encoding.n_steps
    assert len(table) == len(IMAGES) * n_steps * 16
    cube = table.reshape(len(IMAGES), n_steps, 16, 6)
    assert (cube[..., 0] == np.array(IMAGES)[:, None, None]).all()
    assert (cube[..., 1] == np.arange(n_steps)[:, None]).all() and (cube[..., 2] == np.arange(16)).all()
    assert cube[..., 3].tolist() == recorded.registers["v_mem"].tolist()
    assert cube[..., 4].tolist() == recorded.registers["refractory_count"].tolist()
    fired = recorded.winner[..., None] == np.arange(16)
    assert (cube[..., 5] == fired).all()


def readmemh(text: str) -> list[int]:
    """Read words as Verilog's $readmemh: comments and white space are skipped, the rest is hexadecimal."""
    text = re.sub(r"//.*", "", text)
    words = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split()
    assert all(re.fullmatch(r"[0-9a-fA-F_xXzZ]+", word) for word in words)
    return [int(word.replace("_", ""), 16) for word in words]


def test_hex(recorded, tmp_path):
    text = write_trace(recorded, tmp_path / "trace.hex").read_text(encoding="ascii")
    sections = re.split(r"^// ", text, flags=re.MULTILINE)[1:]
    expected = {"weight": recorded.weight, "v_th": recorded.v_th, **recorded.registers}
    assert [section.split()[0] for section in sections] == list(expected)
    for section, (name, array) in zip(sections, expected.items(), strict=True):
        header, _, body = section.partition("\n")
        fmt = recorded.formats[name]
        assert header == f"{name} {fmt} {'x'.join(map(str, array.shape))}"
        lines = body.splitlines()
        assert {len(line) for line in lines} == {-(-fmt.width // 4)}
        words = np.array(readmemh(body))
        assert words.max() < 1 << fmt.width
        signed = np.where(words > fmt.raw_max, words - (1 << fmt.width), words)
        assert signed.tolist() == array.ravel().tolist()
    # The whole file is one memory image too.
    assert len(readmemh(text)) == sum(array.size for array in expected.values())


def test_hex_words_of_negative_numbers(digits, network, tmp_path):
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=5, epochs=1, v_mem="s8.5", settings={"neuron.v_floor": -100.0}
    )
    recorded = trace(train(spec, digits.limit(20), seed=0), digits, [0])
    assert recorded.registers["v_mem"].min() < 0
    text = write_trace(recorded, tmp_path / "trace.hex").read_text(encoding="ascii")
    words = readmemh(text.partition("// v_mem s8.5 ")[2].partition("\n")[2].partition("//")[0])
    assert min(word - (1 << 13) * (word >> 12) for word in words) == recorded.registers["v_mem"].min()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_trace_may_be_written_again(recorded, tmp_path, suffix, files_in):
    path = tmp_path / f"trace{suffix}"
    path.write_text("something older")
    write_trace(recorded, path)
    first = path.stat().st_size
    write_trace(recorded, str(path))
    assert path.stat().st_size == first > 1000
    assert files_in(tmp_path) == [f"trace{suffix}"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_the_older_file(recorded, tmp_path, monkeypatch, files_in, suffix, error):
    path = tmp_path / f"trace{suffix}"
    path.write_text("something older")
    kind = {".npz": "_write_npz", ".csv": "_write_csv", ".hex": "_write_hex"}[suffix]

    def half(_: Trace, to: Path) -> None:
        to.write_text("half")
        raise error

    monkeypatch.setattr(sys.modules["tinysnn_hw.learning.trace"], kind, half)
    with pytest.raises(DataError if isinstance(error, OSError) else KeyboardInterrupt):
        write_trace(recorded, path)
    assert files_in(tmp_path) == [f"trace{suffix}"] and path.read_text() == "something older"


# --- Refusals ------------------------------------------------------------------------------------------


def test_wrong_requests_are_named(model, twin, digits, recorded, tmp_path, files_in):
    with pytest.raises(SpecError, match="only a fixed-point model has registers to trace"):
        trace(twin, digits, 0)
    with pytest.raises(SpecError, match="split = 'label'; allowed: test, train"):
        trace(model, digits, 0, split="label")
    for split, last in (("test", 79), ("train", 299)):
        for image in (-1, last + 1):
            with pytest.raises(
                DataError, match=rf"image {image}: the {split} split .* has images 0 to {last}"
            ):
                trace(model, digits, [0, image], split=split)
    for images in (0.5, True, [[0, 1]]):
        with pytest.raises(DataError, match="a whole number or a list of them is required"):
            trace(model, digits, images)
    with pytest.raises(DataError, match="has 64 inputs per image"):
        trace(dataclasses.replace(model, network=_wider(model)), digits, 0)
    with pytest.raises(DataError, match=r"suffix '\.txt'; allowed: \.npz, \.csv, \.hex, or none"):
        write_trace(recorded, tmp_path / "trace.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_trace(recorded, tmp_path / "file" / "trace.npz")
    assert files_in(tmp_path) == ["file"]


def _wider(model):
    values = model.network.model_dump()
    values["network"]["inputs"] = 65
    return network_from_dict(values, "a test")


def test_no_images_are_refused(model, digits):
    with pytest.raises(DataError, match=r"images: none given; .* images 0 to 79"):
        trace(model, digits, [])
