"""Several networks trained at once are, each, the network trained alone."""

from __future__ import annotations

import numpy as np
import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import train, train_many
from tinysnn_hw.spec import load_network

SHORT = {"learning.epochs": 1}


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits").limit(n_train=150, n_test=30)


def networks():
    return [
        load_network("tinysnn-wta", recipe="digits", settings=SHORT, neurons=20),
        load_network(
            "tinysnn-wta", recipe="digits", settings=SHORT, neurons=37, weight="u0.4", rounding="floor"
        ),
        load_network("tinysnn-wta", recipe="digits", settings={**SHORT, "encoding.n_steps": 200}, neurons=20),
        load_network("tinysnn", recipe="digits", settings=SHORT, neurons=20),
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_each_model_is_the_one_trained_alone(data, threads):
    models = train_many(networks(), data, seeds=[3, 4], threads=threads)
    alone = [train(network, data, seed=seed, threads=1) for network in networks() for seed in (3, 4)]
    assert [(m.network, m.seed) for m in models] == [(m.network, m.seed) for m in alone]
    for together, single in zip(models, alone, strict=True):
        for name in ("weight", "theta", "v_th"):
            np.testing.assert_array_equal(getattr(together, name), getattr(single, name))
        assert together.registers == single.registers
        assert together.activity == single.activity


def test_progress_counts_all_networks(data):
    seen = []
    train_many(networks()[:2], data, seeds=[0], progress=lambda *said: seen.append(said), threads=2)
    assert seen[0] == ("train", 0, 300)
    assert seen[-1] == ("train", 300, 300)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_no_networks_no_models(data):
    assert train_many([], data) == []


def test_a_bad_seed_is_refused_before_anything_runs(data):
    with pytest.raises(SpecError, match="seed = -1"):
        train_many(networks(), data, seeds=[0, -1])
