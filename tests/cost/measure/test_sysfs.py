"""RAPL and INA3221 on recorded sysfs trees."""

from __future__ import annotations

import threading
import time

import pytest

from tinysnn_hw.cost.measure.ina3221 import Ina3221Source, choose_rails, find_rails
from tinysnn_hw.cost.measure.rapl import RaplSource, WrappingCounter, find_zones
from tinysnn_hw.cost.measure.sampling import Sampler, Trace
from tinysnn_hw.errors import PowerSourceError


def write(root, files):
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", encoding="ascii")
    return root


def zone(folder, label, energy=0, most=262_143_328_850):
    return {f"{folder}/name": label, f"{folder}/energy_uj": energy, f"{folder}/max_energy_range_uj": most}


# --- RAPL ----------------------------------------------------------------------------------------------


@pytest.fixture
def powercap(tmp_path):
    """A two-socket server with everything RAPL has."""
    return write(
        tmp_path / "powercap",
        zone("intel-rapl:0", "package-0", 1_000_000)
        | zone("intel-rapl:0:0", "core", 600_000)
        | zone("intel-rapl:0:1", "dram", 200_000)
        | zone("intel-rapl:1", "package-1", 5_000_000)
        | zone("intel-rapl:1:0", "dram", 300_000)
        | zone("intel-rapl:2", "psys", 9_000_000)
        | zone("intel-rapl-mmio:0", "package-0", 1_000_000),
    )


def set_energy(root, folder, value):
    """As the kernel does it: a reader sees the old value or the new one."""
    fresh = root / folder / "fresh"
    fresh.write_text(f"{value}\n", encoding="ascii")
    fresh.replace(root / folder / "energy_uj")


def test_packages_and_memory_are_added_and_nothing_twice(powercap):
    labels = [found.label for found in find_zones(powercap)]
    assert labels == ["package-0", "dram of package-0", "package-1", "dram of package-1"]
    source = RaplSource(powercap)
    source.begin()
    for folder, value in (
        ("intel-rapl:0", 4_000_000), ("intel-rapl:0:0", 9_000_000), ("intel-rapl:0:1", 700_000),
        ("intel-rapl:1", 5_250_000), ("intel-rapl:2", 99_000_000),
    ):  # fmt: skip
        set_energy(powercap, folder, value)
    reading = source.end()
    assert reading.energy_j == pytest.approx(3.0 + 0.5 + 0.25)
    assert "package-0, dram of package-0, package-1" in source.scope


def test_a_counter_wraps_around(tmp_path):
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 990, 999))
    counter = WrappingCounter(root / "intel-rapl:0", "package-0", 999)
    counter.reset()
    seen = []
    for value in (995, 999, 3, 3, 998, 1):
        set_energy(root, "intel-rapl:0", value)
        counter.update()
        seen.append(counter.total_uj)
    assert seen == [5, 9, 13, 13, 1008, 1011]


def test_many_turns_in_one_window_are_seen(tmp_path):
    """A thread reads the counter between the ends of the window, so no turn is lost."""
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 0, 999_999))
    source = RaplSource(root, poll_s=0.001)
    seen = threading.Event()
    update = source._zones[0].update

    def watched():
        update()
        seen.set()

    source._zones[0] = type("Zone", (), {
        "reset": source._zones[0].reset, "update": staticmethod(watched), "label": "package-0",
        "total_uj": property(lambda _self, zone=source._zones[0]: zone.total_uj),
    })()  # fmt: skip
    source.begin()
    for step in range(1, 11):
        seen.clear()
        set_energy(root, "intel-rapl:0", step * 700_000 % 1_000_000)
        assert seen.wait(5) and (seen.clear() or seen.wait(5))  # one whole reading after the write
    assert source.end().energy_j == pytest.approx(7.0)


def test_counters_that_stand_still_are_no_zero(powercap):
    source = RaplSource(powercap)
    source.begin()
    with pytest.raises(PowerSourceError, match="did not move"):
        source.end()


def test_rapl_says_why_it_cannot_be_read(tmp_path, powercap, monkeypatch):
    with pytest.raises(PowerSourceError, match="does not exist"):
        RaplSource(tmp_path / "nowhere")
    with pytest.raises(PowerSourceError, match="no RAPL package found"):
        RaplSource(write(tmp_path / "empty", {"dtpm/name": "x"}))
    (powercap / "intel-rapl:0" / "energy_uj").write_text("many\n", encoding="ascii")
    with pytest.raises(PowerSourceError, match="holds no integer"):
        RaplSource(powercap)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(PowerSourceError, match="run as root, or allow it once: chmod a\\+r"):
        WrappingCounter(powercap / "intel-rapl:0", "package-0", 1).reset()


def test_mmio_counts_where_it_is_all_there_is(tmp_path):
    root = write(tmp_path, zone("intel-rapl-mmio:0", "package-0", 5))
    assert [found.label for found in find_zones(root)] == ["package-0"]


# --- INA3221 -------------------------------------------------------------------------------------------


