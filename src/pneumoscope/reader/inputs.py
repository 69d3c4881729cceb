"""Files, folders and patterns → the image files that are meant, in order."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, ImageError
from pneumoscope.images.read import MAGIC_BYTES, SUFFIXES, sniff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def image_paths(given: Iterable[str]) -> list[str]:
    """Return the files that arguments mean: themselves, a folder's images, a pattern's matches.

    The order is that of the arguments; within a folder or pattern it is sorted. A folder stands
    for the files below it that are called like an image or begin like one; files that are named
    themselves are kept, whatever they are.

    Raises:
        DataError: A folder or a pattern holds no image, or a folder cannot be listed.
    """
    found: list[str] = []
    for item in given:
        if os.path.isdir(item):  # noqa: PTH112 - strings are kept as they were given
            inside = list(_below(item, visited=set()))
            if not inside:
                raise DataError(f"{item}: no images in this folder ({', '.join(SUFFIXES)}).")
            found += inside
        elif glob.has_magic(item) and not os.path.lexists(item):
            matches = sorted(glob.glob(item, recursive=True))  # noqa: PTH207 - the same
            if not matches:
                raise DataError(f"{item}: matches no file.")
            found += [match for match in matches if not os.path.isdir(match)]  # noqa: PTH112
        else:
            found.append(item)
    return found


def _below(folder: str, *, visited: set[str]) -> Iterator[str]:
    """Yield the images below a folder; links are followed, each folder is entered once."""
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as fault:
        raise DataError(
            f"{folder}: cannot be listed ({fault.strerror}); check its permissions."
        ) from fault
    for entry in ordered:
        if entry.name.startswith(".") or entry.name.upper() == "DICOMDIR":  # a disc's table
            continue
        if entry.is_dir():
            yield from _below(entry.path, visited=visited)
        elif entry.name.lower().endswith(SUFFIXES) or _begins_like_an_image(entry):
            yield entry.path


def _begins_like_an_image(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_file():
            return False
        with Path(entry.path).open("rb") as file:
            sniff(file.read(MAGIC_BYTES), name=entry.path)
    except (OSError, ImageError):
        return False
    return True
