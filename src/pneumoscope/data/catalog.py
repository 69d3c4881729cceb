"""Read a folder or a table of X-rays into a catalog."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.classes import classes_of_data, positive_of_map
from pneumoscope.data.entries import PARTS, Entry, LeftOut, Unreadable
from pneumoscope.data.layouts import DataOptions, list_data
from pneumoscope.data.layouts.findings import NEGATIVE, POSITIVE, list_findings
from pneumoscope.data.patients import (
    Patient,
    PatientPattern,
    patient_of_image,
    settle_patients,
)
from pneumoscope.errors import DataError, ImageError, OptionError
from pneumoscope.images.radiograph import ImageMeta
from pneumoscope.images.read import probe, read_bytes
from pneumoscope.images.record import DICOM_COLUMNS, DicomRecord, dicom_cells
from pneumoscope.labels import LabelSpace
from pneumoscope.parallel import Progress, ordered_map
from pneumoscope.runs import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "PARTS",
    "UNREADABLE_SHARE",
    "Catalog",
    "Entry",
    "LeftOut",
    "Unreadable",
    "read_catalog",
    "with_facts",
]

UNREADABLE_SHARE = 0.05
"""Above this share of unreadable files, the data as a whole are considered damaged."""

ANY_FINDING = LabelSpace((NEGATIVE, POSITIVE), (POSITIVE,))
"""The classes of images in multi-label data: without any finding, and with at least one."""

FINDING = "finding "
"""Prefix of the columns of findings, before the name."""

_COLUMNS = ("path", "label", "patient", "split", "width", "height", "mode", "bytes", "sha256")


@dataclass(frozen=True, slots=True)
class Catalog:
    """The table of the images under one root folder.

    Attributes:
        root: Folder that the paths of the entries are relative to.
        entries: One row per image.
        classes: The names of the classes, in the order of a model's outputs.
        unreadable: Files that were skipped.
        left_out: Excluded rows and files, by reason.
        notes: How the data were interpreted, and caveats.
        space: The classes, and which of them count as positive; None if that is the last one.
        findings: The names of ``Entry.findings``, for multi-label data; the classes are then those
            of images without and with any finding. Empty for one class per image.
    """

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    unreadable: tuple[Unreadable, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    space: LabelSpace | None = None
    findings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def patients_known(self) -> bool:
        """Whether the patient of every image is known."""
        return all(entry.patient.known for entry in self.entries)

    @property
    def label_space(self) -> LabelSpace:
        """The classes, and which of them count as positive."""
        return self.space or LabelSpace.of(self.classes)

    @property
    def positive(self) -> str:
        """The positive class, or the name of the positive group."""
        return self.label_space.pair[1]

    @property
    def labels(self) -> NDArray[np.int64]:
        """1 if the entry is of a positive class, otherwise 0; [n]."""
        positive = self.label_space.positive
        return np.array([entry.label in positive for entry in self.entries], np.int64)

    @property
    def class_numbers(self) -> NDArray[np.int64]:
        """The number of each entry's class, in the order of ``classes``; [n]."""
        number = {name: place for place, name in enumerate(self.classes)}
        return np.array([number[entry.label] for entry in self.entries], np.int64)

    @property
    def strata(self) -> tuple[str, ...]:
        """The strata of random draws: the class, or the rarest finding of each image; [n]."""
        if not self.findings:
            return tuple(entry.label for entry in self.entries)
        labels = self.finding_labels == 1
        rare = [int(place) for place in np.argsort(labels.sum(axis=0), kind="stable")]
        return tuple(
            next((self.findings[place] for place in rare if row[place]), NEGATIVE) for row in labels
        )

    @property
    def finding_labels(self) -> NDArray[np.int8]:
        """The label of each finding: 1, 0, or -1 without a label; [n, F]."""
        rows = [entry.findings for entry in self.entries]
        return np.array(rows, np.int8).reshape(len(rows), len(self.findings))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of contents, labels and patients, independent of order and paths."""
        lines = sorted(
            f"{entry.sha256} {entry.label} {entry.patient}"
            + (f" {entry.findings}" if entry.findings else "")
            for entry in self.entries
        )
        lines[:0] = self.findings
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def file(self, entry: Entry) -> Path:
        """Return the path of an entry's image."""
        return self.root / entry.path

    def without(self, bad: Sequence[Unreadable]) -> Catalog:
        """Return the catalog without unreadable files.

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
        """Raise an error if the data cannot be used for training or evaluation.

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
            raise DataError(f"{self.root}: contains no images.")

    def save(self, path: Path, *, dicom: Mapping[str, DicomRecord] | None = None) -> None:
        """Write the table as CSV, with a column ``study`` if studies are known.

        For multi-label data, the table has a column ``finding NAME`` for each finding, with 1, 0 or
        an empty value.

        Args:
            path: The file.
            dicom: SHA-256 of a file → identity and rendering of a DICOM image; if there are any,
                the table also has their columns.
        """
        known = dicom or {}
        own: tuple[str, ...] = _COLUMNS
        if any(entry.study for entry in self.entries):
            own = (*_COLUMNS, "study")
        write_csv(
            path,
            (
                *own,
                *(FINDING + name for name in self.findings),
                *(DICOM_COLUMNS if known else ()),
            ),
            (
                [
                    *(getattr(entry, column) for column in own),
                    *("" if value < 0 else value for value in entry.findings),
                    *(dicom_cells(known.get(entry.sha256)) if known else ()),
                ]
                for entry in self.entries
            ),
        )


