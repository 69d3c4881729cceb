"""Compare two readers on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.evaluation.bootstrap import percentiles
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.paired import holm, mcnemar
from pneumoscope.evaluation.seeds import POWER
from pneumoscope.stats.areas import Areas
from pneumoscope.stats.intervals import LEVEL, Interval, normal_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = (
    "auc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "average_precision",
    "brier",
    "loss",
    "ece",
)


_CORRECTED = " after Holm's correction"


@dataclass(frozen=True, slots=True)
class Pair:
    """The comparison of two readers; differences are the first minus the second.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        differences: Difference of each metric, with the interval by resampling the patients of both
            in the same way; that of the area has DeLong's interval first.
        auc_p: P value of DeLong's test that the areas are equal; None if undefined.
        auc_p_holm: The same, after Holm's correction for all pairs.
        only_first_right: Number of images that only the first classified correctly.
        only_second_right: Number of images that only the second classified correctly.
        mcnemar_p: P value of McNemar's exact test that both are correct equally often.
        mcnemar_mid_p: The mid-p version, which is less conservative.
        mcnemar_p_holm: The mid-p after Holm's correction for all pairs.
        detectable_auc: The smallest true difference of the areas that this test would detect with a
            power of 80 %: (1.960 + 0.842) times the standard error of the difference, for a level
            of 95 %.
        level: Confidence level of the intervals; differences with p below 1 minus the level are
            significant.
        pairs: Number of pairs in Holm's correction.
    """

    first: str
    second: str
    differences: dict[str, Estimate]
    auc_p: float | None
    auc_p_holm: float | None
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    mcnemar_mid_p: float
    mcnemar_p_holm: float
    detectable_auc: float | None
    level: float = LEVEL
    pairs: int = 1

    @property
    def apart(self) -> bool:
        """Whether the areas differ significantly after Holm's correction."""
        return self.auc_p_holm is not None and self.auc_p_holm < 1 - self.level

    def verdict(self, first: str | None = None, second: str | None = None) -> str:
        """Return a sentence on which of the two is better.

        Args:
            first: Displayed name of the first; its name if None.
            second: Displayed name of the second.
        """
        first, second = first or self.first, second or self.second
        area = self.differences["auc"]
        if area.value is None:
            return f"{first} and {second} cannot be compared: the images are all of one class."
        if self.auc_p_holm is None or area.low is None or area.high is None:
            return (
                f"The AUC of {first} minus that of {second} is {area.value:+.4f}; there are too "
                "few patients to test whether this difference is significant."
            )
        how = f"{_p_text(self.auc_p_holm)}{_CORRECTED if self.pairs > 1 else ''}"
        if self.apart:
            better, worse, sign = (first, second, 1) if area.value > 0 else (second, first, -1)
            ends = sorted((sign * area.low, sign * area.high))
            return (
                f"{better} is better than {worse}: its AUC is higher by {abs(area.value):.4f} "
                f"({100 * self.level:.6g}% interval {ends[0]:.4f} to {ends[1]:.4f}; {how})."
            )
        text = (
            f"No difference is shown between {first} and {second}: the AUC of {first} minus "
            f"that of {second} is {area.value:+.4f} ({100 * self.level:.6g}% interval "
            f"{area.low:+.4f} to {area.high:+.4f}; {how})."
        )
        if self.detectable_auc is not None:
            text += (
                f" The smallest difference detectable with a power of {POWER:.0%} is "
                f"{self.detectable_auc:.4f}."
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        kept = [name for name in self.__slots__ if name not in {"level", "pairs"}]
        fields = {name: getattr(self, name) for name in kept}
        fields["differences"] = {
            name: number.to_dict() for name, number in self.differences.items()
        }
        return fields | {"verdict": self.verdict()}


def pair_of(
    rows: tuple[int, int],
    names: list[str],
    *,
    points: list[dict[str, float]],
    draws: list[dict[str, NDArray[np.float64]]],
    found: Areas | None,
    right: list[NDArray[np.bool_]],
    level: float,
) -> Pair:
    """Compare two readers.

    Args:
        rows: The two readers.
        names: Names of the readers.
        points: The metrics of each reader.
        draws: The metrics of each reader on the same resamples of the patients.
        found: The areas of all readers with their covariance; None if undefined.
        right: Whether each reader classified each image correctly.
        level: Confidence level.
    """
    i, j = rows
    n = len(right[i])
    differences = {}
    for name in NUMBERS:
        intervals = [
            percentiles(draws[i][name] - draws[j][name], level=level, method="paired bootstrap")
        ]
        if name == "auc" and found is not None:
            intervals.insert(0, _difference_interval(found, i, j, level=level))
        if name == "ece":  # noise increases both, so resamples are uninformative
            intervals = []
        differences[name] = Estimate.of(points[i][name] - points[j][name], n, *intervals)
    error = _standard_error(found, i, j) if found is not None else 0.0
    only_first, only_second = int((right[i] & ~right[j]).sum()), int((right[j] & ~right[i]).sum())
    exact, mid = mcnemar(only_first, only_second)
    return Pair(
        names[i],
        names[j],
        differences,
        _delong_p(found, i, j, error) if found is not None else None,
        None,
        only_first,
        only_second,
        exact,
        mid,
        mid,
        (normal_quantile(level) + NormalDist().inv_cdf(POWER)) * error if error else None,
        level,
    )


def _standard_error(found: Areas, i: int, j: int) -> float:
    c = found.covariance
    return math.sqrt(max(0.0, float(c[i, i] + c[j, j] - 2 * c[i, j])))


def _delong_p(found: Areas, i: int, j: int, error: float) -> float:
    difference = abs(float(found.values[i] - found.values[j]))
    if difference < 1e-12:
        return 1.0
    return 2 * NormalDist().cdf(-difference / error) if error else 0.0


def _difference_interval(found: Areas, i: int, j: int, *, level: float) -> Interval:
    difference = float(found.values[i] - found.values[j])
    half = normal_quantile(level) * _standard_error(found, i, j)
    method = "paired delong by patient" if found.clustered else "paired delong"
    return Interval(max(-1.0, difference - half), min(1.0, difference + half), method, level)


def delong_difference(found: Areas, *, level: float) -> tuple[Interval, float]:
    """Return DeLong's interval and p of the difference of the first two areas.

    Args:
        found: The areas of two readers with their covariance.
        level: Confidence level.
    """
    error = _standard_error(found, 0, 1)
    return _difference_interval(found, 0, 1, level=level), _delong_p(found, 0, 1, error)


def corrected(pairs: list[Pair]) -> tuple[Pair, ...]:
    """Return pairs with p values corrected by Holm's method."""
    by_area = holm([pair.auc_p for pair in pairs])
    by_right = holm([pair.mcnemar_mid_p for pair in pairs])
    return tuple(
        replace(
            pair,
            auc_p_holm=area,
            mcnemar_p_holm=right if right is not None else 1.0,
            pairs=len(pairs),
        )
        for pair, area, right in zip(pairs, by_area, by_right, strict=True)
    )


def _p_text(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"
