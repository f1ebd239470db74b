"""``python -m tinysnn_hw`` is the command line ``tinysnn``."""

from __future__ import annotations

from tinysnn_hw.cli import main

main()
