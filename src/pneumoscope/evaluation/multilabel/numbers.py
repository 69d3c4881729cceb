"""Metrics of a reader of several findings, with intervals by patient.

Each finding is evaluated on the images that have a label for it; the others are masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, in_range
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.multilabel.weighted import MACRO, FindingTable, statistics
from pneumoscope.evaluation.several import Measured, point, resampled
from pneumoscope.evaluation.shares import many_share_draws, share
from pneumoscope.reader.policy import UNCERTAIN_CODE
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multilabel.scores import FindingScores
    from pneumoscope.reader.policy import DecisionPolicy

OF_FINDING = (
    *("auc", "sensitivity", "specificity", "ppv", "npv", "accuracy", "prevalence"),
    *("loss", "brier", "ece"),
)
"""The metrics of each finding."""

SHARES = ("uncertain", "right")
"""Further metrics of each finding if its decision policy is known: the share of labelled images
that are UNCERTAIN, and the share of the others with a correct conclusion."""

OF_ALL = tuple(f"macro_{name}" for name in MACRO)
"""The metrics over all findings: means over the findings for which they are defined."""


@dataclass(frozen=True, slots=True)
class FindingCounts:
    """Numbers of images with and without labels of a finding."""

    labelled: int
    positive: int
    masked: int

    def to_dict(self) -> dict[str, int]:
        """Return the counts as JSON values."""
        return {"labelled": self.labelled, "positive": self.positive, "masked": self.masked}


@dataclass(frozen=True, slots=True, eq=False)
class FindingNumbers:
    """The metrics of a reader of F findings.

    Attributes:
        names: The findings.
        n: Number of images.
        patients: Number of patients.
        thresholds: Decision threshold of each finding, [F].
        counts: Numbers of images for each finding, [F].
        by_finding: The metrics of ``OF_FINDING`` for each finding, and those of ``SHARES`` if the
            policy is known.
        values: The metrics of ``OF_ALL``.
    """

    names: tuple[str, ...]
    n: int
    patients: int
    thresholds: tuple[float, ...]
    counts: tuple[FindingCounts, ...]
    by_finding: tuple[Mapping[str, Estimate], ...]
    values: Mapping[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        return self.values[name]

    def of(self, finding: str) -> Mapping[str, Estimate]:
        """Return the metrics of a finding by name."""
        return self.by_finding[self.names.index(finding)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; each number as ``Estimate.to_dict`` gives it."""
        return {
            "n": self.n,
            "patients": self.patients,
            "values": {name: one.to_dict() for name, one in self.values.items()},
            "by_finding": {
                name: {
                    "threshold": threshold,
                    "counts": counts.to_dict(),
                    **{key: one.to_dict() for key, one in own.items()},
                }
                for name, threshold, counts, own in zip(
                    self.names, self.thresholds, self.counts, self.by_finding, strict=True
                )
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FindingNumbers:
        """Return the metrics written by ``to_dict``.

        Raises:
            KeyError, TypeError: A field is missing or has the wrong type.
        """
        each = values["by_finding"]
        apart = ("threshold", "counts")
        return cls(
            tuple(each),
            values["n"],
            values["patients"],
            tuple(own["threshold"] for own in each.values()),
            tuple(FindingCounts(**own["counts"]) for own in each.values()),
            tuple(
                {k: Estimate.from_dict(one) for k, one in own.items() if k not in apart}
                for own in each.values()
            ),
            {name: Estimate.from_dict(one) for name, one in values["values"].items()},
        )


def finding_numbers(
    scores: FindingScores,
    thresholds: Sequence[float],
    *,
    policies: Sequence[DecisionPolicy] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> FindingNumbers:
    """Return the metrics of a reader of several findings.

    Intervals are those of ``evaluation.numbers.numbers_of``: DeLong's by patient for the area under
    the ROC curve, Wilson's for shares if each patient has one labelled image, and for all other
    metrics those by resampling patients, which are the same for all findings.

    Args:
        scores: Scores of the reader.
        thresholds: Decision threshold of each finding, [F].
        policies: The decision policy of each finding; if None, ``SHARES`` are omitted.
        level: Confidence level of all intervals.
        resamples: Number of resamples of the patients; 0 omits these intervals.
        seed: Seed of the resampling.

    Raises:
        DataError: There are no scores.
        OptionError: There are too few resamples.
    """
    if not len(scores):
        raise DataError("there are no images to evaluate.")
    if resamples:
        in_range("resamples", resamples, low=100, high=10_000_000)
    table = FindingTable.of(scores, thresholds)
    draws = resampled(statistics, table, resamples=resamples, seed=seed) if resamples else None
    measured = Measured(point(statistics, table), draws, level)
    estimates = _Estimates(scores, scores.patient_numbers, measured)
    known = scores.known
    by_finding = [
        estimates.of_finding(place, threshold) for place, threshold in enumerate(thresholds)
    ]
    for place, policy in enumerate(policies or ()):
        by_finding[place] |= estimates.decided(place, policy, resamples=resamples, seed=seed)
    return FindingNumbers(
        scores.names,
        len(scores),
        table.patients,
        tuple(thresholds),
        tuple(
            FindingCounts(
                int(known[:, place].sum()),
                int((scores.labels[:, place] == 1).sum()),
                int((~known[:, place]).sum()),
            )
            for place in range(len(scores.names))
        ),
        tuple(by_finding),
        {name: measured.number(name, len(scores)) for name in OF_ALL},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Estimates:
    """Point values and resamples of scores, and the estimates made from them."""

    scores: FindingScores
    patient: NDArray[np.int64]
    measured: Measured

    def of_finding(self, place: int, threshold: float) -> dict[str, Estimate]:
        """Return the metrics of a finding."""
        rows = np.flatnonzero(self.scores.known[:, place])
        own = self.scores.labels[rows, place] == 1
        probability, patient = self.scores.probabilities[rows, place], self.patient[rows]
        called, everything = probability >= threshold, np.ones(len(rows), bool)
        numbers = {}
        for name, hits, of in (
            ("sensitivity", called, own),
            ("specificity", ~called, ~own),
            ("ppv", own, called),
            ("npv", ~own, ~called),
            ("accuracy", called == own, everything),
            ("prevalence", own, everything),
        ):
            numbers[name] = self.measured.share(hits, of, patient, name, place)
        numbers["auc"] = self.measured.area(own, probability, patient, place)
        for name in ("loss", "brier", "ece"):
            numbers[name] = self.measured.number(name, len(rows), place)
        return {name: numbers[name] for name in OF_FINDING}

    def decided(
        self, place: int, policy: DecisionPolicy, *, resamples: int, seed: int
    ) -> dict[str, Estimate]:
        """Return the share of uncertain conclusions, and of correct ones among the others."""
        rows = np.flatnonzero(self.scores.known[:, place])
        own, patient = self.scores.labels[rows, place], self.patient[rows]
        code = policy.decide_many(self.scores.probabilities[rows, place]).code
        uncertain, everything = code == UNCERTAIN_CODE, np.ones(len(rows), bool)
        pairs = [(uncertain, everything), (code == own, ~uncertain)]
        draws = many_share_draws(pairs, self.patient[rows], resamples=resamples, seed=seed)
        return {
            name: share(
                hits,
                of,
                patient,
                draws=None if draws is None else draws[:, k],
                level=self.measured.level,
            )
            for k, (name, (hits, of)) in enumerate(zip(SHARES, pairs, strict=True))
        }
