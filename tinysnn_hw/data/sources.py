"""Where data sets come from: the registry, the folders searched, the mirrors, a user's own files.

A new data set is one new entry of `SOURCES`. Files that come under a registered name are always checked
against the SHA-256 of their uncompressed content, so a set is the same wherever it was found.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinysnn_hw.data.idx import IMAGE_RANK, LABEL_RANK, decompress, parse_idx, read_content, read_idx
from tinysnn_hw.errors import DataError, DataNotFoundError

__all__ = ["SOURCES", "BundledSource", "IdxSource", "Parts", "data_folders", "read_folder"]

T = TypeVar("T")

ENV_FOLDER = "TINYSNN_DATA"
CONNECT_S, READ_S = 10.0, 30.0
CHUNK_BYTES = 1 << 16


class Parts(NamedTuple, Generic[T]):
    """One thing for each of the four arrays of a data set, always in this order."""

    train_images: T
    train_labels: T
    test_images: T
    test_labels: T


RANKS = Parts(IMAGE_RANK, LABEL_RANK, IMAGE_RANK, LABEL_RANK)
MNIST_FILES = Parts(
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
)


@dataclass(frozen=True, slots=True)
class IdxSource:
    """A published data set of four idx files.

    Attributes
    ----------
    sha256
        SHA-256 of the uncompressed content of each file, hexadecimal.
    mirrors
        Addresses of folders that hold the files under their names with ``.gz`` appended, best first.
    image_shape
        Height and width of an image in pixels.
    n_classes
        Number of classes.
    files
        Names of the four files without ``.gz``.
    """

    sha256: Parts[str]
    mirrors: tuple[str, ...]
    image_shape: tuple[int, int]
    n_classes: int
    files: Parts[str] = MNIST_FILES

    def read(
        self, name: str, data_dir: str | os.PathLike[str] | None, progress: bool | None
    ) -> tuple[Parts[NDArray[np.uint8]], str]:
        """Find the four files, downloading them if they are nowhere, verify and read them.

        Parameters
        ----------
        name
            Name of the data set: names its subfolder and appears in messages.
        data_dir
            The only folder to look in (or in its subfolder ``name``); ``None`` looks in all usual places.
        progress
            Whether to show a download's progress on stderr; ``None``: if stderr is a terminal.

        Returns
        -------
        parts, where
            The four arrays, uint8, and the folder they were read from.

        Raises
        ------
        DataNotFoundError
            The files are neither on disk nor obtainable.
        DataError
            A file is damaged or is not the one its name states.
        """
        folders = data_folders(name, data_dir)
        folder = next((folder for folder in folders if _all_files(folder, self.files)), None)
        if folder is None:
            if data_dir is not None:
                no_download = "not downloaded, because data_dir is given"
                raise DataNotFoundError(self._missing(name, folders, no_download))
            folder = cache_folder(name)
            self._download(name, folder, progress)
        arrays = (
            parse_idx(_verified(name, path, sha), subject=str(path), rank=rank)
            for path, sha, rank in zip(_all_files(folder, self.files), self.sha256, RANKS, strict=True)
        )
        return Parts(*arrays), str(folder)

    def _download(self, name: str, folder: Path, progress: bool | None) -> None:
        """Fetch every file that `folder` lacks, each from the first mirror that serves it intact."""
        for file, path, sha in zip(self.files, find_files(folder, self.files), self.sha256, strict=True):
            if path is not None:
                continue
            failures = []
            for mirror in self.mirrors:
                url = f"{mirror.rstrip('/')}/{file}.gz"
                try:
                    _fetch(url, folder, f"{file}.gz", sha, progress)
                    break
                # OSError covers requests' own errors, ValueError a refused content or address.
                except (OSError, ValueError) as error:
                    failures.append(f"\n  {url}: {type(error).__name__}: {error}")
            else:
                tried = f"download of {file}.gz failed:{''.join(failures)}"
                raise DataNotFoundError(self._missing(name, data_folders(name, None), tried))

    def _missing(self, name: str, folders: list[Path], download: str) -> str:
        """Say where the files were looked for and what to do."""
        looked = "".join(f"\n  {folder}: {_what_is_in(folder, self.files)}" for folder in folders)
        wanted = "".join(f"\n  {file}" for file in self.files)
        return (
            f"data set {name!r}: its files were not found\nlooked in:{looked}\n{download}\n"
            f"what to do: put these four files, plain or with .gz, into one folder:{wanted}\n"
            "and pass data_dir=FOLDER (on the command line --data-dir FOLDER), "
            f"or set the environment variable {ENV_FOLDER}=FOLDER, or use the folder {cache_folder(name)}; "
            "the data set 'digits' (--data digits) needs no files and no network"
        )


@dataclass(frozen=True, slots=True)
class BundledSource:
    """A data set that comes with an installed package and is always at hand.

    Attributes
    ----------
    load
        Returns the four arrays, images uint8[n, h, w], and the package they came from.
    image_shape
        Height and width of an image in pixels.
    n_classes
        Number of classes.
    """

    load: Callable[[], tuple[Parts[NDArray[Any]], str]]
    image_shape: tuple[int, int]
    n_classes: int

    def read(
        self, name: str, data_dir: str | os.PathLike[str] | None, progress: bool | None
    ) -> tuple[Parts[NDArray[Any]], str]:
        """Read the four arrays; the arguments are those of `IdxSource.read`.

        Raises
        ------
        DataError
            A folder is given, though there are no files.
        """
        if data_dir is not None:
            raise DataError(
                f"data set {name!r}: data_dir={os.fspath(data_dir)!r} given, but this data set comes with an "
                "installed package and has no files; leave data_dir out"
            )
        return self.load()


def _load_digits() -> tuple[Parts[NDArray[Any]], str]:
    """Read scikit-learn's 8x8 digits: every fifth image for testing (360), the others (1,437) for training.

    The file is grouped by writer, so that its last 360 images are by writers the first 1,437 are not; every
    fifth image gives both parts the same writers, as a random split would.
    Pixels 0..16 become 0..255 as ``(pixel * 255 + 8) // 16``, the nearest integer to ``pixel * 255 / 16``.
    """
    import sklearn
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = ((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)
    labels = bunch.target
    test = np.arange(len(labels)) % 5 == 0
    parts = Parts(images[~test], labels[~test], images[test], labels[test])
    return parts, f"scikit-learn {sklearn.__version__}"


SOURCES: dict[str, IdxSource | BundledSource] = {
    "digits": BundledSource(load=_load_digits, image_shape=(8, 8), n_classes=10),
    "mnist": IdxSource(
        sha256=Parts(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        image_shape=(28, 28),
        n_classes=10,
    ),
    "fashion-mnist": IdxSource(
        sha256=Parts(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        image_shape=(28, 28),
        n_classes=10,
    ),
}


def cache_folder(name: str) -> Path:
    """Return the folder of this user's cache that belongs to data set `name`."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("tinysnn_hw")) / name


