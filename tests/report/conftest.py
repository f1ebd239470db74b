"""A made-up validation with everything a report can meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw.cost import memory_table
from tinysnn_hw.fixed import Format
from tinysnn_hw.records import Activity, RegisterRange, Result, Validation
from tinysnn_hw.spec import load_network

# Every value pinned, so that no better recipe changes these tests.
TINY = Path(__file__).parents[1] / "cli" / "tiny.toml"


def seen(text, low, high, cut_low=0, cut_high=0):
    fmt = Format.parse(text)
    return RegisterRange(
        format=text,
        min_raw=low,
        max_raw=high,
        min=low * fmt.lsb,
        max=high * fmt.lsb,
        saturated_low=cut_low,
        saturated_high=cut_high,
    )


def evaluation(accuracy, n_images=360, registers=None):
    right = round(accuracy * n_images / 100)
    confusion = np.zeros((10, 10), np.int64)
    confusion[0, 0], confusion[0, 1] = right, n_images - right
    return Result(
        accuracy=accuracy,
        readouts={"mean_rate": accuracy - 2, "weighted_vote": accuracy - 1, "naive_bayes": accuracy},
        confusion={"naive_bayes": confusion},
        n_images=n_images,
        spikes_per_image=21.5,
        silent_images=3,
        registers=registers or {},
        activity=Activity(
            images=n_images,
            steps_per_image=250,
            input_spikes=1000,
            output_spikes=500,
            updates=0,
            normalizations=0,
        ),
        images_per_s=50_000.0,
        data="digits",
    )


@pytest.fixture
def tiny():
    """A network file with 64 inputs and 16 neurons."""
    return TINY


@pytest.fixture
def make_seen():
    return seen


@pytest.fixture
def make_evaluation():
    return evaluation


@pytest.fixture
def make_validation():
    """Build a validation from two accuracies and, if wanted, other registers or sizes."""

    def make(fixed=96.0, float64=96.5, *, registers=None, n_images=360, **changes):
        registers = registers or {"weight": seen("u0.8", 0, 255), "v_mem": seen("s8.8", -1000, 30000)}
        made = Validation(
            network="tiny",
            recipe="digits",
            data="digits",
            fixed=evaluation(fixed, n_images, registers),
            float64=evaluation(float64, n_images),
            training=registers,
            registers=registers,
            memory=memory_table(load_network(TINY)),
            train_images_per_s=20_000.0,
            inference_images_per_s=50_000.0,
            float_train_images_per_s=9_000.0,
            kernel="fast",
            config={"seed": 0, "network": {"network": {"neurons": 16}}},
            versions={"tinysnn_hw": "0.1.0"},
        )
        return replace(made, **changes)

    return make
