"""Registers of a given width: the split of their bits at the binary point."""

from __future__ import annotations

import math
from itertools import product
from types import SimpleNamespace

import pytest

from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Format
from tinysnn_hw.quantize import Points, Trial, choose_splits, make_splits, parse_widths
from tinysnn_hw.spec import load_network

POSSIBLE = ("weight", "v_mem", "v_th", "theta", "c_pre")


def formats(*texts):
    return tuple(Format.parse(text) for text in texts)


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("weight=8", {"weight": 8}),
        ("qW=4, v_mem=8", {"weight": 4, "v_mem": 8}),
        ("qWN=8,weight=4", {"weight": 4, "v_mem": 8, "v_th": 8}),
    ],
)
def test_widths_are_read(text, widths):
    assert parse_widths(text, POSSIBLE) == widths


@pytest.mark.parametrize(
    "text", ["weight", "weight=", "weight=0", "weight=33", "weight=8.5", "=8", "x=8", "qWN=8,"]
)
def test_widths_that_cannot_be_read_are_named(text):
    with pytest.raises(SpecError, match="--bits"):
        parse_widths(text, POSSIBLE)


def test_splits_begin_with_what_holds_all_values():
    starts = dict(zip(POSSIBLE, formats("u0.8", "u7.8", "s7.8", "u7.16", "u8.0"), strict=True))
    space = make_splits(starts, {"v_mem": 8, "v_th": 8, "weight": 2, "c_pre": 6}, reach=1)
    assert space == {
        "v_mem": formats("u7.1", "u6.2"),
        "v_th": formats("s7.1", "s6.2"),
        "weight": formats("u0.2", "u-1.3"),
        "c_pre": formats("u6.0"),
    }


class Scored:
    """Points whose accuracy is a function of the formats."""

    reference = (90.0,)
    data = SimpleNamespace(n_test=3600)  # two standard errors are 1 point

    def __init__(self, accuracy):
        self.accuracy = accuracy

    def evaluate(self, choices, stage):
        trials = []
        for choice in choices:
            texts = {name: str(fmt) for name, fmt in choice.items()}
            accuracy = self.accuracy(texts)
            trials.append(
                Trial(formats=texts, accuracies=() if accuracy is None else (accuracy,), memory_bits=0,
                      training_bits=0, refused="too narrow" if accuracy is None else "")
            )  # fmt: skip
        return trials


SPACE = {"v_mem": formats("u7.1", "u8.0", "u6.2"), "v_th": formats("u7.1", "u8.0", "u6.2")}


@pytest.mark.parametrize(("gain", "chosen"), [(0.9, "u7.1"), (1.1, "u6.2")])
def test_luck_does_not_choose(gain, chosen):
    found = choose_splits(Scored(lambda texts: 80.0 + gain * (texts["v_th"] == "u6.2")), SPACE)
    assert found.margin == pytest.approx(1.0)
    assert found.formats == dict(zip(SPACE, formats("u7.1", chosen), strict=True))


def test_registers_that_need_each_other_are_chosen_again():
    gains = {("u7.1", "u6.2"): 5.0, ("u6.2", "u6.2"): 9.0}
    found = choose_splits(Scored(lambda texts: 80.0 + gains.get((texts["v_mem"], texts["v_th"]), 0.0)), SPACE)
    assert found.formats == dict(zip(SPACE, formats("u6.2", "u6.2"), strict=True))


def test_no_two_registers_chase_each_other():
    gains = {"u7.1": "u8.0", "u8.0": "u6.2", "u6.2": "u7.1"}
    found = choose_splits(
        Scored(lambda t: 80.0 + 5.0 * (gains[t["v_mem"]] == t["v_th"]) + 5.0 * (t["v_mem"] == t["v_th"])),
        SPACE,
    )
    assert set(found.formats) == set(SPACE)


def test_what_cannot_exist_is_left_out_and_named_if_nothing_else_is_there():
    found = choose_splits(Scored(lambda texts: None if texts["v_mem"] == "u7.1" else 50.0), SPACE)
    assert str(found.formats["v_mem"]) == "u8.0"
    with pytest.raises(SpecError, match="for v_mem: too narrow"):
        choose_splits(Scored(lambda texts: None), SPACE)


def test_the_splits_found_are_as_good_as_those_of_exhaustive_search():
    data = load_dataset("digits").limit(900).holdout(400)
    points = Points(load_network("tinysnn-wta", recipe="digits", neurons=40, epochs=2), data, threads=1)
    starts = dict(zip(("weight", "v_mem", "v_th"), formats("u0.8", "u6.8", "u6.8"), strict=True))
    space = make_splits(starts, {"weight": 4, "v_mem": 6, "v_th": 6})
    found = choose_splits(points, space)
    every = points.evaluate([dict(zip(space, each, strict=True)) for each in product(*space.values())])
    best = max(trial.accuracy for trial in every if trial.accuracy is not None)
    (chosen,) = points.evaluate([found.formats])
    assert len(every) == 27 and sum(trial.accuracy is not None for trial in every) > 8
    assert chosen.accuracy >= best - found.margin and not math.isnan(best)
