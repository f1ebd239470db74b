"""Registered data sets are found, verified and downloaded, and nothing else is ever taken for them."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw.data import SOURCES, IdxSource, Parts, load_dataset, sources
from tinysnn_hw.errors import DataError, DataNotFoundError

FILES = sources.MNIST_FILES


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


RNG = np.random.default_rng(1)
ARRAYS = Parts(
    RNG.integers(0, 256, (5, 4, 3), np.uint8),
    np.array([0, 1, 2, 0, 1], np.uint8),
    RNG.integers(0, 256, (2, 4, 3), np.uint8),
    np.array([2, 0], np.uint8),
)
CONTENT = Parts(*map(idx_bytes, ARRAYS))
SHA = Parts(*(hashlib.sha256(content).hexdigest() for content in CONTENT))


def put(folder: Path, *, packed: bool = True, names: Parts[str] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, CONTENT, strict=True):
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def register(monkeypatch: pytest.MonkeyPatch, *mirrors: str) -> None:
    entry = IdxSource(sha256=SHA, mirrors=mirrors, image_shape=(4, 3), n_classes=3)
    monkeypatch.setitem(SOURCES, "tiny", entry)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from this user's cache, data folder, proxies and the network."""
    monkeypatch.setattr(sources, "cache_folder", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("TINYSNN_DATA", raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    register(monkeypatch)
    return tmp_path / "cache" / "tiny"


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder over HTTP."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def check_arrays(data) -> None:
    np.testing.assert_array_equal(data.train_images, ARRAYS.train_images.reshape(5, 12))
    np.testing.assert_array_equal(data.train_labels, ARRAYS.train_labels)
    np.testing.assert_array_equal(data.test_images, ARRAYS.test_images.reshape(2, 12))
    np.testing.assert_array_equal(data.test_labels, ARRAYS.test_labels)
    assert (data.name, data.n_classes, data.image_shape) == ("tiny", 3, (4, 3))


# Places


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["", "tiny"])
def test_data_dir_or_its_subfolder(cache, tmp_path, packed, sub):
    put(tmp_path / "mine" / sub, packed=packed)
    data = load_dataset("tiny", tmp_path / "mine")
    check_arrays(data)
    assert data.source == str(tmp_path / "mine" / sub)


def test_dotted_spelling(cache, tmp_path):
    names = Parts(*(name.replace("-idx", ".idx") for name in FILES))
    check_arrays(load_dataset("tiny", put(tmp_path / "mine", names=names)))


@pytest.mark.parametrize("sub", ["", "tiny"])
def test_environment_variable(cache, tmp_path, monkeypatch, sub):
    monkeypatch.setenv("TINYSNN_DATA", str(tmp_path / "mine"))
    put(tmp_path / "mine" / sub)
    check_arrays(load_dataset("tiny"))


def test_cache_is_last(cache, tmp_path, monkeypatch):
    put(cache)
    monkeypatch.setenv("TINYSNN_DATA", str(tmp_path / "empty"))
    assert load_dataset("tiny").source == str(cache)
    monkeypatch.setenv("TINYSNN_DATA", "")
    assert load_dataset("tiny").source == str(cache)


def test_data_dir_does_not_fall_back(cache, tmp_path, monkeypatch, mirror):
    url, served = mirror
    put(served)
    put(cache)
    register(monkeypatch, url)
    (tmp_path / "mine").mkdir()
    put(tmp_path / "mine", packed=False)
    (tmp_path / "mine" / FILES.test_labels).unlink()
    with pytest.raises(DataNotFoundError) as caught:
        load_dataset("tiny", tmp_path / "mine")
    text = str(caught.value)
    assert f"{tmp_path / 'mine'}: lacks {FILES.test_labels}\n" in text
    assert f"{tmp_path / 'mine' / 'tiny'}: no such folder" in text
    assert "not downloaded" in text


def test_bundled_set_takes_no_folder(tmp_path):
    with pytest.raises(DataError, match="has no files; leave data_dir out"):
        load_dataset("digits", tmp_path)


# Verification


def test_altered_file_is_refused(cache, tmp_path):
    folder = put(tmp_path / "mine", packed=False)
    path = folder / FILES.train_labels
    path.write_bytes(path.read_bytes()[:-1] + b"\2")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=f"mislabelled or altered: expected sha256 {SHA[1]}, found {found}"):
        load_dataset("tiny", folder)


def test_another_registered_set_is_recognised(cache, tmp_path, monkeypatch):
    other = IdxSource(sha256=Parts(*"abcd"), mirrors=(), image_shape=(4, 3), n_classes=3)
    monkeypatch.setitem(SOURCES, "other", other)
    with pytest.raises(DataError, match="these are the bytes of tiny's train images"):
        load_dataset("other", put(tmp_path / "mine"))


def test_cut_gzip_is_refused(cache):
    put(cache)
    path = cache / f"{FILES.train_images}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cut short"):
        load_dataset("tiny")


def test_shape_must_be_the_registered_one(cache, monkeypatch):
    entry = IdxSource(sha256=SHA, mirrors=(), image_shape=(3, 4), n_classes=3)
    monkeypatch.setitem(SOURCES, "tiny", entry)
    put(cache)
    with pytest.raises(DataError, match=r"train_images: shape \(5, 4, 3\), expected \[n, 3, 4\]"):
        load_dataset("tiny")


