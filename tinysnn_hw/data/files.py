"""A user's own files: ``.npz`` archives, and rasters as ``.npz`` or ``.csv``.

Raster files
    ``.npz`` holds either ``spikes`` (bool or integer counts [image, step, input]) or ``events``
    (integers [event, 3]: image, step, input) with ``sizes`` (n_images, n_steps, n_inputs); in both cases
    optionally ``labels`` (integer [image]).

    ``.csv`` holds one event per line under a header with the columns image, step and input in any order;
    above the header there may be a line ``# n_images=2 n_steps=250 n_inputs=64``.

All numbers count from 0, and events may be in any order.
"""

from __future__ import annotations

import csv
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysnn_hw.data.raster import Raster
from tinysnn_hw.errors import DataError, DataNotFoundError

__all__ = ["load_raster", "read_npz", "read_raster", "save_raster"]

Sizes = tuple[int, int, int]

COLUMNS = ("image", "step", "input")
SIZE_NAMES = ("n_images", "n_steps", "n_inputs")
# 18 digits always fit 64 bits.
INTEGER = re.compile(r"-?[0-9]{1,18}")
SIZE_LINE = re.compile(r"#\s*n_images=([0-9]{1,18})\s+n_steps=([0-9]{1,18})\s+n_inputs=([0-9]{1,18})\s*")


