"""Pareto fronts against their definition, the knee and Eq. 3 against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.explore import front_ranks, knee, pareto_front, reward

tables = st.integers(1, 3).flatmap(
    lambda columns: st.lists(st.tuples(*[st.integers(0, 5)] * columns), min_size=1, max_size=25)
)


def beats(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(tables)
def test_the_front_is_what_nothing_beats(rows):
    front = pareto_front(rows).tolist()
    assert sorted(front) == [k for k, row in enumerate(rows) if not any(beats(other, row) for other in rows)]
    assert [rows[k] for k in front] == sorted(rows[k] for k in front)


@given(tables)
def test_ranks_peel_one_front_after_the_other(rows):
    ranks = front_ranks(rows).tolist()
    left = list(range(len(rows)))
    rank = 0
    while left:
        front = [k for k in left if not any(beats(rows[other], rows[k]) for other in left)]
        assert {ranks[k] for k in front} == {rank}
        left = [k for k in left if k not in front]
        rank += 1


def test_an_empty_table_has_no_front():
    assert pareto_front(np.zeros((0, 2))).tolist() == []


def test_the_knee_is_farthest_from_the_line_between_the_ends():
    assert knee([(0, 10), (1, 3), (4, 2), (10, 0)]) == 1
    assert knee([(0, 1), (1, 0)]) == 0
    assert knee([(3, 3)]) == 0


def test_reward_is_equation_3():
    # 90 % at half the memory, mu = 10 points: 90 - 10 * 0.5.
    assert reward([90.0, 95.0], [500, 1000], 1000, 10.0).tolist() == [85.0, 85.0]
    assert reward([90.0], [500], 1000, 0.0).tolist() == [90.0]


@pytest.mark.parametrize("mu", [0.0, 3.0, 50.0])
@given(rows=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**7)), min_size=1, max_size=20))
def test_the_highest_reward_is_on_the_front_of_accuracy_and_memory(rows, mu):
    accuracy, memory = map(np.array, zip(*rows, strict=True))
    best = reward(accuracy, memory, 10**7, mu).max()
    front = pareto_front(np.column_stack((-accuracy, memory)))
    assert reward(accuracy[front], memory[front], 10**7, mu).max() == best
