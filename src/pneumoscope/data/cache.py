"""Cache of decoded images: each file is decoded and resized once, into a memory map.

The folder of a cache is named by a hash of its inputs: the InputSpec, the versions of the pixel
path and of the decoders, and the contents of the files. The stored result for a content (its
pixels, or that it cannot be decoded) is valid permanently. A file that could not be fetched, has
changed meanwhile or lacks its decoder is excluded from this run only; the next run tries it again.

A cache is built in a temporary folder and then renamed, so it is never incomplete, and a killed
build leaves only a temporary folder, which the next build removes. A process that needs a cache
that another one is building waits for it. Pixels of unchanged files are copied from existing
caches.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import secrets
import shutil
import socket
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from pneumoscope.caches import cache_home
from pneumoscope.data.build_lock import alone
from pneumoscope.data.catalog import Catalog, Entry, Unreadable
from pneumoscope.errors import (
    DataError,
    ImageError,
    OutputError,
    UnreachableImageError,
    in_words,
)
from pneumoscope.images.prepare import InputSpec, prepare_bytes
from pneumoscope.images.read import read_bytes
from pneumoscope.images.record import DicomRecord, dicom_record
from pneumoscope.parallel import Progress, ordered_map
from pneumoscope.runs import is_of_writing, rows_of, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

PIXEL_PATH = 7
"""Incremented when ``prepare`` returns other pixels, or the files of a cache change."""

_PIXELS = "pixels.npy"
_ROWS = "rows.csv"
_UNREADABLE = "unreadable.csv"
_DICOM = "dicom.jsonl"
_BUILDING = ".building-"
_ABANDONED_SECONDS = 2 * 24 * 3600
_UNUSED_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, eq=False)
class ImageCache:
    """The prepared images of a catalog, uint8 [n, height, width] on disk, one row per content.

    Attributes:
        folder: The folder of the cache; ``pixels.npy`` can also be opened with ``numpy.load``.
        spec: The input that the pixels were prepared for.
        row_of: SHA-256 of a file → its row.
        dicom: SHA-256 of a DICOM file → identity and rendering of the image.
    """

    folder: Path
    spec: InputSpec
    row_of: dict[str, int]
    dicom: dict[str, DicomRecord]
    _map: mmap.mmap
    _pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.row_of)

    def rows(self, entries: Iterable[Entry]) -> NDArray[np.int64]:
        """Return the cache row of each entry."""
        return np.array([self.row_of[entry.sha256] for entry in entries], np.int64)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of some rows, uint8 [len(rows), height, width].

        The memory pages that were read are released, so that the memory of a process does not grow
        with the part of the map that it has read; the system keeps them in its page cache.
        """
        pixels = self._pixels[rows]
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
        return pixels

    @classmethod
    def open(cls, folder: Path, spec: InputSpec) -> ImageCache:
        """Open the cache in a folder.

        Raises:
            OSError: The cache does not exist.
        """
        row_of = {row["sha256"]: number for number, row in enumerate(rows_of(folder / _ROWS))}
        with (folder / _PIXELS).open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            pixels = np.frombuffer(mapped, np.uint8, offset=file.tell()).reshape(shape)
        return cls(folder, spec, row_of, _dicom_of(folder / _DICOM), mapped, pixels)


