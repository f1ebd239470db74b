"""NVML by a stand-in that replays a recorded trace of power, and the real one where there is a GPU."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from tinysnn_hw.cost.measure import measure_energy
from tinysnn_hw.cost.measure.nvml import NvmlSource
from tinysnn_hw.errors import PowerSourceError

# Milliwatts every 20 ms of a GPU that starts to work, as an instantaneous reading gives them.
RECORDED = (58_210, 58_230, 61_905, 143_771, 226_310, 241_188, 243_902, 244_010, 243_655, 244_121)
EVERY_S = 0.02


class FakeNvml:
    """Behaves like ``pynvml`` for one GPU; what is in `broken` fails with the given reason."""

    NVML_FI_DEV_POWER_INSTANT, NVML_POWER_SCOPE_GPU, NVML_SUCCESS = 186, 0, 0
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self, broken=(), counter_gain=1.0, mig=False):
        self.broken, self.counter_gain, self.mig = dict.fromkeys(broken, "Not Supported"), counter_gain, mig
        self.began = time.perf_counter()

    def _check(self, name):
        if name in self.broken:
            raise self.NVMLError(self.broken[name])

    def _power_mw(self, at):
        return RECORDED[min(int(at / EVERY_S), len(RECORDED) - 1)]

    def nvmlInit(self):
        self._check("init")

    def nvmlDeviceGetHandleByIndex(self, index):
        self._check("handle")
        if index:
            raise self.NVMLError("Invalid Argument")
        return "gpu"

    def nvmlDeviceGetMigMode(self, _handle):
        if not self.mig:
            raise self.NVMLError("Not Supported")
        return 1, 1

    def nvmlDeviceGetTotalEnergyConsumption(self, _handle):
        self._check("counter")
        left, whole = time.perf_counter() - self.began, 0.0
        for value in RECORDED:
            whole += value * min(left, EVERY_S)
            left -= EVERY_S
            if left <= 0:
                break
        else:
            whole += RECORDED[-1] * left
        return int(123_456_789 + whole * self.counter_gain)

    def nvmlDeviceGetFieldValues(self, _handle, wanted):
        assert wanted == [(186, 0)]
        missing = "instant" in self.broken
        power = self._power_mw(time.perf_counter() - self.began)
        return [SimpleNamespace(nvmlReturn=3 if missing else 0, value=SimpleNamespace(uiVal=power))]

    def nvmlDeviceGetPowerUsage(self, _handle):
        self._check("average")
        return self._power_mw(time.perf_counter() - self.began)

    def nvmlDeviceGetName(self, _handle):
        return b"NVIDIA Stand-in"

    def nvmlSystemGetDriverVersion(self):
        return "999.1"

    def nvmlDeviceGetEnforcedPowerLimit(self, _handle):
        return 350_000

    def nvmlDeviceGetClockInfo(self, _handle, _kind):
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetTemperature(self, _handle, _kind):
        return 41


def window(nvml, seconds=0.3, **options):
    source = NvmlSource(nvml=nvml, sample_s=0.004, **options)
    source.begin()
    time.sleep(seconds)
    return source, source.end()


def test_counter_checked_by_instantaneous_power():
    source, reading = window(FakeNvml())
    assert source.method == "total-energy counter, checked by integral of instantaneous power"
    assert reading.check_j == pytest.approx(reading.energy_j, rel=0.1)
    assert 40 < reading.energy_j < 80  # about 200 W for 0.3 s
    assert reading.n_samples > 20 and reading.largest_gap_s < 0.2
    assert source.details == {
        "name": "NVIDIA Stand-in", "driver": "999.1", "power_limit_w": "350.0", "temperature_c": "41",
    }  # fmt: skip
    assert "NVIDIA Stand-in" in source.scope and "host is not included" in source.scope


def test_without_counter_the_integral_is_the_reading():
    source, reading = window(FakeNvml(broken=["counter"]))
    assert source.method == "integral of instantaneous power"
    assert reading.check_j is None and 40 < reading.energy_j < 80


def test_averaged_power_is_called_so():
    source, _ = window(FakeNvml(broken=["counter", "instant"]))
    assert "averaged power (instantaneous power is not offered)" in source.method


def test_counter_alone():
    source, reading = window(FakeNvml(broken=["instant", "average"]))
    assert source.method == "total-energy counter" and reading.check_j is None


def test_disagreement_reaches_the_measurement():
    found = measure_energy(
        lambda: time.sleep(0.05),
        NvmlSource(nvml=FakeNvml(counter_gain=0.57), sample_s=0.004, update_s=0.01),
        window_s=0.2,
        warmup_s=0.0,
        repeats=2,
    )
    assert any("disagree" in text for text in found.warnings)
    assert found.source == "nvml" and found.gross_j.mean > 0


@pytest.mark.parametrize(
    ("nvml", "words"),
    [
        (FakeNvml(broken=["init"]), "starting NVML: Not Supported"),
        (FakeNvml(broken=["handle"]), "device 0: Not Supported"),
        (FakeNvml(mig=True), "MIG mode"),
        (
            FakeNvml(broken=["counter", "instant", "average"]),
            "neither its energy counter .* use the source ina3221",
        ),
    ],
    ids=["no driver", "no device", "mig", "tegra"],
)
def test_a_gpu_that_cannot_be_read_says_why(nvml, words):
    with pytest.raises(PowerSourceError, match=words):
        NvmlSource(nvml=nvml)


def test_an_index_beyond_the_last_gpu():
    with pytest.raises(PowerSourceError, match="device 3: Invalid Argument"):
        NvmlSource(3, nvml=FakeNvml())


def test_a_missing_library_names_the_extra(monkeypatch):
    def absent(_name):
        raise ImportError

    monkeypatch.setattr("tinysnn_hw.cost.measure.nvml.import_module", absent)
    with pytest.raises(PowerSourceError, match=r"pip install 'tinysnn-hw\[nvml\]'"):
        NvmlSource()


@pytest.mark.parametrize("gain", [0.0, -1.0, 1e6], ids=["stands still", "runs backward", "impossible power"])
def test_impossible_counters_are_no_reading(gain):
    with pytest.raises(PowerSourceError, match="which cannot be"):
        window(FakeNvml(counter_gain=gain), seconds=0.05)


def test_a_device_that_fails_within_a_window():
    nvml = FakeNvml()
    source = NvmlSource(nvml=nvml, sample_s=0.001)
    source.begin()
    nvml.broken["instant"] = "GPU is lost"
    time.sleep(0.02)
    with pytest.raises(PowerSourceError, match="nvml: power"):
        source.end()


def test_the_real_library_has_what_the_stand_in_has():
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    for name in dir(FakeNvml):
        if name.startswith(("nvml", "NVML")):
            assert hasattr(pynvml, name), name
    assert pynvml.NVML_FI_DEV_POWER_INSTANT == FakeNvml.NVML_FI_DEV_POWER_INSTANT


@pytest.mark.gpu
def test_a_real_gpu():
    source = NvmlSource()
    found = measure_energy(lambda: time.sleep(0.1), source, repeats=2, window_s=2.0, warmup_s=0.0)
    assert 1 < found.gross_j.mean / found.time_s.mean < 2000, "watts of an idle GPU"
