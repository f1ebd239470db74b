"""The measuring protocol on a meter whose power is known at every instant."""

from __future__ import annotations

import math
import statistics

import pytest
from scipy import stats

from tinysnn_hw.cost.measure import Reading, measure_energy, open_source
from tinysnn_hw.errors import MeasurementError, PowerSourceError


class World:
    """A clock that only sleeping and working move, and a meter that integrates a power over it exactly."""

    name, scope, method, sees_idle = "fake", "a world", "counter, checked by integral", True

    def __init__(self, *, idle_w=10.0, busy_w=30.0, run_s=0.3, update_s=0.1, drift_w=0.0, check=1.0):
        self.details = {"device": "none"}
        self.now, self.energy, self.update_s = 0.0, 0.0, update_s
        self.idle_w, self.busy_w, self.run_s = idle_w, busy_w, run_s
        self.drift_w, self.check = drift_w, check
        self.runs, self.synchronized, self.windows, self.delays = 0, 0, 0, []

    def clock(self):
        return self.now

    def pass_time(self, seconds, power_w):
        self.now += seconds
        self.energy += seconds * power_w

    def sleep(self, seconds):
        self.delays.append(seconds)
        self.pass_time(seconds, self.idle_w)
        if seconds > self.update_s:
            self.idle_w += self.drift_w  # after an idle window

    def work(self):
        self.runs += 1
        self.pass_time(self.run_s * (1 + 0.1 * (self.runs % 3)), self.busy_w)

    def synchronize(self):
        self.synchronized += 1

    def begin(self):
        self.windows += 1
        self.start = (self.now, self.energy)

    def end(self):
        elapsed, energy = self.now - self.start[0], self.energy - self.start[1]
        return Reading(
            time_s=elapsed, energy_j=energy, check_j=energy * self.check, n_samples=50, largest_gap_s=0.02
        )

    def measure(self, **options):
        return measure_energy(
            self.work, self, clock=self.clock, sleep=self.sleep, synchronize=self.synchronize, **options
        )


def test_gross_and_net_are_what_the_world_spent():
    world = World()
    found = world.measure(repeats=4, window_s=9.0)
    per_run = statistics.fmean([x.reading.time_s / x.runs for x in found.trials])
    assert found.time_s.mean == pytest.approx(per_run)
    assert found.gross_j.mean == pytest.approx(30 * per_run)
    assert found.net_j.mean == pytest.approx(20 * per_run)
    assert found.idle_power_w == pytest.approx(10)
    assert found.warnings == ()
    assert (found.source, found.scope, found.details) == ("fake", "a world", {"device": "none"})


def test_warm_up_windows_and_delays():
    world = World()
    found = world.measure(repeats=3, window_s=9.0, warmup_s=2.0)
    assert world.windows == 3 + 2  # idle before and after
    assert all(x.reading.time_s >= 9.0 for x in found.trials)
    assert all(x.runs == math.ceil(9.0 / 0.33) for x in found.trials)
    before, *delays, after = world.delays
    assert (before, after) == (9.0, 9.0)
    assert len(set(delays)) == 3 and all(0 <= delay < world.update_s for delay in delays)
    assert world.runs - sum(x.runs for x in found.trials) == 7  # 7 runs fill the warm-up of 2 s
    assert world.synchronized == world.runs


def test_interval_is_students_with_the_meters_error_in_quadrature():
    found = World(run_s=1.0).measure(repeats=5, window_s=5.5, gauge_error=0.05, confidence=0.9)
    values = [x.reading.energy_j / x.runs for x in found.trials]
    assert len(set(values)) > 1
    low, high = stats.t.interval(0.9, 4, loc=statistics.fmean(values), scale=stats.sem(values))
    expected = math.hypot((high - low) / 2, 0.05 * statistics.fmean(values))
    assert found.gross_j.half_width == pytest.approx(expected)
    assert found.gross_j.sd == pytest.approx(statistics.stdev(values))


