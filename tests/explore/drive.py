"""Run an exploration with fake work: python drive.py FOLDER EXECUTOR SAMPLER."""

from __future__ import annotations

import sys

from conftest import small_space
from fake_work import evaluate

from tinysnn_hw.errors import TinySnnError
from tinysnn_hw.explore import explore


def main(folder: str, executor: str, sampler: str) -> int:
    extra = {} if sampler == "grid" else {"trials": 24}
    try:
        explore(
            small_space(sampler=sampler, **extra),
            "digits",
            folder,
            executor=executor,
            work=evaluate,
            progress=lambda standing: print(standing.done, flush=True),
        )
    except TinySnnError as error:
        print(f"error: {error}", flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
