"""Areas under the ROC curves of several readers with their covariance and intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.stats.intervals import LEVEL, Interval, normal_quantile
from pneumoscope.stats.logistic import logistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DELONG = "delong"
OBUCHOWSKI = "delong by patient (obuchowski)"


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """Areas under the ROC curves of k readers on the same images, with their covariance.

    Attributes:
        values: The areas, [k].
        covariance: Covariance of their errors, [k, k].
        clustered: Whether patients with several images count as one draw each.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    clustered: bool

    def interval(self, reader: int = 0, *, level: float = LEVEL) -> Interval:
        """Return the normal interval of one area, clipped to 0 and 1 (as in R's pROC)."""
        value, half = float(self.values[reader]), self._half(reader, level)
        return Interval(max(0.0, value - half), min(1.0, value + half), self._method, level)

    def logit_interval(self, reader: int = 0, *, level: float = LEVEL) -> Interval | None:
        """Return the interval of one area that is symmetric on the logit scale.

        None for an area of 0 or 1, which has no logit.
        """
        value = float(self.values[reader])
        if not 0 < value < 1:
            return None
        logit, half = math.log(value / (1 - value)), self._half(reader, level)
        ends = logistic(logit + np.array([-1, 1]) * half / (value * (1 - value)))
        return Interval(float(ends[0]), float(ends[1]), f"{self._method}, logit", level)

    @property
    def _method(self) -> str:
        return OBUCHOWSKI if self.clustered else DELONG

    def _half(self, reader: int, level: float) -> float:
        return normal_quantile(level) * math.sqrt(max(self.covariance[reader, reader], 0.0))


def areas(
    label: NDArray[np.int64],
    scores: Sequence[NDArray[np.float64]],
    *,
    patient: NDArray[np.int64] | None = None,
) -> Areas | None:
    """Return areas under ROC curves with their covariance; None unless each class has two images.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988). Its placement
    values are counted by binary search, in O(n log n) like the mid-ranks of Sun and Xu (IEEE Signal
    Process Lett 21, 2014). If patients are given, those with several images count as one draw each,
    after Obuchowski (Biometrics 53, 1997); with one image per patient, both methods agree.

    Args:
        label: 1 for positive, 0 for negative; [n].
        scores: Scores of each reader, [n] each; higher is more positive.
        patient: Number of each image's patient, [n]; None if images are independent.
    """
    groups = (
        np.arange(len(label)) if patient is None else np.unique(patient, return_inverse=True)[1]
    )
    count = int(groups.max(initial=-1)) + 1
    found = area_influences(label, scores, patient=groups)
    if found is None:
        return None
    x, y = found.positive, found.negative
    i10, i01 = found.patients
    both = count / (count - 1) * (x @ y.T)
    covariance = i10 / (i10 - 1) * (x @ x.T) + i01 / (i01 - 1) * (y @ y.T) + both + both.T
    return Areas(found.values, covariance, clustered=count < len(label))


@dataclass(frozen=True, slots=True, eq=False)
class AreaInfluences:
    """Areas under ROC curves, and the influence of each patient on them.

    Attributes:
        values: The areas of k readers, [k].
        positive: Influence of the positive images of each of P patients, [k, P].
        negative: The same for the negative images, [k, P].
        patients: Number of patients with positive, and with negative images.
    """

    values: NDArray[np.float64]
    positive: NDArray[np.float64]
    negative: NDArray[np.float64]
    patients: tuple[int, int]


def area_influences(
    label: NDArray[np.int64],
    scores: Sequence[NDArray[np.float64]],
    *,
    patient: NDArray[np.int64],
    count: int | None = None,
) -> AreaInfluences | None:
    """Return areas under ROC curves with the influence of each patient on them.

    None unless each class has two images, and images of two patients.

    Args:
        label: 1 for positive, 0 for negative; [n].
        scores: Scores of each reader, [n] each; higher is more positive.
        patient: Number of each image's patient from 0, [n].
        count: Number of patients, some of whom may have no image here; if None, the highest patient
            number plus one.
    """
    positive = label == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return None
    count = int(patient.max()) + 1 if count is None else count
    in_positive, in_negative = patient[positive], patient[~positive]
    of_positive = np.bincount(in_positive, minlength=count)
    of_negative = np.bincount(in_negative, minlength=count)
    own = int((of_positive > 0).sum()), int((of_negative > 0).sum())
    if min(own) < 2:
        return None
    values, above, below = [], [], []
    for score in scores:
        v10, v01 = placements(score[positive], score[~positive])
        area = math.fsum(v10) / m
        values.append(area)
        above.append((np.bincount(in_positive, v10, count) - of_positive * area) / m)
        below.append((np.bincount(in_negative, v01, count) - of_negative * area) / n)
    return AreaInfluences(np.array(values), np.array(above), np.array(below), own)


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
