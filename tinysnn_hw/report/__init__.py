"""Results for people and for programs: tables, sentences and JSON; computes nothing anew."""

from __future__ import annotations

from tinysnn_hw.report.network import catalogue_table, memory_tables, network_table
from tinysnn_hw.report.payload import network_json, result_json, validation_json
from tinysnn_hw.report.plot import sensitivity_plot
from tinysnn_hw.report.quantization import (
    diagnosis_json,
    diagnosis_table,
    found_table,
    quantization_json,
    quantization_table,
    ranges_json,
    ranges_table,
    sensitivity_csv,
    sensitivity_table,
)
from tinysnn_hw.report.result import confusion_table, register_table, result_table
from tinysnn_hw.report.validation import validation_table
from tinysnn_hw.report.verdict import is_lost, verdict

__all__ = [
    "catalogue_table",
    "confusion_table",
    "diagnosis_json",
    "diagnosis_table",
    "found_table",
    "is_lost",
    "memory_tables",
    "network_json",
    "network_table",
    "quantization_json",
    "quantization_table",
    "ranges_json",
    "ranges_table",
    "register_table",
    "result_json",
    "result_table",
    "sensitivity_csv",
    "sensitivity_plot",
    "sensitivity_table",
    "validation_json",
    "validation_table",
    "verdict",
]
