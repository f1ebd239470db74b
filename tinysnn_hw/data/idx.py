"""Reading of idx files, the format MNIST and its relatives are published in.

An idx file is: two zero bytes, one byte for the element type, one byte for the rank, one big-endian
32-bit length per dimension, then the elements in row-major order
(Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
Only unsigned bytes (type 0x08) occur in the data sets used here; anything else is refused.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.errors import DataError, DataNotFoundError

__all__ = ["decompress", "parse_idx", "read_content", "read_idx"]

UBYTE = 0x08
TYPE_NAMES = {UBYTE: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
LABEL_RANK, IMAGE_RANK = 1, 3
RANK_NAMES = {LABEL_RANK: "a label file", IMAGE_RANK: "an image file"}
GZIP_MAGIC = b"\x1f\x8b"
# What is often found under the name of an idx file, by its first bytes.
IMPOSTORS = {
    GZIP_MAGIC: "a gzip file inside a gzip file",
    b"PK": "a zip archive",
    b"<": "an HTML or XML page, as a failed download leaves",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}
FETCH_AGAIN = "delete it and fetch it again from its source"


def read_idx(path: str | os.PathLike[str], *, rank: int | None = None) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, plain or compressed with gzip.

    Parameters
    ----------
    path
        The file. Compression is recognised by the first two bytes, not by the name.
    rank
        Number of dimensions the file must have: 3 for images, 1 for labels; ``None`` takes any.

    Returns
    -------
    numpy.ndarray
        uint8, read-only, of the shape stated in the file.

    Raises
    ------
    DataNotFoundError
        There is no such file.
    DataError
        The file cannot be read, is a broken gzip file, is not an idx file, holds another element type,
        has another rank, or its length is not the one its header states.
    """
    return parse_idx(read_content(path), subject=os.fspath(path), rank=rank)


def read_content(path: str | os.PathLike[str]) -> bytes:
    """Read a whole file, decompressed if it begins with the gzip magic bytes.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bytes
        Its uncompressed content.

    Raises
    ------
    DataNotFoundError
        There is no such file.
    DataError
        The file cannot be read, or is a gzip file that is cut short or damaged.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataNotFoundError(f"{path}: no such file; check the path") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); give a readable file") from error
    return decompress(content, subject=str(path))


def decompress(content: bytes, *, subject: str) -> bytes:
    """Undo gzip compression if `content` begins with the gzip magic bytes, else return it as it is.

    Parameters
    ----------
    content
        The whole content of a file.
    subject
        What to call it in error messages, usually the path.

    Returns
    -------
    bytes
        The uncompressed content.

    Raises
    ------
    DataError
        The gzip data are cut short or damaged.
    """
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except EOFError:
        raise DataError(
            f"{subject}: gzip data cut short after {len(content)} bytes, expected all of them; {FETCH_AGAIN}"
        ) from None
    except (OSError, zlib.error, struct.error) as error:
        raise DataError(
            f"{subject}: damaged gzip data ({error}), expected intact ones; {FETCH_AGAIN}"
        ) from None


def parse_idx(content: bytes, *, subject: str, rank: int | None = None) -> NDArray[np.uint8]:
    """Decode the uncompressed content of an idx file of unsigned bytes.

    Parameters
    ----------
    content
        The whole content; the result shares its memory.
    subject
        What to call it in error messages, usually the path.
    rank
        Number of dimensions it must have; ``None`` takes any.

    Returns
    -------
    numpy.ndarray
        uint8, read-only, of the shape stated in the header.

    Raises
    ------
    DataError
        It is not an idx file, holds another element type, has another rank, or its length is not the one
        its header states.
    """
    found_rank = _checked_rank(content, subject, rank)
    header = 4 + 4 * found_rank
    if len(content) < header:
        raise DataError(
            f"{subject}: cut short inside the header: found {len(content)} bytes, "
            f"expected {header} for rank {found_rank}; {FETCH_AGAIN}"
        )
    shape = struct.unpack(f">{found_rank}I", content[4:header])
    n_expected = header + math.prod(shape)
    if len(content) != n_expected:
        fault = "truncated" if len(content) < n_expected else "followed by trailing bytes"
        raise DataError(
            f"{subject}: {fault}: found {len(content)} bytes, expected {n_expected} "
            f"(header {header} + {' x '.join(map(str, shape))}); {FETCH_AGAIN}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _checked_rank(content: bytes, subject: str, rank: int | None) -> int:
    """Check the four magic bytes and return the rank they state."""
    wanted = f"0000{UBYTE:02x}" + ("NN, NN the rank" if rank is None else f"{rank:02x}")
    if len(content) < 4:
        raise DataError(
            f"{subject}: not an idx file: found {len(content)} bytes, "
            f"expected at least the 4 magic bytes 0x{wanted}; {FETCH_AGAIN}"
        )
    magic, type_code, found_rank = content[:4].hex(), content[2], content[3]
    if content[:2] != b"\0\0" or type_code not in TYPE_NAMES or found_rank == 0:
        looks = next((what for start, what in IMPOSTORS.items() if content.startswith(start)), None)
        hint = f" (looks like {looks})" if looks else ""
        raise DataError(
            f"{subject}: not an idx file: found magic 0x{magic}{hint}, expected 0x{wanted}; "
            "give an idx file, plain or gzip"
        )
    if type_code != UBYTE:
        raise DataError(
            f"{subject}: idx elements are {TYPE_NAMES[type_code]} (magic 0x{magic}), "
            f"expected uint8 (magic 0x{wanted}); convert the file to unsigned bytes"
        )
    if rank is not None and found_rank != rank:
        found_kind = RANK_NAMES.get(found_rank, "another kind of file")
        kind = RANK_NAMES.get(rank, "another kind of file")
        raise DataError(
            f"{subject}: found rank {found_rank} (magic 0x{magic}, {found_kind}), "
            f"expected rank {rank} (magic 0x{wanted}, {kind}); "
            "check that image and label files are not swapped"
        )
    return found_rank
