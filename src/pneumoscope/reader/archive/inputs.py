"""Find the image files given by files, folders, patterns and lists.

The names of all files are never held in memory, since an archive may have too many.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from pneumoscope.errors import DataError, ImageError
from pneumoscope.images.read import MAGIC_BYTES, SUFFIXES, sniff

CALLED_IMAGES = (
    *SUFFIXES,
    *(".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tga", ".pgm", ".ppm", ".pnm"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jph", ".jls", ".jxl"),
    *(".heic", ".heif", ".avif", ".dic", ".ima", ".nii", ".nii.gz", ".nrrd", ".mha"),
)
"""Suffixes of images: such files in a folder are read, or a row states why they cannot be."""

HIDDEN, HIDDEN_FOLDER, NO_SUFFIX = "hidden", "hidden folder", "no file extension"
"""Kinds of skipped files, besides those named by their suffix."""

UNFINISHED = ".journal"
"""Suffix of the journal of an unfinished output, which is not counted as a skipped file: the output
of ``predict`` may lie in the folder that it reads."""

_MOST_KINDS = 100
_LONGEST_SUFFIX = 12
_RUN = 20_000
"""Maximum number of names sorted in memory; for larger folders, sorted runs are written to disk."""


class Unlisted(NamedTuple):
    """A folder that could not be listed, which becomes a row of the output."""

    path: str
    reason: str


def iterate_images(
    given: Sequence[str], *, others: Counter[str] | None = None
) -> Iterator[str | Unlisted]:
    """Yield the files given by arguments: files, images of folders, pattern matches.

    Files are in the order of the arguments, and sorted within a folder or pattern. A folder is
    replaced by the files in it and its subfolders that are named like an image or begin like one;
    files given explicitly are always included. A DICOMDIR given explicitly is replaced by the
    images that it lists. A subfolder that cannot be listed gives an ``Unlisted``.

    Args:
        given: The arguments.
        others: Counters of files in folders that are not images, updated as items are yielded, by
            kind: their suffix in lower case, ``HIDDEN``, ``HIDDEN_FOLDER``, ``NO_SUFFIX`` or
            ``DICOMDIR``.

    Raises:
        DataError: A folder or a pattern contains no image. This is raised immediately, not when
            items are yielded; if such a folder could not be listed, the message states it.
    """
    for item in given:
        _hold_something(item)
    return _all_of(given, Counter() if others is None else others)


def images_below(folder: str, *, others: Counter[str]) -> Iterator[str | Unlisted]:
    """Yield the images below a folder, possibly none."""
    return _below(folder, visited=set(), others=others)


def _all_of(given: Sequence[str], others: Counter[str]) -> Iterator[str | Unlisted]:
    for item in given:
        if _is_pattern(item):
            yield from _matches(item)
        elif os.path.isdir(item):  # noqa: PTH112 - strings are kept as they were given
            yield from _below(item, visited=set(), others=others)
        elif is_dicomdir(os.path.basename(item)) and os.path.isfile(item):  # noqa: PTH113, PTH119
            from pneumoscope.reader.archive.dicomdir import images_of  # noqa: PLC0415 - pydicom

            try:
                yield from images_of(item, others=others)
            except DataError as fault:
                yield Unlisted(item, str(fault))
        else:
            yield item


def others_text(others: Counter[str]) -> str:
    """Return the counts of skipped files as a sentence; empty if there are none.

    >>> others_text(Counter({".txt": 2, "hidden": 1}))
    '3 other files were skipped (2 .txt, 1 hidden)'
    """
    count = others.total()
    if not count:
        return ""
    most = sorted(others.items(), key=lambda item: (-item[1], item[0]))[:8]
    kinds = [f"{number:,} {kind}" for kind, number in most]
    if len(others) > len(kinds):
        kinds.append("others")
    what = "file was" if count == 1 else "files were"
    return f"{count:,} other {what} skipped ({', '.join(kinds)})"


def is_dicomdir(name: str) -> bool:
    """Return whether a file name is DICOMDIR."""
    return name.upper() in {"DICOMDIR", "DICOMDIR."}


def _hold_something(item: str) -> None:
    if _is_pattern(item):
        if not _matches(item):
            raise DataError(f"{item}: matches no file.")
        return
    if not os.path.isdir(item):  # noqa: PTH112 - the same
        return
    others: Counter[str] = Counter()
    fault = ""
    for found in _below(item, visited=set(), others=others):
        if not isinstance(found, Unlisted):
            return
        fault = found.reason
    beside = others_text(others)
    raise DataError(
        fault
        or f"{item}: no images in this folder ({', '.join(SUFFIXES)})"
        + (f"; {beside}." if beside else ".")
    )


def _is_pattern(item: str) -> bool:
    return any(sign in item for sign in "*?[") and not os.path.lexists(item)


def _matches(pattern: str) -> list[str]:
    import glob  # noqa: PLC0415 - a millisecond, only for patterns

    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - strings are kept
    return [match for match in found if not os.path.isdir(match)]  # noqa: PTH112 - the same


def paths_from(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the paths of a list, one per line, without empty lines and byte order mark."""
    for number, line in enumerate(lines):
        path = os.fsdecode((line if number else line.removeprefix(BOM_UTF8)).rstrip(b"\r\n"))
        if path:
            yield path


