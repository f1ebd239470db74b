"""What a worker does: train and judge the configurations of a batch on shared rasters.

Everything that goes in and out is plain data, so that a batch can travel to another process or machine.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from tinysnn_hw import learning
from tinysnn_hw.cost import cost, memory_footprint
from tinysnn_hw.data import Dataset, load_dataset
from tinysnn_hw.errors import DataError, SpecError, TinySnnError
from tinysnn_hw.explore.candidate import Candidate
from tinysnn_hw.explore.pareto import front_ranks
from tinysnn_hw.learning import Model
from tinysnn_hw.quantize import quantize
from tinysnn_hw.records import Activity, Result
from tinysnn_hw.spec import NetworkSpec
from tinysnn_hw.spec.hardware import HardwareSpec
from tinysnn_hw.spec.space import OBJECTIVES, HalvingSpec

_KEPT_MODELS = 12
"""Float64 networks a worker keeps, from which it quantizes after training."""
Hardware = str | HardwareSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRef:
    """How a worker finds the data, and how it knows that it is the same data.

    Attributes
    ----------
    name : str
        As `load_dataset` takes it.
    data_dir : str or None
    limit_train : int or None
        First training images used.
    holdout : int
        Training images held out, of those.
    digests : tuple of str
        SHA-256 of the arrays of the data set made so.
    """

    name: str
    data_dir: str | None
    limit_train: int | None
    holdout: int
    digests: tuple[str, ...] = ()

    def load(self) -> Dataset:
        """Return the data to choose on: its test images are training images held out.

        Raises
        ------
        DataError, DataNotFoundError
            It is not on this machine, or it is not the same.
        """
        return _load(self)


@lru_cache(maxsize=2)
def _load(ref: DataRef) -> Dataset:
    data = load_dataset(ref.name, ref.data_dir)
    if ref.limit_train is not None:
        data = data.limit(ref.limit_train)
    data = data.holdout(ref.holdout)
    if ref.digests and tuple(data.digests) != ref.digests:
        raise DataError(
            f"data set {ref.name!r} from {data.source} is not the one the study was begun with; give every worker the "
            "same files"
        )
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Configurations to judge together.

    Attributes
    ----------
    candidates : tuple of Candidate
    data : DataRef
    label_images : int
    seeds : tuple of int
    spike_seed : int
    hardware : str or HardwareSpec
    objectives : tuple of str
    halving : HalvingSpec or None
    backend : {"auto", "cpu", "cuda"}
        Where networks run that are trained in fixed point; the others run on the cpu.
    """

    candidates: tuple[Candidate, ...]
    data: DataRef
    label_images: int
    seeds: tuple[int, ...]
    spike_seed: int
    hardware: Hardware
    objectives: tuple[str, ...]
    halving: HalvingSpec | None
    backend: str = "cpu"

    def only(self, candidates: Sequence[Candidate]) -> Batch:
        """Return the same batch with other configurations."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return Batch(**{**values, "candidates": tuple(candidates)})


@dataclass(slots=True)
class Outcome:
    """What became of one configuration.

    Attributes
    ----------
    state : {"complete", "pruned", "failed"}
    result : dict
        Numbers, ready for JSON; of a pruned configuration those of its last round.
    reason : str
        Why it failed or was pruned.
    rounds : list
        ``[training images, accuracy]`` of every round.
    images : int
        Images shown in training, labelling and judging.
    kernel_s : float
        Share of the time spent in training and judging [s].
    """

    state: str = "failed"
    result: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    rounds: list[list[float]] = field(default_factory=list)
    images: int = 0
    kernel_s: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Outcomes of a batch in its order, and the time it took.

    Attributes
    ----------
    outcomes : list of Outcome
    kernel_s : float
        In training and judging [s].
    busy_s : float
        From the arrival of the batch to its return [s].
    """

    outcomes: list[Outcome]
    kernel_s: float
    busy_s: float


