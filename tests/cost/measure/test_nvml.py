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
    """Behaves like ``pynvml`` for one GPU; what is in `broken` fails with the given reason.

    Its time is the trace's: every reading of power goes on to the next recorded value, and the counter has the
    integral up to there, so that nothing depends on the speed of the machine.
    """

    NVML_FI_DEV_POWER_INSTANT, NVML_POWER_SCOPE_GPU, NVML_SUCCESS = 186, 0, 0
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self, broken=(), counter_gain=1.0, mig=False):
        self.broken, self.counter_gain, self.mig = dict.fromkeys(broken, "Not Supported"), counter_gain, mig
        self.step = 0

    def clock(self):
        return self.step * EVERY_S

    def _next_mw(self):
        self.step += 1
        return self._power_mw(self.step)

    def _check(self, name):
        if name in self.broken:
            raise self.NVMLError(self.broken[name])

    @staticmethod
    def _power_mw(step):
        return RECORDED[min(step, len(RECORDED) - 1)]

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
        whole = sum(EVERY_S * (self._power_mw(k) + self._power_mw(k + 1)) / 2 for k in range(self.step))
        return int(123_456_789 + whole * self.counter_gain)

    def nvmlDeviceGetFieldValues(self, _handle, wanted):
        assert wanted == [(186, 0)]
        missing = "instant" in self.broken
        power = 0 if missing else self._next_mw()
        return [SimpleNamespace(nvmlReturn=3 if missing else 0, value=SimpleNamespace(uiVal=power))]

    def nvmlDeviceGetPowerUsage(self, _handle):
        self._check("average")
        return self._next_mw()

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


def window(nvml, samples=30):
    """Read one window of at least so many samples."""
    source = NvmlSource(nvml=nvml, sample_s=0.001, clock=nvml.clock)
    source.begin()
    until = nvml.step + samples
    while nvml.step < until and source._sampler is not None:
        time.sleep(0.001)
    nvml.step += samples * (source._sampler is None)
    return source, source.end()


def test_counter_checked_by_instantaneous_power():
    source, reading = window(FakeNvml())
    assert source.method == "total-energy counter, checked by integral of instantaneous power"
    assert reading.check_j == pytest.approx(reading.energy_j, rel=0.05)
    assert 200 < reading.power_w < 245  # the trace settles at 244 W
    assert reading.n_samples >= 30 and reading.largest_gap_s == pytest.approx(EVERY_S)
    assert source.details == {
        "name": "NVIDIA Stand-in", "driver": "999.1", "power_limit_w": "350.0", "temperature_c": "41",
    }  # fmt: skip
    assert "NVIDIA Stand-in" in source.scope and "host is not included" in source.scope


def test_without_counter_the_integral_is_the_reading():
    source, reading = window(FakeNvml(broken=["counter"]))
    assert source.method == "integral of instantaneous power"
    assert reading.check_j is None and 200 < reading.power_w < 245


def test_averaged_power_is_called_so():
    source, _ = window(FakeNvml(broken=["counter", "instant"]))
    assert "averaged power (instantaneous power is not offered)" in source.method


def test_counter_alone():
    source, reading = window(FakeNvml(broken=["instant", "average"]))
    assert source.method == "total-energy counter" and reading.check_j is None


def test_disagreement_reaches_the_measurement():
    nvml = FakeNvml(counter_gain=0.57)
    found = measure_energy(
        lambda: time.sleep(0.05),
        NvmlSource(nvml=nvml, sample_s=0.002, update_s=0.01, clock=nvml.clock),
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
        window(FakeNvml(counter_gain=gain), samples=3)


def test_a_device_that_fails_within_a_window():
    nvml = FakeNvml()
    source = NvmlSource(nvml=nvml, sample_s=0.001)
    source.begin()
    nvml.broken["instant"] = "GPU is lost"
    while source._sampler._thread.is_alive():
        time.sleep(0.001)
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
