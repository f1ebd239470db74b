"""Exit codes, streams and progress, with the work itself replaced."""

from __future__ import annotations

import io
import json
import sys

import pytest
import typer

from tinysnn_hw import learning
from tinysnn_hw.cli import main, output
from tinysnn_hw.errors import DataNotFoundError, FixedPointOverflowError, ModelFileError, SpecError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def raising(error):
    def work(*args, **kwargs):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SpecError("weight = 1: too small"), 2, "error: weight = 1: too small"),
        (DataNotFoundError("data set 'x': nowhere"), 2, "error: data set 'x': nowhere"),
        (ModelFileError("cut short"), 2, "error: cut short"),
        (FixedPointOverflowError("v_mem left its range"), 1, "error: v_mem left its range"),
        (PermissionError(13, "Permission denied", "runs/a"), 2, "error: runs/a: Permission denied"),
        (MemoryError("1 TiB"), 2, "error: out of memory: 1 TiB; use fewer neurons"),
        (
            KeyboardInterrupt(),
            130,
            "recipe: digits, named after the data set\ninterrupted: nothing was written\n",
        ),
    ],
)
def test_errors_are_one_message_and_a_code(tinysnn, monkeypatch, error, code, said):
    monkeypatch.setattr(learning, "validate", raising(error), raising=False)
    ran = tinysnn("validate", "--json")
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err and "Traceback" not in ran.err


def test_a_defect_shows_its_traceback(tinysnn, monkeypatch):
    monkeypatch.setattr(learning, "validate", raising(ZeroDivisionError("oops")), raising=False)
    ran = tinysnn("validate")
    assert ran.code == 3
    assert (
        "Traceback" in ran.err
        and "ZeroDivisionError: oops" in ran.err
        and "a defect of tinysnn_hw" in ran.err
    )


def test_an_interrupt_before_the_command_is_an_interrupt(monkeypatch, capsys):
    monkeypatch.setattr("tinysnn_hw.cli.app.app", raising(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_closed_pipe_is_not_an_error(monkeypatch):
    @output.reporting_errors
    def command():
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        command()


def test_exits_pass_through():
    @output.reporting_errors
    def command():
        raise typer.Exit(1)

    with pytest.raises(typer.Exit):
        command()


def test_json_is_strict(capsys):
    output.show_json({"a": [1, 2.5, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        output.show_json({"a": float("nan")})


def test_plain_output_has_no_colour_and_no_trailing_blanks(capsys):
    from rich.text import Text

    output.show(Text("bold", style="bold red"), Text("x" * 200))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bold"
    assert max(map(len, lines)) == output.PLAIN_WIDTH
    assert all(line == line.rstrip() for line in lines)


def test_terminals_get_colour(monkeypatch):
    from rich.text import Text

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output.show(Text("bold", style="bold"))
    assert "\x1b[1m" in terminal.getvalue()


def test_progress_off_a_terminal_is_a_line_per_stage(capsys):
    with output.progress_bars() as progress:
        for stage, done, total in (("train", 0, 1437), ("train", 500, 1437), ("test", 360, 360)):
            progress(stage, done, total)
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err == "train: 1,437\ntest: 360\n"


def test_progress_on_a_terminal_is_a_bar_that_goes_away(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    with output.progress_bars() as progress:
        progress("train", 0, 10)
        progress("train", 10, 10)
        progress("test", 1, 3)
    drawn = terminal.getvalue()
    assert "train" in drawn and "10/10" in drawn and "1/3" in drawn
    assert drawn.rstrip().endswith("\x1b[2K"), "the bars are erased at the end"
    assert capsys.readouterr().out == ""
