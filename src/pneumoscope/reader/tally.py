"""What a whole run of predictions says: counts, notes and drift, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pneumoscope.reader.drift import Drift, bin_of, drift, reference_counts
from pneumoscope.reader.prediction import NOT_ASSESSABLE, UNCERTAIN
from pneumoscope.reader.records import Record

_MOST_NOTES = 50


class Tally:
    """Counts records as they pass.

    Args:
        reference: What the model said of validation images, as its file keeps it.
    """

    def __init__(self, reference: Mapping[str, Any]) -> None:
        self._reference = reference_counts(reference)
        self._bins = [0] * len(self._reference or ())
        self.conclusions: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    @property
    def images(self) -> int:
        """How many records passed."""
        return sum(self.conclusions.values())

    def add(self, record: Record) -> None:
        """Count a record."""
        conclusion = record["conclusion"]
        self.conclusions[conclusion] += 1
        self._add_probability(record["probability"])
        if conclusion not in {UNCERTAIN, NOT_ASSESSABLE}:
            self._add_notes(record["reasons"])

    def drift(self) -> Drift | None:
        """Return how far the probabilities are from the reference; None if that cannot be said."""
        return drift(self._bins, self._reference) if self._reference else None

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the drift as JSON values."""
        found = self.drift()
        return {
            "images": self.images,
            "conclusions": dict(sorted(self.conclusions.items())),
            "notes": dict(self.notes.most_common()),
            "probability_histogram": self._bins or None,
            "drift": found and found.to_dict(),
        }

    def lines(self) -> list[str]:
        """Return what to tell people beside the counts: notes, and a drift that is there."""
        lines = [f"{count:,} of {self.images:,}: {note}" for note, count in self.notes.items()]
        found = self.drift()
        if found is not None and found.verdict != "none":
            lines.append(
                f"{found.verdict} drift: these {found.n:,} images get other probabilities than the "
                f"{found.n_reference:,} validation images did (PSI {found.psi:.2f}, "
                f"KS {found.ks:.2f})"
            )
        return lines

    def _add_probability(self, probability: float | None) -> None:
        if probability is not None and self._bins:
            self._bins[bin_of(probability, bins=len(self._bins))] += 1

    def _add_notes(self, reasons: Sequence[str]) -> None:
        for reason in reasons:
            if reason in self.notes or len(self.notes) < _MOST_NOTES:
                self.notes[reason] += 1
