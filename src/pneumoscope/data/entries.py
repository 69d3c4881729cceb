"""The rows of a catalog, and what was left out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pneumoscope.data.patients import Patient

PARTS = ("train", "val", "test")
"""The parts of a data set, in order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: a row of the catalog.

    Attributes:
        path: The file, relative to the root of the data.
        label: Its class; empty where the data name none.
        patient: Whose image it is.
        split: ``train``, ``val``, ``test``, or empty where the data name no parts.
        width: In pixels.
        height: In pixels.
        mode: Of the pixels, as Pillow names it.
        bytes: Size of the file.
        sha256: Of the file.
        study: The study that the image belongs to; empty where unknown.
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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was skipped, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows or files that are not in the catalog, with the reason.

    Attributes:
        reason: Why, such as ``label not in the class map``.
        n: How many.
        detail: Which ones, such as ``Effusion 12, Mass 3``.
    """

    reason: str
    n: int
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.n:,} left out: {self.reason}" + (f" ({self.detail})" if self.detail else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the count as JSON values."""
        return {"reason": self.reason, "n": self.n, "detail": self.detail}
