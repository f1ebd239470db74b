"""`tinysnn explore`: walk a search space, in a study that survives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.output import INTERRUPTED, note, reporting_errors, show, show_json

if TYPE_CHECKING:
    from tinysnn_hw.explore import Standing

_flag = partial(options.flag, "Search")


@reporting_errors
def explore(
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder of the study; one that holds it already is continued."),
    ],
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A shipped search space ('tinysnn list') or a .toml file.")
    ] = "digits-widths",
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    limit_train: options.LimitTrain = None,
    executor: Annotated[
        str, _flag("NAME", "local (a process per core), local:N, or dask://HOST:PORT, a Dask scheduler.")
    ] = "local",
    storage: Annotated[
        str | None,
        _flag(
            "URL",
            "Database of the study, as Optuna takes it, for several explorers; absent: SQLite in the folder.",
        ),
    ] = None,
    backend: options.Backend = "auto",
    trials: Annotated[
        int | None,
        _flag("N", "Trials, instead of the space's.", min=1),
    ] = None,
    json: options.Json = False,
) -> None:
    """Try the configurations of a search space on held-out training images.

    Every finished trial is on disk at once. The same command continues a study that was interrupted, killed or ran
    out of disk; several explorers may work on one study.
    """
    from tinysnn_hw.explore import explore as run
    from tinysnn_hw.explore import select, study_backend
    from tinysnn_hw.report.study import exploration_json, exploration_tables
    from tinysnn_hw.spec.space_load import load_space, with_trials

    spec = with_trials(load_space(space), trials)
    chosen = study_backend(spec, backend, executor)
    if backend == "auto":
        note(f"backend of fixed-point trials: {chosen.name} ({chosen.why})")
    try:
        with _standings() as progress:
            found = run(
                spec,
                data,
                out,
                data_dir=data_dir,
                limit_train=limit_train,
                executor=executor,
                storage=storage,
                backend=backend,
                progress=progress,
            )
    except KeyboardInterrupt:
        note(f"\ninterrupted: finished trials are in {out}; the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    selection = select(found.study)
    if json:
        show_json(exploration_json(found, selection))
    else:
        show(*exploration_tables(found, selection))
    note(f"next: tinysnn select {out} --mu 5; tinysnn report {out}")


@contextmanager
def _standings() -> Iterator[Callable[[Standing], None]]:
    """Give a function that draws the standing of a study on stderr; off a terminal, a line each time."""
    from tinysnn_hw.report.study import standing_line

    if not sys.stderr.isatty():
        yield lambda standing: print(standing_line(standing), file=sys.stderr, flush=True)
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=None)

        def draw(standing: Standing) -> None:
            line = standing_line(standing, counts=False)
            bars.update(task, completed=standing.done, total=standing.total, description=line)

        yield draw


__all__ = ["explore"]