def read_catalog(
    data: Path,
    *,
    positive: str | None = None,
    classes: Sequence[str] | LabelSpace | None = None,
    patient_regex: str | PatientPattern | None = None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> Catalog:
    """Return the catalog of a data set; each file is read once, for checksum and header.

    Args:
        data: A folder with ``train/``, ``val/``, ``test/`` (any subset) with class folders
            inside, a folder with class folders, the folder or the table of a public data set, or
            a CSV with ``path,label[,patient][,study][,split]`` whose paths are relative to it.
        positive: The positive class, or several separated by commas, or ``NAME=CLASS,CLASS`` to
            name the group; PNEUMONIA if present.
        classes: The classes of an existing model, the last of them positive unless they are a label
            space; the data may then lack a class.
        patient_regex: Regular expression that extracts the patient from a path. An inherited
            ``PatientPattern`` is ignored, with a note, if it finds no patient or the same one in
            all paths.
        options: The class map, and how to read a table.
        progress: Called as files are read.

    Raises:
        DataError: No images, fewer than two classes, an unknown class, contradictory rows, or too
            many unreadable files.
        OptionError: ``positive`` is not a class of the data, ``patient_regex`` is invalid, or a map
            has names that do not occur in the data.
    """
    pattern = PatientPattern(patient_regex) if isinstance(patient_regex, str) else patient_regex
    options = options or DataOptions()
    fixed = (
        classes if classes is None or isinstance(classes, LabelSpace) else LabelSpace.of(classes)
    )
    names: tuple[str, ...] = ()
    if options.findings is not None:
        if positive is not None:
            raise OptionError("positive", must="omitted if `findings` is given", was=positive)
        table = list_findings(data, options)
        listing, names, space = table.listing, table.names, ANY_FINDING
        found = list(listing.entries)
    else:
        finding = positive_of_map(data, options, fixed=fixed, positive=positive)
        listing = list_data(data, options, positive=finding)
        found, space = classes_of_data(data, listing, fixed=fixed, positive=positive)
    useless = pattern is not None and is_useless(pattern, found)
    if useless:
        pattern = None
    entries: list[Entry] = []
    bad: list[Unreadable] = []
    measured = partial(
        _measured, listing.root, pattern=pattern, header_patients=listing.header_patients
    )
    for done, item in enumerate(ordered_map(measured, found), 1):
        if isinstance(item, Entry):
            entries.append(item)
        else:
            bad.append(item)
        if progress:
            progress(done, len(found))
    entries, warnings = settle_patients(entries)
    catalog = Catalog(
        listing.root,
        tuple(entries),
        space.names,
        tuple(bad),
        listing.left_out,
        (*listing.notes, *_group_notes(space), *([_NOT_USED] if useless else []), *warnings),
        space,
        names,
    )
    catalog.check()
    return catalog


def _group_notes(space: LabelSpace) -> list[str]:
    """Return a note about the classes that count as positive, if it is not obvious."""
    if len(space) == 2:
        return []
    listed = f"{len(space)} classes: {', '.join(space.names)}."
    return [f"{listed} Positive: {', '.join(space.positive)}."]


_NOT_USED = "The run's patient pattern does not match these paths, so it is not used."


def is_useless(pattern: PatientPattern, found: Sequence[Entry]) -> bool:
    """Return whether a pattern finds no patient, or the same patient in all paths.

    Raises:
        OptionError: The pattern is not inherited, and finds no more than that.
    """
    patients = {pattern.patient_of(entry.path) for entry in found}
    if pattern.inherited:
        return patients == {None} or (len(patients) == 1 and len(found) > 1)
    if patients == {None}:
        raise OptionError(
            "patient_regex",
            must=f"a pattern that finds the patient in paths such as {found[0].path}",
            was=pattern.text,
        )
    if len(patients) == 1 and len(found) > 1:
        raise OptionError(
            "patient_regex",
            must=f"a pattern that distinguishes patients (it finds {patients.pop()!r} in all "
            f"{len(found):,} paths, such as {found[0].path})",
            was=pattern.text,
        )
    return False


def _measured(
    root: Path, entry: Entry, *, pattern: PatientPattern | None, header_patients: bool
) -> Entry | Unreadable:
    try:
        data = read_bytes(root / entry.path)
        meta = probe(data, name=str(root / entry.path))
    except ImageError as fault:
        return Unreadable(entry.path, str(fault))
    return with_facts(entry, data, meta, pattern=pattern, header_patients=header_patients)


def with_facts(
    entry: Entry,
    data: bytes,
    meta: ImageMeta,
    *,
    pattern: PatientPattern | None = None,
    header_patients: bool = True,
) -> Entry:
    """Return an entry completed from its file: patient, study, size, mode, bytes, checksum.

    Args:
        entry: The file as listed.
        data: Content of the file.
        meta: Facts of its header.
        pattern: The user's pattern for the patient.
        header_patients: Whether PatientID in a DICOM header identifies the patient.
    """
    in_file = meta.dicom.patient_id if meta.dicom and header_patients else ""
    stated = entry.patient.name if entry.patient.known else ""
    patient = patient_of_image(entry.path, stated=stated, pattern=pattern, in_file=in_file)
    study = entry.study or (meta.dicom.study_uid if meta.dicom else "")
    return replace(
        entry,
        patient=Patient.of(patient, entry.path),
        study=study,
        width=meta.width,
        height=meta.height,
        mode=meta.mode,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
