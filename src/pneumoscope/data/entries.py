"""The rows of a catalog, and the files excluded from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pneumoscope.data.patients import Patient

PARTS = ("train", "val", "test")
"""The sets of a data set, in order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: a row of the catalog.

    Attributes:
        path: The file, relative to the root of the data.
        label: The class; empty if the data define none.
        patient: The patient.
        split: ``train``, ``val``, ``test``, or empty if the data define no parts.
        width: Width in pixels.
        height: Height in pixels.
        mode: Pixel type, as named by Pillow.
        bytes: Size of the file.
        sha256: SHA-256 of the file.
        study: The study; empty if unknown.
        findings: In multi-label data, for each finding 1 (present), 0 (absent) or
            ``data.findings.UNLABELLED``; otherwise empty.
    """

    path: str
    label: str
    patient: Patient
    split: str
    width: int = 0
    height: int = 0
    mode: str = ""
    bytes: int = 0
    sha256: str = ""
    study: str = ""
    findings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A skipped file, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows or files that are not in the catalog, with the reason.

    Attributes:
        reason: The reason, such as ``label not in the class map``.
        n: Number of rows or files.
        detail: Details, such as ``Effusion 12, Mass 3``.
    """

    reason: str
    n: int
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.n:,} left out: {self.reason}" + (f" ({self.detail})" if self.detail else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the count as JSON values."""
        return {"reason": self.reason, "n": self.n, "detail": self.detail}
