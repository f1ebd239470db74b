"""How an energy is measured: warm-up, idle before and after, repeated windows, gross and net with an interval."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from scipy.stats import t as student

from tinysnn_hw.cost.measure.sampling import Clock
from tinysnn_hw.cost.measure.source import PowerSource, Reading
from tinysnn_hw.errors import MeasurementError, PowerSourceError

LEAST_UPDATES, WANTED_UPDATES = 10, 50
"""Updates of the meter a window must and should span."""
LEAST_WINDOW_S = 5.0
GAUGE_ERROR = 0.05
"""Relative error of the meter itself: NVIDIA states 5 % for its power readings."""
DISAGREEMENT = 0.10
"""Relative difference of two methods, or of idle before and after, that is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One window: how often the workload ran in it, and what the meter read."""

    runs: int
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its uncertainty.

    Attributes
    ----------
    mean, sd : float
        Over the trials.
    half_width : float
        Of the confidence interval: Student's t over the trials and the error of the meter, in quadrature.
    """

    mean: float
    sd: float
    half_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMeasurement:
    """Measured energy of one run of a workload.

    Attributes
    ----------
    source, scope, method : str
        The meter, what it covers, how it works.
    gross_j : Interval
        Energy of one run as the meter has it [J].
    net_j : Interval or None
        The same less idle power times time; None for a source that cannot see idle power.
    time_s : Interval
        Of one run.
    idle_before, idle_after : Reading or None
    trials : tuple of Trial
    confidence, gauge_error : float
    warnings : tuple of str
        What a reader must know before using the numbers.
    details : mapping of str to str
    """

    source: str
    scope: str
    method: str
    gross_j: Interval
    net_j: Interval | None
    time_s: Interval
    idle_before: Reading | None
    idle_after: Reading | None
    trials: tuple[Trial, ...]
    confidence: float
    gauge_error: float
    warnings: tuple[str, ...]
    details: Mapping[str, str]

    @property
    def idle_power_w(self) -> float | None:
        """Mean of idle power before and after [W]; None for a source that cannot see it."""
        if self.idle_before is None or self.idle_after is None:
            return None
        return (self.idle_before.power_w + self.idle_after.power_w) / 2


