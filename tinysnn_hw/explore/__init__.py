"""Search the design space: many configurations in one study, and the one that is worth keeping.

The room bears the name of its main function, so the room itself can be called: ``tinysnn_hw.explore(space, ...)``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tinysnn_hw.explore.batches import study_backend
from tinysnn_hw.explore.chosen import default_folder, network_toml, read_selections, validate_choice
from tinysnn_hw.explore.pareto import front_ranks, knee, pareto_front, reward
from tinysnn_hw.explore.run import Exploration, explore
from tinysnn_hw.explore.select import MU_SWEEP, Choice, Limits, Selection, select
from tinysnn_hw.explore.standing import Standing, Timing
from tinysnn_hw.explore.study import StudyRecord, TrialRow, load_study, write_text

__all__ = [
    "MU_SWEEP",
    "Choice",
    "Exploration",
    "Limits",
    "Selection",
    "Standing",
    "StudyRecord",
    "Timing",
    "TrialRow",
    "default_folder",
    "explore",
    "front_ranks",
    "knee",
    "load_study",
    "network_toml",
    "pareto_front",
    "read_selections",
    "reward",
    "select",
    "study_backend",
    "validate_choice",
    "write_text",
]


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Exploration:
        return explore(*args, **options)


sys.modules[__name__].__class__ = _CallableRoom
