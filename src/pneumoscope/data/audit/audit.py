"""Run all checks of the audit on a folder of images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.audit.duplicates import exact_groups, near_pairs
from pneumoscope.data.audit.findings import SEVERITIES, Finding
from pneumoscope.data.audit.findings_classes import shortcut_findings, size_findings
from pneumoscope.data.audit.findings_images import (
    copy_findings,
    label_findings,
    leak_findings,
    left_out_findings,
    odd_findings,
    unreadable_findings,
)
from pneumoscope.data.audit.leaks import Crossing, crossings
from pneumoscope.data.audit.measures import Measured, measure_files, same_pixels
from pneumoscope.data.audit.oddities import Odd, odd_images
from pneumoscope.data.audit.shortcuts import Shortcuts, probe
from pneumoscope.data.audit.statistics import wilson
from pneumoscope.data.audit.store import PixelStore
from pneumoscope.data.catalog import PARTS, Catalog, LeftOut, is_useless
from pneumoscope.data.classes import POSITIVE, find_class, names_in, positive_group
from pneumoscope.data.cohort import Cohort
from pneumoscope.data.copies import Copies, Pair, tied
from pneumoscope.data.layouts import DataOptions, list_data
from pneumoscope.data.patients import PatientPattern, settle_patients
from pneumoscope.data.split import UNUSED, Split, parts_in_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.audit.suspicious import Suspect
    from pneumoscope.parallel import Progress

Bar = Callable[[str], AbstractContextManager["Progress"]]
"""Gives the progress function of a stage that is about to begin."""

_ETIOLOGY = re.compile(r"(?:^|[_-])(bacteria|virus)(?:[_-])", re.IGNORECASE)
_SHOWN = 12
_NEARLY_ONE = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The result of an audit.

    Attributes:
        root: What paths are relative to.
        measured: What was measured of each readable image.
        cohort: The same images with their patients, the part of each, and which of them show the
            same picture.
        classes: (negative, positive) where there are just two labels, else None.
        crossings: What each two parts share.
        odd: Images that look wrong.
        shortcuts: How well the class can be guessed; None where that cannot be judged.
        suspects: Images whose label a reader contradicts.
        pictures: Row → reduced image, for the rows that a page shows.
        findings: What is wrong, errors first.
        seed: Of all that was drawn.
        left_out: Rows and files that were not taken, by reason.
        notes: How the data were understood.
    """

    root: Path
    measured: Measured
    cohort: Cohort
    classes: tuple[str, str] | None
    crossings: tuple[Crossing, ...]
    odd: tuple[Odd, ...]
    shortcuts: Shortcuts | None
    suspects: tuple[Suspect, ...]
    pictures: Mapping[int, NDArray[np.uint8]]
    findings: tuple[Finding, ...]
    seed: int
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The part of each image: ``train``, ``val``, ``test``, ``unused``, or empty."""
        return self.cohort.split.parts

    @property
    def exact(self) -> tuple[tuple[int, ...], ...]:
        """Groups of rows of equal images."""
        return self.cohort.copies.exact

    @property
    def near(self) -> tuple[Pair, ...]:
        """Pairs of rows that show the same picture."""
        return self.cohort.copies.near

    def count(self, severity: str) -> int:
        """Return the number of findings with a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as JSON values, as described in docs/reference/files.md."""
        entries = self.measured.entries
        return {
            "format": 1,
            "data": self.root.resolve().name,
            "seed": self.seed,
            "images": len(self.measured),
            "unreadable": [
                {"path": item.path, "reason": item.reason} for item in self.measured.unreadable
            ],
            "left_out": [item.to_dict() for item in self.left_out],
            "notes": list(self.notes),
            "severities": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [finding.to_dict() for finding in self.findings],
            "counts": counts(self),
            "leaks": [crossing.to_dict(entries) for crossing in self.crossings],
            "shortcuts": None if self.shortcuts is None else self.shortcuts.to_dict(),
            "classes": by_class(self),
        }


def audit_data(
    data: Path,
    *,
    positive: str | None = None,
    options: DataOptions | None = None,
    patient_regex: str | None = None,
    split_file: Path | None = None,
    suspects: Sequence[Suspect] = (),
    seed: int = 0,
    workers: int | None = None,
    bar: Bar | None = None,
) -> Audit:
    """Audit a data set.

    Every file is read once. Unreadable files are findings and never end an audit, and any number
    of classes is audited, also one or none.

    Args:
        data: A folder of part folders or class folders, a CSV manifest, or a folder of images.
        positive: The class that is the finding, or several with commas between; PNEUMONIA where
            it exists.
        options: Which names make up which class, and how a table is read.
        patient_regex: What finds the patient in a path; see ``PatientPattern``.
        split_file: Parts to prove instead of those of the folders: CSV with ``path`` and
            ``split``.
        suspects: Images whose label a reader contradicts.
        seed: Of what is drawn: the images that are shown, hyperplanes, folds.
        workers: Decoding threads; one a core if None.
        bar: Shows the progress of each stage.

    Raises:
        DataError: There is no such folder, or a table cannot be read.
        OptionError: ``positive`` is no class of the data, or ``patient_regex`` cannot be used.
        OutputError: The disk of temporary files is full.
    """
    bar = bar or _no_bar
    listing = list_data(data, options, positive=names_in(positive), keep_unlabelled=True)
    root, found = listing.root, listing.entries
    pattern = PatientPattern(patient_regex) if patient_regex is not None else None
    if pattern is not None:
        is_useless(pattern, found)  # raises
    with PixelStore() as store:
        with bar("Reading the images") as progress:
            measured = measure_files(
                root, found, store=store, seed=seed, workers=workers,
                pattern=pattern, header_patients=listing.header_patients, progress=progress,
            )  # fmt: skip
        settled, warnings = settle_patients(measured.entries)
        measured = replace(measured, entries=type(measured.entries)(settled))
        entries = measured.entries
        classes = classes_of([entry.label for entry in entries], positive)
        catalog = Catalog(root, entries, classes or ("", ""), measured.unreadable)
        split = Split(tuple(entry.split for entry in entries))
        if any(split.parts):  # an empty part counts as training, as it does there
            split = Split(tuple(part or "train" for part in split.parts))
        if split_file is not None:
            split = parts_in_file(split_file, catalog)
        odd = odd_images(measured)
        blank = {item.row for item in odd if item.kind == "blank"}
        exact = [group for group in exact_groups(measured) if not blank.issuperset(group)]
        with bar("Comparing lookalikes") as progress:
            near = near_pairs(store, skip=exact, leave_out=blank, seed=seed, progress=progress)
        copies = _equal_after_all(root, measured, exact, near)
        audit = Audit(
            root,
            measured,
            Cohort(catalog, split, copies=copies),
            classes,
            tuple(crossings(entries, split.parts, exact=copies.exact, near=copies.near)),
            tuple(odd),
            probe(measured, classes, seed=seed) if classes else None,
            tuple(suspects),
            {},
            (),
            seed,
            listing.left_out,
            (*listing.notes, *warnings),
        )
        shown = _shown(audit)
        pictures = dict(zip(shown, store.take(np.array(shown, np.int64)), strict=True))
    return replace(audit, pictures=pictures, findings=_findings(audit))


def _findings(audit: Audit) -> tuple[Finding, ...]:
    """Return all findings of an audit, errors first."""
    found = [
        *unreadable_findings(audit),
        *left_out_findings(audit),
        *leak_findings(audit),
        *copy_findings(audit),
        *size_findings(audit),
        *odd_findings(audit),
        *shortcut_findings(audit),
        *label_findings(audit),
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def _equal_after_all(
    root: Path, measured: Measured, exact: list[list[int]], near: list[Pair]
) -> Copies:
    """Move near copies whose files decode to the same pixels to the exact copies.

    Preparing decodes a JPEG at a fraction of its size, so the same picture as JPEG and as PNG is
    prepared a little differently.
    """
    entries = measured.entries

    def equal(pair: Pair) -> bool:
        a, b = entries[pair.first], entries[pair.second]
        return (
            pair.correlation > _NEARLY_ONE
            and not pair.mirrored
            and (a.width, a.height) == (b.width, b.height)
            and same_pixels(root / a.path, root / b.path)
        )

    same = {(pair.first, pair.second) for pair in near if equal(pair)}
    tie = [(group[0], row) for group in exact for row in group[1:]]
    return Copies(
        tuple(map(tuple, tied(len(measured), [*tie, *sorted(same)]))),
        tuple(pair for pair in near if (pair.first, pair.second) not in same),
    )


def counts(audit: Audit) -> dict[str, Any]:
    """Return the numbers of images and patients: in total, by part, by class and by etiology."""
    entries = audit.measured.entries
    per_patient = Counter(entry.patient for entry in entries if entry.patient.known)
    by_part: dict[str, list[int]] = defaultdict(list)
    for row, part in enumerate(audit.parts):
        by_part[part or "all"].append(row)
    parts = {}
    for part in (*PARTS, UNUSED, "all"):
        rows = by_part.get(part)
        if rows is None:
            continue
        own = [entries[row] for row in rows]
        low, high = wilson(0.9, len(rows))
        parts[part] = {
            "images": len(rows),
            "patients": len({entry.patient for entry in own if entry.patient.known}),
            "patients_unknown_images": sum(not entry.patient.known for entry in own),
            "labels": dict(sorted(Counter(entry.label for entry in own).items())),
            "etiologies": dict(
                sorted(Counter(e for entry in own if (e := etiology_of(entry.path))).items())
            ),
            "interval_of_90_percent": [round(low, 4), round(high, 4)],
        }
    return {
        "images": len(entries),
        "patients": len(per_patient),
        "labels": dict(sorted(Counter(entry.label for entry in entries).items())),
        "parts": parts,
        "images_per_patient": {
            str(n): patients for n, patients in sorted(Counter(per_patient.values()).items())
        },
        "modes": {
            mode: dict(sorted(Counter(e.label for e in entries if e.mode == mode).items()))
            for mode in sorted({entry.mode for entry in entries})
        },
    }


def by_class(audit: Audit) -> dict[str, Any]:
    """Return the quartiles of each measurement by class."""
    columns = numeric_columns(audit.measured)
    labels = np.array([entry.label for entry in audit.measured.entries])
    return {
        label: {
            name: [round(float(q), 4) for q in np.percentile(column[labels == label], (25, 50, 75))]
            for name, column in columns.items()
        }
        for label in sorted(set(labels.tolist()))
    }


def numeric_columns(measured: Measured) -> dict[str, NDArray[np.float64]]:
    """Return the measurements that have one number per image, by name."""
    entries = measured.entries
    width = np.array([entry.width for entry in entries], np.float64)
    height = np.array([entry.height for entry in entries], np.float64)
    return {
        "width_px": width,
        "height_px": height,
        "aspect": width / np.maximum(height, 1),
        "bytes": np.array([entry.bytes for entry in entries], np.float64),
        "brightness": measured.brightness.astype(np.float64),
        "contrast": measured.contrast.astype(np.float64),
    }


def etiology_of(path: str) -> str | None:
    """Return ``bacteria`` or ``virus`` if the file name follows the public data set.

    >>> etiology_of("train/PNEUMONIA/person1_bacteria_2.jpeg")
    'bacteria'
    >>> etiology_of("VIRUS-40699-0001.jpeg")
    'virus'
    """
    found = _ETIOLOGY.search(path.rsplit("/", 1)[-1])
    return found[1].lower() if found else None


def classes_of(labels: Sequence[str], positive: str | None) -> tuple[str, str] | None:
    """Return (negative, positive) if there are exactly two labels, otherwise None.

    Raises:
        OptionError: ``positive`` is none of them.
    """
    names = sorted(set(labels))
    named = positive_group(positive, names)[0] if positive is not None else None
    if len(names) != 2:
        return None
    chosen = named[0] if named else find_class(POSITIVE, names) or names[1]
    return (names[0] if names[1] == chosen else names[1]), chosen


def _shown(audit: Audit) -> list[int]:
    """Return the rows whose images are shown on the page: copies, odd images, suspects."""
    row_of = {entry.path: row for row, entry in enumerate(audit.measured.entries)}
    rows = [row for pair in audit.near[:_SHOWN] for row in (pair.first, pair.second)]
    rows += [row for group in audit.exact[:_SHOWN] for row in group[:2]]
    rows += [item.row for item in audit.odd[: 2 * _SHOWN]]
    rows += [row_of[s.path] for s in audit.suspects[:_SHOWN] if s.path in row_of]
    return sorted(set(rows))


class _NoBar(AbstractContextManager["Progress"]):
    def __enter__(self) -> Progress:
        return lambda done, total: None  # noqa: ARG005 - nobody watches

    def __exit__(self, *_: object) -> None:
        return None


def _no_bar(title: str) -> AbstractContextManager[Progress]:
    del title
    return _NoBar()
