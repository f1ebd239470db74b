"""The command line `tinysnn`: parsing and printing only; everything else is a call of the package."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence

INTERNAL_ERROR = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Codes: 0 done, 1 negative finding, 2 usage or input error, 3 a defect of this package (with a traceback),
    130 interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name; absent: those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow encoding costs a symbol, not the result
    try:
        from tinysnn_hw.cli.app import app

        app(args=None if arguments is None else list(arguments), prog_name="tinysnn")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        print("this is a defect of tinysnn_hw, not of your input; please report it", file=sys.stderr)
        sys.exit(INTERNAL_ERROR)


__all__ = ["main"]