def build_cache(
    catalog: Catalog,
    spec: InputSpec,
    *,
    home: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[ImageCache, Catalog]:
    """Return the cache of a catalog, built if necessary, and the readable catalog.

    Args:
        catalog: The images.
        spec: The input to prepare them for.
        home: Folder of all caches; ``cache_home()`` if None.
        workers: Number of decoding threads; one per core if None.
        progress: Called as images are decoded.

    Raises:
        DataError: More than 5 % of the files are unreadable, or an existing cache cannot be read.
        OutputError: The cache cannot be written.
    """
    home = cache_home() if home is None else home
    shelf = home / _key(json.dumps(spec.to_dict()), str(PIXEL_PATH), *_decoders())
    unique = {entry.sha256: entry for entry in catalog.entries}
    folder = shelf / _key(*sorted(unique))
    if not (folder / _ROWS).is_file():
        with _writing(shelf):
            shelf.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            with _writing(shelf):
                # Otherwise each process of a training would decode all images.
                stack.enter_context(alone(shelf / f".{folder.name}.lock"))
            if not (folder / _ROWS).is_file():
                folder, passing = _built(
                    catalog, unique, _Known(shelf, spec), workers=workers, progress=progress
                )
                return _opened(folder, spec, catalog, passing)
    return _opened(folder, spec, catalog, {})


def _built(
    catalog: Catalog,
    unique: Mapping[str, Entry],
    known: _Known,
    *,
    workers: int | None,
    progress: Progress | None,
) -> tuple[Path, dict[str, str]]:
    """Build a cache; return its folder, and the files that could not be read in this run."""
    shelf = known.shelf
    with _writing(shelf):
        _tidy(shelf)
        building = shelf / f"{_BUILDING}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        building.mkdir()
    try:
        with _writing(shelf):
            entries = list(unique.values())
            passing = _build(
                catalog, entries, known, building=building, workers=workers, progress=progress
            )
            # Named by its contents: the next run finds them, and tries the other files again.
            folder = shelf / _key(*sorted(unique.keys() - passing.keys()))
            _into_place(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder, passing


@contextlib.contextmanager
def _writing(shelf: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if not is_of_writing(fault, shelf):
            raise
        raise OutputError(
            f"{shelf}: the image cache cannot be written ({fault.strerror or fault}); "
            "set PNEUMOSCOPE_CACHE to a folder with space."
        ) from fault


def _decoders() -> list[str]:
    """Return the versions of the decoders, on which pixels may depend."""
    found = []
    for name in ("pillow", "simplejpeg", "imagecodecs"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return found


def _opened(
    folder: Path, spec: InputSpec, catalog: Catalog, passing: Mapping[str, str]
) -> tuple[ImageCache, Catalog]:
    try:
        cache = ImageCache.open(folder, spec)
        reasons = {row["sha256"]: row["reason"] for row in rows_of(folder / _UNREADABLE)}
    except (OSError, ValueError, KeyError) as fault:
        raise DataError(
            f"{folder}: the image cache cannot be read ({in_words(fault)}); remove this folder, "
            "and it is built again."
        ) from fault
    with contextlib.suppress(OSError):  # a shared, read-only cache is sufficient
        os.utime(folder)
    reasons |= passing
    bad = [
        Unreadable(entry.path, f"{catalog.file(entry)}: {reasons[entry.sha256]}")
        for entry in catalog.entries
        if entry.sha256 in reasons
    ]
    return cache, catalog.without(bad)


def _build(
    catalog: Catalog,
    entries: Sequence[Entry],
    known: _Known,
    *,
    building: Path,
    workers: int | None,
    progress: Progress | None,
) -> dict[str, str]:
    """Decode the contents into the array; return those that failed, SHA-256 → reason."""
    spec = known.spec

    def pixels_of(entry: Entry) -> _Prepared | ImageError:
        before = known.get(entry.sha256)
        if before is not None:
            return before
        try:
            file = catalog.file(entry)
            data = read_bytes(file)
            if hashlib.sha256(data).hexdigest() != entry.sha256:
                raise UnreachableImageError(
                    f"{file}: changed since the folder was read; run the command again."
                )
            pixels, meta = prepare_bytes(data, spec, name=str(file))
            return _Prepared(pixels, dicom_record(meta))
        except ImageError as fault:
            return fault

    rows: list[str] = []
    bad: list[tuple[str, str]] = []
    passing: dict[str, str] = {}
    with (building / _PIXELS).open("wb") as file, (building / _DICOM).open("w") as records:
        _header(file, (len(entries), *spec.shape))
        for done, (entry, found) in enumerate(
            zip(entries, ordered_map(pixels_of, entries, workers=workers), strict=True), 1
        ):
            if isinstance(found, ImageError):
                reason = str(found).removeprefix(f"{catalog.file(entry)}: ")
                if found.passing:
                    passing[entry.sha256] = reason
                else:
                    bad.append((entry.sha256, reason))
            else:
                file.write(found.pixels.data)
                rows.append(entry.sha256)
                if found.dicom:
                    line = {"sha256": entry.sha256, **found.dicom.to_dict()}
                    records.write(json.dumps(line) + "\n")
            if progress:
                progress(done, len(entries))
        file.seek(0)
        _header(file, (len(rows), *spec.shape))
        file.flush()
        os.fsync(file.fileno())
    write_csv(building / _ROWS, ("sha256",), ([digest] for digest in rows))
    write_csv(building / _UNREADABLE, ("sha256", "reason"), bad)
    return passing


def _header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    """Write the .npy header; numpy pads it, so fewer rows do not change its length."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _dicom_of(path: Path) -> dict[str, DicomRecord]:
    with path.open() as file:
        lines = [json.loads(line) for line in file]
    return {line.pop("sha256"): DicomRecord.from_dict(line) for line in lines}


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """The model input of one image, and its rendering if it is a DICOM image."""

    pixels: NDArray[np.uint8]
    dicom: DicomRecord | None


class _Known:
    """The pixels that other caches with the same input already contain."""

    def __init__(self, shelf: Path, spec: InputSpec) -> None:
        self.shelf = shelf
        self.spec = spec
        self._where: dict[str, tuple[ImageCache, int]] = {}
        for folder in shelf.iterdir():
            if folder.name.startswith("."):
                continue
            # Removed meanwhile, or damaged: its contents are decoded again.
            with contextlib.suppress(OSError, ValueError, KeyError):
                cache = ImageCache.open(folder, spec)
                for digest, row in cache.row_of.items():
                    self._where[digest] = (cache, row)

    def get(self, digest: str) -> _Prepared | None:
        if digest not in self._where:
            return None
        cache, row = self._where[digest]
        return _Prepared(cache.take(np.array([row]))[0], cache.dicom.get(digest))


def _into_place(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError:
        if not (folder / _ROWS).exists():
            raise
        # Another process was faster; its cache is the same as ours.


def _tidy(shelf: Path) -> None:
    """Remove temporary folders of killed builds, and caches not used for a month."""
    now = time.time()
    for folder in shelf.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if not folder.name.startswith(".") and now - folder.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
    for folder in shelf.glob(f"{_BUILDING}*"):
        host, pid, _ = folder.name.removeprefix(_BUILDING).rsplit("-", 2)
        dead = host == socket.gethostname() and not _alive(int(pid))
        with contextlib.suppress(FileNotFoundError):
            if dead or now - folder.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
