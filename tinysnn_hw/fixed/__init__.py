"""Number formats, rounding, overflow and random bits: the only place where bits are cut.

`Format`, `Rounding` and `Overflow` describe; `quantize`, `requantize`, `dequantize`, `to_hex` and
`from_hex` work on arrays; `LFSR` and `draw_array` give random words. Kernels take the compiled scalars
from `tinysnn_hw.fixed.scalar` and `tinysnn_hw.fixed.random`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.modes import Overflow, Rounding
from tinysnn_hw.fixed.ranges import RangeRecord

if TYPE_CHECKING:
    from tinysnn_hw.fixed.array import dequantize, quantize, requantize
    from tinysnn_hw.fixed.hexwords import from_hex, to_hex
    from tinysnn_hw.fixed.lfsr import LFSR
    from tinysnn_hw.fixed.random import Purpose, draw_array

__all__ = [
    "LFSR",
    "Format",
    "Overflow",
    "Purpose",
    "RangeRecord",
    "Rounding",
    "dequantize",
    "draw_array",
    "from_hex",
    "quantize",
    "requantize",
    "to_hex",
]

# These need Numba or NumPy, which a program that only reads formats should not wait for.
_LATE = {
    "LFSR": "lfsr",
    "Purpose": "random",
    "dequantize": "array",
    "draw_array": "random",
    "from_hex": "hexwords",
    "quantize": "array",
    "requantize": "array",
    "to_hex": "hexwords",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
