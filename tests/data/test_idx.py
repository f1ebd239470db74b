"""Idx files are read as they are, or refused with a message that names the fault."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.data.idx import parse_idx, read_idx
from tinysnn_hw.errors import DataError, DataNotFoundError


def idx_bytes(array: np.ndarray, type_code: int = 8) -> bytes:
    return (
        bytes([0, 0, type_code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([3, 1, 4], dtype=np.uint8)


@pytest.fixture
def put(tmp_path: Path):
    def write(content: bytes, name: str = "train-images-idx3-ubyte") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("array", [IMAGES, LABELS, np.zeros((0, 28, 28), np.uint8)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_content_and_shape_come_back(put, array, pack):
    found = read_idx(put(pack(idx_bytes(array))))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape


def test_a_hand_written_file():
    content = bytes.fromhex("00000803 00000001 00000002 00000002 01 02 fe ff")
    assert parse_idx(content, subject="x", rank=3).tolist() == [[[1, 2], [254, 255]]]


def test_compression_is_told_by_content_not_by_name(put):
    np.testing.assert_array_equal(read_idx(put(idx_bytes(LABELS), "labels.gz")), LABELS)
    np.testing.assert_array_equal(read_idx(put(gzip.compress(idx_bytes(LABELS)), "labels")), LABELS)


def test_gzip_of_several_members(put):
    content = idx_bytes(IMAGES)
    np.testing.assert_array_equal(
        read_idx(put(gzip.compress(content[:9]) + gzip.compress(content[9:]))), IMAGES
    )


FULL = idx_bytes(IMAGES)
PACKED = gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, (9, 28, 28), np.uint8)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(FULL[: len(FULL) // 2], ["truncated", "20 bytes", "40"], id="half"),
        pytest.param(FULL[:-1], ["truncated", "39 bytes", "40"], id="one-byte-short"),
        pytest.param(FULL + b"\0", ["trailing", "41 bytes", "40"], id="trailing-byte"),
        pytest.param(FULL[:9], ["header", "9 bytes", "16"], id="half-a-header"),
        pytest.param(b"", ["0 bytes", "4 magic"], id="empty"),
        pytest.param(b"\1" + FULL[1:], ["magic 0x01000803", "0x00000803"], id="wrong-magic"),
        pytest.param(b"\0\0\x08\0", ["magic 0x00000800"], id="rank-0"),
        pytest.param(b"<html>404</html>", ["HTML"], id="html"),
        pytest.param(b"PK\3\4 zip", ["zip archive"], id="zip"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1", ["Git LFS"], id="lfs"),
        pytest.param(gzip.compress(gzip.compress(FULL)), ["gzip file inside"], id="gzip-twice"),
        pytest.param(idx_bytes(IMAGES.astype(">f4"), 0x0D), ["float32", "uint8"], id="float32"),
        pytest.param(idx_bytes(LABELS), ["rank 1", "a label file", "rank 3", "swapped"], id="labels"),
        pytest.param(PACKED[: len(PACKED) // 2], ["gzip", "cut short"], id="gzip-half"),
        pytest.param(PACKED[:5], ["gzip", "cut short"], id="gzip-header-only"),
        pytest.param(PACKED[:40] + bytes(40) + PACKED[80:], ["damaged gzip"], id="gzip-overwritten"),
        pytest.param(PACKED[:-8] + bytes(4) + PACKED[-4:], ["damaged gzip", "CRC"], id="gzip-crc"),
        pytest.param(PACKED + b"junk", ["damaged gzip"], id="gzip-trailing"),
    ],
)
def test_a_faulty_file_is_refused(put, content, words):
    path = put(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, rank=3)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_lengths_beyond_any_memory_are_just_a_truncated_file():
    with pytest.raises(DataError, match="truncated"):
        parse_idx(bytes([0, 0, 8, 4]) + b"\xff" * 16, subject="x")


def test_images_in_place_of_labels(put):
    with pytest.raises(DataError, match=r"found rank 3 .*an image file.* expected rank 1 .*a label file"):
        read_idx(put(FULL), rank=1)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataNotFoundError, match="no such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


@given(st.integers(0, 39))
def test_every_proper_prefix_is_refused(length):
    with pytest.raises(DataError):
        parse_idx(FULL[:length], subject="x")


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(content):
    try:
        array = parse_idx(content, subject="x")
    except DataError:
        return
    assert idx_bytes(array) == content
