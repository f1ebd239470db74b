"""Train, label, evaluate, validate, trace: whole runs over data sets, on top of the engine."""

from __future__ import annotations

from tinysnn_hw.learning.backend import BACKENDS, Backend, choose_backend
from tinysnn_hw.learning.evaluate import evaluate, evaluate_many, label, label_many
from tinysnn_hw.learning.model import Model, load_model, save_model, versions
from tinysnn_hw.learning.present import present, present_many
from tinysnn_hw.learning.trace import Trace, trace, write_trace
from tinysnn_hw.learning.train import train, train_many
from tinysnn_hw.learning.validate import validate

__all__ = [
    "BACKENDS",
    "Backend",
    "Model",
    "Trace",
    "choose_backend",
    "evaluate",
    "evaluate_many",
    "label",
    "label_many",
    "load_model",
    "present",
    "present_many",
    "save_model",
    "trace",
    "train",
    "train_many",
    "validate",
    "versions",
    "write_trace",
]
