"""Files of sysfs: the texts and integers by which Linux shows power meters."""

from __future__ import annotations

from pathlib import Path

from tinysnn_hw.errors import PowerSourceError


def read_text(file: Path) -> str:
    """Return what a file holds; empty if it is not there."""
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def read_integer(file: Path) -> int:
    """Return the integer a file of sysfs holds.

    Raises
    ------
    PowerSourceError
        It cannot be read, or holds something else.
    """
    try:
        return int(file.read_text(encoding="ascii"))
    except PermissionError as error:
        raise PowerSourceError(
            f"{file}: not readable for this user (kernels since 2020 keep it to root, CVE-2020-8694); run as root, or "
            f"allow it once: chmod a+r {file}"
        ) from error
    except OSError as error:
        raise PowerSourceError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise PowerSourceError(f"{file}: holds no integer ({error})") from error


__all__ = ["read_integer", "read_text"]
