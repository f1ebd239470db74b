"""`tinysnn measure -- COMMAND`: the energy of another command of this program, by a power meter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.output import note, reporting_errors, show, show_json
from tinysnn_hw.errors import MeasurementError

SHOWN_LINES = 5
"""Last lines of a failed command that are shown."""


@reporting_errors
def measure(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND", help="Any tinysnn command with its flags, behind --.")
    ],
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Power meter: auto, ina3221, rapl, nvml or constant.")
    ] = "auto",
    watts: Annotated[
        float | None, typer.Option(metavar="W", help="Power of the device: time is multiplied by it.")
    ] = None,
    device: Annotated[int, typer.Option(metavar="N", min=0, help="GPU of nvml.")] = 0,
    rail: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Rail of ina3221; can be given again.")
    ] = None,
    repeats: Annotated[int, typer.Option(metavar="N", help="Windows that are measured.")] = 5,
    window: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Least length of a window; absent: 5 s or 50 updates of the meter."
        ),
    ] = None,
    warm_up: Annotated[float, typer.Option(metavar="SECONDS", help="Unmeasured runs before.")] = 2.0,
    idle: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Idle windows before and after; absent: as a window."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure the energy of a command, start of the program included: repeated, gross and net of idle power."""
    from tinysnn_hw.cost.measure import measure_energy, open_source
    from tinysnn_hw.report.measurement import measurement_json, measurement_table

    meter = open_source(source, power_w=watts, device=device, rails=rail or ())
    what = f"tinysnn {' '.join(command)}"
    note(f"measuring {what} by {meter.name}: {meter.scope}")
    found = measure_energy(
        lambda: run_command(command),
        meter,
        repeats=repeats,
        window_s=window,
        warmup_s=warm_up,
        idle_s=idle,
    )
    if json:
        show_json({"command": what, **measurement_json(found)})
    else:
        show(measurement_table(found, what))


def run_command(words: Sequence[str]) -> None:
    """Run a command of this program in a process of its own, and throw away what it prints.

    Raises
    ------
    MeasurementError
        It failed; the message has its last lines.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "tinysnn_hw", *words], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        said = "\n".join(ran.stderr.strip().splitlines()[-SHOWN_LINES:])
        raise MeasurementError(f"'tinysnn {' '.join(words)}' ended with code {ran.returncode}:\n{said}")


__all__ = ["measure", "run_command"]
