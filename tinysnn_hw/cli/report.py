"""`tinysnn report`: a study as one HTML page, with figures and a table beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.output import note, reporting_errors, show_json
from tinysnn_hw.cli.select import Study


@reporting_errors
def report(
    folder: Study,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the report goes; absent: report in the study."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write report.html, a page that needs nothing else, and its figures (PNG) and trials (CSV)."""
    from tinysnn_hw.explore import load_study
    from tinysnn_hw.report.page import write_report

    files = write_report(load_study(folder), folder / "report" if out is None else out)
    if json:
        show_json({"files": [str(file) for file in files]})
        return
    for file in files:
        print(file)
    note("open the .html file in a browser; it loads nothing else")


__all__ = ["report"]
