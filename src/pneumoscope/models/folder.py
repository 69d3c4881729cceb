"""Folders of weight files and their manifest ``weights.json``.

This module does not import torch, so that a folder is checked quickly.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from pneumoscope.errors import WeightsError
from pneumoscope.models.known import KNOWN_FILES, known_by_name
from pneumoscope.runs import sha256_of, write_json, written_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST = "weights.json"
BUNDLED = Path(__file__).parents[1] / "assets"
"""Folder of the weights included in the package."""

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of ``weights.json``.

    Attributes:
        name: The network, as in ``--model``.
        file: The file name in the folder.
        sha256: SHA-256 of the file.
        bytes: Size of the file.
        licence: Licence of the weights, or where to read it.
        source: Origin of the weights.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of ``verify_folder`` for one file.

    Attributes:
        file: Name of the file.
        name: The model whose weights it contains, if known.
        state: ``ok``, ``wrong``, or ``unchecked`` if there is no reference.
        says: The problem, or why the file was not checked.
    """

    file: str
    name: str
    state: str
    says: str = ""


def weights_folder() -> Path:
    """Return the weights folder: ``PNEUMOSCOPE_WEIGHTS``, or one in the user's data folder."""
    chosen = os.environ.get("PNEUMOSCOPE_WEIGHTS")
    if chosen:
        return Path(chosen)
    return Path(platformdirs.user_data_dir("pneumoscope")) / "weights"


def read_manifest(folder: Path) -> tuple[Entry, ...]:
    """Return the rows of a folder's ``weights.json``; none if the file does not exist.

    Raises:
        WeightsError: It is not a list of rows, or names files elsewhere.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as fault:
        raise WeightsError(
            f"{path}: cannot be read ({fault}); create the folder again with pneumoscope "
            "weights pack."
        ) from fault
    rows = content.get("weights") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise WeightsError(f"{path}: must be an object with the list 'weights'.")
    return tuple(_entry(row, path) for row in rows)


def write_manifest(folder: Path, entries: Sequence[Entry]) -> None:
    """Write ``weights.json``, sorted by name."""
    ordered = sorted(entries, key=lambda entry: (entry.name, entry.file))
    write_json(folder / MANIFEST, {"weights": [asdict(entry) for entry in ordered]})


def find_in_folder(folder: Path, names: Sequence[str]) -> tuple[Path, Entry | None] | None:
    """Return the file of a model in a folder, and its manifest row if there is one.

    Args:
        folder: The folder; it need not exist.
        names: Names of the model, the most precise first.

    Raises:
        WeightsError: ``weights.json`` is invalid, or names a missing file.
    """
    entries = read_manifest(folder)
    for name in names:
        for entry in entries:
            if entry.name == name:
                path = folder / entry.file
                if not path.is_file():
                    raise WeightsError(
                        f"{path}: is missing, although {MANIFEST} lists it; download it with "
                        f"pneumoscope weights pull {name}."
                    )
                return path, entry
        stems = [name.partition(":")[2]]
        files = [known.file for known in KNOWN_FILES if known.model == name]
        files += [f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
        for file in files:
            if (folder / file).is_file():
                return folder / file, None
    return None


def add_to_folder(folder: Path, path: Path, entry: Entry) -> Entry:
    """Copy a weights file into a folder, add it to ``weights.json``, and return the row.

    Raises:
        WeightsError: The copy differs from the original.
        OutputError: The folder cannot be written.
    """
    target = folder / entry.file
    if not (target.exists() and target.samefile(path)):
        with written_whole(target) as temporary:
            shutil.copyfile(path, temporary)
            if sha256_of(temporary) != entry.sha256:
                raise WeightsError(f"{path}: changed while it was copied; try again.")
    others = [row for row in read_manifest(folder) if entry.file != row.file]
    write_manifest(folder, [*others, entry])
    return entry


def verify_folder(folder: Path) -> list[Finding]:
    """Return a finding for each weights file that is listed or present.

    Raises:
        WeightsError: The folder does not exist, or its ``weights.json`` is invalid.
    """
    if not folder.is_dir():
        raise WeightsError(
            f"{folder}: no such folder; create it with pneumoscope weights pull NAME, or give "
            "another folder."
        )
    entries = read_manifest(folder)
    findings = [_listed(folder / row.file, row) for row in entries]
    listed = {row.file for row in entries}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and path.name not in listed:
            findings.append(_unlisted(path))
        elif path.name.endswith(".part"):
            findings.append(Finding(path.name, "", "unchecked", "an unfinished download"))
    return findings


def _listed(path: Path, entry: Entry) -> Finding:
    if not path.is_file():
        return Finding(entry.file, entry.name, "wrong", "missing")
    size = path.stat().st_size
    if size != entry.bytes:
        problem = f"{size:,} bytes instead of {entry.bytes:,}"
        return Finding(entry.file, entry.name, "wrong", problem)
    return _compared(path, entry.name, entry.sha256)


def _unlisted(path: Path) -> Finding:
    known = known_by_name(path.name)
    if known is None:
        return Finding(path.name, "", "unchecked", f"not in {MANIFEST}")
    return _compared(path, known.model, known.sha256)


def _compared(path: Path, name: str, sha256: str) -> Finding:
    found = sha256_of(path)
    if found == sha256:
        return Finding(path.name, name, "ok")
    return Finding(path.name, name, "wrong", f"SHA-256 {found} instead of {sha256}")


def _entry(row: Any, path: Path) -> Entry:
    kinds = {field.name: int if field.name == "bytes" else str for field in fields(Entry)}
    if not isinstance(row, dict) or any(type(row.get(name)) is not kinds[name] for name in kinds):
        raise WeightsError(f"{path}: a row must have {', '.join(kinds)}, got {row!r}.")
    entry = Entry(**{name: row[name] for name in kinds})
    if Path(entry.file).name != entry.file or entry.file in {"", ".", ".."}:
        raise WeightsError(f"{path}: {entry.file!r} must be the name of a file in this folder.")
    return entry
