"""Run an exploration with fake work: python drive.py FOLDER EXECUTOR SAMPLER."""

from __future__ import annotations

import sys

from conftest import small_space
from fake_work import evaluate

from tinysnn_hw.errors import TinySnnError
from tinysnn_hw.explore import explore


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(folder: str, executor: str, sampler: str) -> int:
    extra = {} if sampler == "grid" else {"trials": 24}
    try:
        explore(
            small_space(sampler=sampler, **extra),
            "digits",
            folder,
            executor=executor,
            work=evaluate,
            progress=lambda standing: say(standing.done),
        )
    except TinySnnError as error:
        say(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
