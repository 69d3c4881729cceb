"""Statistics of an audit: proportions and AUCs with intervals, and folds of patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.stats import intervals
from pneumoscope.stats.areas import areas, placements

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Area:
    """An area under the ROC curve with its 95 % interval.

    Attributes:
        value: The area, 0 to 1.
        low: Lower end.
        high: Upper end.
        n: Number of images.
    """

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the area as JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    def text(self) -> str:
        """Return the area as text."""
        return f"{self.value:.2f} ({self.low:.2f}-{self.high:.2f})"


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson, JASA 22, 1927); (0, 1) if n is 0.

    >>> [round(end, 2) for end in wilson(0.9, 16)]
    [0.67, 0.98]
    """
    interval = intervals.wilson(share * n, n)
    return (interval.low, interval.high) if interval else (0.0, 1.0)


def area(label: NDArray[np.int64], score: NDArray[np.float64], groups: NDArray[np.int64]) -> Area:
    """Return the area under the ROC curve with an interval by patient.

    The interval is symmetric on the logit scale, so that it stays within 0 and 1 even for an area
    near 1. If the variance is zero, as at an area of 1, the interval is given by the rule of three,
    by patient.

    Args:
        label: 0 or 1, [n]; both occur.
        score: Higher for 1, [n].
        groups: The patient of each image as a number, [n].
    """
    found = areas(label, [score], patient=groups)
    interval = found.logit_interval() if found is not None else None
    if found is not None and interval is not None:
        return Area(float(found.values[0]), interval.low, interval.high, len(label))
    positive = label == 1
    value = float(placements(score[positive], score[~positive])[0].mean())
    fewest = min(len(np.unique(groups[positive])), len(np.unique(groups[~positive])))
    margin = min(1.0, 3 / fewest)
    return Area(value, max(0.0, value - margin), min(1.0, value + margin), len(label))


def folds_of(
    label: NDArray[np.int64], groups: NDArray[np.int64], *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each image, [n]: whole groups, stratified by class.

    Groups are assigned in random order, those with a positive image separately from the others.
    """
    generator = np.random.default_rng(seed)
    names, inverse = np.unique(groups, return_inverse=True)
    has_positive = np.bincount(inverse, weights=label == 1) > 0
    fold = np.empty(len(names), np.int64)
    for kind in (False, True):
        members = generator.permutation(np.flatnonzero(has_positive == kind))
        fold[members] = np.arange(len(members)) % folds
    return fold[inverse]
