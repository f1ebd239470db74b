"""Several networks evaluated at once are, each, the network evaluated alone; seeds may share their spikes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.learning import evaluate, evaluate_many, load_model, present, save_model, train, train_many
from tinysnn_hw.spec import load_network

SHORT = {"learning.epochs": 1}


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits").limit(n_train=150, n_test=40)


def network(**changes):
    return load_network("tinysnn-wta", recipe="digits", settings=SHORT, neurons=20, **changes)


@pytest.fixture(scope="module")
def models(data):
    return train_many([network(), network(weight="u0.4"), network(v_mem="s8.0")], data, seeds=[3, 4])


@pytest.mark.parametrize("threads", [1, 2])
def test_each_result_is_that_of_the_model_alone(data, models, threads):
    together = evaluate_many(models, data, label_images=100, threads=threads)
    for model, found in zip(models, together, strict=True):
        alone = evaluate(model, data, label_images=100, threads=1)
        assert found.images_per_s > 0
        assert {name: m.tolist() for name, m in found.confusion.items()} == {
            name: m.tolist() for name, m in alone.confusion.items()
        }
        for name in ("accuracy", "readouts", "n_images", "spikes_per_image", "registers", "activity"):
            assert getattr(found, name) == getattr(alone, name), name


def test_progress_counts_all_networks(data, models):
    seen = []
    evaluate_many(models[:3], data, label_images=50, progress=lambda *said: seen.append(said), threads=2)
    assert ("label", 150, 150) in seen and seen[-1] == ("test", 120, 120)


def test_no_models_no_results(data):
    assert evaluate_many([], data) == []


def test_seeds_with_one_spike_seed_see_the_same_spikes(data):
    """Input spikes are those of the spike seed, initial weights and rounding those of the seed."""
    own = train(network(), data, seed=3)
    assert own.spike_seed == 3
    shared = train_many([network()], data, seeds=[3, 4], spike_seed=3, threads=1)
    assert [model.spike_seed for model in shared] == [3, 3]
    np.testing.assert_array_equal(shared[0].weight, own.weight)
    assert shared[1].activity.input_spikes == own.activity.input_spikes
    assert (shared[1].weight != own.weight).any()
    other = train(network(), data, seed=3, spike_seed=9)
    assert other.activity.input_spikes != own.activity.input_spikes
    assert present(shared[1], data, "test").activity[0] == present(own, data, "test").activity[0]


def test_the_spike_seed_is_kept_with_the_model(data, tmp_path):
    model = train(network(), data, seed=3, spike_seed=9)
    again = load_model(save_model(model, tmp_path / "m"))
    assert (again.seed, again.spike_seed) == (3, 9)
    mixed = replace(model, spike_seed=3)
    assert present(mixed, data, "test").counts.tolist() != present(again, data, "test").counts.tolist()
