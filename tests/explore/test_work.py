"""A batch gives each configuration what it would get alone; halving keeps the best; failures stay alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinysnn_hw.cost import cost, memory_footprint
from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import DataError
from tinysnn_hw.explore.candidate import make_candidate
from tinysnn_hw.explore.work import Batch, DataRef, evaluate_batch
from tinysnn_hw.learning import evaluate, train
from tinysnn_hw.quantize import quantize
from tinysnn_hw.spec.space import HalvingSpec
from tinysnn_hw.spec.space_load import space_from_dict

TINY = str(Path(__file__).parents[1] / "cli" / "tiny.toml")
REF = DataRef(name="digits", data_dir=None, limit_train=240, holdout=60)


def space(**parameters):
    return space_from_dict(
        {
            "name": "tiny", "summary": "s", "network": TINY, "search": {"sampler": "random", "trials": 1},
            "parameters": parameters,
        },
        "tiny",
    )  # fmt: skip


PAPER = space(scheme=["itq", "ptq"], bits=[8, 32], rounding=["nearest"], quantized=["qW", "qWN"])
WIDTHS = space(v_th=["s8.8", "s3.8"])


def paper(scheme, bits, kind="qWN"):
    return make_candidate(
        PAPER, {"scheme": scheme, "bits": bits, "rounding": "nearest", "quantized": kind}, "digits"
    )


def batch(candidates, **changes):
    values = {
        "data": REF, "label_images": 100, "seeds": (3,), "spike_seed": 5, "hardware": "edge-45nm",
        "objectives": ("accuracy", "memory"), "halving": None,
    }  # fmt: skip
    return Batch(candidates=tuple(candidates), **{**values, **changes})


def test_a_batch_gives_each_what_it_would_get_alone():
    itq, ptq, floating = paper("itq", 8), paper("ptq", 8), paper("itq", 32)
    outcomes = evaluate_batch(batch([itq, ptq, floating], seeds=(3, 4))).outcomes
    assert [one.state for one in outcomes] == ["complete"] * 3, [one.reason for one in outcomes]

    data = load_dataset("digits").limit(240).holdout(60)
    for candidate, outcome in zip((itq, ptq, floating), outcomes, strict=True):
        accuracies = []
        for seed in (3, 4):
            arithmetic = "fixed" if candidate.scheme == "itq" else "float64"
            model = train(candidate.trained, data, seed=seed, spike_seed=5, arithmetic=arithmetic)
            if candidate.scheme == "ptq":
                model = quantize(model, preset="qWN", bits=8, rounding="nearest", seed=seed)
            found = evaluate(model, data, label_images=100)
            accuracies.append(found.accuracy)
        assert outcome.result["accuracy_by_seed"] == accuracies
        assert outcome.result["accuracy"] == sum(accuracies) / 2
        is_float = candidate.scheme == "float"
        assert (
            outcome.result["memory_bits"]
            == memory_footprint(candidate.network, packing="word32" if is_float else "packed").bits
        )
        assert outcome.images == 2 * (2 * 180 + 100 + 60), "two seeds; two epochs, labels, judging"
    one = evaluate(train(itq.network, data, seed=3, spike_seed=5), data, label_images=100)
    alone = evaluate_batch(batch([itq])).outcomes[0]
    assert alone.result["energy_j"] == cost(itq.network, one.activity, hardware="edge-45nm").energy_j


def test_a_configuration_that_raises_fails_alone():
    good = make_candidate(WIDTHS, {"v_th": "s8.8"}, "digits")
    bad = make_candidate(WIDTHS, {"v_th": "s3.8"}, "digits")  # a threshold of 8 needs more integer bits
    outcomes = evaluate_batch(batch([good, bad, good])).outcomes
    assert [one.state for one in outcomes] == ["complete", "failed", "complete"]
    assert "formats.v_th = s3.8" in outcomes[1].reason
    assert outcomes[0].result["accuracy"] == outcomes[2].result["accuracy"]


def test_halving_shows_the_worse_ones_fewer_images():
    wide = space(weight=["u0.8", "u0.6", "u0.4", "u0.2", "u0.1"])
    made = [make_candidate(wide, {"weight": weight}, "digits") for weight in ("u0.8", "u0.6", "u0.4", "u0.1")]
    full = evaluate_batch(batch(made, objectives=("accuracy",)))
    halved = evaluate_batch(
        batch(made, objectives=("accuracy",), halving=HalvingSpec(images=(40, 500), keep=0.5))
    )
    states = [one.state for one in halved.outcomes]
    assert sorted(states) == ["complete", "complete", "pruned", "pruned"]
    for one, whole in zip(halved.outcomes, full.outcomes, strict=True):
        if one.state == "complete":
            assert one.result["accuracy"] == whole.result["accuracy"]
            assert [images for images, _ in one.rounds] == [40, 180]
        else:
            assert "best 2 of 4" in one.reason and [images for images, _ in one.rounds] == [40]
    first = [one.rounds[0][1] for one in halved.outcomes]
    kept = [accuracy for accuracy, state in zip(first, states, strict=True) if state == "complete"]
    gone = [accuracy for accuracy, state in zip(first, states, strict=True) if state == "pruned"]
    assert min(kept) >= max(gone)
    assert sum(one.images for one in halved.outcomes) < sum(one.images for one in full.outcomes)


def test_other_data_than_the_study_began_with_is_refused():
    other = DataRef(name="digits", data_dir=None, limit_train=240, holdout=60, digests=("0",) * 4)
    with pytest.raises(DataError, match="is not the one the study was begun with"):
        evaluate_batch(batch([paper("itq", 8)], data=other))
