"""A measured energy as a table and as JSON, never without its meter and what it covers."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tinysnn_hw.cost.estimate import si
from tinysnn_hw.cost.measure import EnergyMeasurement, Interval, Reading
from tinysnn_hw.report.text import plain_table, section


def measurement_table(found: EnergyMeasurement, what: str) -> RenderableType:
    """Return a measurement: gross, net, time, idle power, and what to know before using it.

    Parameters
    ----------
    found : EnergyMeasurement
    what : str
        The workload, in words.

    Returns
    -------
    rich renderable
    """
    table = plain_table("of one run", ">mean", f">± ({found.confidence:.0%})", ">sd of trials")
    rows = [
        ("energy, gross", found.gross_j, "J"),
        ("energy, net of idle", found.net_j, "J"),
        ("time", found.time_s, "s"),
    ]
    for name, value, unit in rows:
        if value is None:
            table.add_row(name, "not known", "", "")
        else:
            sign = "-" if value.mean < 0 else ""
            cells = [sign + si(abs(value.mean), unit), si(value.half_width, unit), si(value.sd, unit)]
            table.add_row(name, *cells)
    idle = found.idle_power_w
    note = (
        f"Measured by {found.source}: {found.method}. Covers {found.scope}. {len(found.trials)} windows of "
        f"{sum(x.reading.time_s for x in found.trials) / len(found.trials):.3g} s, "
        f"{'idle power unknown' if idle is None else f'idle power {idle:.4g} W'}. The interval holds the spread of the "
        f"trials and {found.gauge_error:.0%} for the meter itself."
    )
    parts = [section(f"Measured energy of {what}", table, note=note)]
    if found.warnings:
        sentences = Table.grid(padding=(0, 1))
        for text in found.warnings:
            sentences.add_row("•", Text(text))
        parts.append(section("Before you use these numbers", sentences))
    return Group(*parts)


def measurement_json(found: EnergyMeasurement) -> dict[str, object]:
    """Return a measurement as JSON, trials and warnings included; ``origin`` is always ``measured``."""
    return {
        "origin": "measured",
        "source": found.source,
        "scope": found.scope,
        "method": found.method,
        "gross_j": _interval(found.gross_j),
        "net_j": None if found.net_j is None else _interval(found.net_j),
        "time_s": _interval(found.time_s),
        "idle_power_w": found.idle_power_w,
        "idle_before": None if found.idle_before is None else _reading(found.idle_before),
        "idle_after": None if found.idle_after is None else _reading(found.idle_after),
        "trials": [{"runs": trial.runs, **_reading(trial.reading)} for trial in found.trials],
        "confidence": found.confidence,
        "gauge_error": found.gauge_error,
        "warnings": list(found.warnings),
        "details": dict(found.details),
    }


def _interval(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "sd": value.sd, "half_width": value.half_width}


def _reading(value: Reading) -> dict[str, object]:
    return {
        "time_s": value.time_s,
        "energy_j": value.energy_j,
        "check_j": value.check_j,
        "n_samples": value.n_samples,
        "largest_gap_s": value.largest_gap_s,
    }


__all__ = ["measurement_json", "measurement_table"]
