"""All metrics of several findings as functions of patient weights.

Each finding is evaluated on the images that have a label for it. As in ``multiclass.weighted``, the
unweighted metric is the case of weights of one, and sums over images are first computed for each
patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.several import (
    BINS,
    Ranked,
    binned,
    errors_of_bins,
    ranked,
    weighted_area,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pneumoscope.evaluation.multilabel.scores import FindingScores

    Floats = NDArray[np.float64]

_SUMS = 6
_SMALLEST = 1e-15


@dataclass(frozen=True, slots=True, eq=False)
class FindingTable:
    """Scores of F findings with everything that does not depend on patient weights.

    Attributes:
        images: Number of rows of the scores.
        patients: Number of patients.
        sums: The terms of the linear metrics of each finding, summed by patient, [F, P, m].
        ranks: The labelled rows of each finding in decreasing order of its probability.
    """

    images: int
    patients: int
    sums: Floats
    ranks: tuple[Ranked, ...]

    @classmethod
    def of(cls, scores: FindingScores, thresholds: Sequence[float]) -> FindingTable:
        """Return the table of scores at a probability threshold of each finding."""
        patient = scores.patient_numbers
        people = int(patient.max(initial=-1)) + 1
        sums = np.zeros((len(scores.names), people, _SUMS + 3 * BINS))
        ranks = []
        for place, threshold in enumerate(thresholds):
            rows = np.flatnonzero(scores.known[:, place])
            probability, own = scores.probabilities[rows, place], scores.labels[rows, place] == 1
            np.add.at(sums[place], patient[rows], _columns(probability, own, threshold))
            ranks.append(ranked(probability, own, patient[rows]))
        return cls(len(scores), people, sums, tuple(ranks))


def _columns(probability: Floats, own: NDArray[np.bool_], threshold: float) -> Floats:
    """Return the terms that are summed over the labelled images of a finding, [n, m]."""
    called = probability >= threshold
    inside = np.clip(np.where(own, probability, 1 - probability), _SMALLEST, 1)
    linear = (own, ~own, own & called, ~own & called, -np.log(inside), (probability - own) ** 2)
    first = np.stack(linear, axis=1).astype(np.float64)
    return np.concatenate([first, binned(probability, own)], axis=1)


def statistics(table: FindingTable, counts: Floats) -> dict[str, Floats]:
    """Return all metrics under each of b weightings of the patients; NaN if undefined.

    Args:
        table: The result of ``FindingTable.of``.
        counts: Weight of each patient, [b, P].

    Returns:
        For each finding, [b, F]: ``auc``, ``sensitivity``, ``specificity``, ``ppv``, ``npv``,
        ``accuracy``, ``prevalence``, ``loss``, ``brier``, ``ece``, ``ece_twice``,
        ``ece_squared_twice``. Over all findings, [b], the mean over those for which the metric is
        defined: ``macro_auc``, ``macro_sensitivity``, ``macro_specificity``, ``macro_brier``,
        ``macro_ece``, ``macro_ece_twice``, ``macro_ece_squared_twice``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = np.einsum("bp,fpm->bfm", counts, table.sums, optimize=True)
        positives, negatives, hits, alarms, loss, brier = np.moveaxis(sums[..., :_SUMS], 2, 0)
        n, called = positives + negatives, hits + alarms
        found = {
            "sensitivity": hits / positives,
            "specificity": (negatives - alarms) / negatives,
            "ppv": hits / called,
            "npv": (negatives - alarms) / (n - called),
            "accuracy": (hits + negatives - alarms) / n,
            "prevalence": positives / n,
            "loss": loss / n,
            "brier": brier / n,
            **errors_of_bins(sums[..., _SUMS:].reshape(*sums.shape[:2], 3, BINS)),
        }
        found["auc"] = np.stack([weighted_area(rank, counts) for rank in table.ranks], axis=1)
    for name in (*MACRO, "ece_twice", "ece_squared_twice"):
        found[f"macro_{name}"] = _mean(found[name])
    return found


MACRO = ("auc", "sensitivity", "specificity", "brier", "ece")
"""The metrics whose mean over the findings is computed."""


def _mean(values: Floats) -> Floats:
    """Return the mean of the defined values of each row, [b]."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)
    return found
