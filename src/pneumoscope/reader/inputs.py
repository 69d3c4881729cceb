"""Files, folders, patterns and lists → the image files that are meant, in order.

Nothing here holds the names of all files: an archive may have more of them than memory.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pneumoscope.errors import DataError, ImageError
from pneumoscope.images.read import MAGIC_BYTES, SUFFIXES, sniff

_RUN = 20_000
"""So many names of one folder are sorted in memory; of larger folders, sorted runs lie on disk."""


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder that could not be listed: it has no images to read, but a row in the output."""

    path: str
    reason: str


def iterate_images(given: Sequence[str]) -> Iterator[str | Unlisted]:
    """Return the files that arguments mean: themselves, a folder's images, a pattern's matches.

    The order is that of the arguments; within a folder or pattern it is sorted. A folder stands
    for the files below it that are called like an image or begin like one; files that are named
    themselves are kept, whatever they are. A folder below that cannot be listed gives an
    ``Unlisted`` in its place.

    Raises:
        DataError: A folder or a pattern holds no image. This is raised at once, not when the items
            come; if such a folder could not be listed, the message says so.
    """
    for item in given:
        _hold_something(item)
    return _all_of(given)


def _all_of(given: Sequence[str]) -> Iterator[str | Unlisted]:
    for item in given:
        if _is_pattern(item):
            yield from _matches(item)
        elif os.path.isdir(item):  # noqa: PTH112 - strings are kept as they were given
            yield from _below(item, visited=set())
        else:
            yield item


def _hold_something(item: str) -> None:
    if _is_pattern(item):
        if not _matches(item):
            raise DataError(f"{item}: matches no file.")
        return
    if not os.path.isdir(item):  # noqa: PTH112 - the same
        return
    fault = f"{item}: no images in this folder ({', '.join(SUFFIXES)})."
    for found in _below(item, visited=set()):
        if not isinstance(found, Unlisted):
            return
        fault = found.reason
    raise DataError(fault)


def _is_pattern(item: str) -> bool:
    return any(sign in item for sign in "*?[") and not os.path.lexists(item)


def _matches(pattern: str) -> list[str]:
    import glob  # noqa: PLC0415 - a millisecond, for patterns alone

    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - strings are kept
    return [match for match in found if not os.path.isdir(match)]  # noqa: PTH112 - the same


def paths_from(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the paths of a list, one a line; empty lines are passed over, and a byte order mark."""
    for number, line in enumerate(lines):
        path = os.fsdecode((line if number else line.removeprefix(BOM_UTF8)).rstrip(b"\r\n"))
        if path:
            yield path


def _below(folder: str, *, visited: set[int]) -> Iterator[str | Unlisted]:
    """Yield the images below a folder; links are followed, each folder is entered once."""
    try:
        real = hash(os.path.realpath(folder))
        if real in visited:
            return
        visited.add(real)
        for name, is_folder in _sorted_names(folder):
            path = os.path.join(folder, name)  # noqa: PTH118 - strings are kept as they were given
            if is_folder:
                yield from _below(path, visited=visited)
            elif name.lower().endswith(SUFFIXES) or _begins_like_an_image(path):
                yield path
    except OSError as fault:
        yield Unlisted(
            folder,
            f"{folder}: cannot be listed ({fault.strerror or fault}); check its permissions.",
        )


def _sorted_names(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder in order and whether each is a folder; hidden ones are left."""
    runs: list[IO[str]] = []
    names: list[tuple[str, bool]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.upper() == "DICOMDIR":  # a disc's table
                continue
            names.append((entry.name, _is_folder(entry)))
            if len(names) == _RUN:
                runs.append(_spilled(names))
                names = []
    names.sort()
    if not runs:
        yield from names
        return
    import heapq  # noqa: PLC0415 - the same

    yield from heapq.merge(*(_read_back(run) for run in runs), names)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a file system that is gone; reading it will say so
        return False


def _spilled(names: list[tuple[str, bool]]) -> IO[str]:
    """Return a temporary file with the names in order, each ended by "/", which no name holds."""
    import tempfile  # noqa: PLC0415 - the same

    file = tempfile.TemporaryFile(  # noqa: SIM115 - it lives as long as the listing
        "w+", encoding="utf-8", errors="surrogateescape", newline=""
    )
    for name, is_folder in sorted(names):
        file.write(f"{int(is_folder)}{name}/")
    file.seek(0)
    return file


def _read_back(file: IO[str]) -> Iterator[tuple[str, bool]]:
    with file:
        rest = ""
        while part := file.read(1 << 16):
            *whole, rest = (rest + part).split("/")
            yield from ((item[1:], item[0] == "1") for item in whole)


def _begins_like_an_image(path: str) -> bool:
    try:
        if not os.path.isfile(path):  # noqa: PTH113 - strings are kept as they are
            return False
        with Path(path).open("rb") as file:
            sniff(file.read(MAGIC_BYTES), name=path)
    except (OSError, ImageError):
        return False
    return True
