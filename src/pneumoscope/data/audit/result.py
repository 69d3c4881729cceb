"""The result of an audit, and its summary numbers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.audit.findings import SEVERITIES, Finding
from pneumoscope.data.audit.statistics import wilson
from pneumoscope.data.catalog import PARTS, LeftOut
from pneumoscope.data.split import UNUSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pneumoscope.data.audit.leaks import Crossing
    from pneumoscope.data.audit.measures import Measured
    from pneumoscope.data.audit.oddities import Odd
    from pneumoscope.data.audit.shortcuts import Shortcuts
    from pneumoscope.data.audit.suspicious import Suspect
    from pneumoscope.data.cohort import Cohort
    from pneumoscope.data.copies import Pair

_ETIOLOGY = re.compile(r"(?:^|[_-])(bacteria|virus)(?:[_-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The result of an audit.

    Attributes:
        root: Folder that paths are relative to.
        measured: The measurements of each readable image.
        cohort: The same images with their patients, parts and copies.
        classes: (negative, positive) if there are exactly two labels, otherwise None.
        crossings: What each pair of parts has in common.
        odd: Images that do not look like upright frontal chest X-rays.
        shortcuts: How well other properties predict the class; None if there are too few images.
        suspects: Images whose label a reader contradicts.
        pictures: Row → reduced image, for the rows shown on the page.
        findings: The findings, errors first.
        seed: Seed of random choices.
        left_out: Excluded rows and files, by reason.
        notes: How the data were interpreted.
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
        """The set of each image: ``train``, ``val``, ``test``, ``unused``, or empty."""
        return self.cohort.split.parts

    @property
    def exact(self) -> tuple[tuple[int, ...], ...]:
        """Groups of rows of equal images."""
        return self.cohort.copies.exact

    @property
    def near(self) -> tuple[Pair, ...]:
        """Pairs of rows that show the same image."""
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


def counts(audit: Audit) -> dict[str, Any]:
    """Return the numbers of images and patients: in total, by set, by class and by etiology."""
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