def measure_energy(
    workload: Callable[[], object],
    source: PowerSource,
    *,
    repeats: int = 5,
    window_s: float | None = None,
    warmup_s: float = 2.0,
    idle_s: float | None = None,
    synchronize: Callable[[], object] | None = None,
    gauge_error: float = GAUGE_ERROR,
    confidence: float = 0.95,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> EnergyMeasurement:
    """Measure the energy of a workload.

    Parameters
    ----------
    workload : callable
        Runs once per call; it is repeated to fill a window.
    source : PowerSource
    repeats : int
        Windows, at least 2.
    window_s : float, optional
        Length of a window; absent: the larger of 5 s and 50 updates of the meter.
    warmup_s : float
        The workload runs so long, at least once, before anything is measured.
    idle_s : float, optional
        Length of the idle windows before and after; absent: that of a window.
    synchronize : callable, optional
        Waits until the device has finished, such as ``torch.cuda.synchronize``.
    gauge_error : float
        Relative error of the meter itself.
    confidence : float
        Of the intervals, between 0 and 1.
    seed : int
        Of the random delays before windows, which keep them out of step with the meter's sampling.
    clock, sleep : callable
        Time [s].

    Returns
    -------
    EnergyMeasurement

    Raises
    ------
    MeasurementError
        A window would span fewer than 10 updates of the meter, or another number is out of range.
    PowerSourceError
        The meter failed.

    Notes
    -----
    With energy ``E`` and time ``T`` of a window of ``r`` runs and mean idle power ``P``, one run takes ``E / r``
    gross and ``(E - P T) / r`` net. Over ``n`` windows with mean ``m`` and standard deviation ``s``, the half
    width is ``sqrt((t s / sqrt(n))**2 + (gauge_error m)**2)``; net adds half the change of idle power over a run.
    """
    window_s = max(LEAST_WINDOW_S, WANTED_UPDATES * source.update_s) if window_s is None else window_s
    idle_s = window_s if idle_s is None else idle_s
    _check(source, repeats, window_s, warmup_s, idle_s, gauge_error, confidence)
    rng = random.Random(seed)
    _repeat(workload, synchronize, warmup_s, clock)
    before = _idle(source, idle_s, sleep) if source.sees_idle else None
    trials = []
    for _ in range(repeats):
        sleep(rng.uniform(0.0, source.update_s))
        trials.append(_window(workload, source, synchronize, window_s, clock))
    after = _idle(source, idle_s, sleep) if source.sees_idle else None
    gross = _interval([x.reading.energy_j / x.runs for x in trials], gauge_error, confidence, 0.0)
    times = _interval([x.reading.time_s / x.runs for x in trials], 0.0, confidence, 0.0)
    net = None
    if before is not None and after is not None:
        power, change = (before.power_w + after.power_w) / 2, abs(after.power_w - before.power_w) / 2
        nets = [(x.reading.energy_j - power * x.reading.time_s) / x.runs for x in trials]
        net = _interval(nets, gauge_error, confidence, change * times.mean)
    return EnergyMeasurement(
        source=source.name,
        scope=source.scope,
        method=source.method,
        gross_j=gross,
        net_j=net,
        time_s=times,
        idle_before=before,
        idle_after=after,
        trials=tuple(trials),
        confidence=confidence,
        gauge_error=gauge_error,
        warnings=tuple(_warnings(source, window_s, trials, before, after, net)),
        details=dict(source.details),
    )


def _check(
    source: PowerSource,
    repeats: int,
    window_s: float,
    warmup_s: float,
    idle_s: float,
    gauge_error: float,
    confidence: float,
) -> None:
    least = LEAST_UPDATES * source.update_s
    for name, value in (("window_s", window_s), ("idle_s", idle_s)):
        if not 0 < value < math.inf:
            raise MeasurementError(f"{name} = {value}; a finite time above 0 is required")
        if value < least:
            raise MeasurementError(
                f"{name} = {value}: {source.name} updates every {source.update_s:g} s, so at least {least:g} s are "
                f"needed ({WANTED_UPDATES * source.update_s:g} s are better)"
            )
    if repeats < 2:
        raise MeasurementError(f"repeats = {repeats}; at least 2 are needed for a spread")
    if not 0 <= warmup_s < math.inf:
        raise MeasurementError(f"warmup_s = {warmup_s}; a finite time of 0 or more is required")
    for name, value in (("gauge_error", gauge_error), ("confidence", confidence)):
        if not 0 <= value < 1:
            raise MeasurementError(f"{name} = {value}; 0 to below 1 is allowed")


def _window(
    workload: Callable[[], object],
    source: PowerSource,
    synchronize: Callable[[], object] | None,
    window_s: float,
    clock: Clock,
) -> Trial:
    source.begin()
    try:
        runs = _repeat(workload, synchronize, window_s, clock)
    except BaseException:
        with suppress(PowerSourceError):
            source.end()
        raise
    return Trial(runs=runs, reading=source.end())


def _repeat(
    workload: Callable[[], object], synchronize: Callable[[], object] | None, least_s: float, clock: Clock
) -> int:
    """Run the workload, at least once, until so much time has passed; return how often it ran."""
    began, runs = clock(), 0
    while runs == 0 or clock() - began < least_s:
        workload()
        if synchronize is not None:
            synchronize()
        runs += 1
    return runs


def _idle(source: PowerSource, idle_s: float, sleep: Callable[[float], object]) -> Reading:
    source.begin()
    sleep(idle_s)
    return source.end()


def _interval(values: list[float], gauge_error: float, confidence: float, extra: float) -> Interval:
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    factor = float(student.ppf((1 + confidence) / 2, len(values) - 1))
    spread = factor * sd / math.sqrt(len(values))
    return Interval(mean=mean, sd=sd, half_width=math.hypot(spread, gauge_error * abs(mean), extra))


def _warnings(
    source: PowerSource,
    window_s: float,
    trials: list[Trial],
    before: Reading | None,
    after: Reading | None,
    net: Interval | None,
) -> list[str]:
    found = []
    if source.name == "constant":
        found.append("power was given and not measured: only the time is a measurement")
    if window_s < WANTED_UPDATES * source.update_s:
        found.append(f"windows of {window_s:g} s span fewer than {WANTED_UPDATES} updates of the meter")
    readings = [trial.reading for trial in trials]
    worst = max(
        (abs(x.check_j - x.energy_j) / x.energy_j for x in readings if x.check_j is not None), default=0.0
    )
    if worst > DISAGREEMENT:
        found.append(
            f"the two methods of {source.name} ({source.method}) disagree by up to {worst:.0%}; trust neither "
            "before the cause is known"
        )
    gap = max(reading.largest_gap_s for reading in readings)
    if source.name in ("nvml", "ina3221") and gap > max(10 * source.update_s, 0.2 * window_s):
        found.append(f"power was not sampled for up to {gap:.2g} s within a window")
    if before is not None and after is not None:
        change = abs(after.power_w - before.power_w) / max(before.power_w, after.power_w)
        if change > DISAGREEMENT:
            found.append(
                f"idle power changed by {change:.0%} during the measurement ({before.power_w:.3g} W to "
                f"{after.power_w:.3g} W): something else ran, or the device was still warming up"
            )
    if net is not None and net.mean - net.half_width <= 0:
        found.append(
            "net energy cannot be told from zero: the workload hardly changes the power of the device"
        )
    return found


__all__ = ["EnergyMeasurement", "Interval", "Trial", "measure_energy"]
