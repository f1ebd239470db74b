"""Readouts against hand-made cases, naive loops in exact fractions, and symmetry."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.errors import DataError
from tinysnn_hw.learning.readout import (
    MAX_SPIKES,
    NAIVE_BAYES_ALPHA,
    READOUTS,
    ClassResponses,
    accuracy_percent,
    confusion,
    fit_readouts,
    predict,
)

GRID = 2**24


def responses(counts, labels, n_classes):
    counts = np.array(counts, np.uint16)
    return ClassResponses.empty(n_classes, counts.shape[1]).add(counts, np.array(labels))


def first_argmax(scores):
    """Class with the largest score, the lowest on a tie; ``None`` never wins."""
    best = None
    for label, score in enumerate(scores):
        if score is not None and (best is None or score > scores[best]):
            best = label
    return best


def naive(train, labels, test, n_classes):
    """All readouts written as loops over exact fractions; the logarithms alone are floats."""
    n_neurons = len(train[0])
    images = [labels.count(c) for c in range(n_classes)]
    spikes = [
        [
            sum(row[j] for row, label in zip(train, labels, strict=True) if label == c)
            for j in range(n_neurons)
        ]
        for c in range(n_classes)
    ]
    rate = [
        [Fraction(s, images[c]) if images[c] else Fraction(0) for s in spikes[c]] for c in range(n_classes)
    ]
    neuron_label = []
    for j in range(n_neurons):
        column = [rate[c][j] if images[c] else None for c in range(n_classes)]
        neuron_label.append(-1 if not any(column) else first_argmax(column))
    table = [[Fraction(0)] * n_neurons for _ in range(n_classes)]
    logs = [[Fraction(0)] * n_neurons for _ in range(n_classes)]
    for c in range(n_classes):
        for j in range(n_neurons):
            total = sum(rate[b][j] for b in range(n_classes))
            if total:
                table[c][j] = rate[c][j] / total
            share = (spikes[c][j] + NAIVE_BAYES_ALPHA) / (sum(spikes[c]) + NAIVE_BAYES_ALPHA * n_neurons)
            logs[c][j] = Fraction(math.log(share))
    predictions = {name: [] for name in READOUTS}
    for row in test:
        means, shares, evidence = [], [], []
        for c in range(n_classes):
            members = [j for j in range(n_neurons) if neuron_label[j] == c]
            means.append(Fraction(sum(row[j] for j in members), len(members)) if members else None)
            shares.append(sum(row[j] * table[c][j] for j in range(n_neurons)) if images[c] else None)
            evidence.append(sum(row[j] * logs[c][j] for j in range(n_neurons)) if images[c] else None)
        lowest = min(c for c in range(n_classes) if images[c])
        choice = first_argmax(means)
        predictions["mean_rate"].append(lowest if choice is None else choice)
        predictions["weighted_vote"].append(shares)
        predictions["naive_bayes"].append(evidence)
    return neuron_label, table, logs, predictions


@st.composite
def cases(draw, max_count=6):
    n_classes, n_neurons = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    row = st.lists(st.integers(0, max_count), min_size=n_neurons, max_size=n_neurons)
    train = draw(st.lists(row, min_size=1, max_size=8))
    labels = draw(
        st.lists(st.integers(0, n_classes - 1), min_size=len(train), max_size=len(train)),
    )
    return train, labels, draw(st.lists(row, min_size=1, max_size=4)), n_classes


def test_by_hand():
    # Two images of class 0, one of class 1, none of class 2.
    found = responses([[4, 0, 0], [2, 2, 0], [0, 3, 0]], [0, 0, 1], 3)
    assert found.spikes.tolist() == [[6, 2, 0], [0, 3, 0], [0, 0, 0]]
    assert found.images.tolist() == [2, 1, 0]
    readouts = fit_readouts(found)
    # Means: neuron 0 fires 3 for class 0; neuron 1 fires 1 for class 0 and 3 for class 1; neuron 2 never.
    assert readouts.neuron_label.tolist() == [0, 1, -1]
    assert readouts.p_class.tolist() == [[1.0, 0.25, 0.0], [0.0, 0.75, 0.0], [0.0, 0.0, 0.0]]
    expected = [[7 / 11, 3 / 11, 1 / 11], [1 / 6, 4 / 6, 1 / 6]]
    assert np.exp(readouts.log_likelihood[:2]) == pytest.approx(np.array(expected), abs=1e-6)
    assert readouts.log_likelihood[2].tolist() == [0.0, 0.0, 0.0]

    predicted = predict(readouts, np.array([[1, 2, 0], [3, 2, 9], [0, 0, 0], [1, 3, 0]], np.uint16))
    assert predicted["mean_rate"].tolist() == [1, 0, 0, 1]
    # Votes for class 0 / 1: 1.5 / 1.5 (tie), 3.5 / 1.5, 0 / 0 (silent), 1.75 / 2.25.
    assert predicted["weighted_vote"].tolist() == [0, 0, 0, 1]
    # Odds of one spike of neuron 0: 42/11, of neuron 1: 9/22; of neuron 2: 6/11.
    odds = [
        (42 / 11) ** a * (9 / 22) ** b * (6 / 11) ** c
        for a, b, c in ((1, 2, 0), (3, 2, 9), (0, 0, 0), (1, 3, 0))
    ]
    assert predicted["naive_bayes"].tolist() == [0 if ratio >= 1 else 1 for ratio in odds]


def test_a_class_is_judged_by_its_mean_not_its_sum():
    # Three images of class 0, where three neurons fire weakly, and one of class 1, where one fires strongly.
    readouts = fit_readouts(
        responses([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 2], [0, 0, 0, 1]], [0, 0, 0, 1], 2)
    )
    assert readouts.neuron_label.tolist() == [0, 0, 0, 1]
    predicted = predict(readouts, np.array([[2, 2, 1, 2], [2, 2, 2, 2]], np.uint16))
    assert predicted["mean_rate"].tolist() == [1, 0]


def test_ties_go_to_the_lowest_class():
    readouts = fit_readouts(responses([[1, 0], [0, 1], [1, 1]], [2, 1, 3], 4))
    assert readouts.neuron_label.tolist() == [2, 1]
    predicted = predict(readouts, np.array([[1, 1], [1, 0]], np.uint8))
    # Both neurons once: classes 1 and 2 tie in their means; half a vote each, and half from both for class 3.
    assert predicted["mean_rate"].tolist() == [1, 2]
    assert predicted["weighted_vote"].tolist() == [3, 2]
    assert predicted["naive_bayes"].tolist() == [3, 2]


def test_a_silent_image_is_the_lowest_class_that_can_win():
    readouts = fit_readouts(responses([[1, 0], [0, 1]], [2, 3], 5))
    silent = predict(readouts, np.zeros((1, 2), np.uint16))
    assert {name: classes.tolist() for name, classes in silent.items()} == {name: [2] for name in READOUTS}


def test_neurons_that_never_fired_leave_every_class_without_neurons():
    readouts = fit_readouts(responses([[0, 0], [0, 0]], [1, 2], 3))
    assert readouts.neuron_label.tolist() == [-1, -1]
    assert not readouts.p_class.any()
    predicted = predict(readouts, np.array([[5, 1]], np.uint16))
    assert {name: classes.tolist() for name, classes in predicted.items()} == {name: [1] for name in READOUTS}


@given(cases())
def test_against_exact_loops(case):
    train, labels, test, n_classes = case
    readouts = fit_readouts(responses(train, labels, n_classes))
    neuron_label, table, logs, expected = naive(train, labels, test, n_classes)
    assert readouts.neuron_label.tolist() == neuron_label
    predicted = predict(readouts, np.array(test, np.uint16))
    assert predicted["mean_rate"].tolist() == expected["mean_rate"]
    for c in range(n_classes):
        for j in range(len(train[0])):
            assert abs(Fraction(readouts.p_class[c, j]) - table[c][j]) <= Fraction(1, 2 * GRID)
            if c in labels:
                assert abs(Fraction(readouts.log_likelihood[c, j]) - logs[c][j]) < Fraction(1, GRID)
    # Rounding the tables may only decide what is closer than their grid.
    slack = Fraction(sum(map(max, test)) * len(train[0]), GRID)
    for name in ("weighted_vote", "naive_bayes"):
        for winner, scores in zip(predicted[name].tolist(), expected[name], strict=True):
            assert scores[winner] is not None
            assert max(score for score in scores if score is not None) - scores[winner] <= slack


@given(cases(), st.randoms())
def test_tables_decide_exactly(case, random):
    """The prediction is the exact maximum of counts times tables, whatever the order of the neurons."""
    train, labels, test, n_classes = case
    found = responses(train, labels, n_classes)
    readouts = fit_readouts(found)
    order = list(range(len(train[0])))
    random.shuffle(order)
    shuffled = fit_readouts(ClassResponses(found.spikes[:, order], found.images))
    counts = np.array(test, np.uint16)
    predicted = predict(readouts, counts)
    for name, classes in predict(shuffled, counts[:, order]).items():
        assert classes.tolist() == predicted[name].tolist()
    for name, table in (("weighted_vote", readouts.p_class), ("naive_bayes", readouts.log_likelihood)):
        for row, winner in zip(test, predicted[name].tolist(), strict=True):
            scores = [
                sum(n * Fraction(value) for n, value in zip(row, table[c], strict=True))
                if c in labels
                else None
                for c in range(n_classes)
            ]
            assert winner == first_argmax(scores)


@given(cases(), st.data())
def test_renaming_the_classes_renames_the_predictions(case, data):
    train, labels, test, n_classes = case
    renamed = data.draw(st.permutations(range(n_classes)))
    readouts = fit_readouts(responses(train, labels, n_classes))
    others = fit_readouts(responses(train, [renamed[label] for label in labels], n_classes))
    assert others.p_class[list(renamed)].tolist() == readouts.p_class.tolist()
    assert others.log_likelihood[list(renamed)].tolist() == readouts.log_likelihood.tolist()
    assert others.images[list(renamed)].tolist() == readouts.images.tolist()
    # Ties fall by index, so only predictions without a tie must follow the names.
    counts = np.array(test, np.uint16)
    predicted, followed = predict(readouts, counts), predict(others, counts)
    _, table, logs, _ = naive(train, labels, test, n_classes)
    for name, exact in (("weighted_vote", table), ("naive_bayes", logs)):
        for i, row in enumerate(test):
            scores = sorted(
                sum(n * exact[c][j] for j, n in enumerate(row)) for c in range(n_classes) if c in labels
            )
            if len(scores) == 1 or scores[-1] - scores[-2] > Fraction(1000, GRID):
                assert followed[name][i] == renamed[predicted[name][i]]


@given(cases(), st.integers(0, 8))
def test_labelling_in_parts_is_labelling_at_once(case, cut):
    train, labels, _, n_classes = case
    counts, classes = np.array(train, np.uint16), np.array(labels)
    whole = ClassResponses.empty(n_classes, counts.shape[1]).add(counts, classes)
    start = ClassResponses.empty(n_classes, counts.shape[1])
    parts = start.add(counts[:cut], classes[:cut]).add(counts[cut:], classes[cut:])
    assert not start.spikes.any() and not start.images.any()
    assert parts.spikes.tolist() == whole.spikes.tolist()
    assert parts.images.tolist() == whole.images.tolist()


def test_blocks_of_images_change_nothing():
    rng = np.random.default_rng(1)
    readouts = fit_readouts(
        ClassResponses.empty(10, 20).add(rng.integers(0, 9, (500, 20)), rng.integers(0, 10, 500))
    )
    counts = rng.integers(0, 9, (2500, 20)).astype(np.uint16)
    whole = predict(readouts, counts)
    for name in READOUTS:
        rows = [predict(readouts, counts[i : i + 1])[name][0] for i in range(0, 2500, 97)]
        assert whole[name][::97].tolist() == rows


def test_no_images_no_predictions():
    readouts = fit_readouts(responses([[1]], [0], 1))
    assert {
        name: len(classes) for name, classes in predict(readouts, np.zeros((0, 1), np.uint16)).items()
    } == (dict.fromkeys(READOUTS, 0))


def test_sums_do_not_overflow_the_counters():
    found = responses(np.full((300, 1), 65535), [0] * 300, 1)
    assert found.spikes.tolist() == [[300 * 65535]]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: fit_readouts(ClassResponses.empty(2, 3)), "at least one training image"),
        (lambda: responses([[1, 2]], [2], 2), r"labels: entry 0 is 2; allowed 0\.\.1"),
        (lambda: responses([[1, 2]], [0, 1], 2), "labels: 2 for 1 images"),
        (lambda: responses([[1, 2]], [0.0], 2), "labels: float64"),
        (lambda: ClassResponses.empty(2, 3).add(np.zeros((1, 2), int), np.zeros(1, int)), r"\[n_images, 3\]"),
        (lambda: predict(fit_readouts(responses([[1]], [0], 1)), np.array([[1.0]])), "counts: float64"),
        (lambda: predict(fit_readouts(responses([[1]], [0], 1)), np.array([[-1]])), "negative"),
        (lambda: predict(fit_readouts(responses([[1]], [0], 1)), np.array([[MAX_SPIKES + 1]])), "8388608"),
        (lambda: confusion(np.array([0]), np.array([0, 1]), 2), "predicted: 2 classes for 1 labels"),
        (lambda: confusion(np.array([0]), np.array([-1]), 2), r"predicted: entry 0 is -1"),
        (lambda: accuracy_percent(np.array([], int), np.array([], int)), "0 labels"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(action, message):
    with pytest.raises(DataError, match=message):
        action()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_confusion_counts_pairs(pairs):
    labels, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    table = confusion(labels, predicted, 4)
    assert table.dtype == np.int64
    assert table.tolist() == [[pairs.count((a, b)) for b in range(4)] for a in range(4)]
    assert accuracy_percent(labels, predicted) == 100.0 * int(np.trace(table)) / len(pairs)
