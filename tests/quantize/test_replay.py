"""The replay of recorded images: the recorded weights again, and changes counted by the definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.engine import lower
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import train
from tinysnn_hw.quantize.replay import UpdateCounts, record_training, replay, update_bits
from tinysnn_hw.spec import load_network

NETWORKS = {
    "wta": ("tinysnn-wta", {}),
    "eq1": ("tinysnn-wta", {"learning.potentiation": "eq1", "learning.n_th": 2}),
    "tinysnn": ("tinysnn", {}),
    "baseline": ("baseline", {}),
    "hard bounds": ("baseline", {"learning.soft_bounds": False}),
    "sl-stdp": ("sl-stdp", {}),
}


@pytest.fixture(scope="module")
def few():
    return load_dataset("digits").limit(40, 10)


def trained(name, few, **overrides):
    file, settings = NETWORKS[name]
    network = load_network(file, recipe="digits", neurons=12, epochs=1, settings=settings, **overrides)
    return train(network, few, seed=3, threads=1)


@pytest.mark.parametrize("when", ["start", "end"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_recorded_weights_come_out_again(name, when, few):
    model = trained(name, few)
    total = UpdateCounts()
    for recording in record_training(model, few, 6, when):
        replayed = replay(lower(model.network), model.seed, few.n_train, recording)
        assert (replayed.weight == recording.after).all()
        assert sum(len(change) for change in replayed.changes) == replayed.counts.updates
        total += replayed.counts
    assert total.updates >= total.asked > 0
    assert total.lost <= total.asked and total.negative_whole <= total.negative_below_lsb <= total.negative


def test_the_start_is_what_happened(few):
    """Recording all images from the start ends with the weights of the model."""
    model = trained("wta", few)
    for recording in record_training(model, few, 1000, "start"):
        last = recording
    assert last.presentation == few.n_train - 1 and (last.after == model.weight).all()


@pytest.mark.parametrize("rounding", ["floor", "nearest"])
def test_counts_by_definition(rounding, few):
    """One window per image, recounted in fractions from docs/numerics.md, section 7."""
    network = load_network("tinysnn-wta", recipe="digits", neurons=12, epochs=1, weight="u0.5", rounding=rounding,
                           settings={"learning.update_steps": 250})  # fmt: skip
    model = train(network, few, seed=3, threads=1)
    lowered, total = lower(network), UpdateCounts()
    names = ("updates", "asked", "lost", "below_lsb", "negative", "negative_below_lsb", "negative_whole")
    expected = dict.fromkeys(names, 0)
    fall, fell, rise, rose, largest = (Fraction(0) for _ in range(5))
    for recording in record_training(model, few, 8, "start"):
        replayed = replay(lowered, model.seed, few.n_train, recording)
        total += replayed.counts
        eta = Fraction(int(lowered.eta[recording.presentation * 24 // few.n_train]), 2**13)
        fired = recording.trace["winner"][recording.trace["winner"] >= 0]
        if not len(fired):
            continue
        j = int(np.bincount(fired).argmax())
        for i in range(64):
            w, x = int(recording.before[i, j]), Fraction(int(recording.trace["x_pre"][-1, i]), 256)
            change = eta * (x * 31 - w)
            moved = (
                min(max(math.floor(w + change + (Fraction(1, 2) if rounding == "nearest" else 0)), 0), 31) - w
            )
            assert recording.after[i, j] == w + moved
            assert Fraction(int(replayed.changes[0][i]), 2 ** update_bits(lowered)) == change
            small = 0 < abs(change) < 1
            expected["updates"] += 1
            expected["asked"] += change != 0
            expected["lost"] += change != 0 and moved == 0
            expected["below_lsb"] += small
            expected["negative"] += change < 0
            expected["negative_below_lsb"] += small and change < 0
            expected["negative_whole"] += small and change < 0 and moved == -1
            fall, fell = fall - min(change, 0), fell - (moved if change < 0 else 0)
            rise, rose = rise + max(change, 0), rose + (moved if change > 0 else 0)
            largest = max(largest, abs(change))
    assert {name: getattr(total, name) for name in names} == expected and expected["asked"] > 100
    sums = (total.fall_asked, total.fall_written, total.rise_asked, total.rise_written, total.largest)
    assert sums == pytest.approx([float(x) for x in (fall, fell, rise, rose, largest)], rel=1e-12)


def test_refusals(few):
    model = trained("wta", few)
    twin = train(model.network, few, seed=3, threads=1, arithmetic="float64")
    with pytest.raises(SpecError, match="only a fixed-point model"):
        next(record_training(twin, few, 1))
    with pytest.raises(SpecError, match="start, end"):
        next(record_training(model, few, 1, "middle"))