def hwmon(labels, *, power=False):
    """An Orin Nano: volts in mV, amperes in mA."""
    files = {"class/hwmon/hwmon0/name": "cpu_thermal", "class/hwmon/hwmon3/name": "ina3221"}
    for number, (label, volts, amperes) in enumerate(labels, start=1):
        folder = "class/hwmon/hwmon3"
        files |= {f"{folder}/in{number}_label": label, f"{folder}/in{number}_input": volts}
        files |= {f"{folder}/curr{number}_input": amperes}
        if power:
            files[f"{folder}/power{number}_input"] = volts * amperes  # uW
    return files


ORIN = [("VDD_IN", 5000, 1200), ("VDD_CPU_GPU_CV", 5000, 500), ("VDD_SOC", 5000, 300)]
AGX = [("VDD_GPU_SOC", 10_000, 800), ("VDD_CPU_CV", 10_000, 300), ("NC", 0, 0)]
NANO = {
    f"bus/i2c/drivers/ina3221x/6-0040/iio:device0/{kind}{n}{end}": value
    for n, (label, milliwatts) in enumerate([("POM_5V_IN", 2500), ("POM_5V_GPU", 40), ("POM_5V_CPU", 900)])
    for kind, end, value in (("rail_name_", "", label), ("in_power", "_input", milliwatts))
}


@pytest.mark.parametrize(
    ("files", "rails", "power_w", "scope"),
    [
        (hwmon(ORIN), (), 6.0, "whole board: VDD_IN"),
        (hwmon(ORIN, power=True), (), 6.0, "whole board: VDD_IN"),
        (hwmon(ORIN), ("VDD_SOC", "VDD_CPU_GPU_CV"), 4.0, "rails: VDD_SOC, VDD_CPU_GPU_CV"),
        (hwmon(AGX), (), 11.0, "rails: VDD_GPU_SOC, VDD_CPU_CV"),
        (NANO, (), 2.5, "whole board: POM_5V_IN"),
        (NANO, ("POM_5V_GPU",), 0.04, "rails: POM_5V_GPU"),
    ],
    ids=["orin", "orin with power files", "orin parts", "agx has no total", "nano", "nano gpu"],
)
def test_rails_of_boards(tmp_path, files, rails, power_w, scope):
    source = Ina3221Source(rails, root=write(tmp_path, files), sample_s=0.002)
    source.begin()
    time.sleep(0.02)
    reading = source.end()
    assert reading.power_w == pytest.approx(power_w, rel=1e-9)
    assert source.scope == scope and reading.n_samples >= 2


def test_the_whole_board_is_never_added_to_its_parts(tmp_path):
    rails = find_rails(write(tmp_path, hwmon(ORIN)))
    with pytest.raises(PowerSourceError, match="carries the whole board"):
        choose_rails(rails, ["VDD_SOC", "VDD_IN"])
    with pytest.raises(PowerSourceError, match="rails here: VDD_IN, VDD_CPU_GPU_CV, VDD_SOC"):
        choose_rails(rails, ["VDD_DDR"])


def test_a_board_without_monitor_says_so(tmp_path):
    with pytest.raises(PowerSourceError, match="no INA3221 monitor"):
        Ina3221Source(root=write(tmp_path, {"class/hwmon/hwmon0/name": "cpu_thermal"}))
    source = Ina3221Source(root=write(tmp_path / "off", hwmon([("VDD_IN", 5000, 0)])))
    source.begin()
    with pytest.raises(PowerSourceError, match="shows no power"):
        source.end()


def test_a_monitor_that_vanishes_in_a_window_is_an_error(tmp_path):
    root = write(tmp_path, hwmon(ORIN))
    source = Ina3221Source(root=root, sample_s=0.001)
    source.begin()
    (root / "class/hwmon/hwmon3/curr1_input").unlink()
    with pytest.raises(PowerSourceError, match="cannot be read"):
        source.end()


# --- Sampling ------------------------------------------------------------------------------------------


def test_the_integral_is_the_trapezoidal_one():
    trace = Trace((0.0, 1.0, 1.5, 3.0), (2.0, 4.0, 4.0, 0.0))
    assert trace.integral() == pytest.approx(3.0 + 2.0 + 3.0)
    assert (trace.time_s, trace.largest_gap_s) == (3.0, 1.5)


def test_a_sampler_covers_both_ends_and_can_start_again():
    values = iter(range(10**6))
    sampler = Sampler(lambda: float(next(values)), 0.001)
    for _ in range(2):
        began = time.perf_counter()
        sampler.start()
        while len(sampler._values) < 5:
            time.sleep(0.001)
        inside = time.perf_counter()
        trace = sampler.stop()
        ended = time.perf_counter()
        assert len(trace.values) >= 6 and list(trace.values) == sorted(trace.values)
        assert inside - trace.times_s[0] <= trace.time_s <= ended - began
    with pytest.raises(RuntimeError, match="not started"):
        sampler.stop()
