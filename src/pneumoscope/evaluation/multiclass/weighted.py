"""All multiclass metrics as functions of patient weights.

As ``evaluation.weighted`` does for two classes: the unweighted metric is the case of every patient
counting once, and resampling patients is a matrix of counts. Whatever is a sum over images is a sum
over patients first, so that many resamples are one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.bootstrap import block_size, draw_counts
from pneumoscope.evaluation.ece import bins_of, calibration_errors
from pneumoscope.evaluation.multiclass.calibration import cross_entropy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multiclass.scores import ClassScores

    Floats = NDArray[np.float64]

BINS = 15
"""Bins of equal mass for calibration."""

SMALLEST = 1e-45
"""Probabilities are kept this far from 0 for the cross-entropy."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """Scores of K classes with everything that does not depend on patient weights.

    Attributes:
        classes: K.
        patient: Number of each row's patient, [n].
        patients: How many there are.
        sums: What linear metrics are made of, summed by patient, [P, m]; see ``_COLUMNS``.
        ranks: For each class the rows in falling order of its probability, whether each of them
            is of the class, and the last row of each run of equal probabilities.
    """

    classes: int
    patient: NDArray[np.int64]
    patients: int
    sums: Floats
    ranks: tuple[tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]], ...]

    @classmethod
    def of(cls, scores: ClassScores, patient: NDArray[np.int64]) -> ClassTable:
        """Return the table of scores."""
        said, number = scores.probabilities, scores.number
        n, classes = said.shape
        truth = number[:, np.newaxis] == np.arange(classes)
        called = said.argmax(axis=1)
        cell = (number * classes + called)[:, np.newaxis] == np.arange(classes**2)
        second = np.partition(said, -2, axis=1)[:, -2]
        own = said[np.arange(n), number]
        linear = [
            own >= second,
            cross_entropy(np.log(np.maximum(said, SMALLEST)), number),
            ((said - truth) ** 2).sum(axis=1),
        ]
        columns = [np.stack(linear, axis=1).astype(np.float64), cell.astype(np.float64)]
        columns += [binned(said[:, k], truth[:, k]) for k in range(classes)]
        columns.append(binned(said.max(axis=1), called == number))
        people = int(patient.max(initial=-1)) + 1
        rows = np.concatenate(columns, axis=1)
        sums = np.zeros((people, rows.shape[1]))
        np.add.at(sums, patient, rows)
        ranks = []
        for k in range(classes):
            order = np.argsort(-said[:, k], kind="stable")
            rising = said[order, k]
            ends = np.flatnonzero(np.append(rising[1:] != rising[:-1], True))
            ranks.append((patient[order], truth[order, k], ends))
        return cls(classes, patient, people, sums, tuple(ranks))


def binned(probability: Floats, hit: NDArray[np.bool_]) -> Floats:
    """Return count, hits and probability of each bin for each image, [n, 3 * BINS]."""
    inside = bins_of(probability, BINS)[:, np.newaxis] == np.arange(BINS)
    each = (np.ones(len(hit)), hit, probability)
    return np.concatenate([inside * values[:, np.newaxis] for values in each], axis=1)


def statistics(table: ClassTable, counts: Floats) -> dict[str, Floats]:
    """Return all metrics under each of b weightings of the patients; NaN if undefined.

    Args:
        table: What ``ClassTable.of`` gave.
        counts: How often each patient counts, [b, P].

    Returns:
        Of each class [b, K]: ``auc``, ``sensitivity``, ``specificity``, ``ppv``, ``f1``, ``ece``,
        ``ece_twice``, ``ece_squared_twice``. Of all [b]: ``accuracy``, ``balanced_accuracy``,
        ``macro_auc``, ``macro_ppv``, ``macro_f1``, ``kappa``, ``top_2``, ``loss``, ``brier``,
        ``classwise_ece``, ``confidence_ece``, and the last two with ``_twice`` and
        ``_squared_twice``. ``confusion`` is [b, K, K], images of true class by called class, and
        ``row_shares`` the same by row.
    """
    classes = table.classes
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = counts @ table.sums
        cells = sums[:, 3 : 3 + classes**2].reshape(-1, classes, classes)
        found = _of_confusion(cells)
        n = cells.sum(axis=(1, 2))
        for place, name in enumerate(("top_2", "loss", "brier")):
            found[name] = sums[:, place] / n
        bins = sums[:, 3 + classes**2 :].reshape(len(sums), classes + 1, 3, BINS)
        found |= _calibration(bins)
        found["auc"] = np.stack([weighted_area(rank, counts) for rank in table.ranks], axis=1)
        found["macro_auc"] = found["auc"].mean(axis=1)
    return found


def _of_confusion(cells: Floats) -> dict[str, Floats]:
    """Return the metrics computed from confusion matrices [b, K, K]."""
    n = cells.sum(axis=(1, 2))
    right = np.diagonal(cells, axis1=1, axis2=2)
    true, called = cells.sum(axis=2), cells.sum(axis=1)
    sensitivity, ppv = right / true, right / called
    f1 = 2 * right / (true + called)
    negatives = n[:, np.newaxis] - true
    accuracy = right.sum(axis=1) / n
    chance = (true * called).sum(axis=1) / n**2
    return {
        "confusion": cells,
        "row_shares": cells / true[:, :, np.newaxis],
        "sensitivity": sensitivity,
        "specificity": (negatives - (called - right)) / negatives,
        "ppv": ppv,
        "f1": f1,
        "accuracy": accuracy,
        "balanced_accuracy": sensitivity.mean(axis=1),
        "macro_ppv": ppv.mean(axis=1),
        "macro_f1": f1.mean(axis=1),
        "kappa": (accuracy - chance) / (1 - chance),
    }


def _calibration(bins: Floats) -> dict[str, Floats]:
    """Return calibration errors of bins [b, K + 1, 3, BINS]; the last are of the confidence.

    The class-wise error is the mean of those of the classes (Nixon and others, "Measuring
    calibration in deep learning", CVPR workshops 2019).
    """
    rows, kinds = bins.shape[:2]
    count, hits, mass = (bins[:, :, i].reshape(-1, BINS) for i in range(3))
    observed = np.where(count > 0, hits / np.maximum(count, 1), 0)
    said = np.where(count > 0, mass / np.maximum(count, 1), 0)
    errors = calibration_errors(count, observed, said)
    found = {}
    for key, name in (
        ("ece", "ece"),
        ("ece_twice", "ece_twice"),
        ("squared_error_twice", "ece_squared_twice"),
    ):
        own = errors[key].reshape(rows, kinds)
        found[name] = own[:, :-1]
        found[f"classwise_{name}"] = own[:, :-1].mean(axis=1)
        found[f"confidence_{name}"] = own[:, -1]
    return found


def weighted_area(
    rank: tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]], counts: Floats
) -> Floats:
    """Return the one-vs-rest area under the ROC curve of a class, [b]."""
    patient, own, ends = rank
    weights = np.take(counts, patient, axis=1)
    gained = weights * own
    above = np.cumsum(gained, axis=1)
    positives = above[:, -1].copy()
    negatives = weights.sum(axis=1) - positives
    if len(ends) == weights.shape[1]:
        weights -= gained  # now those of the rest
        area: Floats = np.einsum("bn,bn->b", weights, above)
        area /= positives * negatives
        return area
    above = above[:, ends]
    below = np.cumsum(weights, axis=1)[:, ends] - above
    gained = np.diff(above, axis=1, prepend=0)
    lost = np.diff(below, axis=1, prepend=0)
    area = np.einsum("bu,bu->b", lost, above - gained / 2)
    area /= positives * negatives
    return area


def point(table: ClassTable) -> dict[str, Floats]:
    """Return the metrics of the original scores."""
    found = statistics(table, np.ones((1, table.patients)))
    return {name: values[0] for name, values in found.items()}


def resampled(table: ClassTable, *, resamples: int, seed: int) -> dict[str, Floats]:
    """Return the metrics of resamples by patient, [resamples, ...] each.

    The draws are those of ``evaluation.bootstrap.resampled``.
    """
    drawn = draw_counts(
        table.patients, resamples=resamples, seed=seed, block=block_size(len(table.patient))
    )
    blocks = [statistics(table, counts) for counts in drawn]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
