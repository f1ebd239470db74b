"""Train, label, evaluate, validate: whole runs over data sets, on top of the engine."""

from __future__ import annotations

from tinysnn_hw.learning.evaluate import evaluate, label, present
from tinysnn_hw.learning.model import Model, load_model, save_model
from tinysnn_hw.learning.train import train

__all__ = ["Model", "evaluate", "label", "load_model", "present", "save_model", "train"]