def read_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file; pickled objects are refused, since loading them runs code.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Arrays by name.

    Raises
    ------
    DataNotFoundError
        There is no such file.
    DataError
        It is not an ``.npz`` file, is damaged, or holds something other than plain arrays.
    """
    path = _existing(path)
    arrays = {}
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: not an .npz file, or cut short; write it anew with numpy.savez")
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                try:
                    array = archive[key]
                except ValueError as error:
                    raise DataError(
                        f"{path}: array {key!r} cannot be read ({error}); pickled objects are refused, "
                        "save plain numeric arrays with numpy.savez"
                    ) from None
                if not isinstance(array, np.ndarray):
                    raise DataError(f"{path}: member {key!r} is not an array; write it with numpy.savez")
                arrays[key] = array
    # RuntimeError: encrypted, or compressed in a way unknown here.
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise DataError(f"{path}: damaged .npz file ({error}); write it anew with numpy.savez") from None
    return arrays


def load_raster(path: str | os.PathLike[str], *, sizes: Sizes | None = None) -> Raster:
    """Load a raster from a ``.npz`` or ``.csv`` file as described at the top of this module.

    Parameters
    ----------
    path
        The file; its ending tells the kind.
    sizes
        ``(n_images, n_steps, n_inputs)``; needed for an event list that does not state them, and must agree
        with what the file states.  Sizes are never guessed: the last image, step or input may be silent.

    Returns
    -------
    Raster

    Raises
    ------
    DataNotFoundError
        There is no such file.
    DataError
        The file is damaged or malformed, or an event is out of range; the message names the first.
    """
    return read_raster(path, sizes=sizes)[0]


def read_raster(
    path: str | os.PathLike[str], *, sizes: Sizes | None = None
) -> tuple[Raster, NDArray[Any] | None]:
    """Load a raster and, where the file has them, its labels, unchecked.

    Parameters and errors are those of `load_raster`.
    """
    path = _existing(path)
    readers = {".npz": _from_npz, ".csv": _from_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: raster files end in {' or '.join(readers)}; found {path.suffix!r}")
    return reader(path, sizes)


def save_raster(raster: Raster, path: str | os.PathLike[str], *, labels: ArrayLike | None = None) -> None:
    """Save a raster as an event list, with its sizes, that `load_raster` reads back.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    raster
        What to save.
    path
        A name that ends in ``.npz`` or ``.csv``; an existing file is replaced.
    labels
        Integer class of each image; ``.npz`` only.

    Raises
    ------
    DataError
        Another ending, labels for a ``.csv`` file, or not one integer label per image.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".npz", ".csv"):
        raise DataError(f"{path}: raster files end in .npz or .csv; found {path.suffix!r}")
    arrays: dict[str, Any] = {}
    if labels is not None:
        classes = arrays["labels"] = np.asarray(labels)
        if classes.dtype.kind not in "iu" or classes.shape != (raster.n_images,):
            raise DataError(
                f"labels: {classes.dtype} with shape {classes.shape}, "
                f"expected integers of shape ({raster.n_images},), one per image"
            )
        if kind == ".csv":
            raise DataError(f"{path}: a .csv event list cannot hold labels; save as .npz")
    sizes = (raster.n_images, raster.n_steps, raster.n_inputs)
    lengths = np.diff(raster.offsets, axis=1).ravel()
    rows = np.repeat(np.arange(len(lengths)), lengths)
    # Sizes are below 2**31, so 32 bits hold every index.
    events = np.stack([rows // raster.n_steps, rows % raster.n_steps, raster.inputs], axis=1).astype(np.int32)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            if kind == ".npz":
                np.savez_compressed(file, events=events, sizes=np.array(sizes), **arrays)
            else:
                _write_csv(file, events, sizes)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_csv(file: IO[bytes], events: NDArray[np.int32], sizes: Sizes) -> None:
    stated = " ".join(f"{name}={size}" for name, size in zip(SIZE_NAMES, sizes, strict=True))
    np.savetxt(file, events, fmt="%d", delimiter=",", header=f"# {stated}\n{','.join(COLUMNS)}", comments="")


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file; check the path")
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name in front of an error about its content."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _from_npz(path: Path, sizes: Sizes | None) -> tuple[Raster, NDArray[Any] | None]:
    arrays = read_npz(path)
    if ("spikes" in arrays) == ("events" in arrays):
        raise DataError(
            f"{path}: holds the arrays {sorted(arrays)}, expected either 'spikes' [image, step, input] "
            "or 'events' [event, 3] with 'sizes'"
        )
    labels = arrays.get("labels")
    if "spikes" in arrays:
        with _named(path):
            raster = Raster.from_dense(arrays["spikes"])
        _agreed(path, (raster.n_images, raster.n_steps, raster.n_inputs), sizes)
        return raster, labels
    events, stated = arrays["events"], arrays.get("sizes")
    if events.ndim != 2 or events.shape[1] != 3:
        raise DataError(f"{path}: events has shape {events.shape}, expected [event, 3]: image, step, input")
    if stated is not None and (stated.shape != (3,) or stated.dtype.kind not in "iu"):
        raise DataError(
            f"{path}: sizes is {stated.dtype} with shape {stated.shape}, "
            f"expected three integers: {', '.join(SIZE_NAMES)}"
        )
    n_images, n_steps, n_inputs = _agreed(path, stated if stated is None else tuple(map(int, stated)), sizes)
    with _named(path):
        raster = Raster.from_events(*events.T, n_images=n_images, n_steps=n_steps, n_inputs=n_inputs)
    return raster, labels


def _from_csv(path: Path, sizes: Sizes | None) -> tuple[Raster, NDArray[Any] | None]:
    stated, header, rows = None, None, []
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                if header is None and text.startswith("#"):
                    stated = _stated_sizes(text) or stated
                    continue
                fields = [field.strip() for field in next(csv.reader([text]))]
                if header is None:
                    header = fields
                    if sorted(header) != sorted(COLUMNS):
                        raise DataError(
                            f"{path}: line {line}: header {text.strip()!r}, expected {','.join(COLUMNS)}"
                        )
                    continue
                if len(fields) != 3 or not all(INTEGER.fullmatch(field) for field in fields):
                    raise DataError(
                        f"{path}: line {line}: {text.strip()!r}, expected three integers: {','.join(header)}"
                    )
                rows.append([int(field) for field in fields])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); give a .csv file in UTF-8") from None
    if header is None:
        raise DataError(f"{path}: empty, expected a header line {','.join(COLUMNS)}")
    n_images, n_steps, n_inputs = _agreed(path, stated, sizes)
    events = np.array(rows, np.int64).reshape(-1, 3)
    image, step, column = (events[:, header.index(name)] for name in COLUMNS)
    with _named(path):
        raster = Raster.from_events(
            image, step, column, n_images=n_images, n_steps=n_steps, n_inputs=n_inputs
        )
    return raster, None


def _stated_sizes(text: str) -> Sizes | None:
    match = SIZE_LINE.fullmatch(text.strip())
    if match is None:
        return None
    n_images, n_steps, n_inputs = map(int, match.groups())
    return n_images, n_steps, n_inputs


def _agreed(path: Path, stated: tuple[int, ...] | None, given: Sizes | None) -> tuple[int, ...]:
    if stated is None and given is None:
        raise DataError(
            f"{path}: does not state its sizes; pass sizes=({', '.join(SIZE_NAMES)}), or put the array "
            f"'sizes' into the .npz file, or the line '# {' '.join(f'{n}=...' for n in SIZE_NAMES)}' "
            "above the header of the .csv file"
        )
    if stated is not None and given is not None and tuple(given) != stated:
        raise DataError(f"{path}: states the sizes {stated}, but sizes={given} was passed; leave one out")
    return cast(tuple[int, ...], given if stated is None else stated)
