"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from tinysnn_hw.cli import (
    cost,
    describe,
    evaluate,
    explore,
    measure,
    quantize,
    report,
    select,
    trace,
    train,
    validate,
)
from tinysnn_hw.version import NUMERIC_VERSION, __version__

app = typer.Typer(
    name="tinysnn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tinysnn_hw {__version__}, numeric version {NUMERIC_VERSION}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Bit-accurate emulation of spiking neural networks for small hardware.

    Results go to stdout, progress and notes to stderr.

    Exit codes: 0 done, 1 negative finding, 2 usage or input error, 3 a defect of the package, 130 interrupted.
    """


app.command("validate")(validate.validate)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("quantize")(quantize.quantize)
app.command("trace")(trace.trace)
app.command("cost")(cost.cost)
app.command("measure")(measure.measure)
app.command("explore")(explore.explore)
app.command("select")(select.select)
app.command("report")(report.report)
app.command("list")(describe.list_choices)
app.command("show")(describe.show)

__all__ = ["app"]
