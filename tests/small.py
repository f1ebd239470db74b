"""A small network, a part of the digits, and models trained on them: fixtures for the conftest of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinysnn_hw.data import Dataset, load_dataset
from tinysnn_hw.learning import Model, train
from tinysnn_hw.spec import NetworkSpec, load_network


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The first 300 training and 80 test images of the digits: more than one chunk of a stream."""
    return load_dataset("digits").limit(300, 80)


@pytest.fixture(scope="session")
def network() -> NetworkSpec:
    """Sixteen neurons, two epochs in shuffled order, and random bits wherever they can be drawn: two of `v_mem` too."""
    return load_network(
        "tinysnn-wta", recipe="digits", neurons=16, epochs=2, rounding="stochastic", v_mem="s8.6",
        settings={"learning.shuffle": True, "encoding.train_spikes": "poisson"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def model(network: NetworkSpec, digits: Dataset) -> Model:
    return train(network, digits, seed=3, threads=1)


@pytest.fixture(scope="session")
def twin(network: NetworkSpec, digits: Dataset) -> Model:
    return train(network, digits, seed=3, threads=1, arithmetic="float64")


@pytest.fixture
def files_in():
    """Return a function that lists all files and folders below a folder, hidden ones included."""

    def listed(folder: Path) -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))

    return listed
