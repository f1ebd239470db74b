"""The small network and what was trained of it, shared with other folders."""

from tests.small import digits, files_in, model, network, twin

__all__ = ["digits", "files_in", "model", "network", "twin"]