def test_default_window_is_5_seconds_or_50_updates():
    assert all(x.reading.time_s >= 5.0 for x in World(update_s=0.001).measure(repeats=2).trials)
    assert all(x.reading.time_s >= 50.0 for x in World(update_s=1.0).measure(repeats=2).trials)


def test_methods_that_disagree_are_reported():
    assert World(check=1.09).measure(repeats=2).warnings == ()
    (warning,) = World(check=0.57).measure(repeats=2).warnings  # 187 J against 327 J have been seen
    assert "disagree by up to 43%" in warning


def test_idle_power_that_moves_is_reported_and_widens_net():
    found = World(drift_w=5.0).measure(repeats=2)
    assert any("idle power changed by 33%" in text for text in found.warnings)
    assert found.net_j.half_width >= 2.5 * found.time_s.mean


def test_a_workload_that_changes_nothing_is_reported():
    found = World(busy_w=10.0).measure(repeats=3)
    assert any("cannot be told from zero" in text for text in found.warnings)
    assert found.gross_j.mean > 0


def test_short_windows_are_refused_or_reported():
    with pytest.raises(MeasurementError, match=r"fake updates every 0.1 s, so at least 1 s are needed \(5 s"):
        World().measure(window_s=0.9)
    with pytest.raises(MeasurementError, match=r"idle_s = 0\.5"):
        World().measure(idle_s=0.5)
    found = World().measure(window_s=2.0, repeats=2)
    assert any("fewer than 50 updates" in text for text in found.warnings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"repeats": 1}, {"window_s": math.nan}, {"idle_s": 0.0}, {"warmup_s": -1.0}, {"warmup_s": math.inf},
        {"gauge_error": 1.0}, {"confidence": -0.1},
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(wrong):
    world = World()
    with pytest.raises(MeasurementError, match=next(iter(wrong))):
        world.measure(**wrong)
    assert world.runs == 0


def test_a_failing_workload_closes_its_window():
    closed = []

    class Watched(World):
        def end(self):
            closed.append(self.now)
            return super().end()

    world = Watched()

    def fail():
        if world.windows > 1:
            raise ZeroDivisionError
        world.work()

    with pytest.raises(ZeroDivisionError):
        measure_energy(fail, world, clock=world.clock, sleep=world.sleep, window_s=5.0)
    assert len(closed) == world.windows == 2


def test_given_power_has_no_net():
    world = World()
    source = open_source(power_w=4.5)
    source.clock = world.clock
    found = measure_energy(world.work, source, clock=world.clock, sleep=world.sleep, repeats=2)
    assert found.net_j is None and found.idle_power_w is None
    assert found.gross_j.mean == pytest.approx(4.5 * found.time_s.mean)
    assert found.warnings == ("power was given and not measured: only the time is a measurement",)
    assert "4.5 W" in found.scope


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan, math.inf])
def test_a_power_is_above_0(power):
    with pytest.raises(MeasurementError, match="above 0"):
        open_source(power_w=power)


def test_sources_are_named():
    with pytest.raises(MeasurementError, match="did you mean 'rapl'"):
        open_source("rappl")
    with pytest.raises(MeasurementError, match="give the power"):
        open_source("constant")
    with pytest.raises(MeasurementError, match="no meaning for rapl"):
        open_source("rapl", power_w=3.0)


def test_auto_says_why_nothing_works(monkeypatch):
    from tinysnn_hw.cost.measure import choose

    def absent(name):
        def opening(*_):
            raise PowerSourceError(f"{name} is absent")

        return opening

    for name in ("Ina3221Source", "RaplSource", "NvmlSource"):
        monkeypatch.setattr(choose, name, absent(name))
    with pytest.raises(PowerSourceError) as refused:
        open_source()
    text = str(refused.value)
    assert all(f"- {name} is absent" in text for name in ("Ina3221Source", "RaplSource", "NvmlSource"))
    assert "in watts" in text
