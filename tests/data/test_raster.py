"""A raster holds exactly the events it was made from, in the promised order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinysnn_hw.data import Raster
from tinysnn_hw.errors import DataError

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))


@st.composite
def event_lists(draw):
    """Return sizes and events in arbitrary order, repeats likely."""
    n_images, n_steps, n_inputs = sizes = draw(SIZES)
    event = st.tuples(st.integers(0, n_images - 1), st.integers(0, n_steps - 1), st.integers(0, n_inputs - 1))
    return sizes, draw(st.lists(event, max_size=40))


def make(sizes, events) -> Raster:
    columns = np.array(events, np.int64).reshape(-1, 3).T
    return Raster.from_events(*columns, n_images=sizes[0], n_steps=sizes[1], n_inputs=sizes[2])


def events_of(raster: Raster) -> list[tuple[int, int, int]]:
    """Read a raster by its definition, one step at a time."""
    return [
        (image, step, int(column))
        for image in range(raster.n_images)
        for step in range(raster.n_steps)
        for column in raster.inputs[raster.offsets[image, step] : raster.offsets[image, step + 1]]
    ]


@given(event_lists())
def test_events_come_back_sorted(case):
    sizes, events = case
    raster = make(sizes, events)
    raster.check()
    assert events_of(raster) == sorted(events)
    assert (raster.n_images, raster.n_steps, raster.n_inputs) == sizes
    assert raster.n_events == len(events)
    per_step = Counter(event[:2] for event in events)
    assert raster.max_events_per_step == max(per_step.values(), default=0)
    assert raster.offsets.dtype == np.int64
    assert raster.inputs.dtype == np.uint16


@given(event_lists())
def test_dense_counts_events(case):
    sizes, events = case
    dense = make(sizes, events).to_dense()
    expected = np.zeros(sizes, np.uint8)
    for event in events:
        expected[event] += 1
    np.testing.assert_array_equal(dense, expected)
    assert dense.dtype == np.uint8
    assert events_of(Raster.from_dense(expected)) == sorted(events)


@given(SIZES.flatmap(lambda sizes: hnp.arrays(np.bool_, sizes)))
def test_bool_round_trip(dense):
    raster = Raster.from_dense(dense)
    raster.check()
    np.testing.assert_array_equal(raster.to_dense(), dense.astype(np.uint8))
    assert raster.n_events == dense.sum()


@given(event_lists(), st.data())
def test_slices_hold_the_chosen_images(case, data):
    sizes, events = case
    raster, dense = make(sizes, events), make(sizes, events).to_dense()
    chosen = data.draw(st.lists(st.integers(0, sizes[0] - 1), min_size=1, max_size=8))
    part = raster.slice(chosen)
    part.check()
    np.testing.assert_array_equal(part.to_dense(), dense[chosen])
    cut = data.draw(st.slices(sizes[0]))
    if len(range(sizes[0])[cut]):
        part = raster.slice(cut)
        part.check()
        np.testing.assert_array_equal(part.to_dense(), dense[cut])


def test_a_run_of_images_shares_memory():
    raster = Raster.from_dense(np.ones((4, 2, 3), np.uint8))
    assert np.shares_memory(raster.slice(slice(1, 3)).inputs, raster.inputs)


@pytest.mark.parametrize("images", [[], slice(2, 2), slice(9, None)])
def test_an_empty_slice_is_refused(images):
    with pytest.raises(DataError, match="none of the 4 selected"):
        Raster.from_dense(np.ones((4, 2, 3), bool)).slice(images)


@pytest.mark.parametrize(("images", "bad"), [([0, 4], 4), ([1, -1], -1)])
def test_a_slice_names_the_image_that_is_not_there(images, bad):
    with pytest.raises(DataError, match=rf"position 1 selects image {bad}, allowed 0\.\.3"):
        Raster.from_dense(np.ones((4, 2, 3), bool)).slice(images)


def test_repeats_count():
    dense = np.zeros((1, 2, 3), np.int64)
    dense[0, 1] = [0, 300, 2]
    raster = Raster.from_dense(dense)
    assert raster.n_events == raster.max_events_per_step == 302
    assert raster.inputs.tolist() == [1] * 300 + [2] * 2
    np.testing.assert_array_equal(raster.to_dense(np.int64), dense)
    with pytest.raises(DataError, match="300 events in one step, but uint8 holds at most 255"):
        raster.to_dense()


def test_the_largest_input():
    raster = make((1, 1, 65536), [(0, 0, 65535), (0, 0, 0)])
    assert raster.inputs.tolist() == [0, 65535]
    assert raster.to_dense()[0, 0, 65535] == 1


@pytest.mark.parametrize(
    ("dense", "words"),
    [
        (np.zeros((1, 2, 3)), "dtype float64"),
        (np.zeros((2, 3), bool), r"shape \(2, 3\), expected \[image, step, input\]"),
        (np.zeros((0, 2, 3), bool), "none of them empty"),
        (np.zeros((1, 0, 3), bool), "none of them empty"),
        (np.zeros((1, 1, 65537), bool), r"n_inputs = 65537, allowed an integer 1\.\.65536"),
        (np.array([[[0, 0], [0, -3]], [[-1, 0], [0, 0]]]), r"\[0, 1, 1\] = -3, allowed 0\.\.65535"),
        (np.array([[[1, 65536]]]), r"\[0, 0, 1\] = 65536"),
        (np.array([[[1, 2**64 - 1]]], np.uint64), r"\[0, 0, 1\] = 18446744073709551615"),
    ],
)
def test_faulty_dense(dense, words):
    with pytest.raises(DataError, match=words):
        Raster.from_dense(dense)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([(0, 0, 0), (0, 1, 3), (2, 0, 0)], r"event 1: input = 3, allowed 0\.\.2"),
        ([(0, 0, 0), (2, 9, 3)], r"event 1: image = 2, allowed 0\.\.1"),
        ([(0, 4, 0)], r"event 0: step = 4, allowed 0\.\.3"),
        ([(0, 0, 0), (0, -1, 0)], "event 1: step = -1"),
    ],
)
def test_the_first_faulty_event_is_named(events, words):
    with pytest.raises(DataError, match=words):
        make((2, 4, 3), events)


def test_faulty_columns():
    sizes = {"n_images": 1, "n_steps": 1, "n_inputs": 1}
    with pytest.raises(DataError, match="image 2, step 1, input 1"):
        Raster.from_events([0, 0], [0], [0], **sizes)
    with pytest.raises(DataError, match="event column step: float64"):
        Raster.from_events([0], [0.0], [0], **sizes)
    with pytest.raises(DataError, match="event column input: int64 with shape"):
        Raster.from_events([0], [0], np.array([[0]]), **sizes)


@pytest.mark.parametrize("name", ["n_images", "n_steps", "n_inputs"])
@pytest.mark.parametrize("value", [0, -1, 1.0, True, 2**40])
def test_sizes_out_of_range(name, value):
    sizes = {"n_images": 1, "n_steps": 1, "n_inputs": 1, name: value}
    with pytest.raises(DataError, match=f"raster {name} = {value!r}, allowed an integer 1"):
        Raster.from_events([], [], [], **sizes)


GOOD = {
    "n_inputs": 4,
    "n_steps": 2,
    "offsets": np.array([[0, 2, 3], [3, 3, 5]]),
    "inputs": np.array([1, 1, 0, 2, 3], np.uint16),
}


def test_the_example_is_good():
    raster = Raster(**GOOD)
    raster.check()
    assert events_of(raster) == [(0, 0, 1), (0, 0, 1), (0, 1, 0), (1, 1, 2), (1, 1, 3)]
    assert repr(raster) == "Raster(2 images, 2 steps, 4 inputs, 5 events)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_steps": 3}, r"offsets: shape \(2, 3\), expected \(n_images, 4\)"),
        ({"n_inputs": 0}, "n_inputs = 0"),
        ({"offsets": GOOD["offsets"].astype(np.int32)}, "offsets: int32"),
        ({"offsets": np.asfortranarray(GOOD["offsets"])}, "C-contiguous"),
        ({"offsets": np.zeros((0, 3), np.int64), "inputs": np.zeros(0, np.uint16)}, "at least one image"),
        ({"inputs": GOOD["inputs"].astype(np.int64)}, "inputs: int64"),
        ({"inputs": GOOD["inputs"][:4]}, "go from 0 to 5, expected 0 to 4"),
        ({"offsets": GOOD["offsets"] + 1}, "go from 1 to 6"),
    ],
)
def test_the_constructor_checks_shapes(change, words):
    with pytest.raises(DataError, match=words):
        Raster(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offsets": np.array([[0, 3, 2], [2, 3, 5]])}, "image 0, step 1: from 3 to 2"),
        ({"offsets": np.array([[0, 2, 3], [4, 4, 5]])}, "image 1 starts at 4, expected 3"),
        ({"n_inputs": 3}, r"event 4 \(image 1, step 1\): input 3, allowed 0\.\.2"),
    ],
)  # fmt: skip
def test_check_names_the_first_fault(change, words):
    raster = Raster(**{**GOOD, **change})
    with pytest.raises(DataError, match=words):
        raster.check()