def evaluate_batch(batch: Batch) -> BatchResult:
    """Train and judge the configurations of a batch, on one thread.

    With halving, all start on few training images; after every round the best by Pareto rank of the objectives, then
    accuracy, go on.  A configuration that raises fails alone: the others are done without it.

    Raises
    ------
    DataError, DataNotFoundError
        The data is not here, or not the same; this is no fault of a configuration.
    BackendUnavailableError
        The batch asks for a GPU, and there is none.
    """
    learning.choose_backend(batch.backend, len(batch.candidates), training=True)
    began = time.perf_counter()
    data = batch.data.load()
    outcomes = [Outcome() for _ in batch.candidates]
    alive = list(range(len(outcomes)))
    rounds = [n for n in batch.halving.images if n < data.n_train] if batch.halving else []
    for n in (*rounds, None):
        part = data if n is None else data.limit(n, min(n, data.n_test))
        alive = _round(batch, part, alive, outcomes)
        if n is not None and batch.halving is not None:
            alive = _best(batch, alive, outcomes, batch.halving.keep, n)
    for k in alive:
        outcomes[k].state = "complete"
    return BatchResult(outcomes, sum(one.kernel_s for one in outcomes), time.perf_counter() - began)


def _round(batch: Batch, data: Dataset, alive: list[int], outcomes: list[Outcome]) -> list[int]:
    """Judge those still alive on `data`; return those that did not fail."""
    if not alive:
        return alive
    began = time.perf_counter()
    try:
        results = _judge(batch, data, [batch.candidates[k] for k in alive])
    except Exception as error:
        if batch.backend != "cpu" and not isinstance(error, TinySnnError):
            raise  # a GPU that fails is no fault of a configuration either
        if len(alive) == 1:
            outcomes[alive[0]].reason = describe(error)
            outcomes[alive[0]].kernel_s += time.perf_counter() - began
            return []
        return [k for one in alive for k in _round(batch, data, [one], outcomes)]
    share = (time.perf_counter() - began) / len(alive)
    for k, result in zip(alive, results, strict=True):
        outcomes[k].result = result
        outcomes[k].rounds.append([data.n_train, result["accuracy"]])
        outcomes[k].images += result["images"]
        outcomes[k].kernel_s += share
    return alive


def _best(batch: Batch, alive: list[int], outcomes: list[Outcome], keep: float, images: int) -> list[int]:
    """Return the best of those alive; the others are pruned."""
    if not alive:
        return alive
    results = [outcomes[k].result for k in alive]
    ranks = front_ranks([objective_costs(result, batch.objectives) for result in results])
    order = sorted(range(len(alive)), key=lambda row: (ranks[row], -results[row]["accuracy"], row))
    n = math.ceil(len(alive) * keep)
    for row in order[n:]:
        outcomes[alive[row]].state = "pruned"
        why = f"not among the best {n} of {len(alive)} of its batch after {images:,} training images"
        outcomes[alive[row]].reason = why
    return sorted(alive[row] for row in order[:n])


def objective_values(result: Mapping[str, Any], objectives: Sequence[str]) -> list[float]:
    """Return the objectives of a result: percent, bit, joule."""
    keys = {"accuracy": "accuracy", "memory": "memory_bits", "energy": "energy_j"}
    return [float(result[keys[name]]) for name in objectives]


def objective_costs(result: Mapping[str, Any], objectives: Sequence[str]) -> list[float]:
    """Return the objectives of a result, turned so that smaller is better."""
    values = objective_values(result, objectives)
    return [
        -value if OBJECTIVES[name] == "maximize" else value
        for name, value in zip(objectives, values, strict=True)
    ]


def describe(error: BaseException) -> str:
    """Return an error as the reason of a failure."""
    return str(error) if isinstance(error, TinySnnError) else f"{type(error).__name__}: {error}"


