"""All multiclass metrics as functions of patient weights.

As in ``evaluation.weighted`` for two classes, the unweighted metric is the case of weights of one,
and resampling patients gives a matrix of weights. Sums over images are first computed for each
patient, so that many resamples are one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.multiclass.calibration import cross_entropy
from pneumoscope.evaluation.several import (
    BINS,
    Ranked,
    binned,
    errors_of_bins,
    ranked,
    weighted_area,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multiclass.scores import ClassScores

    Floats = NDArray[np.float64]

SMALLEST = 1e-45
"""Lower limit of probabilities in the cross-entropy."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """Scores of K classes with everything that does not depend on patient weights.

    Attributes:
        classes: Number of classes K.
        images: Number of rows.
        patients: Number of patients.
        sums: The terms of linear metrics, summed by patient, [P, m]; see ``_COLUMNS``.
        ranks: The rows in decreasing order of the probability of each class.
    """

    classes: int
    images: int
    patients: int
    sums: Floats
    ranks: tuple[Ranked, ...]

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
        ranks = tuple(ranked(said[:, k], truth[:, k], patient) for k in range(classes))
        return cls(classes, n, people, sums, ranks)


def statistics(table: ClassTable, counts: Floats) -> dict[str, Floats]:
    """Return all metrics under each of b weightings of the patients; NaN if undefined.

    Args:
        table: The result of ``ClassTable.of``.
        counts: Weight of each patient, [b, P].

    Returns:
        For each class, [b, K]: ``auc``, ``sensitivity``, ``specificity``, ``ppv``, ``f1``, ``ece``,
        ``ece_twice``, ``ece_squared_twice``. Over all classes, [b]: ``accuracy``,
        ``balanced_accuracy``, ``macro_auc``, ``macro_ppv``, ``macro_f1``, ``kappa``, ``top_2``,
        ``loss``, ``brier``, ``classwise_ece``, ``confidence_ece``, and the last two with ``_twice``
        and ``_squared_twice``. ``confusion`` is [b, K, K], images by true and predicted class, and
        ``row_shares`` the same as shares of each row.
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

    The class-wise error is the mean of the errors of the classes (Nixon and others, "Measuring
    calibration in deep learning", CVPR workshops 2019).
    """
    found = {}
    for name, own in errors_of_bins(bins).items():
        found[name] = own[:, :-1]
        found[f"classwise_{name}"] = own[:, :-1].mean(axis=1)
        found[f"confidence_{name}"] = own[:, -1]
    return found
