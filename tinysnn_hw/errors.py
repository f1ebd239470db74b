"""Errors a user can meet; each is also the matching built-in, so ``except ValueError`` works too."""

from __future__ import annotations


class TinySnnError(Exception):
    """Base of every error this package raises on purpose.

    The message names the subject, its value, what is allowed and, where known, what to do.
    """


class FormatError(TinySnnError, ValueError):
    """A number format cannot be parsed or cannot exist."""


class QuantizeError(TinySnnError, ValueError):
    """A value cannot be turned into a raw integer (NaN, infinity, wrong dtype)."""


class FixedPointOverflowError(TinySnnError, OverflowError):
    """A register whose overflow mode is ``error`` left its range."""


class SpecError(TinySnnError, ValueError):
    """A network, format or run description is malformed or impossible."""


class DataError(TinySnnError, ValueError):
    """A data file or array is malformed, truncated, mislabelled or of the wrong shape."""


class DataNotFoundError(TinySnnError, FileNotFoundError):
    """A data set is neither on disk nor obtainable."""


class ModelFileError(TinySnnError, ValueError):
    """A saved model is missing, cut short, altered or of another version."""


class PowerSourceError(TinySnnError, RuntimeError):
    """A power meter is absent, unreadable, or gives values that cannot be."""


class MeasurementError(TinySnnError, ValueError):
    """An energy measurement cannot be sound: too short for its meter, or its workload failed."""


class BackendUnavailableError(TinySnnError, RuntimeError):
    """A back end or device was asked for by name and cannot run on this machine."""


class MissingPackageError(TinySnnError, ImportError):
    """An optional package is not installed; the message has the line that installs it."""


class DeviceMemoryError(TinySnnError, MemoryError):
    """A network does not fit the free memory of the GPU."""


class StudyError(TinySnnError, RuntimeError):
    """A study cannot be opened, joined, read or written."""
