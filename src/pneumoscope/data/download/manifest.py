"""The expected contents of a data set, and the check of a folder against them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from pneumoscope.data.patients import patient_of
from pneumoscope.errors import DataError, ImageError, OptionError, nearest
from pneumoscope.images.read import probe, read_bytes
from pneumoscope.parallel import Progress, ordered_map

DATA_SETS: Mapping[str, str] = {"kermany": "paultimothymooney/chest-xray-pneumonia"}
"""Name here → name at Kaggle."""

JUNK = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True, slots=True)
class Known:
    """The known size in bytes and SHA-256 of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a data set: the number of files, and their names if known."""

    files: int
    names: frozenset[str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """The expected contents of a data set.

    Attributes:
        title: The published name.
        source: The DOI.
        licence: The licence.
        folders: The folders with images, such as ``train/NORMAL``.
        known: Files whose content is known, by path.
    """

    title: str
    source: str
    licence: str
    folders: Mapping[str, Folder]
    known: Mapping[str, Known]

    @property
    def files(self) -> int:
        """The total number of images."""
        return sum(folder.files for folder in self.folders.values())


def load_manifest(data_set: str) -> Manifest:
    """Return the expected contents of a data set.

    Raises:
        OptionError: The data set is unknown.
    """
    if data_set not in DATA_SETS:
        raise OptionError(
            "the data set", must="a known one", was=data_set, hint=nearest(data_set, DATA_SETS)
        )
    file = resources.files("pneumoscope") / "assets" / f"{data_set}.json.gz"
    held = json.loads(gzip.decompress(file.read_bytes()))
    folders = {
        name: Folder(
            folder["files"],
            frozenset(stem + held["suffix"] for stem in folder["names"])
            if "names" in folder
            else None,
        )
        for name, folder in held["folders"].items()
    }
    known = {path: Known(fact["bytes"], fact["sha256"]) for path, fact in held["known"].items()}
    return Manifest(held["title"], held["source"], held["licence"], folders, known)


@dataclass(frozen=True, slots=True)
class Verification:
    """The differences between a folder and the expected contents.

    Attributes:
        files: Number of expected images.
        missing: Paths of missing images; if their names are unknown, a line with their number.
        extra: Paths of unexpected files.
        wrong: (path, the problem with its size or content).
        contents: Number of files compared with a published SHA-256.
    """

    files: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    wrong: tuple[tuple[str, str], ...]
    contents: int

    @property
    def sound(self) -> bool:
        """Whether there are no differences."""
        return not (self.missing or self.extra or self.wrong)

    def text(self, *, shown: int = 20) -> str:
        """Return a summary, with a limited number of lines of each kind."""
        lines = []
        for name, items in (
            ("missing", self.missing),
            ("extra", self.extra),
            ("wrong", tuple(f"{path}: {why}" for path, why in self.wrong)),
        ):
            if items:
                lines.append(f"{name}: {len(items):,}")
                lines += [f"  {item}" for item in items[:shown]]
                if len(items) > shown:
                    lines.append(f"  and {len(items) - shown:,} more")
        if self.sound:
            lines.append(
                f"{self.files:,} images: names, counts and image headers are correct, and so is "
                f"the content of {self.contents} originals (SHA-256)"
            )
        return "\n".join(lines)


def verify_folder(
    folder: Path, manifest: Manifest, *, progress: Progress | None = None
) -> Verification:
    """Return what is missing, additional or wrong in a folder.

    Names are compared if they are known, otherwise counted and checked against the naming scheme.
    Every file must begin like an image; files with known content are compared by size and SHA-256.
    Hidden and system files and other folders are ignored.

    Args:
        folder: Folder that contains ``train/NORMAL`` etc.
        manifest: The expected contents.
        progress: Called as files are read.

    Raises:
        DataError: The folder does not exist, or cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    parts = sorted({name.split("/")[0] for name in manifest.folders})
    if not any((folder / part).is_dir() for part in parts):
        inside = [place for place in _listed(folder) if (place / parts[0]).is_dir()]
        hint = f" Did you mean {inside[0]}?" if inside else ""
        raise DataError(f"{folder}: has none of the folders {', '.join(parts)}.{hint}")
    missing: list[str] = []
    extra: list[str] = []
    present: list[str] = []
    found = _found(folder, manifest)
    for name, held in manifest.folders.items():
        own = found.get(name, set())
        if held.names is not None:
            missing += sorted(f"{name}/{file}" for file in held.names - own)
            extra += sorted(f"{name}/{file}" for file in own - held.names)
            present += sorted(f"{name}/{file}" for file in own & held.names)
            continue
        foreign = {file for file in own if _is_foreign(file, manifest)}
        extra += sorted(f"{name}/{file}" for file in foreign)
        present += sorted(f"{name}/{file}" for file in own - foreign)
        difference = held.files - len(own - foreign)
        if difference > 0:
            missing.append(f"{name}: {difference:,} of {held.files:,} files")
        elif difference < 0:
            extra.append(f"{name}: {-difference:,} files more than {held.files:,}")
    extra += sorted(
        f"{name}/{file}" for name in found if name not in manifest.folders for file in found[name]
    )
    wrong: list[tuple[str, str]] = []
    for done, fault in enumerate(ordered_map(partial(_fault, folder, manifest), present), 1):
        if fault:
            wrong.append((present[done - 1], fault))
        if progress:
            progress(done, len(present))
    contents = sum(path in manifest.known for path in present)
    return Verification(manifest.files, tuple(missing), tuple(extra), tuple(wrong), contents)


def is_junk(name: str) -> bool:
    """Return whether a name is that of a system file, which may occur next to images."""
    return name.startswith(".") or name.lower() in JUNK


def _found(folder: Path, manifest: Manifest) -> dict[str, set[str]]:
    """Return the names in each class folder of the sets of a data set."""
    found: dict[str, set[str]] = {}
    for part in sorted({name.split("/")[0] for name in manifest.folders}):
        for place in _listed(folder / part):
            if place.is_dir():
                found[f"{part}/{place.name}"] = set(_names(place, place))
            else:
                found.setdefault(part, set()).add(place.name)
    return found


def _names(place: Path, below: Path) -> Iterator[str]:
    for item in _listed(place):
        if item.is_dir() and not item.is_symlink():
            yield from _names(item, below)
        else:
            yield item.relative_to(below).as_posix()


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(item for item in folder.iterdir() if not is_junk(item.name))
    except OSError as fault:
        raise DataError(f"{folder}: cannot be listed ({fault.strerror}).") from fault


def _is_foreign(name: str, manifest: Manifest) -> bool:
    """Return whether a file cannot belong to a folder whose file names are unknown."""
    elsewhere = any(held.names and name in held.names for held in manifest.folders.values())
    return elsewhere or not name.endswith(".jpeg") or patient_of(name) is None


def _fault(folder: Path, manifest: Manifest, path: str) -> str:
    """Return what is wrong with a file; empty if nothing is."""
    name, known = str(folder / path), manifest.known.get(path)
    try:
        data = read_bytes(folder / path)
        if known is None:
            probe(data, name=name)
    except ImageError as fault:
        return str(fault).removeprefix(f"{name}: ")
    if known is None:
        return "" if b"\xff\xd9" in data[-65_536:] else "a truncated JPEG (no end marker)"
    if len(data) != known.bytes:
        return f"{len(data):,} bytes instead of {known.bytes:,}"
    if hashlib.sha256(data).hexdigest() != known.sha256:
        return "its content differs from the original (SHA-256)"
    return ""
