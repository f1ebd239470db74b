"""Where words go: results to stdout, progress, notes and errors to stderr; and the exit codes of errors."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec

import typer

from tinysnn_hw.errors import FixedPointOverflowError, TinySnnError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import TaskID

NEGATIVE, INPUT_ERROR, INTERRUPTED = 1, 2, 130
PLAIN_WIDTH = 110
"""Columns of output that does not go to a terminal."""

Progress = Callable[[str, int, int], None]
P = ParamSpec("P")


def reporting_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors a user can meet into one message on stderr and an exit code, without a traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except FixedPointOverflowError as error:
            _complain(str(error))
            raise typer.Exit(NEGATIVE) from None
        except TinySnnError as error:
            _complain(str(error))
            raise typer.Exit(INPUT_ERROR) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _complain(f"{where}{error.strerror or error}")
            raise typer.Exit(INPUT_ERROR) from None
        except MemoryError as error:
            _complain(
                f"out of memory{f': {error}' if str(error) else ''}; use fewer neurons, images or threads"
            )
            raise typer.Exit(INPUT_ERROR) from None
        except KeyboardInterrupt:
            # A terminal has just shown ^C on the same line.
            print("\n" * sys.stderr.isatty() + "interrupted: nothing was written", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def _complain(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def note(message: str) -> None:
    """Say something beside the result, on stderr."""
    print(message, file=sys.stderr)


def show_json(result: Mapping[str, object]) -> None:
    """Print a result as JSON on stdout."""
    print(json.dumps(result, indent=2, allow_nan=False))


def show(*parts: RenderableType) -> None:
    """Print tables and text on stdout; in colour on a terminal, else as plain lines of up to 110 columns."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(*parts, sep="\n")
        return
    console = Console(width=PLAIN_WIDTH, highlight=False, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    for line in captured.get().splitlines():
        print(line.rstrip())


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Give a ``progress(stage, done, total)`` that draws bars on stderr; off a terminal, a line per stage."""
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def say(stage: str, done: int, total: int) -> None:
            if stage not in seen:
                seen.add(stage)
                print(f"{stage}: {total:,}", file=sys.stderr, flush=True)

        yield say
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def draw(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield draw


__all__ = [
    "INPUT_ERROR", "INTERRUPTED", "NEGATIVE", "Progress", "note", "progress_bars", "reporting_errors", "show",
    "show_json",
]  # fmt: skip
