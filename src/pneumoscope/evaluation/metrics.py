"""Labels, logits and probabilities → loss, accuracy, AUC, sensitivity, specificity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and what it rests on.

    Attributes:
        value: The number; None where it is not defined (no image of a class).
        n: How many images it is a mean or a count over.
    """

    value: float | None
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"value": self.value, "n": self.n}

    def text(self, digits: int = 3) -> str:
        """Return it for people."""
        return "not defined" if self.value is None else f"{self.value:.{digits}f}"


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


def measure(scores: Scores, *, threshold: float) -> Metrics:
    """Return the metrics of scores at a threshold of probability.

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
    sensitivity = Estimate(tp / (tp + fn) if tp + fn else None, tp + fn)
    specificity = Estimate(tn / (tn + fp) if tn + fp else None, tn + fp)
    both = sensitivity.value is not None and specificity.value is not None
    return Metrics(
        n,
        loss=Estimate(cross_entropy(scores.label, scores.logit), n),
        accuracy=Estimate((tp + tn) / n, n),
        balanced_accuracy=Estimate(
            ((sensitivity.value or 0) + (specificity.value or 0)) / 2 if both else None, n
        ),
        auc=Estimate(area_under_roc(scores.label, scores.logit), n),
        sensitivity=sensitivity,
        specificity=specificity,
        confusion=((tn, fp), (fn, tp)),
        threshold=threshold,
    )


def cross_entropy(label: NDArray[np.int64], logit: NDArray[np.float64]) -> float:
    """Return the mean negative log-likelihood in nats; labels 0 or 1 and logits, [n] each."""
    return float(np.logaddexp(0, np.where(label == 1, -logit, logit)).mean())


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
