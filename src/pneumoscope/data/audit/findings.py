"""A finding of an audit: the problem, its files, why it matters and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or notable property of the data.

    Attributes:
        id: A fixed identifier, such as ``patients-shared``.
        severity: ``error`` (results from these data would be wrong), ``warning`` (they may be) or
            ``note``.
        title: The finding, with its number.
        why: Why it matters.
        action: What to do.
        files: The files concerned, in groups that belong together.
        details: Numbers, for processing by programs.
    """

    id: str
    severity: Severity
    title: str
    why: str
    action: str
    files: tuple[tuple[str, ...], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "id": self.id,
            "severity": self.severity,
            "title": self.title,
            "why": self.why,
            "action": self.action,
            "files": [list(group) for group in self.files],
            "details": self.details,
        }


def count(n: int, one: str, many: str = "") -> str:
    """Return a number followed by its noun.

    >>> count(1, "image"), count(1200, "image"), count(2, "copy", "copies")
    ('1 image', '1,200 images', '2 copies')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def enumerated(words: Sequence[str]) -> str:
    """Join words with commas and "and".

    >>> enumerated(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