def _below(folder: str, *, visited: set[int], others: Counter[str]) -> Iterator[str | Unlisted]:
    """Yield the images below a folder; links are followed, each folder is visited once."""
    try:
        real = hash(os.path.realpath(folder))
        if real in visited:
            return
        visited.add(real)
        for name, is_folder in _sorted_names(folder):
            path = os.path.join(folder, name)  # noqa: PTH118 - strings are kept as they were given
            if name.startswith("."):
                _count(others, HIDDEN_FOLDER if is_folder else HIDDEN)
            elif is_folder:
                yield from _below(path, visited=visited, others=others)
            elif is_dicomdir(name):  # the images that it lists are next to it
                _count(others, "DICOMDIR")
            elif name.lower().endswith(CALLED_IMAGES) or _is_meant_as_image(path):
                yield path
            elif not name.endswith(UNFINISHED):
                _count(others, suffix_of(name) or NO_SUFFIX)
    except OSError as fault:
        yield Unlisted(
            folder,
            f"{folder}: cannot be listed ({fault.strerror or fault}); check its permissions.",
        )


def _count(others: Counter[str], kind: str) -> None:
    others[kind if kind in others or len(others) < _MOST_KINDS else "of other kinds"] += 1


def suffix_of(name: str) -> str:
    """Return a meaningful suffix; empty for parts of UIDs and the like."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - strings are kept as they are
    known = suffix[1:].isalnum() and not suffix[1:].isdigit() and len(suffix) <= _LONGEST_SUFFIX
    return suffix if known else ""


def _sorted_names(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a folder in order, and whether each is a folder."""
    runs: list[IO[str]] = []
    names: list[tuple[str, bool]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
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
    except OSError:  # a link to a file system that is gone; reading it will report it
        return False


def _spilled(names: list[tuple[str, bool]]) -> IO[str]:
    """Return a temporary file with the sorted names, separated by "/"."""
    import tempfile  # noqa: PLC0415 - the same

    file = tempfile.TemporaryFile(  # noqa: SIM115 - it is used until the listing ends
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


def _is_meant_as_image(path: str) -> bool:
    """Return whether a file without an image suffix is an image by its content.

    DICOM files in archives often have names without a suffix. A file without a suffix that is
    empty, cannot be opened, or ends within DICOM's preamble of zeros counts as a damaged DICOM
    file.
    """
    nameless = not suffix_of(os.path.basename(path))  # noqa: PTH119 - strings are kept as they are
    try:
        if not os.path.isfile(path):  # noqa: PTH113 - the same
            return False
        with Path(path).open("rb") as file:
            start = file.read(MAGIC_BYTES)
    except OSError:
        return nameless
    if nameless and not start.strip(b"\0") and len(start) < MAGIC_BYTES:
        return True
    try:
        sniff(start, name=path)
    except ImageError:
        return False
    return True
