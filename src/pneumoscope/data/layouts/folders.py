"""Find the images in folders of sets and classes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pneumoscope.data.entries import PARTS, LeftOut
from pneumoscope.data.layouts.labels import in_short, plain
from pneumoscope.errors import DataError

PART_NAMES: Final = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of the folders of sets, and of sets in tables, in lower case."""

IMAGE_SUFFIXES: Final = frozenset(
    {
        ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dcm", ".dicom", ".bmp", ".gif", ".webp",
        ".jp2",
    }
)  # fmt: skip
"""Suffixes of images among loose files; in class folders, every file is an image."""

_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "dicomdir"}
_MASKS = re.compile(r"(?:.*[ _-])?(?:manual|left|right)?masks?", re.IGNORECASE)
_MASK_FILE = re.compile(r".+[_-]mask", re.IGNORECASE)
_KINDS = {"images", "image", "imgs"}
_CLASS_WORDS = {"normal", "pneumonia", "bacteria", "virus", "covid", "healthy", "negative"}


@dataclass(slots=True)
class Passed:
    """Files and folders that were skipped."""

    junk: int = 0
    masks: int = 0
    beside: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def left_out(self) -> list[LeftOut]:
        """Return the counts that are not zero."""
        found = []
        if self.junk:
            found.append(LeftOut("hidden and system files (__MACOSX, Thumbs.db, ._*)", self.junk))
        if self.masks:
            found.append(LeftOut("masks, which are not radiographs", self.masks))
        if self.beside:
            found.append(
                LeftOut(
                    "files next to the folders of sets or classes, such as a copy of the data",
                    self.beside.total(),
                    in_short(self.beside),
                )
            )
        return found


def is_junk(name: str) -> bool:
    """Return whether a file or folder is left behind by an operating system."""
    return name.startswith(".") or name.lower() in _JUNK


def unwrapped(data: Path) -> list[Path]:
    """Return a folder and the single folders nested in it, the innermost last.

    A folder is a wrapper if it contains one folder and no image, and that folder contains parts or
    classes.
    """
    chain = [data]
    while True:
        here = chain[-1]
        inside = folders(here)
        if len(inside) != 1 or _named(inside[0]) or _images(here):
            break
        chain.append(inside[0])
    while len(chain) > 1 and not _holds_classes(chain[-1]):
        chain.pop()
    return chain


def read_folders(data: Path, passed: Passed) -> Iterator[tuple[str, str, str]]:
    """Yield path (relative to ``data``), class and set of each file in class folders.

    Args:
        data: The folder.
        passed: Counters of skipped files.

    Raises:
        DataError: A folder cannot be listed.
    """
    chain = unwrapped(data)
    base = chain[-1]
    for outer in chain[:-1]:
        passed.junk += _junk_files(outer)
    if len(chain) > 1:
        passed.notes.append(f"The data are read from {base.relative_to(data).as_posix()}/.")
    parts: dict[str, list[Path]] = {}
    for item in folders(base):
        if _is_part(item):
            parts.setdefault(PART_NAMES[item.name.lower()], []).append(item)
    if not parts:
        yield from _classes(data, base, part="", passed=passed)
        return
    passed.junk += _junk_files(base)
    for item in folders(base):
        if not _is_part(item):
            number = sum(1 for _ in files_below(item, passed=Passed()))
            if number:
                passed.beside[f"{item.name}/"] += number
    for part in PARTS:
        places = parts.get(part, [])
        if len(places) > 1:
            names = " and ".join(f"{place.name}/" for place in places)
            passed.notes.append(f"{names} are both read as the set {part}.")
        for place in places:
            inner = _within(place, names={plain(data.name), plain(base.name), plain(place.name)})
            yield from _classes(data, inner, part=part, passed=passed)


def files_below(folder: Path, *, passed: Passed) -> Iterator[Path]:
    """Yield the files below a folder, sorted; links are followed, each folder is visited once."""
    yield from _below(folder, visited=set(), passed=passed)


def folders(folder: Path) -> list[Path]:
    """Return the subfolders, sorted, without system folders."""
    return [item for item in _listed(folder) if item.is_dir() and not is_junk(item.name)]


def _within(part: Path, *, names: set[str]) -> Path:
    """Return the folder with the classes of a set: its own or its only subfolder named as a set."""
    inside = folders(part)
    if len(inside) == 1 and plain(inside[0].name) in names and folders(inside[0]):
        return inside[0]
    return part


def _holds_classes(folder: Path) -> bool:
    """Return whether a folder contains sets, or several folders that may be classes."""
    inside = folders(folder)
    if any(_is_part(item) for item in inside):
        return True
    kinds = [item for item in inside if plain(item.name) in _KINDS or _MASKS.fullmatch(item.name)]
    return len(inside) > 1 and len(kinds) < len(inside)


def _classes(
    data: Path, folder: Path, *, part: str, passed: Passed
) -> Iterator[tuple[str, str, str]]:
    passed.junk += _junk_files(folder)
    own = folders(folder)
    names = {plain(item.name) for item in own}
    for item in own:
        others = names - {plain(item.name)}
        inside = {plain(below.name) for below in folders(item)}
        copy = len(inside & others) > 1 or sum(name in PART_NAMES for name in inside) > 1
        masks = len(others) > 1 and _MASKS.fullmatch(item.name) is not None
        if copy or masks:
            number = sum(1 for _ in files_below(item, passed=Passed()))
            if masks:
                passed.masks += number
            else:
                passed.beside[f"{item.name}/"] += number
            continue
        for path in files_below(item, passed=passed):
            yield path.relative_to(data).as_posix(), item.name, part


def _below(folder: Path, *, visited: set[str], passed: Passed) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    passed.junk += _junk_files(folder)
    for item in _listed(folder):
        if is_junk(item.name):
            continue
        if item.is_dir():
            if _MASKS.fullmatch(item.name):
                passed.masks += sum(1 for _ in files_below(item, passed=Passed()))
                continue
            yield from _below(item, visited=visited, passed=passed)
        elif _MASK_FILE.fullmatch(item.stem):
            passed.masks += 1
        else:
            yield item


def _junk_files(folder: Path) -> int:
    """Return the number of files in hidden and system entries of a folder."""
    number = 0
    for item in _listed(folder):
        if not is_junk(item.name):
            continue
        if item.is_dir() and not item.is_symlink():
            number += sum(len(names) for _, _, names in os.walk(item))
        else:
            number += 1
    return number


def _is_part(folder: Path) -> bool:
    return folder.name.lower() in PART_NAMES


def _named(folder: Path) -> bool:
    return _is_part(folder) or plain(folder.name) in _CLASS_WORDS


def _images(folder: Path) -> bool:
    return any(
        item.suffix.lower() in IMAGE_SUFFIXES and not is_junk(item.name) for item in _listed(folder)
    )


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as fault:
        raise DataError(
            f"{folder}: cannot be listed ({fault.strerror}); check its permissions."
        ) from fault
