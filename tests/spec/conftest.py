"""A fixture that more than one file here needs."""

from tests.spec.files import network_file

__all__ = ["network_file"]
