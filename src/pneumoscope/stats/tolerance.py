"""Tolerance limits: a value that most future values do not exceed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tolerance_limit(values: NDArray[np.floating], *, share: float, level: float = LEVEL) -> float:
    """Return a one-sided upper tolerance limit without assumptions on the distribution.

    It is the lowest of the values that at least the given share of the population does not exceed,
    at the given confidence (S. S. Wilks, Annals of Mathematical Statistics 12, 1941). In every
    second sample, more than one minus this share of the population exceeds the corresponding
    quantile of the sample.

    Args:
        values: A sample, [n] with n > 0.
        share: The share of the population that stays at or below the limit.
        level: Confidence level.

    Returns:
        One of the values; the largest if there are too few for this confidence. 299 values are
        needed for 99 % of the population at 95 %.
    """
    n = len(values)
    # The number of values above the quantile of the population is binomial.
    above, total = 0, 0.0
    while (total := total + _binomial(above, n, 1 - share)) <= 1 - level:
        above += 1
    return float(np.sort(values)[n - max(above, 1)])


def _binomial(k: int, n: int, p: float) -> float:
    """Return the probability of k of n, in logarithms: p ** n may be too small for a float."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))
