"""Which bits a network needs: quantization after and in training, range analysis, search, diagnosis.

The room bears the name of its main function, so the room itself can be called: ``tinysnn_hw.quantize(model, ...)``
is `quantize` whether or not the room has been imported before.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tinysnn_hw.quantize.ptq import INFERENCE_REGISTERS, PRESETS, preset_formats, quantize

__all__ = [
    "INFERENCE_REGISTERS",
    "PRESETS",
    "preset_formats",
    "quantize",
]


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return quantize(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