def data_folders(name: str, data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """List the folders in which the files of data set `name` are looked for, first come first served.

    Parameters
    ----------
    name
        Name of a registered data set.
    data_dir
        If given, the only place; a place is its subfolder `name`, then the folder itself.

    Returns
    -------
    list of Path
        Without `data_dir`: the place in the environment variable TINYSNN_DATA, then the user's cache.
    """
    if data_dir is not None:
        root = Path(data_dir).expanduser()
        return [root / name, root]
    if os.environ.get(ENV_FOLDER):
        root = Path(os.environ[ENV_FOLDER]).expanduser()
        return [root / name, root, cache_folder(name)]
    return [cache_folder(name)]


def find_files(folder: Path, files: Parts[str]) -> Parts[Path | None]:
    """Find four idx files in a folder, each plain or ``.gz``, also under the spelling ``name.idx3-ubyte``.

    A plain file is preferred to a compressed one, the published spelling to the other.
    """

    def candidates(file: str) -> Iterator[Path]:
        for stem in (file, file.replace("-idx", ".idx")):
            yield from (folder / stem, folder / f"{stem}.gz")

    return Parts(*(next((path for path in candidates(file) if path.is_file()), None) for file in files))


def read_folder(folder: Path) -> Parts[NDArray[np.uint8]]:
    """Read a user's own four idx files under the names of MNIST's; nothing is known of their content.

    Raises
    ------
    DataNotFoundError
        A file is missing.
    DataError
        A file is damaged.
    """
    paths = _all_files(folder, MNIST_FILES)
    if not paths:
        raise DataNotFoundError(
            f"data folder {folder}: {_what_is_in(folder, MNIST_FILES)}; "
            f"expected {', '.join(MNIST_FILES)}, each plain or with .gz"
        )
    return Parts(*(read_idx(path, rank=rank) for path, rank in zip(paths, RANKS, strict=True)))


def _all_files(folder: Path, files: Parts[str]) -> tuple[Path, ...]:
    """Return the paths of all four files, in order, or nothing if any is missing."""
    paths = tuple(path for path in find_files(folder, files) if path is not None)
    return paths if len(paths) == len(files) else ()


def _what_is_in(folder: Path, files: Parts[str]) -> str:
    if not folder.is_dir():
        return "no such folder"
    missing = [file for file, path in zip(files, find_files(folder, files), strict=True) if path is None]
    return f"lacks {', '.join(missing)}"


def _sha_problem(content: bytes, expected: str) -> str | None:
    """Compare with the known SHA-256; on a mismatch say which other registered file it is, if any."""
    found = hashlib.sha256(content).hexdigest()
    if found == expected:
        return None
    known = {
        sha: f"; these are the bytes of {name}'s {field.replace('_', ' ')}"
        for name, source in SOURCES.items()
        if isinstance(source, IdxSource)
        for field, sha in source.sha256._asdict().items()
    }
    return (
        f"mislabelled or altered: expected sha256 {expected}, found {found} (uncompressed)"
        f"{known.get(found, '')}"
    )


def _verified(name: str, path: Path, expected: str) -> bytes:
    content = read_content(path)
    problem = _sha_problem(content, expected)
    if problem is not None:
        raise DataError(
            f"{path}: not the file of data set {name!r}: {problem}; delete it and fetch it again, "
            "or load your own data by giving the folder's path in place of the name"
        )
    return content


class _Progress:
    """A download's progress on one line of stderr, with the members pooch asks of a progress bar."""

    def __init__(self, label: str) -> None:
        self.label, self.total = label, 0
        self._done, self._shown = 0, ""

    def update(self, n_bytes: int) -> None:
        self._done += n_bytes
        share = f"{min(100, 100 * self._done // self.total)} %" if self.total else f"{self._done} bytes"
        if share != self._shown:
            sys.stderr.write(f"\r{self.label}: {share}")
            sys.stderr.flush()
            self._shown = share

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        if self._shown:
            sys.stderr.write("\n")
            self._shown = ""


@contextmanager
def _quiet(logger: Any) -> Iterator[None]:
    """Silence pooch's messages, among them the advice to pin a hash: the content is checked here."""
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _fetch(url: str, folder: Path, file: str, expected: str, progress: bool | None) -> None:
    """Download one file into `folder` under its final name, or leave nothing and raise."""
    import pooch

    show = sys.stderr.isatty() if progress is None else progress
    bar = _Progress(f"downloading {file}") if show else None
    get = pooch.HTTPDownloader(progressbar=bar or False, chunk_size=CHUNK_BYTES, timeout=(CONNECT_S, READ_S))

    def get_verified(address: str, temporary: str, caller: object) -> None:
        # pooch renames its temporary file only if this returns; the published sums are of the
        # uncompressed content, which pooch itself cannot check.
        get(address, temporary, caller)
        content = decompress(Path(temporary).read_bytes(), subject="content")
        problem = _sha_problem(content, expected)
        if problem is not None:
            raise DataError(problem)

    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(url, known_hash=None, fname=file, path=folder, downloader=get_verified)
    finally:
        if bar is not None:
            bar.close()
