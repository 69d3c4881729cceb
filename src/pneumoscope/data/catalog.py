"""A folder of X-rays or a manifest → one table."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.patients import UNKNOWN, PatientPattern, patient_of_image
from pneumoscope.errors import DataError, ImageError, OptionError, in_words, nearest
from pneumoscope.images.radiograph import ImageMeta
from pneumoscope.images.read import probe, read_bytes
from pneumoscope.images.record import DICOM_COLUMNS, DicomRecord, dicom_cells
from pneumoscope.parallel import Progress, ordered_map
from pneumoscope.runs import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

PARTS = ("train", "val", "test")
POSITIVE = "PNEUMONIA"
UNREADABLE_SHARE = 0.05
"""Above this share of unreadable files the data, not the files, are at fault."""

_PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_COLUMNS = ("path", "label", "patient", "split", "width", "height", "mode", "bytes", "sha256")
_JUNK = {"thumbs.db", "desktop.ini", "__macosx", "dicomdir"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: a row of the catalog. ``split`` is empty where the data name no parts."""

    path: str
    label: str
    patient: str
    split: str
    width: int = 0
    height: int = 0
    mode: str = ""
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was skipped, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The table of the images under one root.

    ``classes`` is (negative, positive); ``patients_known`` tells whether the patients come from
    the data or every image counts as a patient of its own.
    """

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, str]
    unreadable: tuple[Unreadable, ...] = ()
    patients_known: bool = True

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def positive(self) -> str:
        """The class whose probability is given."""
        return self.classes[1]

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 where the entry is of the positive class, else 0; [n]."""
        return np.array([entry.label == self.positive for entry in self.entries], np.int64)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over contents, labels and patients, whatever their order and place."""
        lines = sorted(f"{entry.sha256} {entry.label} {entry.patient}" for entry in self.entries)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def file(self, entry: Entry) -> Path:
        """Return where the image of an entry lies."""
        return self.root / entry.path

    def without(self, bad: Sequence[Unreadable]) -> Catalog:
        """Return the catalog less the files that turned out to be unreadable.

        Raises:
            DataError: More than 5 % of all files are unreadable, or a class has none left.
        """
        if not bad:
            return self
        names = {item.path for item in bad}
        left = replace(
            self,
            entries=tuple(entry for entry in self.entries if entry.path not in names),
            unreadable=(*self.unreadable, *bad),
        )
        left.check()
        return left

    def select(self, rows: Iterable[int]) -> Catalog:
        """Return the catalog of some rows, in their order."""
        return replace(self, entries=tuple(self.entries[row] for row in rows))

    def check(self) -> None:
        """Refuse data that nothing can be learnt or measured from.

        Raises:
            DataError: More than 5 % of all files are unreadable, or there is no image.
        """
        total = len(self.entries) + len(self.unreadable)
        if len(self.unreadable) > UNREADABLE_SHARE * total:
            shown = "\n".join(f"  {item.reason}" for item in self.unreadable[:5])
            more = len(self.unreadable) - 5
            raise DataError(
                f"{self.root}: {len(self.unreadable)} of {total} files cannot be read, more than "
                f"{UNREADABLE_SHARE:.0%}; repair or remove them:\n{shown}"
                + (f"\n  and {more} more" if more > 0 else "")
            )
        if not self.entries:
            raise DataError(f"{self.root}: holds no image.")

    def save(self, path: Path, *, dicom: Mapping[str, DicomRecord] | None = None) -> None:
        """Write the table as CSV.

        Args:
            path: The file.
            dicom: SHA-256 of a file → which DICOM image it is and how its pixels were shown; if
                there are any, the table has their columns too.
        """
        known = dicom or {}
        write_csv(
            path,
            (*_COLUMNS, *(DICOM_COLUMNS if known else ())),
            (
                [
                    *(getattr(entry, column) for column in _COLUMNS),
                    *(dicom_cells(known.get(entry.sha256)) if known else ()),
                ]
                for entry in self.entries
            ),
        )


def read_catalog(
    data: Path,
    *,
    positive: str | None = None,
    classes: tuple[str, str] | None = None,
    patient_regex: str | None = None,
    progress: Progress | None = None,
) -> Catalog:
    """Return the catalog of a data set; every file is read once, for its checksum and header.

    Args:
        data: A folder with ``train/``, ``val/``, ``test/`` (any subset) with class folders
            inside, a folder with class folders, or a CSV with ``path,label[,patient][,split]``
            whose paths are relative to it.
        positive: The class whose probability is wanted; PNEUMONIA where it exists.
        classes: (negative, positive) where a model has fixed them; the data may then lack one.
        patient_regex: What finds the patient in a path; see ``PatientPattern``.
        progress: Called as files are read.

    Raises:
        DataError: Nothing there, not two classes, an unknown class, or too many unreadable files.
        OptionError: ``positive`` is no class of the data, or ``patient_regex`` cannot be used.
    """
    pattern = PatientPattern(patient_regex) if patient_regex is not None else None
    root, found = list_entries(data)
    if not any(entry.label for entry in found):
        raise DataError(f"{data}: holds no files in class folders.{_LAYOUT}")
    if pattern and not any(pattern.patient_of(entry.path) for entry in found):
        raise OptionError(
            "--patient-regex",
            must=f"a pattern that finds the patient in paths such as {found[0].path}",
            was=patient_regex,
        )
    classes = _known_only(data, found, classes) if classes else _classes(data, found, positive)
    entries: list[Entry] = []
    bad: list[Unreadable] = []
    for done, item in enumerate(ordered_map(partial(_measured, root, pattern), found), 1):
        if isinstance(item, Entry):
            entries.append(item)
        else:
            bad.append(item)
        if progress:
            progress(done, len(found))
    known = all(entry.patient for entry in entries)
    entries = [
        entry if entry.patient else replace(entry, patient=f"{UNKNOWN}{entry.path}")
        for entry in entries
    ]
    catalog = Catalog(root, tuple(entries), classes, tuple(bad), known)
    catalog.check()
    return catalog


def list_entries(data: Path) -> tuple[Path, list[Entry]]:
    """Return the root and the files of a data set, unread, with as many classes as there are.

    In a folder without class folders every file counts, with an empty label.

    Raises:
        DataError: Nothing there, or a manifest that cannot be read.
    """
    if not data.exists():
        raise DataError(f"{data}: no such folder or file.")
    if data.is_file():
        return data.parent, list(_manifest(data))
    found = list(_folder(data))
    if not found:
        paths = (path.relative_to(data).as_posix() for path in _files(data, visited=set()))
        found = [Entry(path, "", "", "") for path in paths]
    return data, found


_LAYOUT = (
    " Expected are class folders (NORMAL/, PNEUMONIA/), or train/, val/, test/ with class "
    "folders inside, or a CSV with the columns path,label[,patient][,split]."
)


def _folder(data: Path) -> Iterator[Entry]:
    parts = {
        _PART_NAMES[f.name.lower()]: f for f in _folders(data) if f.name.lower() in _PART_NAMES
    }
    if not parts:
        yield from _class_folders(data, data, part="")
        return
    for part in PARTS:
        if part in parts:
            yield from _class_folders(data, parts[part], part=part)


def _class_folders(data: Path, folder: Path, *, part: str) -> Iterator[Entry]:
    for class_folder in _folders(folder):
        for path in _files(class_folder, visited=set()):
            name = path.relative_to(data).as_posix()
            yield Entry(name, class_folder.name, "", part)


def _folders(folder: Path) -> list[Path]:
    return [item for item in _listed(folder) if item.is_dir() and not _junk(item.name)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as fault:
        raise DataError(
            f"{folder}: cannot be listed ({fault.strerror}); check its permissions."
        ) from fault


def _files(folder: Path, *, visited: set[str]) -> Iterator[Path]:
    """Yield the files below a folder, sorted; links are followed, each folder is entered once."""
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    for item in _listed(folder):
        if _junk(item.name):
            continue
        if item.is_dir():
            yield from _files(item, visited=visited)
        else:
            yield item


def _junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _manifest(path: Path) -> Iterator[Entry]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            missing = [name for name in ("path", "label") if name not in columns]
            if missing:
                commas = " Separate the columns by commas." if ";" in "".join(columns) else ""
                raise DataError(
                    f"{path}: no column {' and '.join(missing)}; a manifest needs path,label and "
                    f"may have patient and split. Found: {', '.join(columns) or 'nothing'}.{commas}"
                )
            for row in reader:
                yield _manifest_entry(path, reader.line_num, row)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{path}: cannot be read as a CSV file ({in_words(fault)}).") from fault


def _manifest_entry(path: Path, line: int, row: dict[str, str]) -> Entry:
    name, label = (row["path"] or "").strip(), (row["label"] or "").strip()
    if not name or not label:
        raise DataError(f"{path}, line {line}: path or label is empty.")
    part = (row.get("split") or "").strip().lower()
    if part and part not in _PART_NAMES:
        raise DataError(
            f"{path}, line {line}: split must be train, val or test, got {part!r}. "
            + nearest(part, PARTS)
        )
    return Entry(name, label, (row.get("patient") or "").strip(), _PART_NAMES.get(part, ""))


def _known_only(data: Path, found: Sequence[Entry], classes: tuple[str, str]) -> tuple[str, str]:
    for name in {entry.label for entry in found} - set(classes):
        raise DataError(
            f"{data}: unknown class {name!r}, the model knows {' and '.join(classes)}. "
            + nearest(name, classes)
        )
    return classes


def _classes(data: Path, found: Sequence[Entry], positive: str | None) -> tuple[str, str]:
    counts = Counter(entry.label for entry in found)
    training = Counter(entry.label for entry in found if entry.split in {"train", ""}) or counts
    for name in counts:
        if name not in training:
            raise DataError(
                f"{data}: unknown class {name!r}, which the training part does not have. "
                + nearest(name, training)
            )
    if len(training) != 2:
        raise DataError(
            f"{data}: two classes are needed, found {len(training)} "
            f"({', '.join(f'{name}: {n}' for name, n in sorted(training.items()))}).{_LAYOUT}"
        )
    if positive is not None and positive not in training:
        raise OptionError(
            "--positive",
            must="a class of the data",
            was=positive,
            hint=nearest(positive, sorted(training)),
        )
    chosen = positive or (POSITIVE if POSITIVE in training else None)
    if chosen is None:
        raise DataError(
            f"{data}: which of {' and '.join(sorted(training))} is the finding? "
            "Name it with --positive."
        )
    (negative,) = (name for name in training if name != chosen)
    return negative, chosen


def _measured(root: Path, pattern: PatientPattern | None, entry: Entry) -> Entry | Unreadable:
    try:
        data = read_bytes(root / entry.path)
        meta = probe(data, name=str(root / entry.path))
    except ImageError as fault:
        return Unreadable(entry.path, str(fault))
    return with_facts(entry, data, meta, pattern=pattern)


def with_facts(
    entry: Entry, data: bytes, meta: ImageMeta, *, pattern: PatientPattern | None = None
) -> Entry:
    """Return an entry with what its file tells: patient, size, mode, bytes and checksum.

    Args:
        entry: The file, as it was listed.
        data: Its content.
        meta: What its header says.
        pattern: The user's, for the patient.
    """
    in_file = meta.dicom.patient_id if meta.dicom else ""
    patient = patient_of_image(entry.path, stated=entry.patient, pattern=pattern, in_file=in_file)
    return replace(
        entry,
        patient=patient or "",
        width=meta.width,
        height=meta.height,
        mode=meta.mode,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
