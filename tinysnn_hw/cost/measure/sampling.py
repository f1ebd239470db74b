"""A thread that reads a value again and again, and the integral of what it saw."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from scipy.integrate import trapezoid

from tinysnn_hw.cost.measure.source import Reading

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Trace:
    """Values with the times they were read at [s]; at least the two of the window's ends."""

    times_s: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def time_s(self) -> float:
        """Length of the window."""
        return self.times_s[-1] - self.times_s[0]

    @property
    def largest_gap_s(self) -> float:
        """Longest time between two samples."""
        return largest_gap(self.times_s)

    def integral(self) -> float:
        """Return the integral over the window by the trapezoidal rule."""
        return float(trapezoid(self.values, self.times_s))

    def reading(self, energy_j: float) -> Reading:
        """Return the window with the energy that a source, which has nothing to check it by, found in it."""
        return Reading(
            time_s=self.time_s,
            energy_j=energy_j,
            check_j=None,
            n_samples=len(self.values),
            largest_gap_s=self.largest_gap_s,
        )


def largest_gap(times_s: Sequence[float]) -> float:
    """Return the longest time between two neighbours."""
    return max((b - a for a, b in pairwise(times_s)), default=0.0)


@dataclass(slots=True)
class Sampler:
    """Reads a value at both ends of a window and every so often in between, in a thread of its own.

    Parameters
    ----------
    read : callable
        Returns the value; what it raises is raised again by `stop`.
    interval_s : float
        Time between two samples.
    clock : callable
        Returns the time [s].
    """

    read: Callable[[], float]
    interval_s: float
    clock: Clock = time.perf_counter
    _times: list[float] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    _failure: list[Exception] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the window."""
        self._times.clear()
        self._values.clear()
        self._failure.clear()
        self._done.clear()
        self._sample()
        self._thread = threading.Thread(target=self._work, name="power sampler", daemon=True)
        self._thread.start()

    def stop(self) -> Trace:
        """Close the window and return what was seen; raises what reading raised."""
        if self._thread is None:
            raise RuntimeError("the sampler was not started")
        self._done.set()
        self._thread.join()
        self._thread = None
        if self._failure:
            raise self._failure[0]
        self._sample()
        return Trace(tuple(self._times), tuple(self._values))

    def _work(self) -> None:
        try:
            while not self._done.wait(self.interval_s):
                self._sample()
        except Exception as error:  # carried over to the thread that waits for the result
            self._failure.append(error)

    def _sample(self) -> None:
        value = self.read()
        self._times.append(self.clock())
        self._values.append(value)


__all__ = ["Clock", "Sampler", "Trace", "largest_gap"]
