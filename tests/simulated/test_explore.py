"""A batch of a study on the GPU gives each configuration what the CPU gives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulated.test_runs import plain  # noqa: F401  # a fixture
from tinysnn_hw.explore.candidate import make_candidate
from tinysnn_hw.explore.work import Batch, DataRef, evaluate_batch
from tinysnn_hw.spec.space_load import space_from_dict

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

TINY = str(Path(__file__).parents[1] / "cli" / "tiny.toml")
SPACE = space_from_dict(
    {
        "name": "tiny", "summary": "s", "network": TINY, "search": {"sampler": "random", "trials": 1},
        "settings": {"encoding.n_steps": 8, "learning.update_steps": 4, "learning.epochs": 1, "neurons": 4,
                     "encoding.rate_max_hz": 900.0},
        "parameters": {"weight": ["u0.8", "u0.4", "u0.10"], "rounding": ["floor", "stochastic"],
                       "neuron.refractory": [1, 3]},
    },
    "tiny",
)  # fmt: skip
POINTS = [("u0.8", "floor", 1), ("u0.4", "stochastic", 3), ("u0.10", "floor", 3)]


def test_a_batch_of_own_formats_seeds_and_settings(plain: None) -> None:  # noqa: F811
    keys = tuple(SPACE.parameters)
    batch = {
        backend: Batch(
            candidates=tuple(
                make_candidate(SPACE, dict(zip(keys, point, strict=True)), "digits") for point in POINTS
            ),
            data=DataRef(name="digits", data_dir=None, limit_train=5, holdout=2), label_images=3, seeds=(1, 2),
            spike_seed=5, hardware="edge-45nm", objectives=("accuracy", "memory"), halving=None, backend=backend,
        )
        for backend in ("cuda", "cpu")
    }  # fmt: skip
    found = {backend: evaluate_batch(one).outcomes for backend, one in batch.items()}
    for a, b in zip(found["cuda"], found["cpu"], strict=True):
        assert (a.state, a.reason) == ("complete", "") and b.state == "complete", b.reason
        assert a.result.pop("kernel").startswith("cuda w") and b.result.pop("kernel") == "generic"
        assert a.result == b.result and a.rounds == b.rounds and a.images == b.images
        assert a.result["spikes_per_image"] > 0
