"""Baselines that do not look at the image: the majority class and the file size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.shares import share, share_draws
from pneumoscope.stats.areas import areas
from pneumoscope.stats.intervals import LEVEL
from pneumoscope.stats.roc import area_under_roc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Baseline:
    """The performance of a rule that does not look at the image.

    Attributes:
        name: ``majority class`` or ``file size``.
        accuracy: Share of correct predictions.
        auc: Area under the ROC curve.
        fitted_on: Data that the rule was fitted on: ``training images``, ``other patients of these
            images, five folds`` or ``these images``.
    """

    name: str
    accuracy: Estimate
    auc: Estimate
    fitted_on: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Baseline:
        """Return the baseline written by ``to_dict``."""
        return cls(
            values["name"],
            Estimate.from_dict(values["accuracy"]),
            Estimate.from_dict(values["auc"]),
            values["fitted_on"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {
            "name": self.name,
            "accuracy": self.accuracy.to_dict(),
            "auc": self.auc.to_dict(),
            "fitted_on": self.fitted_on,
        }


def majority_baseline(
    scores: Scores,
    *,
    trained_on: NDArray[np.int64] | None = None,
    level: float = LEVEL,
    resamples: int = 0,
    seed: int = 0,
) -> Baseline:
    """Return the performance of always predicting the majority class of the training set.

    Args:
        scores: Labels and patients of the evaluated images.
        trained_on: Labels of the training images; None if unknown.
        level: Confidence level.
        resamples: Number of resamples of the patients; 0 uses closed-form intervals only.
        seed: Seed of the resampling.
    """
    label = scores.label
    known = label if trained_on is None or not len(trained_on) else trained_on
    majority = int(2 * (known == 1).sum() >= len(known))
    n = len(label)
    both = 0 < int((label == 1).sum()) < n
    return Baseline(
        "majority class",
        _accuracy(label == majority, scores, level=level, resamples=resamples, seed=seed),
        Estimate(0.5 if both else None, n),
        "these images" if known is label else "training images",
    )


def size_baseline(
    scores: Scores,
    size_bytes: NDArray[np.int64],
    *,
    training: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    level: float = LEVEL,
    resamples: int = 0,
    seed: int = 0,
) -> Baseline:
    """Return the performance of a threshold on the file size.

    The rule consists of a threshold of the size and a direction, with the highest accuracy on the
    images that it is fitted on: the training images, or, if unknown, other patients by five-fold
    cross-validation.

    Args:
        scores: Labels and patients of the evaluated images.
        size_bytes: Size of each image's file, [n].
        training: Sizes and labels of the training images.
        level: Confidence level.
        resamples: Number of resamples of the patients; 0 uses closed-form intervals only.
        seed: Seed of the folds and the resampling.
    """
    n = len(scores)
    size = size_bytes.astype(np.float64)
    right = np.zeros(n, bool)
    signed = np.zeros(n)
    if training is not None and len(training[0]):
        fitted_on = "training images"
        folds = [(training[0].astype(np.float64), training[1], np.arange(n))]
    else:
        fitted_on = "other patients of these images, five folds"
        patient = scores.patient_numbers
        shuffled = np.random.default_rng(seed).permutation(int(patient.max()) + 1)
        fold = shuffled[patient] % _FOLDS
        folds = [
            (size[fold != number], scores.label[fold != number], np.flatnonzero(fold == number))
            for number in range(_FOLDS)
        ]
    for known_size, known_label, rows in folds:
        cut, direction = _stump(known_size, known_label)
        called = direction * (size[rows] - cut) >= 0
        right[rows] = called == (scores.label[rows] == 1)
        signed[rows] = direction * size[rows]
    found = areas(scores.label, [signed], patient=scores.patient_numbers)
    return Baseline(
        "file size",
        _accuracy(right, scores, level=level, resamples=resamples, seed=seed),
        Estimate.of(
            area_under_roc(scores.label, signed), n, found.interval(level=level) if found else None
        ),
        fitted_on,
    )


def _accuracy(
    right: NDArray[np.bool_], scores: Scores, *, level: float, resamples: int, seed: int
) -> Estimate:
    everything, patient = np.ones(len(scores), bool), scores.patient_numbers
    draws = share_draws(right, everything, patient, resamples=resamples, seed=seed)
    return share(right, everything, patient, draws=draws, level=level)


def _stump(size: NDArray[np.float64], label: NDArray[np.int64]) -> tuple[float, int]:
    """Return the threshold and direction (1: large files are positive) of highest accuracy."""
    if not len(size):
        return 0.0, 1
    values, inverse = np.unique(size, return_inverse=True)
    gains = np.bincount(inverse, np.where(label == 1, 1.0, -1.0))
    above = np.concatenate([np.cumsum(gains[::-1])[::-1], [0.0]])  # positives minus negatives
    cuts = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    below = above[0] - above
    if above.max() >= below.max():
        return float(cuts[int(np.argmax(above))]), 1
    return float(cuts[int(np.argmax(below))]), -1
