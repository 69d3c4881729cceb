"""Labels, logits and probabilities → loss, accuracy, AUC, sensitivity, specificity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.stats.areas import areas
from pneumoscope.stats.intervals import LEVEL, newcombe_area, wilson
from pneumoscope.stats.logistic import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a reader achieves on labelled images at one threshold.

    Attributes:
        n: Images.
        loss: Mean cross-entropy in nats.
        accuracy: Share of right conclusions.
        balanced_accuracy: Mean of sensitivity and specificity.
        auc: Area under the ROC curve: the chance that a positive image scores above a negative
            one, ties counted half (Hanley and McNeil, Radiology 143, 1982).
        sensitivity: Share of positive images that are called positive.
        specificity: Share of negative images that are called negative.
        confusion: [[true negatives, false positives], [false negatives, true positives]].
        threshold: The probability from which an image is called positive.
    """

    n: int
    loss: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    confusion: tuple[tuple[int, int], tuple[int, int]]
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON values, each number under ``value``."""
        return {
            "n": {"value": self.n},
            "loss": self.loss.to_dict(),
            "accuracy": self.accuracy.to_dict(),
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "auc": self.auc.to_dict(),
            "sensitivity": self.sensitivity.to_dict(),
            "specificity": self.specificity.to_dict(),
            "confusion_matrix": {"value": [list(row) for row in self.confusion], "n": self.n},
            "threshold": {"value": self.threshold},
        }


def measure(scores: Scores, *, threshold: float, level: float = LEVEL) -> Metrics:
    """Return the main numbers at a threshold of probability, with intervals in closed form.

    Proportions have Wilson's interval, the area DeLong's (by patient where patients have several
    images). ``assess`` gives everything, with intervals by resampling patients.

    Raises:
        DataError: There are no scores.
    """
    n = len(scores)
    if n == 0:
        raise DataError("there are no images to measure on.")
    positive = scores.label == 1
    called = scores.probability >= threshold
    tp, fn = int((called & positive).sum()), int((~called & positive).sum())
    tn, fp = int((~called & ~positive).sum()), int((called & ~positive).sum())
    sensitivity = _proportion(tp, tp + fn, level)
    specificity = _proportion(tn, tn + fp, level)
    both = sensitivity.value is not None and specificity.value is not None
    return Metrics(
        n,
        loss=Estimate(float(log_loss(scores.log_odds, scores.label).mean()), n),
        accuracy=_proportion(tp + tn, n, level),
        balanced_accuracy=Estimate(
            ((sensitivity.value or 0) + (specificity.value or 0)) / 2 if both else None, n
        ),
        auc=area_estimate(scores, level=level),
        sensitivity=sensitivity,
        specificity=specificity,
        confusion=((tn, fp), (fn, tp)),
        threshold=threshold,
    )


def area_estimate(scores: Scores, *, level: float = LEVEL) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, Newcombe's where it has none."""
    value = area_under_roc(scores.label, scores.logit)
    patient = scores.patient_numbers
    found = areas(scores.label, [scores.logit], patient=patient)
    if found is not None and found.covariance[0, 0] > 0:
        return Estimate.of(value, len(scores), found.interval(level=level))
    if value is None:
        return Estimate(None, len(scores))
    counts = [len(np.unique(patient[scores.label == label])) for label in (1, 0)]
    return Estimate.of(value, len(scores), newcombe_area(value, counts[0], counts[1], level=level))


def _proportion(hits: int, n: int, level: float) -> Estimate:
    return Estimate.of(hits / n if n else None, n, wilson(hits, n, level=level))


def area_under_roc(label: NDArray[np.int64], score: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve, None unless both classes are there.

    Computed from mean ranks (the Mann-Whitney statistic), so ties count half.
    """
    positives = int((label == 1).sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    above = math.fsum(ranks[label == 1]) - positives * (positives + 1) / 2
    return above / (positives * negatives)
