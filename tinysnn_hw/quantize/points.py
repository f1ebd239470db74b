"""Accuracy of one network at many formats: every finished point is kept at once, and never computed twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tinysnn_hw.cost import memory_footprint
from tinysnn_hw.engine import lower
from tinysnn_hw.errors import FixedPointOverflowError, SpecError, TinySnnError
from tinysnn_hw.fixed import Format, Rounding
from tinysnn_hw.learning import Model, evaluate_many, train_many
from tinysnn_hw.learning.stream import Data, Progress
from tinysnn_hw.quantize.ptq import INFERENCE_REGISTERS, quantize, with_formats
from tinysnn_hw.spec import NetworkSpec
from tinysnn_hw.spec.registers import register_formats
from tinysnn_hw.spec.save import write_text
from tinysnn_hw.version import NUMERIC_VERSION

SCHEMES = ("in_place", "shadow", "ptq")
BATCH = 8
"""Runs that share their rasters and are kept together; an interruption loses at most so many."""

Formats = Mapping[str, Format]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one choice of formats came to.

    Attributes
    ----------
    formats : dict of str to str
        Of every register that can be chosen.
    accuracies : tuple of float
        Percent, seed by seed; empty if refused.
    memory_bits, training_bits : int
        Footprint in inference and in training, ``learned`` and ``full``; 0 if refused.
    refused : str
        Why the network cannot exist at these formats; empty if it can.
    """

    formats: dict[str, str]
    accuracies: tuple[float, ...]
    memory_bits: int
    training_bits: int
    refused: str = ""

    @property
    def accuracy(self) -> float | None:
        """Mean over the seeds [percent]; None if refused."""
        return sum(self.accuracies) / len(self.accuracies) if self.accuracies else None

    def holds(self, least: float) -> bool:
        """Return whether the accuracy is at least ``least``; a refused choice never holds."""
        return self.accuracy is not None and self.accuracy >= least


