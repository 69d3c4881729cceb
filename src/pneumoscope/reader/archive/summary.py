"""Summarise a run in constant memory: counts, notes and drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pneumoscope.reader.archive.inputs import others_text
from pneumoscope.reader.prediction import NOT_ASSESSABLE, UNCERTAIN
from pneumoscope.reader.records import Record

if TYPE_CHECKING:
    from pneumoscope.reader.drift import Drift

_MOST_NOTES = 50
_FEW = 100  # minimum number of images for a statement about drift


class RunSummary:
    """Counters of records.

    Args:
        reference: Distributions on validation images, from the model file.
        most_notes: Maximum number of distinct notes that are counted; all if None.

    Attributes:
        conclusions: Number of images with each conclusion.
        notes: Number of images with each note and a conclusion.
        others: Number of skipped files of each kind.
    """

    def __init__(
        self, reference: Mapping[str, Any], *, most_notes: int | None = _MOST_NOTES
    ) -> None:
        self._reference = reference
        self._most_notes = most_notes
        self._probabilities: list[float] = []
        self._bins: list[int] | None = None
        self._distances: list[float] = []
        self._distance_bins: list[int] | None = None
        self.conclusions: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    @property
    def images(self) -> int:
        """The number of records."""
        return sum(self.conclusions.values())

    def add(self, record: Record) -> None:
        """Count a record."""
        conclusion = record["conclusion"]
        self.conclusions[conclusion] += 1
        self._add_probability(record["probability"])
        if record.get("distance") is not None:
            self._distances.append(record["distance"])
            if len(self._distances) == _FEW:
                self._bin_distances()
        if conclusion not in {UNCERTAIN, NOT_ASSESSABLE}:
            for reason in record["reasons"]:
                self._note(reason, 1)

    def counts(self) -> dict[str, Any]:
        """Return the counts as JSON values for ``merge``."""
        return {
            "conclusions": dict(self.conclusions),
            "notes": dict(self.notes),
            "probability_histogram": self._binned(),
            "distance_histogram": self._bin_distances(),
        }

    def merge(self, counts: Mapping[str, Any]) -> None:
        """Add the counts of other records with the same reference.

        Merging several summaries in the order of their records is equivalent to a single summary,
        if all notes are counted.

        Raises:
            ValueError: The references differ.
        """
        for mine, theirs in (
            (self._binned(), counts["probability_histogram"]),
            (self._bin_distances(), counts["distance_histogram"]),
        ):
            if len(mine) != len(theirs):
                raise ValueError(f"{len(theirs)} bins instead of {len(mine)}")
            mine[:] = [own + other for own, other in zip(mine, theirs, strict=True)]
        self.conclusions.update(counts["conclusions"])
        for note, count in counts["notes"].items():
            self._note(note, count)

    def drift(self) -> Drift | None:
        """Return the drift of the probabilities; None if unknown."""
        from pneumoscope.reader.drift import drift, reference_counts  # noqa: PLC0415 - only for many images

        expected = reference_counts(self._reference)
        return drift(self._binned(), expected) if expected else None

    def distance_drift(self) -> Drift | None:
        """Return the drift of the gate's distances; None if unknown."""
        from pneumoscope.reader.drift import drift, reference_distances  # noqa: PLC0415 - only for many images

        expected = reference_distances(self._reference)
        return drift(self._bin_distances(), expected[1]) if expected else None

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the drift as JSON values."""
        found, far = self.drift(), self.distance_drift()
        return {
            "images": self.images,
            "conclusions": dict(sorted(self.conclusions.items())),
            "notes": dict(self.notes.most_common()),
            "other_files": dict(self.others.most_common()),
            "probability_histogram": self._binned(),
            "drift": found and found.to_dict(),
            "distance_drift": far and far.to_dict(),
        }

    def lines(self) -> list[str]:
        """Return notes, and a drift if there is one, as text lines."""
        lines = [f"{count:,} of {self.images:,}: {note}" for note, count in self.notes.items()]
        if self.others:
            lines.append(others_text(self.others))
        if self.images < _FEW:
            return lines
        for found, what in (
            (self.drift(), "probabilities"),
            (self.distance_drift(), "feature distances"),
        ):
            if found is not None and found.verdict != "none":
                lines.append(
                    f"{found.verdict} drift: the {what} of these {found.n:,} images differ from "
                    f"those of the {found.n_reference:,} validation images (PSI {found.psi:.2f}, "
                    f"KS {found.ks:.2f})"
                )
        return lines

    def _add_probability(self, probability: float | None) -> None:
        if probability is not None:
            self._probabilities.append(probability)
            if len(self._probabilities) == _FEW:
                self._binned()

    def _bin_distances(self) -> list[int]:
        """Return the histogram of distances, binning pending ones."""
        from bisect import bisect_right  # noqa: PLC0415 - only for many images

        from pneumoscope.reader.drift import reference_distances  # noqa: PLC0415 - only for many images

        edges, counts = reference_distances(self._reference) or ([], [0])
        if self._distance_bins is None:
            self._distance_bins = [0] * len(counts)
        for distance in self._distances:
            self._distance_bins[bisect_right(edges, distance)] += 1
        self._distances.clear()
        return self._distance_bins

    def _binned(self) -> list[int]:
        """Return the histogram of probabilities, binning pending ones."""
        from pneumoscope.reader.drift import BINS, bin_of, reference_counts  # noqa: PLC0415

        if self._bins is None:
            self._bins = [0] * len(reference_counts(self._reference) or [0] * BINS)
        for probability in self._probabilities:
            self._bins[bin_of(probability, bins=len(self._bins))] += 1
        self._probabilities.clear()
        return self._bins

    def _note(self, note: str, count: int) -> None:
        most = self._most_notes
        if note in self.notes or most is None or len(self.notes) < most:
            self.notes[note] += count
