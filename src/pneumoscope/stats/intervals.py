"""Closed-form intervals by Wilson and Newcombe, and the quantiles they need.

For intervals by resampling, see ``evaluation.bootstrap``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

from pneumoscope.errors import OptionError

LEVEL = 0.95
"""The default confidence level."""

WILSON = "wilson"
WILSON_PATIENTS = "wilson, n = patients"
NEWCOMBE = "newcombe, n = patients"


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval with its method and confidence level."""

    low: float
    high: float
    method: str
    level: float = LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Return the interval as JSON values; an infinite upper end is null."""
        high = None if self.high == math.inf else self.high
        return {"low": self.low, "high": high, "method": self.method, "level": self.level}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interval:
        """Return the interval written by ``to_dict``."""
        high = math.inf if values["high"] is None else values["high"]
        return cls(values["low"], high, values["method"], values["level"])


def normal_quantile(level: float) -> float:
    """Return the z value of a two-sided interval: 1.96 for 0.95.

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
    # At 0 and n of n, the limits are exactly 0 and 1, despite rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, method, level)


def newcombe_area(
    area: float, positives: int, negatives: int, *, level: float = LEVEL
) -> Interval | None:
    """Return Newcombe's interval of an area under the ROC curve (Stat Med 25, 2006, method 5).

    In contrast to DeLong's, this interval has a width even if every pair is in order. Its limits
    are the areas that differ from the observed one by z standard errors, with the standard error of
    Hanley and McNeil and both groups as large as their mean.
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
    """Return the root of a function that is positive outside an interval."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if away(middle) > 0:
            outside = middle
        else:
            inside = middle
    return inside


@cache
def student_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t for p >= 0.5 and integer degrees of freedom.

    Found by bisection on the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.

    >>> round(student_quantile(0.975, 4), 4)
    2.7764
    """
    low, high = 0.0, 1e8
    while low < (middle := (low + high) / 2) < high:  # until they are neighbours
        if student_below(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def student_below(t: float, degrees: int) -> float:
    """Return the probability that Student's t, for integer degrees of freedom, is below t >= 0."""
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
