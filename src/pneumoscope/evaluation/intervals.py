"""Intervals in closed form: Wilson's, DeLong's for one and for several readers, Newcombe's.

Nothing here draws a random number; ``bootstrap`` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.estimate import LEVEL, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WILSON = "wilson"
WILSON_PATIENTS = "wilson, n = patients"
DELONG = "delong"
OBUCHOWSKI = "delong by patient (obuchowski)"
NEWCOMBE = "newcombe, n = patients"


def normal_quantile(level: float) -> float:
    """Return the z of a two-sided interval: 1.96 for 0.95.

    Raises:
        OptionError: The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise OptionError("level", must="between 0 and 1, such as 0.95", was=level)
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(
    successes: float, n: float, *, level: float = LEVEL, method: str = WILSON
) -> Interval | None:
    """Return Wilson's score interval of a proportion (JASA 22, 1927); None if ``n`` is 0.

    >>> interval = wilson(81, 263)
    >>> round(interval.low, 4), round(interval.high, 4)  # Newcombe, Stat Med 17, 1998
    (0.2553, 0.3662)
    """
    if n <= 0:
        return None
    z2 = normal_quantile(level) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    # At 0 and n of n the ends are 0 and 1 exactly, which rounding would miss.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, method, level)


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """Areas under the ROC curves of k readers on the same images, and how they vary together.

    Attributes:
        values: The areas, [k].
        covariance: Of their errors, [k, k].
        clustered: Whether patients with several images were counted as one draw each.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    clustered: bool

    def interval(self, reader: int = 0, *, level: float = LEVEL) -> Interval:
        """Return the normal interval of one area, cut at 0 and 1 (as R's pROC does)."""
        value = float(self.values[reader])
        half = normal_quantile(level) * math.sqrt(max(self.covariance[reader, reader], 0.0))
        method = OBUCHOWSKI if self.clustered else DELONG
        return Interval(max(0.0, value - half), min(1.0, value + half), method, level)


def areas(
    label: NDArray[np.int64],
    scores: Sequence[NDArray[np.float64]],
    *,
    patient: NDArray[np.int64] | None = None,
) -> Areas | None:
    """Return areas under ROC curves with their covariance; None unless each class has two images.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988). Its placement
    values are counted by binary search, in O(n log n) as the mid-ranks of Sun and Xu (IEEE Signal
    Process Lett 21, 2014) are. Given patients, those with several images enter as one draw each,
    after Obuchowski (Biometrics 53, 1997); with one image a patient both are the same.

    Args:
        label: 1 for positive, 0 for negative; [n].
        scores: What each reader says, [n] each; higher is more positive.
        patient: Number of each image's patient, [n]; None if every image counts by itself.
    """
    positive = label == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return None
    groups = (
        np.arange(len(label)) if patient is None else np.unique(patient, return_inverse=True)[1]
    )
    count = int(groups.max()) + 1
    clustered = count < len(label)
    in_positive, in_negative = groups[positive], groups[~positive]
    of_positive = np.bincount(in_positive, minlength=count)
    of_negative = np.bincount(in_negative, minlength=count)
    values, above, below = [], [], []
    for score in scores:
        v10, v01 = placements(score[positive], score[~positive])
        area = math.fsum(v10) / m
        values.append(area)
        above.append(np.bincount(in_positive, v10, count) - of_positive * area)
        below.append(np.bincount(in_negative, v01, count) - of_negative * area)
    x, y = np.array(above), np.array(below)
    i10, i01 = int((of_positive > 0).sum()), int((of_negative > 0).sum())
    if i10 < 2 or i01 < 2:
        return None
    both = count / (count - 1) * (x @ y.T)
    covariance = (
        i10 / (i10 - 1) * (x @ x.T) / m**2
        + i01 / (i01 - 1) * (y @ y.T) / n**2
        + (both + both.T) / (m * n)
    )
    return Areas(np.array(values), covariance, clustered)


def placements(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of negatives below each positive, and of positives above each negative.

    Equal scores count half.
    """
    rising_negative, rising_positive = np.sort(negative), np.sort(positive)
    v10 = (
        np.searchsorted(rising_negative, positive, "left")
        + np.searchsorted(rising_negative, positive, "right")
    ) / (2 * len(negative))
    v01 = 1 - (
        np.searchsorted(rising_positive, negative, "left")
        + np.searchsorted(rising_positive, negative, "right")
    ) / (2 * len(positive))
    return v10, v01


def newcombe_area(
    area: float, positives: int, negatives: int, *, level: float = LEVEL
) -> Interval | None:
    """Return Newcombe's interval of an area under the ROC curve (Stat Med 25, 2006, method 5).

    It is the one that also holds where every pair is in order, and DeLong's has no width: the ends
    are those areas from which the observed one is z standard errors away, the standard error being
    that of Hanley and McNeil with both groups taken as large as their mean.
    """
    if not positives or not negatives:
        return None
    z = normal_quantile(level)
    extra = (positives + negatives) / 2 - 1

    def away(truth: float) -> float:
        spread = truth * (1 - truth) / (positives * negatives)
        spread *= 1 + extra * (1 - truth) / (2 - truth) + extra * truth / (1 + truth)
        return abs(area - truth) - z * math.sqrt(spread)

    return Interval(
        0.0 if area == 0 else _crossing(away, 0.0, area),
        1.0 if area == 1 else _crossing(away, 1.0, area),
        NEWCOMBE,
        level,
    )


def _crossing(away, outside: float, inside: float) -> float:  # type: ignore[no-untyped-def]
    """Return where a function, positive outside and not so inside, changes its sign."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if away(middle) > 0:
            outside = middle
        else:
            inside = middle
    return inside


@cache
def student_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t, from 0.5 on, for whole degrees of freedom.

    Found by bisection on the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.

    >>> round(student_quantile(0.975, 4), 4)
    2.7764
    """
    low, high = 0.0, 1e8
    for _ in range(200):
        middle = (low + high) / 2
        if _student_below(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def _student_below(t: float, degrees: int) -> float:
    theta = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for step in range(degrees // 2):
        total += term
        term *= cosine**2 * (2 * step + 1 + odd) / (2 * step + 2 + odd)
    if odd:
        return 0.5 + (theta + sine * total) / math.pi
    return 0.5 + sine * total / 2
