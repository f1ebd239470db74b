"""A GPU in a study: what goes to it, in which batches, and that it may die like any worker."""

from __future__ import annotations

from dataclasses import replace

import fake_work
import pytest
from conftest import small_space

from tinysnn_hw.engine.cuda import device
from tinysnn_hw.errors import BackendUnavailableError, SpecError
from tinysnn_hw.explore import explore, study_backend
from tinysnn_hw.explore.batches import GPU_NETWORKS, Asked, choose_for_cpu, choose_for_gpu, gpu_batch
from tinysnn_hw.explore.candidate import make_candidate
from tinysnn_hw.explore.work import Batch, BatchResult
from tinysnn_hw.spec.space_load import space_from_dict


@pytest.fixture
def some_gpu(monkeypatch):
    monkeypatch.setattr(device, "why_unavailable", lambda: None)
    monkeypatch.setattr(device, "device_name", lambda: "a GPU")
    monkeypatch.setattr(device, "is_simulated", lambda: False)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(device, "why_unavailable", lambda: "none here")


def test_auto_says_what_it_chose(some_gpu, space):
    assert (chosen := study_backend(space, "auto")).name == "cuda" and chosen.why == "a GPU"
    few = study_backend(small_space(trials=5), "auto")
    assert few.name == "cpu" and few.why == "5 networks do not fill a GPU; 16 would"
    assert study_backend(space, "cpu").name == "cpu"
    assert study_backend(space, "auto", "dask://here:1").why == "each worker of the cluster chooses"
    with pytest.raises(SpecError, match="backend = 'gpu'; allowed: auto, cpu, cuda"):
        study_backend(space, "gpu")


def test_no_gpu(no_gpu, space, tmp_path):
    assert study_backend(space, "auto").why == "none here"
    with pytest.raises(BackendUnavailableError, match="none here"):
        explore(space, "digits", tmp_path / "s", backend="cuda", work=fake_work.evaluate)
    assert not (tmp_path / "s").exists()


def test_only_batches_that_nothing_looks_at_grow(space):
    assert gpu_batch(space) == GPU_NETWORKS
    assert gpu_batch(small_space(sampler="tpe", trials=9)) == 3
    seeds = space.protocol.model_copy(update={"seeds": (0, 1, 2, 3)})
    assert gpu_batch(space.model_copy(update={"protocol": seeds})) == GPU_NETWORKS // 4


MIXED = space_from_dict(
    {
        "name": "mixed", "summary": "s", "network": "tinysnn-wta", "search": {"sampler": "random", "trials": 1},
        "parameters": {"scheme": ["itq", "ptq"], "bits": [8, 32], "neurons": [10, 20], "rounding": ["floor", "nearest"],
                       "learning.n_th": [3, 4]},
    },
    "mixed",
)  # fmt: skip


def asked(number, **values):
    defaults = {"scheme": "itq", "bits": 8, "neurons": 10, "rounding": "floor", "learning.n_th": 4}
    return Asked(number, make_candidate(MIXED, {**defaults, **values}, "digits"), str(number))


def test_a_gpu_gets_one_shape_in_fixed_point_and_the_cpu_the_rest():
    pool = [
        asked(0, scheme="ptq"), asked(1), asked(2, neurons=20), asked(3, rounding="nearest"),
        asked(4, **{"learning.n_th": 3}), asked(5, bits=32),
    ]  # fmt: skip
    numbers = lambda chosen: [one.number for one in chosen]  # noqa: E731
    assert numbers(choose_for_gpu(pool, MIXED)) == [1, 3, 4]
    assert sorted(numbers(choose_for_cpu(pool, MIXED, 1, "cuda"))) == [0, 5]
    assert sorted(numbers(choose_for_cpu(pool, MIXED, 1, "cpu"))) == list(range(6))
    pool[3] = replace(pool[3], alone=True)
    assert numbers(choose_for_gpu(pool, MIXED)) == [1, 4]
    assert numbers(choose_for_gpu([pool[0], pool[3]], MIXED)) == [3]
    assert choose_for_gpu([pool[0]], MIXED) == [] and choose_for_cpu([pool[1]], MIXED, 1, "cuda") == []


def evaluate(batch: Batch) -> BatchResult:
    """Fake work that is only for a GPU."""
    assert batch.backend == "cuda" and len(batch.candidates) in (24, 1)
    return fake_work.evaluate(batch)


def test_a_batch_whose_gpu_worker_dies_is_tried_trial_by_trial(some_gpu, space, tmp_path, monkeypatch):
    monkeypatch.setenv(fake_work.LOG, str(tmp_path / "log"))
    monkeypatch.setenv(fake_work.KILLER, "u0.4 s8.8")
    found = explore(space, "digits", tmp_path / "s", executor="local:1", backend="cuda", work=evaluate)
    assert found.backend.name == "cuda"
    reasons = [row.reason for row in found.study.trials if row.state == "failed"]
    assert len(found.study.trials) == 24 and len(reasons) == 5, "four with 3 bits and the killer"
    assert sum("its worker process died, three times" in reason for reason in reasons) == 1
    again = explore(space, "digits", tmp_path / "s", executor="local:1", backend="cpu", work=evaluate)
    assert again.timing.trials == 0, "a study goes on with another back end; nothing was left"