class Points:
    """Evaluates formats of one network on one data set, in batches, with a memory on disk.

    Parameters
    ----------
    network : NetworkSpec
        Formats not asked for stay as they are here.
    data : Dataset or SpikeDataset
        Its test images decide: give a data set that holds out training images (`Dataset.holdout`) to choose on.
    scheme : {"in_place", "shadow", "ptq"}
        ``in_place``: trained with these formats.  ``shadow``: trained with a shadow of the weights in their format,
        then ``v_mem`` and ``v_th`` quantized.  ``ptq``: trained in float64, then quantized.
    rounding : Rounding or str, optional
        Mode of every register whose format is asked for; absent: that of the network in training, ``nearest``
        after it.
    seeds : sequence of int
    spike_seed : int
        All runs are shown the same spikes.
    label_images : int, optional
        As in `tinysnn_hw.learning.evaluate`.
    folder : Path, optional
        Where finished points are kept, one file each; absent: only in this object.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` with points.
    threads : int, optional

    Raises
    ------
    SpecError
        The scheme or rounding is unknown, or no seed is given.
    """

    def __init__(
        self,
        network: NetworkSpec,
        data: Data,
        *,
        scheme: str = "in_place",
        rounding: Rounding | str | None = None,
        seeds: Sequence[int] = (0,),
        spike_seed: int = 0,
        label_images: int | None = None,
        folder: Path | None = None,
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> None:
        if scheme not in SCHEMES:
            raise SpecError(f"scheme = {scheme!r}; allowed: {', '.join(SCHEMES)}")
        if not seeds:
            raise SpecError("seeds: none given; at least one is required")
        self.network = network
        self.data = data
        self.scheme = scheme
        self.rounding = None if rounding is None else Rounding.parse(rounding)
        self.seeds = tuple(seeds)
        self.spike_seed = spike_seed
        self.label_images = label_images
        self.folder = folder
        self.progress = progress
        self.threads = threads
        self._known: dict[str, dict[str, Any]] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._twins: dict[int, Model] = {}

    @property
    def registers(self) -> tuple[str, ...]:
        """Registers whose format the scheme can choose, those of the most bits first."""
        formats = register_formats(self.network)
        names = [name for name in formats if getattr(self.network.formats, name, None) is not None]
        if self.scheme != "in_place":
            names = [name for name in names if name in INFERENCE_REGISTERS]
        bits = {item.name: item.bits for item in memory_footprint(self.network, phase="training").items}
        return tuple(sorted(names, key=lambda name: -bits.get(name, 0)))

    @cached_property
    def reference(self) -> tuple[float, ...]:
        """Accuracy of the float64 twin, seed by seed [percent]."""
        keys = [self._key({"reference": "float64"}, seed) for seed in self.seeds]
        missing = [(key, seed) for key, seed in zip(keys, self.seeds, strict=True) if self._read(key) is None]
        if missing:
            twins = self._trained_twins()
            results = evaluate_many(
                [twins[seed] for _, seed in missing],
                self.data,
                label_images=self.label_images,
                threads=self.threads,
            )
            for (key, _), result in zip(missing, results, strict=True):
                self._keep(key, {"accuracy": result.accuracy, "refused": ""})
        return tuple(float(self._known[key]["accuracy"]) for key in keys)

    def spec(self, formats: Formats) -> NetworkSpec:
        """Return the network with these formats."""
        return with_formats(self.network, dict(formats), self.rounding)

    def trained_in_place(self, choice: Formats) -> Model:
        """Return the network trained at these formats in fixed point, with the first seed, whatever the scheme."""
        return self._train([self.spec(choice)], self.seeds[:1], "fixed")[0]

    def size(self, choice: Formats) -> tuple[int, int, int]:
        """Return what a search makes small: bits in inference, in training, and of the chosen formats together.

        The last decides about registers that no accounting counts, such as the learning rate.  A choice that no
        network can have is larger than any other.
        """
        try:
            spec = self.spec(choice)
        except SpecError:
            return (1 << 62, 0, 0)
        training = memory_footprint(spec, phase="training").bits
        return memory_footprint(spec).bits, training, sum(fmt.width for fmt in choice.values())

    def evaluate(self, choices: Sequence[Formats], stage: str = "points") -> list[Trial]:
        """Return the trials of several choices, in their order.

        Parameters
        ----------
        choices : sequence of mappings of str to Format
        stage : str
            Name for ``progress``.
        """
        self._check(choices)
        runs = [(choice, seed, self._key(choice, seed)) for choice in choices for seed in self.seeds]
        due: dict[str, tuple[Formats, int]] = {}
        for choice, seed, key in runs:
            if self._read(key) is None:
                due.setdefault(key, (choice, seed))
        refused = {key: why for key, (choice, _) in due.items() if (why := self._refusal(choice))}
        for key, why in refused.items():
            self._keep(key, {"accuracy": None, "refused": why})
        waiting = [(key, *job) for key, job in due.items() if key not in refused]
        total, done = len({key for *_, key in runs}), len({key for *_, key in runs}) - len(waiting)
        self._say(stage, done, total)
        for first in range(0, len(waiting), BATCH):
            batch = waiting[first : first + BATCH]
            for (key, _, _), outcome in zip(batch, self._measure(batch), strict=True):
                self._keep(key, outcome)
            done += len(batch)
            self._say(stage, done, total)
        size = len(self.seeds)
        return [
            self._trial(choice, [self._known[key] for *_, key in runs[k * size : (k + 1) * size]])
            for k, choice in enumerate(choices)
        ]

    def _trial(self, choice: Formats, points: list[dict[str, Any]]) -> Trial:
        why = next((str(point["refused"]) for point in points if point["refused"]), "")
        formats = {name: str(fmt) for name, fmt in register_formats(self.network).items()}
        formats = {name: str(choice.get(name, formats[name])) for name in self.registers}
        if why:
            return Trial(formats=formats, accuracies=(), memory_bits=0, training_bits=0, refused=why)
        spec = self.spec(choice)
        return Trial(
            formats=formats,
            accuracies=tuple(float(point["accuracy"]) for point in points),
            memory_bits=memory_footprint(spec).bits,
            training_bits=memory_footprint(spec, phase="training").bits,
        )

    def _check(self, choices: Sequence[Formats]) -> None:
        for name in {name for choice in choices for name in choice}:
            if name not in self.registers:
                raise SpecError(
                    f"register {name!r} cannot be chosen with scheme {self.scheme!r}; it has "
                    f"{', '.join(self.registers)}"
                )

    def _refusal(self, choice: Formats) -> str:
        try:
            lower(self.spec(choice))
        except TinySnnError as error:
            return str(error)
        return ""

    def _measure(self, batch: Sequence[tuple[str, Formats, int]]) -> list[dict[str, Any]]:
        """Return ``accuracy`` and ``refused`` of runs; one that overflows is refused alone."""
        try:
            models = self._models(batch)
            results = evaluate_many(models, self.data, label_images=self.label_images, threads=self.threads)
        except FixedPointOverflowError as error:
            if len(batch) == 1:
                return [{"accuracy": None, "refused": str(error)}]
            return [outcome for one in batch for outcome in self._measure([one])]
        return [{"accuracy": result.accuracy, "refused": ""} for result in results]

    def _models(self, batch: Sequence[tuple[str, Formats, int]]) -> list[Model]:
        if self.scheme == "ptq":
            twins = self._trained_twins()
            return [self._quantized(twins[seed], choice) for _, choice, seed in batch]
        arithmetic = "fixed" if self.scheme == "in_place" else "shadow"
        trained: dict[int, Model] = {}
        for seed in self.seeds:
            positions = [k for k, (_, _, own) in enumerate(batch) if own == seed]
            if positions:
                specs = [self.spec(batch[k][1]) for k in positions]
                trained |= zip(positions, self._train(specs, [seed], arithmetic), strict=True)
        if self.scheme == "in_place":
            return [trained[k] for k in range(len(batch))]
        return [self._quantized(trained[k], choice) for k, (_, choice, _) in enumerate(batch)]

    def _quantized(self, model: Model, choice: Formats) -> Model:
        return quantize(model, rounding=self.rounding or Rounding.NEAREST, seed=model.seed, **_texts(choice))

    def _train(self, specs: Sequence[NetworkSpec], seeds: Sequence[int], arithmetic: str) -> list[Model]:
        return train_many(
            specs, self.data, seeds=seeds, spike_seed=self.spike_seed, arithmetic=arithmetic, threads=self.threads
        )  # fmt: skip

    def _trained_twins(self) -> dict[int, Model]:
        """Return the float64 twins of all seeds, trained once."""
        if not self._twins:
            trained = self._train([self.network], self.seeds, "float64")
            self._twins.update(zip(self.seeds, trained, strict=True))
        return self._twins

    def _config(self, choice: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return everything that decides a point's accuracy."""
        reference = "reference" in choice
        network = self.network if reference else self.spec(choice)
        return {
            "numeric_version": NUMERIC_VERSION,
            "network": network.model_dump(mode="json", exclude={"summary"}),
            "scheme": "float64" if reference else self.scheme,
            "quantized": {} if reference or self.scheme == "in_place" else _texts(choice),
            "rounding": None if reference or self.rounding is None else self.rounding.text,
            "seed": seed,
            "spike_seed": self.spike_seed,
            "data": self.data.digests._asdict(),
            "label_images": self.label_images,
        }

    def _key(self, choice: Mapping[str, Any], seed: int) -> str:
        config = self._config(choice, seed)
        key = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:32]
        self._configs[key] = config
        return key

    def _read(self, key: str) -> dict[str, Any] | None:
        if key not in self._known and self.folder is not None:
            file = self.folder / f"{key}.json"
            try:
                point = json.loads(file.read_text(encoding="utf-8"))
                self._known[key] = {"accuracy": point["accuracy"], "refused": point["refused"]}
            except FileNotFoundError:
                return None
            except (ValueError, KeyError, TypeError) as error:
                raise SpecError(
                    f"{file}: not a finished point ({type(error).__name__}: {error}); remove the file"
                ) from error
        return self._known.get(key)

    def _keep(self, key: str, outcome: dict[str, Any]) -> None:
        self._known[key] = outcome
        if self.folder is not None:
            point = {**outcome, "config": self._configs[key]}
            write_text(self.folder / f"{key}.json", json.dumps(point, indent=1) + "\n")

    def _say(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def _texts(choice: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(fmt) for name, fmt in choice.items()}


def trial_json(trial: Trial) -> dict[str, object]:
    """Return a trial as JSON."""
    return {**asdict(trial), "accuracies": list(trial.accuracies), "accuracy": trial.accuracy}


__all__ = ["BATCH", "SCHEMES", "Points", "Trial", "trial_json"]
