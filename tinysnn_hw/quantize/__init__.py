"""Which bits a network needs: quantization after and in training, range analysis, search, diagnosis.

The room bears the name of its main function, so the room itself can be called: ``tinysnn_hw.quantize(model, ...)``
is `quantize` whether or not the room has been imported before.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tinysnn_hw.quantize.diagnose import Diagnosis, Finding, diagnose
from tinysnn_hw.quantize.points import SCHEMES, Points, Trial
from tinysnn_hw.quantize.ptq import INFERENCE_REGISTERS, PRESETS, preset_formats, quantize
from tinysnn_hw.quantize.ranges import (
    ConstantBits,
    RangeAnalysis,
    analyse_constants,
    analyse_ranges,
    fewest_frac_bits,
    fitted_formats,
)
from tinysnn_hw.quantize.search import (
    Found,
    Sensitivity,
    exhaustive,
    failing_neighbour,
    greedy,
    make_space,
    sensitivity,
)
from tinysnn_hw.quantize.splits import Splits, choose_splits, make_splits, parse_widths

__all__ = [
    "INFERENCE_REGISTERS",
    "PRESETS",
    "SCHEMES",
    "ConstantBits",
    "Diagnosis",
    "Finding",
    "Found",
    "Points",
    "RangeAnalysis",
    "Sensitivity",
    "Splits",
    "Trial",
    "analyse_constants",
    "analyse_ranges",
    "choose_splits",
    "diagnose",
    "exhaustive",
    "failing_neighbour",
    "fewest_frac_bits",
    "fitted_formats",
    "greedy",
    "make_space",
    "make_splits",
    "parse_widths",
    "preset_formats",
    "quantize",
    "sensitivity",
]


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return quantize(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
