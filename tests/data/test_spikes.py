"""Labelled spikes stand in for labelled images: same checks, same parts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tinysnn_hw.data import Raster, SpikeDataset, load_spikes, make_spike_dataset, save_raster
from tinysnn_hw.errors import DataError

DENSE = np.random.default_rng(3).integers(0, 3, (9, 4, 5), np.uint8)
TRAIN, TEST = Raster.from_dense(DENSE[:6]), Raster.from_dense(DENSE[6:])
TRAIN_LABELS, TEST_LABELS = [0, 1, 2, 3, 0, 1], [2, 1, 0]


def toy(**changes) -> SpikeDataset:
    given = {"train": TRAIN, "train_labels": TRAIN_LABELS, "test": TEST, "test_labels": TEST_LABELS}
    return make_spike_dataset("toy", **{**given, **changes})


def test_sizes():
    data = toy()
    assert (data.n_train, data.n_test, data.n_inputs, data.n_steps, data.n_classes) == (6, 3, 5, 4, 4)
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert repr(data) == "SpikeDataset('toy', 6 + 3 images of 4 steps, 5 inputs, 4 classes, from rasters)"


def test_parts():
    part = toy().holdout(2)
    assert part.name == "toy[holdout 2]"
    np.testing.assert_array_equal(part.train.to_dense(), DENSE[:4])
    np.testing.assert_array_equal(part.test.to_dense(), DENSE[4:6])
    assert (part.train_labels.tolist(), part.test_labels.tolist()) == ([0, 1, 2, 3], [0, 1])
    part = toy().limit(1, 2)
    assert part.name == "toy[train 1, test 2]"
    np.testing.assert_array_equal(part.test.to_dense(), DENSE[6:8])
    assert (part.train_labels.tolist(), part.test_labels.tolist()) == ([0], [2, 1])
    with pytest.raises(DataError, match="limit n_test = 4"):
        toy().limit(n_test=4)
    with pytest.raises(DataError, match="holdout n = 6"):
        toy().holdout(6)


def test_digests_tell_content():
    digests = toy().digests
    assert digests == pickle.loads(pickle.dumps(toy())).digests
    moved = DENSE[:6].copy()
    moved[0, 0], moved[0, 1] = DENSE[0, 1], DENSE[0, 0]
    assert not np.array_equal(moved, DENSE[:6])
    others = toy(train=Raster.from_dense(moved)).digests
    assert others.train_images != digests.train_images
    assert others[1:] == digests[1:]


def test_the_same_events_in_a_longer_image_are_other_data():
    silent = np.zeros((9, 1, 5), np.uint8)
    longer = np.concatenate([DENSE, silent], axis=1)
    data = toy(train=Raster.from_dense(longer[:6]), test=Raster.from_dense(longer[6:]))
    assert data.digests.test_images != toy().digests.test_images


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_labels": [0] * 5}, "train_labels: 5 labels for 6 images"),
        ({"test_labels": [0, -1, 0]}, "test_labels: label 1 is -1"),
        ({"test_labels": [0, 0.5, 0]}, "test_labels: float64"),
        ({"n_classes": 3}, r"train_labels: label 3 is 3, allowed 0\.\.2"),
        ({"test": Raster.from_dense(DENSE[6:, :, :4])}, "train has n_inputs = 5, test has 4"),
        ({"test": Raster.from_dense(DENSE[6:, :3])}, "train has n_steps = 4, test has 3"),
        ({"test": Raster(5, 4, TEST.offsets, TEST.inputs + np.uint16(5))}, r"allowed 0\.\.4"),
    ],
)
def test_faults(changes, words):
    with pytest.raises(DataError, match=words):
        toy(**changes)


def test_files(tmp_path):
    save_raster(TRAIN, tmp_path / "a.npz", labels=TRAIN_LABELS)
    save_raster(TEST, tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"b\.csv: has no labels; .* pass test_labels"):
        load_spikes(tmp_path / "a.npz", tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"a\.npz: has labels, but others were passed"):
        load_spikes(tmp_path / "a.npz", tmp_path / "b.csv", train_labels=TRAIN_LABELS)
    data = load_spikes(tmp_path / "a.npz", tmp_path / "b.csv", test_labels=TEST_LABELS, n_classes=10)
    assert (data.name, data.n_classes) == ("a+b", 10)
    assert data.digests == toy().digests
    assert load_spikes(tmp_path / "a.npz", tmp_path / "a.npz", name="mine").name == "mine"
