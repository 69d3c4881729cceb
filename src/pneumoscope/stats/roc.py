"""The ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """Counts at each of t thresholds, from no image to all images classified as positive.

    Attributes:
        thresholds: Minimum scores of images called positive, [t], decreasing from infinity.
        true_positives: Positive images called positive, [t], increasing from 0.
        false_positives: Negative images called positive, [t], increasing from 0.
    """

    thresholds: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]

    @property
    def sensitivity(self) -> NDArray[np.float64]:
        """Share of the positive images classified as positive, [t]."""
        found: NDArray[np.float64] = self.true_positives / self.true_positives[-1]
        return found

    @property
    def false_positive_rate(self) -> NDArray[np.float64]:
        """Share of the negative images classified as positive, [t]."""
        found: NDArray[np.float64] = self.false_positives / self.false_positives[-1]
        return found

    @property
    def area(self) -> float:
        """The area under the curve: the Mann-Whitney statistic, ties count half.

        Computed exactly, as a sum of integers (Hanley and McNeil, Radiology 143, 1982).
        """
        hits, alarms = self.true_positives, self.false_positives
        twice = int(np.sum(np.diff(alarms) * (hits[1:] + hits[:-1])))
        return twice / (2 * int(hits[-1]) * int(alarms[-1]))


def roc(label: NDArray[np.integer], score: NDArray[np.floating]) -> Roc | None:
    """Return the ROC curve of scores; None unless both classes are present.

    Equal scores form one step, so that the result does not depend on the order of images.

    Args:
        label: 1 for positive, else 0; [n].
        score: Higher is more positive; [n], without NaN.

    Example:
        >>> curve = roc(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]))
        >>> curve.area
        0.75
    """
    positive = label == 1
    positives = int(positive.sum())
    if not 0 < positives < len(label):
        return None
    order = np.argsort(-score, kind="stable")
    falling = score[order].astype(np.float64)
    last_of_ties = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    hits = np.insert(np.cumsum(positive[order], dtype=np.int64)[last_of_ties], 0, 0)
    called = np.insert(last_of_ties.astype(np.int64) + 1, 0, 0)
    return Roc(np.insert(falling[last_of_ties], 0, np.inf), hits, called - hits)


def area_under_roc(label: NDArray[np.integer], score: NDArray[np.floating]) -> float | None:
    """Return the area under the ROC curve; None unless both classes are present."""
    curve = roc(label, score)
    return None if curve is None else curve.area
