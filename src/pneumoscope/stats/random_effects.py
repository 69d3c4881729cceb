"""Random-effects meta-analysis: mean and prediction interval over groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.stats.intervals import LEVEL, student_quantile


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """The mean over groups with its confidence interval, and the prediction interval.

    Attributes:
        mean: The mean of the distribution that the groups are drawn from.
        low: Lower end of the confidence interval of the mean.
        high: Its upper end.
        new_low: Lower end of the prediction interval for the true value of a new group.
        new_high: Its upper end; both None for fewer than three groups.
        tau: Standard deviation between the groups.
        groups: Number of groups.
    """

    mean: float
    low: float
    high: float
    new_low: float | None
    new_high: float | None
    tau: float
    groups: int


def random_effects(
    values: Sequence[float], errors: Sequence[float], *, level: float = LEVEL
) -> RandomEffects:
    """Return the random-effects mean of groups and the prediction interval for a new one.

    The variance between groups is DerSimonian's and Laird's (Control Clin Trials 7, 1986). The
    confidence interval of the mean is that of Hartung and Knapp and of Sidik and Jonkman, with k -
    1 degrees of freedom, never narrower than the normal one with Student's quantile (Röver and
    others, BMC Med Res Methodol 15, 2015). The prediction interval is that of Higgins and others (J
    R Stat Soc A 172, 2009), with k - 2 degrees of freedom.

    Args:
        values: Values of at least two groups.
        errors: Their standard errors, above 0.
        level: Confidence level of both intervals.

    Raises:
        ValueError: Fewer than two groups, or an error that is not above 0.

    >>> found = random_effects([0.0, 1.0, 2.0], [0.1, 0.1, 0.1])
    >>> round(found.mean, 3), round(found.tau, 3)
    (1.0, 0.995)
    """
    value, variance = np.array(values, np.float64), np.array(errors, np.float64) ** 2
    k = len(value)
    if k < 2 or not (variance > 0).all():
        raise ValueError(f"random effects of {k} groups with errors {tuple(errors)}")
    weight = 1 / variance
    fixed = float(weight @ value / weight.sum())
    spread = float(weight @ (value - fixed) ** 2)
    room = float(weight.sum() - (weight**2).sum() / weight.sum())
    between = max(0.0, (spread - (k - 1)) / room)
    weight = 1 / (variance + between)
    mean = float(weight @ value / weight.sum())
    scale = max(1.0, float(weight @ (value - mean) ** 2) / (k - 1))
    error = math.sqrt(scale / float(weight.sum()))
    half = student_quantile((1 + level) / 2, k - 1) * error
    new_low = new_high = None
    if k > 2:
        plain = 1 / float(weight.sum())
        far = student_quantile((1 + level) / 2, k - 2) * math.sqrt(between + plain)
        new_low, new_high = mean - far, mean + far
    return RandomEffects(mean, mean - half, mean + half, new_low, new_high, math.sqrt(between), k)
