"""Opens a power source by name, or the first that works; says of every other why it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinysnn_hw.cost.measure.constant import ConstantSource
from tinysnn_hw.cost.measure.ina3221 import Ina3221Source
from tinysnn_hw.cost.measure.nvml import NvmlSource
from tinysnn_hw.cost.measure.rapl import RaplSource
from tinysnn_hw.cost.measure.source import PowerSource
from tinysnn_hw.errors import MeasurementError, PowerSourceError
from tinysnn_hw.spec.load import nearest

SOURCES = ("auto", "ina3221", "rapl", "nvml", "constant")


def open_source(
    name: str = "auto", *, power_w: float | None = None, device: int = 0, rails: Sequence[str] = ()
) -> PowerSource:
    """Return a power source that can be read.

    Parameters
    ----------
    name : {"auto", "ina3221", "rapl", "nvml", "constant"}
        ``auto`` takes `constant` if a power is given, else the first of ina3221, rapl and nvml that works: the meter of
        the whole board before that of the processor, where the CPU kernels run, before that of a GPU.
    power_w : float, optional
        Power of `constant` [W].
    device : int
        GPU of `nvml`.
    rails : sequence of str
        Rails of `ina3221`; empty: the whole board.

    Returns
    -------
    PowerSource

    Raises
    ------
    PowerSourceError
        None can be read; the message says of each why.
    MeasurementError
        The name is unknown, or a power is missing or out of place.
    """
    if name not in SOURCES:
        raise MeasurementError(
            f"power source {name!r} is unknown; allowed: {', '.join(SOURCES)}{nearest(name, list(SOURCES))}"
        )
    if name == "constant" and power_w is None:
        raise MeasurementError("power source constant: give the power of the device in watts")
    if power_w is not None:
        if name not in ("auto", "constant"):
            raise MeasurementError(f"power = {power_w:g} W has no meaning for {name}, which measures it")
        return ConstantSource(power_w)
    opening: dict[str, Callable[[], PowerSource]] = {
        "ina3221": lambda: Ina3221Source(rails),
        "rapl": RaplSource,
        "nvml": lambda: NvmlSource(device),
    }
    if name != "auto":
        return opening[name]()
    reasons = []
    for open_one in opening.values():
        try:
            return open_one()
        except PowerSourceError as error:
            reasons.append(str(error))
    raise PowerSourceError(
        "no power source can be read; give the power of the device in watts (power_w, --watts) and time is multiplied "
        "by it:\n" + "\n".join(f"- {reason}" for reason in reasons)
    )


__all__ = ["SOURCES", "open_source"]