def _judge(batch: Batch, data: Dataset, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    models = train_candidates(candidates, data, batch.seeds, batch.spike_seed, backend=batch.backend)
    label = min(batch.label_images, data.n_train)
    flat = [model for of_one in models for model in of_one]
    results: list[Result | None] = [None] * len(flat)
    for arithmetic in ("fixed", "float64"):
        rows = [row for row, model in enumerate(flat) if model.arithmetic == arithmetic]
        chosen, place = [flat[row] for row in rows], batch.backend if arithmetic == "fixed" else "cpu"
        found: list[Result] = []
        if rows:
            found = learning.evaluate_many(chosen, data, label_images=label, backend=place, threads=1)
        for row, result in zip(rows, found, strict=True):
            results[row] = result
    n = len(batch.seeds)
    return [
        _summary(
            candidate, models[k], [one for one in results[k * n : (k + 1) * n] if one], label, batch.hardware
        )
        for k, candidate in enumerate(candidates)
    ]


def train_candidates(
    candidates: Sequence[Candidate],
    data: Dataset,
    seeds: Sequence[int],
    spike_seed: int,
    *,
    threads: int = 1,
    backend: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> list[list[Model]]:
    """Return the trained models of every configuration, seed by seed; float64 sources are trained once."""
    n = len(seeds)
    options: dict[str, Any] = {"spike_seed": spike_seed, "threads": threads, "progress": progress}
    direct = [k for k, candidate in enumerate(candidates) if candidate.scheme == "itq"]
    models: list[list[Model]] = [[] for _ in candidates]
    if direct:
        networks = [candidates[k].network for k in direct]
        found = learning.train_many(networks, data, seeds=seeds, backend=backend, **options)
        for row, k in enumerate(direct):
            models[k] = found[row * n : (row + 1) * n]
    for k, candidate in enumerate(candidates):
        if candidate.scheme == "itq":
            continue
        floats = _float_models(candidate.trained, data, tuple(seeds), options)
        models[k] = (
            floats if candidate.scheme == "float" else [_quantized(one, candidate.network) for one in floats]
        )
    return models


_float_cache: OrderedDict[tuple[Any, ...], list[Model]] = OrderedDict()


def _float_models(
    network: NetworkSpec, data: Dataset, seeds: tuple[int, ...], options: Mapping[str, Any]
) -> list[Model]:
    key = (network.model_dump_json(), tuple(data.digests), seeds, options["spike_seed"])
    if key not in _float_cache:
        _float_cache[key] = learning.train_many(
            [network], data, seeds=seeds, arithmetic="float64", backend="cpu", **options
        )
        while len(_float_cache) > _KEPT_MODELS:
            _float_cache.popitem(last=False)
    _float_cache.move_to_end(key)
    return _float_cache[key]


def _quantized(model: Model, network: NetworkSpec) -> Model:
    """Return a float64 model cut to the formats of `network`, each register with its own rounding."""
    registers = [
        name for name in ("weight", "v_mem", "v_th", "v_inh") if getattr(network.formats, name) is not None
    ]
    target = network.model_dump(mode="json")["formats"]
    cut = model
    for mode in sorted({target[name]["rounding"] for name in registers}):
        formats = {name: target[name]["format"] for name in registers if target[name]["rounding"] == mode}
        cut = quantize(cut, rounding=mode, seed=model.seed, **formats)
    return cut


def _summary(
    candidate: Candidate, models: Sequence[Model], results: Sequence[Result], label: int, hardware: Hardware
) -> dict[str, Any]:
    n = len(results)
    network, is_float = candidate.network, candidate.scheme == "float"
    activity = _sum([one.activity for one in results])
    trained_in_float = candidate.scheme != "itq"
    energy = cost(
        network, activity, hardware=hardware, arithmetic="float32" if is_float else "fixed"
    ).energy_j
    train_energy, why = _training_energy(
        candidate.trained, _sum([model.activity for model in models]), hardware, trained_in_float
    )
    packing = "word32" if is_float else "packed"
    train_packing = "word32" if trained_in_float else "packed"
    return {
        "accuracy": sum(one.accuracy for one in results) / n,
        "accuracy_by_seed": [one.accuracy for one in results],
        "readouts": {name: sum(one.readouts[name] for one in results) / n for name in results[0].readouts},
        "memory_bits": memory_footprint(network, packing=packing).bits,
        "memory_bits_training": memory_footprint(
            candidate.trained, phase="training", packing=train_packing
        ).bits,
        "energy_j": energy,
        "energy_j_training": train_energy,
        "energy_j_training_unknown": why,
        "scheme": candidate.scheme,
        "neurons": network.network.neurons,
        "spikes_per_image": sum(one.spikes_per_image for one in results) / n,
        "silent_images": sum(one.silent_images for one in results) / n,
        "kernel": models[0].kernel,
        "images": sum(
            model.presentations + label + one.n_images for model, one in zip(models, results, strict=True)
        ),
    }


def _training_energy(
    network: NetworkSpec, activity: Activity, hardware: Hardware, is_float: bool
) -> tuple[float | None, str]:
    """Return the energy of one training image, or why it is unknown: some chips state none for learning."""
    try:
        found = cost(
            network,
            activity,
            hardware=hardware,
            phase="training",
            arithmetic="float32" if is_float else "fixed",
        )
    except SpecError as error:
        return None, str(error)
    return found.energy_j, ""


def _sum(activities: Sequence[Activity]) -> Activity:
    total = activities[0]
    for one in activities[1:]:
        total = total + one
    return total


__all__ = [
    "Batch", "BatchResult", "DataRef", "Outcome", "describe", "evaluate_batch", "objective_costs", "objective_values",
    "train_candidates",
]  # fmt: skip
