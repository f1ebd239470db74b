"""Results as JSON: plain dictionaries with stable keys, SI units and raw integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinysnn_hw.records import Activity, RegisterRange, Result, Validation
from tinysnn_hw.report.text import is_written
from tinysnn_hw.report.verdict import verdict
from tinysnn_hw.spec.describe import describe_network, describe_spec
from tinysnn_hw.spec.load import ResolvedNetwork
from tinysnn_hw.spec.network import NetworkSpec
from tinysnn_hw.version import NUMERIC_VERSION


def validation_json(validation: Validation) -> dict[str, object]:
    """Return a validation as JSON.

    Returns
    -------
    dict
        - ``accuracy.fixed``, ``accuracy.float``: percent, ``naive_bayes``;
          ``accuracy.readouts.<name>.{fixed,float}``;
        - ``memory_bits``, ``memory_bits_fp32``: inference, ``learned`` and ``full``; ``memory``: everything
          that `tinysnn_hw.cost.memory_table` knows;
        - ``registers.<name>.{format,min,max,min_raw,max_raw,saturated_low,saturated_high}``: training,
          labelling and test together; ``min`` to ``max_raw`` are null for a register never written;
        - ``speed.{train_images_per_s,inference_images_per_s,float_train_images_per_s}``;
        - ``fixed``, ``float``: the two evaluations as `result_json` gives them;
        - ``network``, ``recipe``, ``data``, ``kernel``, ``config``, ``versions``, ``numeric_version``,
          ``findings`` (sentences), ``notes``.
    """
    fixed, float64 = validation.fixed, validation.float64
    return {
        "network": validation.network,
        "recipe": validation.recipe,
        "data": validation.data,
        "accuracy": {
            "fixed": fixed.accuracy,
            "float": float64.accuracy,
            "readouts": {
                name: {"fixed": fixed.readouts[name], "float": float64.readouts[name]}
                for name in fixed.readouts
            },
        },
        "memory_bits": validation.memory["memory_bits"],
        "memory_bits_fp32": validation.memory["memory_bits_fp32"],
        "memory": plain(validation.memory),
        "registers": registers_json(validation.registers),
        "speed": {
            "train_images_per_s": number(validation.train_images_per_s),
            "inference_images_per_s": number(validation.inference_images_per_s),
            "float_train_images_per_s": number(validation.float_train_images_per_s),
        },
        "fixed": result_json(fixed),
        "float": result_json(float64),
        "kernel": validation.kernel,
        "config": plain(validation.config),
        "versions": dict(validation.versions),
        "numeric_version": NUMERIC_VERSION,
        "findings": list(verdict(validation)),
        "notes": list(validation.notes),
    }


def result_json(result: Result) -> dict[str, object]:
    """Return an evaluation as JSON, with the fields of `Result`."""
    return {
        "data": result.data,
        "accuracy": result.accuracy,
        "readouts": dict(result.readouts),
        "confusion": {name: matrix.tolist() for name, matrix in result.confusion.items()},
        "n_images": result.n_images,
        "spikes_per_image": number(result.spikes_per_image),
        "silent_images": result.silent_images,
        "registers": registers_json(result.registers),
        "activity": activity_json(result.activity),
        "images_per_s": number(result.images_per_s),
    }


def registers_json(registers: Mapping[str, RegisterRange]) -> dict[str, object]:
    """Return register ranges as JSON."""
    return {
        name: {
            "format": seen.format,
            "min": seen.min if is_written(seen) else None,
            "max": seen.max if is_written(seen) else None,
            "min_raw": seen.min_raw if is_written(seen) else None,
            "max_raw": seen.max_raw if is_written(seen) else None,
            "saturated_low": seen.saturated_low,
            "saturated_high": seen.saturated_high,
        }
        for name, seen in registers.items()
    }


def activity_json(activity: Activity) -> dict[str, int]:
    """Return activity counts as JSON."""
    return {name: getattr(activity, name) for name in Activity.__slots__}


def network_json(network: ResolvedNetwork | NetworkSpec) -> dict[str, object]:
    """Return a network as JSON: every value with unit, meaning, origin and source."""
    spec = network.spec if isinstance(network, ResolvedNetwork) else network
    rows = describe_network(network) if isinstance(network, ResolvedNetwork) else describe_spec(network)
    return {
        "name": spec.name,
        "summary": spec.summary,
        "recipe": spec.recipe,
        "values": {
            row.key: {
                "value": row.value,
                "unit": row.unit,
                "meaning": row.meaning,
                "origin": row.origin,
                "source": row.source,
            }
            for row in rows
        },
    }


def number(value: float) -> float | None:
    """Return a float as JSON can hold it: NaN and infinity become null."""
    return float(value) if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Return nested mappings and sequences as dictionaries and lists; anything unknown as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return number(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


__all__ = [
    "activity_json",
    "network_json",
    "number",
    "plain",
    "registers_json",
    "result_json",
    "validation_json",
]