# Download


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


ALL_GZ = sorted(f"{name}.gz" for name in FILES)


def test_download_then_cache(cache, monkeypatch, mirror, capfd):
    url, served = mirror
    put(served)
    register(monkeypatch, url)
    check_arrays(load_dataset("tiny"))
    assert names_in(cache) == ALL_GZ
    register(monkeypatch)
    check_arrays(load_dataset("tiny"))
    assert capfd.readouterr() == ("", "")


def test_only_missing_files_are_fetched(cache, monkeypatch, mirror):
    url, served = mirror
    put(served)
    put(cache, packed=False)
    (cache / FILES.test_images).unlink()
    register(monkeypatch, url)
    check_arrays(load_dataset("tiny"))
    kept = [name for name in FILES if name != FILES.test_images]
    assert names_in(cache) == sorted([*kept, f"{FILES.test_images}.gz"])


def test_second_mirror_after_404(cache, monkeypatch, mirror):
    url, served = mirror
    put(served / "good")
    register(monkeypatch, f"{url}/bad/", f"{url}/good/")
    check_arrays(load_dataset("tiny"))


def test_second_mirror_after_altered_content(cache, monkeypatch, mirror):
    url, served = mirror
    put(served / "good")
    put(served / "bad")
    (served / "bad" / ALL_GZ[0]).write_bytes(gzip.compress(b"other"))
    register(monkeypatch, f"{url}/bad", f"{url}/good")
    check_arrays(load_dataset("tiny"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: gzip.compress(gzip.decompress(content) + b"!"), "mislabelled or altered"),
        (lambda content: content[: len(content) // 2], "cut short"),
        (lambda content: b"<html>please log in</html>", "mislabelled or altered"),
        (lambda content: b"", "mislabelled or altered"),
    ],
    ids=["altered", "cut", "html", "empty"],
)
def test_damaged_download_leaves_nothing(cache, monkeypatch, mirror, damage, words):
    url, served = mirror
    put(served)
    for path in served.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    register(monkeypatch, url)
    with pytest.raises(DataNotFoundError, match=words):
        load_dataset("tiny")
    assert names_in(cache) == []


def test_connection_that_breaks_off_leaves_nothing(cache, monkeypatch, mirror):
    url, served = mirror
    put(served)

    def broken(self: Handler) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")

    monkeypatch.setattr(Handler, "do_GET", broken)
    register(monkeypatch, url)
    with pytest.raises(DataNotFoundError, match=r"IncompleteRead|[Cc]onnection"):
        load_dataset("tiny")
    assert names_in(cache) == []


def test_progress_goes_to_stderr(cache, monkeypatch, mirror, capsys):
    url, served = mirror
    put(served)
    register(monkeypatch, url)
    load_dataset("tiny", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split("\r")[-1] for line in err.split("\n")[:-1]] == [
        f"downloading {name}.gz: 100 %" for name in FILES
    ]


def test_offline_message_says_everything(cache, monkeypatch, tmp_path, mirror):
    url, _ = mirror
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    register(monkeypatch, f"{url}/one", f"{dead}/two")
    monkeypatch.setenv("TINYSNN_DATA", str(tmp_path / "env"))
    with pytest.raises(DataNotFoundError) as caught:
        load_dataset("tiny")
    text = str(caught.value)
    places = [tmp_path / "env" / "tiny", tmp_path / "env", cache]
    reasons = [f"{url}/one/{FILES[0]}.gz: HTTPError: 404", f"two/{FILES[0]}.gz: ConnectionError"]
    advice = ["data_dir=FOLDER", "--data-dir FOLDER", "TINYSNN_DATA=FOLDER", "--data digits"]
    for words in ["'tiny'", *map(str, places), *reasons, *FILES, *advice]:
        assert words in text
    assert isinstance(caught.value, FileNotFoundError)


# Registered facts


def test_registry_entries_are_well_formed():
    for name, entry in SOURCES.items():
        assert name == name.lower()
        if isinstance(entry, IdxSource):
            assert all(len(bytes.fromhex(sha)) == 32 for sha in entry.sha256)
            assert len(set(entry.sha256)) == 4
            assert entry.mirrors
            assert all(url.startswith("http") and url.endswith("/") for url in entry.mirrors)


MEAN_TOTAL = {"mnist": 26122, "fashion-mnist": 57185}


@pytest.mark.parametrize("name", list(MEAN_TOTAL))
def test_published_set(name, data_dir):
    if not any(all(sources.find_files(folder, FILES)) for folder in sources.data_folders(name, data_dir)):
        pytest.skip(f"the files of {name} are not in {data_dir}, the folder TINYSNN_DATA names")
    data = load_dataset(name, data_dir)
    assert (data.n_train, data.n_test, data.n_inputs, data.n_classes) == (60000, 10000, 784, 10)
    assert round(data.train_images.sum(dtype=np.int64) / 60000) == MEAN_TOTAL[name]
    assert np.bincount(data.test_labels).sum() == 10000
    if name == "fashion-mnist":
        assert np.bincount(data.train_labels).tolist() == [6000] * 10
    else:
        assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
