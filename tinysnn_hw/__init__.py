"""Bit-accurate emulation of spiking neural networks for small hardware.

A network is described once, trained and evaluated with exactly the integers a chip would hold, and compared
with its float twin::

    import tinysnn_hw as ts

    net = ts.load_network("tinysnn-wta", neurons=100, recipe="digits")
    data = ts.load_dataset("digits")
    model = ts.train(net, data, seed=0)
    result = ts.evaluate(model, data)
    print(result.accuracy)

Importing the package loads none of this: each name is fetched from its room when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tinysnn_hw.version import NUMERIC_VERSION, __version__

if TYPE_CHECKING:
    from tinysnn_hw.cost import cost
    from tinysnn_hw.cost import memory_footprint as memory
    from tinysnn_hw.data import load_dataset
    from tinysnn_hw.fixed import Format
    from tinysnn_hw.learning import evaluate, load_model, save_model, trace, train, validate
    from tinysnn_hw.quantize import quantize
    from tinysnn_hw.spec import load_network

__all__ = [
    "NUMERIC_VERSION",
    "Format",
    "__version__",
    "cost",
    "evaluate",
    "load_dataset",
    "load_model",
    "load_network",
    "memory",
    "quantize",
    "save_model",
    "trace",
    "train",
    "validate",
]

# Name -> where it lives, as module:attribute; without an attribute the module itself, which can be called.
_LAZY = {
    "Format": "tinysnn_hw.fixed:Format",
    "cost": "tinysnn_hw.cost:",
    "evaluate": "tinysnn_hw.learning:evaluate",
    "load_dataset": "tinysnn_hw.data:load_dataset",
    "load_model": "tinysnn_hw.learning:load_model",
    "load_network": "tinysnn_hw.spec:load_network",
    "memory": "tinysnn_hw.cost:memory_footprint",
    "quantize": "tinysnn_hw.quantize:quantize",
    "save_model": "tinysnn_hw.learning:save_model",
    "trace": "tinysnn_hw.learning:trace",
    "train": "tinysnn_hw.learning:train",
    "validate": "tinysnn_hw.learning:validate",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        try:
            module, attribute = _LAZY[name].split(":")
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        found = import_module(module)
        value: object = getattr(found, attribute) if attribute else found
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
