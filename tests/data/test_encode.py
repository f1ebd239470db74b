"""Rate coding: rates, phases and keys, and the order of images.

Statistical tests use fixed seeds and bounds at 5 standard deviations: were the seeds drawn anew, one
comparison would fail by chance once in 1.7 million.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.encoded import SIGMAS, dense, encoding, pictures, same, tables_of, trains
from tinysnn_hw.data.encode import encode, encoding_tables, epoch_order
from tinysnn_hw.errors import DataError

# --- Rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("pixel", [255, 128, 40])
def test_poisson_rate(pixel: int, exponent: float) -> None:
    """Counts have the mean and the variance of a Poisson process of the stated rate."""
    tables = tables_of(intensity_exponent=exponent)
    counts = dense(np.full((20, 500), pixel), tables).sum(axis=1).ravel()
    rate = 100.0 * 1e-3 * (pixel / 255) ** exponent
    expected = 250 * rate
    n = len(counts)
    assert abs(counts.mean() - expected) < SIGMAS * math.sqrt(expected / n)
    # The variance of a Poisson variance estimate: (mu + 2 mu**2) / n.
    assert abs(counts.var() - expected) < SIGMAS * math.sqrt((expected + 2 * expected**2) / n)


def test_poisson_events_are_spread_over_the_steps() -> None:
    """From the first step to the last the expected count is the same, and steps are independent."""
    events = trains(dense(np.full((50, 400), 255), tables_of(n_steps=40)))
    per_step = events.sum(axis=0)
    expected = len(events) * 0.1
    assert (np.abs(per_step - expected) < SIGMAS * math.sqrt(expected)).all()
    neighbours = (events[:, 1:] * events[:, :-1]).mean()
    assert abs(neighbours - 0.01) < SIGMAS * 0.01 / math.sqrt(events[:, 1:].size * 0.01)


def test_poisson_intervals_are_exponential() -> None:
    """The waiting time to the first event falls by the same factor in every step."""
    events = trains(dense(np.full((40, 500), 255), tables_of(n_steps=30)))
    first = np.where(events.any(axis=1), (events > 0).argmax(axis=1), 30)
    left = len(first)
    for step in range(10):
        fired = int((first == step).sum())
        chance = 1.0 - math.exp(-0.1)
        assert abs(fired - left * chance) < SIGMAS * math.sqrt(left * chance * (1 - chance))
        left -= fired


@given(st.integers(1, 255), st.floats(5.0, 900.0), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_regular_counts_are_the_expected_ones_rounded(
    pixel: int, rate: float, n_steps: int, seed: int
) -> None:
    """A regular train has a random phase and then never deviates: floor or ceil of the expected count."""
    spec = encoding(rate_max_hz=rate, n_steps=n_steps)
    interval = int(encoding_tables(spec).interval[pixel])
    counts = dense(np.full((1, 6), pixel), encoding_tables(spec), spikes="regular", seed=seed).sum(axis=1)
    expected = Fraction(n_steps * 65536, interval)
    assert math.floor(expected) <= counts.min() and counts.max() <= math.ceil(expected)


def test_regular_events_are_evenly_spaced() -> None:
    tables = tables_of(rate_max_hz=80.0)
    interval = Fraction(int(tables.interval[255]), 65536)
    assert interval == Fraction(125, 10)
    events = dense(np.full((3, 100), 255), tables, spikes="regular")
    for train in trains(events):
        steps = np.flatnonzero(train)
        assert (train <= 1).all() and steps[0] <= 12
        # k intervals of 12.5 steps, each end in the step it falls into.
        assert (np.abs((steps - steps[0]) - 12.5 * np.arange(len(steps))) < 1.0).all()


def test_regular_phases_are_uniform() -> None:
    """Which step a train starts in is drawn evenly over its interval."""
    tables = tables_of(rate_max_hz=62.5)
    events = dense(np.full((40, 400), 255), tables, spikes="regular")
    first = events.argmax(axis=1).ravel()
    assert first.max() == 15
    found = np.bincount(first, minlength=16)
    expected = len(first) / 16
    assert (np.abs(found - expected) < SIGMAS * math.sqrt(expected)).all()
    # Chi-square with 15 degrees of freedom: above 60 with a probability of 2e-7.
    assert ((found - expected) ** 2 / expected).sum() < 60.0


def test_regular_is_more_even_than_poisson() -> None:
    images, tables = np.full((10, 400), 255, np.uint8), tables_of()
    spread = [dense(images, tables, spikes=spikes).sum(axis=1).var() for spikes in ("regular", "poisson")]
    assert spread[0] < 0.3 < 20.0 < spread[1]


@given(st.floats(0.001, 1000.0), st.floats(0.1, 4.0))
def test_intervals_follow_the_intensity(rate: float, exponent: float) -> None:
    interval = tables_of(rate_max_hz=rate, intensity_exponent=exponent).interval
    assert interval[0] == 0  # a black pixel never spikes
    assert (np.diff(interval[1:]) <= 0).all()
    assert 0 < interval[255] <= interval[1] < 1 << 38
    if interval[1] < (1 << 38) - 1:
        exact = 65536.0 / (rate * 1e-3 * (np.arange(1, 256) / 255) ** exponent)
        assert (np.abs(interval[1:] - exact) <= 0.5 + 1e-9 * exact).all()


def test_a_rate_that_is_all_but_zero_is_silence() -> None:
    """Its interval is as long as an integer time can say: years; no warning about the float that was lost."""
    for spec in ({"rate_max_hz": 1e-300}, {"intensity_exponent": 1e6}):
        tables = tables_of(**spec)
        assert tables.interval[1] == (1 << 38) - 1
        assert dense(np.full((2, 50), 1), tables, spikes="regular").sum() == 0


def test_quantiles_are_those_of_the_unit_exponential() -> None:
    quantile = tables_of().quantile
    assert len(quantile) == 4096 and (np.diff(quantile) <= 0).all()
    # The mid-points of 4096 equal probabilities: their mean falls short of 1 by ln(2) / 2 / 4096.
    assert abs(quantile.mean() / 4096 - 1.0) < 2e-4
    assert quantile[0] == round(-math.log(0.5 / 4096) * 4096) and quantile[-1] <= 1


# --- Random streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spikes", ["poisson", "regular"])
def test_phases_share_no_spikes(spikes: str) -> None:
    """Training, labelling and test of one image coincide as often as chance has it, and so do two seeds."""
    images, tables = np.full((10, 300), 255, np.uint8), tables_of()
    seen = [dense(images, tables, spikes=spikes, phase=phase) for phase in ("train", "label", "test")]
    seen.append(dense(images, tables, spikes=spikes, seed=2))
    seen.append(dense(images, tables, spikes=spikes, first=10))
    for a in range(len(seen)):
        for b in range(a):
            together = int((seen[a] * seen[b]).sum())
            # About 0.1**2 of all cells; regular trains that once coincide do so about 25 times.
            expected = seen[a].size * 0.01
            clump = 1.0 if spikes == "poisson" else 25.0
            assert abs(together - expected) < SIGMAS * math.sqrt(expected * clump), (a, b)
    assert int((seen[0] * seen[0]).sum()) > 9 * seen[0].size * 0.01


@pytest.mark.parametrize("spikes", ["poisson", "regular"])
@pytest.mark.parametrize("gain", ["none", "total"])
def test_spikes_are_keyed_by_presentation(spikes: str, gain: str) -> None:
    """A part of a pass is encoded alike on its own: same seed, same presentation numbers, same bits."""
    images, tables = pictures(9, 40), tables_of(gain=gain, gain_reference=2000)
    whole = encode(images, tables, spikes=spikes, phase="train", seed=7, first=100)
    for begin, end in ((0, 9), (3, 7), (8, 9)):
        part = encode(images[begin:end], tables, spikes=spikes, phase="train", seed=7, first=100 + begin)
        assert same(part, whole.slice(slice(begin, end)))
    chosen = np.arange(2, 6)
    ordered = encode(images, tables, spikes=spikes, phase="train", seed=7, first=102, order=chosen)
    assert same(ordered, whole.slice(slice(2, 6)))
    moved = encode(images[3:7], tables, spikes=spikes, phase="train", seed=7, first=100)
    assert not same(moved, whole.slice(slice(3, 7)))


def test_one_image_twice_is_two_presentations() -> None:
    images = pictures(2, 60)
    raster = encode(
        images, tables_of(), spikes="poisson", phase="train", seed=0, order=np.array([1, 1, 0], np.int64)
    )
    assert raster.n_images == 3
    assert not same(raster.slice([0]), raster.slice([1]))


def test_a_pixel_does_not_see_the_others() -> None:
    images = pictures(4, 30)
    alone = images.copy()
    alone[:, np.arange(30) != 12] = 0
    tables = tables_of()
    assert dense(alone, tables)[:, :, 12].tolist() == dense(images, tables)[:, :, 12].tolist()
    assert dense(alone, tables).sum() == dense(images, tables)[:, :, 12].sum() > 0


# --- Order of images -----------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 999))
def test_a_shuffled_order_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed=seed, epoch=epoch, shuffle=True)
    assert order.dtype == np.int64 and sorted(order.tolist()) == list(range(n))
    assert epoch_order(n, seed=seed, epoch=epoch, shuffle=False).tolist() == list(range(n))


def test_orders_differ_by_epoch_and_seed() -> None:
    orders = {
        tuple(epoch_order(200, seed=seed, epoch=epoch, shuffle=True))
        for seed in range(3)
        for epoch in range(4)
    }
    assert len(orders) == 12
    assert tuple(range(200)) not in orders
    again = epoch_order(200, seed=2, epoch=3, shuffle=True)
    assert tuple(again) in orders


def test_every_place_is_as_likely_for_every_image() -> None:
    n, epochs = 8, 4000
    places = np.array([epoch_order(n, seed=9, epoch=epoch, shuffle=True) for epoch in range(epochs)])
    for place in range(n):
        found = np.bincount(places[:, place], minlength=n)
        assert (np.abs(found - epochs / n) < SIGMAS * math.sqrt(epochs / n)).all()


# --- Refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((2, 3))}, r"images: shape \(2, 3\), dtype float64; uint8\[n, n_inputs\] is required"),
        ({"images": np.zeros((2, 3, 3), np.uint8)}, r"images: shape \(2, 3, 3\)"),
        ({"images": np.zeros(3, np.uint8)}, r"images: shape \(3,\)"),
        ({"spikes": "poison"}, "spikes = 'poison'; allowed: poisson, regular, pooled"),
        ({"phase": "training"}, "phase = 'training'; allowed: train, label, test"),
        ({"seed": -1}, "seed = -1; 0 to 4294967295 is allowed"),
        ({"seed": 2**32}, "seed = 4294967296; 0 to 4294967295 is allowed"),
        ({"order": np.array([0, 2])}, "order: position 1 selects image 2; 0 to 1 is allowed"),
        ({"order": np.array([-1])}, "order: position 0 selects image -1; 0 to 1 is allowed"),
        ({"order": np.array([], np.int64)}, "at least one image"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(changes: dict, message: str) -> None:
    arguments = {
        "images": np.zeros((2, 3), np.uint8), "spikes": "poisson", "phase": "train", "seed": 0,
    } | changes  # fmt: skip
    with pytest.raises(DataError, match=message):
        encode(arguments.pop("images"), tables_of(), **arguments)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
@pytest.mark.parametrize("first", [0, 2**32 - 3])
def test_ends_of_the_seed_and_of_the_presentations(seed: int, first: int) -> None:
    assert dense(pictures(2, 20), tables_of(), seed=seed, first=first).sum() > 0
