"""Tolerance limits: a value that most of what is still to come stays below."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tolerance_limit(values: NDArray[np.floating], *, share: float, level: float = LEVEL) -> float:
    """Return a one-sided upper tolerance limit without assumptions on the distribution.

    It is the lowest of the values that, at this confidence, at least the stated share of the
    population does not exceed (S. S. Wilks, Annals of Mathematical Statistics 12, 1941). The
    quantile of the values themselves is exceeded by more than that in every second sample.

    Args:
        values: A sample, [n] with n > 0.
        share: The share of the population that stays at or below the limit.
        level: The confidence.

    Returns:
        One of the values. The largest where there are too few for this confidence: 299 are needed
        for 99 % of the population at 95 %.
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
