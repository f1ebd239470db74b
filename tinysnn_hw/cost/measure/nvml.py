"""NVIDIA GPUs by NVML: the total-energy counter, checked by the integral of instantaneous power."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tinysnn_hw.cost.measure.sampling import Clock, Sampler
from tinysnn_hw.cost.measure.source import Reading
from tinysnn_hw.errors import PowerSourceError

UPDATE_S = 0.1
SAMPLE_S = 0.02
LARGEST_W = 20_000.0
"""Power of one device beyond which a reading is taken for a fault."""


@dataclass(slots=True)
class NvmlSource:
    """Energy of one NVIDIA GPU.

    Parameters
    ----------
    device : int
        Index of the GPU.
    nvml : module, optional
        ``pynvml`` of nvidia-ml-py, or what behaves like it.

    Raises
    ------
    PowerSourceError
        No library, driver, device or readable meter; the message says which.

    Notes
    -----
    The counter is tried by reading it, not by the architecture, because virtual GPUs and Tegra fail whatever their
    generation.  Instantaneous power is ``NVML_FI_DEV_POWER_INSTANT``; where it does not exist, the power NVML gives
    is an average over about a second on many GPUs, and `method` says so.
    """

    device: int = 0
    nvml: Any = None
    clock: Clock = time.perf_counter
    sample_s: float = SAMPLE_S
    name: str = "nvml"
    scope: str = field(init=False)
    method: str = field(init=False)
    update_s: float = UPDATE_S
    sees_idle: bool = True
    details: Mapping[str, str] = field(init=False)
    _handle: Any = field(init=False)
    _has_counter: bool = field(init=False)
    _sampler: Sampler | None = field(init=False)
    _before_mj: int = field(init=False, default=0)
    _began: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if self.nvml is None:
            try:
                self.nvml = import_module("pynvml")
            except ImportError as error:
                raise PowerSourceError(
                    "nvml: nvidia-ml-py is not installed; pip install 'tinysnn-hw[nvml]'"
                ) from error
        self._call("starting NVML", self.nvml.nvmlInit)
        self._handle = self._call(f"device {self.device}", self.nvml.nvmlDeviceGetHandleByIndex, self.device)
        self._refuse_slices()
        counter_fault = self._fault(self._counter_mj)
        self._has_counter = counter_fault is None
        power, power_method, power_fault = self._power_reader()
        if not self._has_counter and power is None:
            raise PowerSourceError(
                f"nvml: device {self.device} offers neither its energy counter ({counter_fault}) nor its power "
                f"({power_fault}); on Jetson boards use the source ina3221"
            )
        self._sampler = None if power is None else Sampler(power, self.sample_s, self.clock)
        methods = (["total-energy counter"] if self._has_counter else []) + [power_method] * (
            power is not None
        )
        self.method = ", checked by ".join(methods)
        self.details = self._describe()
        self.scope = (
            f"GPU {self.device}: {self.details.get('name', 'unnamed')}, board power; the host is not included"
        )

    def begin(self) -> None:
        """Open a window."""
        if self._sampler is not None:
            self._call("power", self._sampler.start)
        self._began = self.clock()
        if self._has_counter:
            self._before_mj = self._call("energy counter", self._counter_mj)

    def end(self) -> Reading:
        """Close the window."""
        after = self._call("energy counter", self._counter_mj) if self._has_counter else 0
        elapsed = self.clock() - self._began
        trace = None if self._sampler is None else self._call("power", self._sampler.stop)
        integral = None if trace is None else trace.integral() / trace.time_s * elapsed
        counted = (after - self._before_mj) * 1e-3 if self._has_counter else None
        for found, what in ((counted, "energy counter"), (integral, "power")):
            if found is not None and not 0 < found <= LARGEST_W * elapsed:
                raise PowerSourceError(
                    f"nvml: the {what} of device {self.device} gives {found:.4g} J for {elapsed:.3g} s, which "
                    "cannot be; lengthen the window, or choose another source"
                )
        energy = counted if counted is not None else integral
        assert energy is not None  # one of the two exists since the source was opened
        return Reading(
            time_s=elapsed,
            energy_j=energy,
            check_j=integral if counted is not None else None,
            n_samples=2 if trace is None else len(trace.values),
            largest_gap_s=elapsed if trace is None else trace.largest_gap_s,
        )

    def _counter_mj(self) -> int:
        return int(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def _power_reader(self) -> tuple[Callable[[], float] | None, str, str]:
        fault = self._fault(self._instant_w)
        if fault is None:
            return self._instant_w, "integral of instantaneous power", ""
        fault = self._fault(self._average_w)
        if fault is None:
            return self._average_w, "integral of averaged power (instantaneous power is not offered)", ""
        return None, "", fault

    def _instant_w(self) -> float:
        field_id, scope = self.nvml.NVML_FI_DEV_POWER_INSTANT, self.nvml.NVML_POWER_SCOPE_GPU
        found = self.nvml.nvmlDeviceGetFieldValues(self._handle, [(field_id, scope)])[0]
        if found.nvmlReturn != self.nvml.NVML_SUCCESS:
            raise self.nvml.NVMLError(found.nvmlReturn)
        return float(found.value.uiVal) * 1e-3

    def _average_w(self) -> float:
        return float(self.nvml.nvmlDeviceGetPowerUsage(self._handle)) * 1e-3

    def _refuse_slices(self) -> None:
        """NVML has no energy per slice of a GPU in MIG mode."""
        try:
            current, _ = self.nvml.nvmlDeviceGetMigMode(self._handle)
        except self.nvml.NVMLError:
            return  # GPUs without MIG
        if current:
            raise PowerSourceError(
                f"nvml: device {self.device} is in MIG mode, for whose slices NVML has no energy"
            )

    def _describe(self) -> dict[str, str]:
        handle, nvml = self._handle, self.nvml
        wanted: dict[str, Callable[[], object]] = {
            "name": lambda: nvml.nvmlDeviceGetName(handle),
            "driver": nvml.nvmlSystemGetDriverVersion,
            "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        }
        found = {}
        for key, read in wanted.items():
            try:
                value = read()
            except nvml.NVMLError:
                continue  # not every GPU tells everything
            found[key] = value.decode() if isinstance(value, bytes) else str(value)
        return found

    def _fault(self, read: Callable[[], object]) -> str | None:
        """Return why a value cannot be read, or None if it can."""
        try:
            read()
        except self.nvml.NVMLError as error:
            return str(error)
        return None

    def _call(self, what: str, function: Callable[..., Any], *args: object) -> Any:
        try:
            return function(*args)
        except self.nvml.NVMLError as error:
            raise PowerSourceError(f"nvml: {what}: {error}") from error


__all__ = ["LARGEST_W", "NvmlSource"]
