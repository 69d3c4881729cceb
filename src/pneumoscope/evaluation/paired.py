"""Paired tests: McNemar's test and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mcnemar(only_first: int, only_second: int) -> tuple[float, float]:
    """Return the exact and the mid-p value of McNemar's test (Fagerland and others, 2013).

    >>> exact, mid = mcnemar(1, 7)
    >>> round(exact, 4), round(mid, 4)
    (0.0703, 0.0391)
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    if not total:
        return 1.0, 1.0
    # Logarithms, since 2 to the power of some thousand overflows.
    logs = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(fewer + 1)
    ]
    chances = [math.exp(value - total * math.log(2)) for value in logs]
    exact = min(1.0, 2 * math.fsum(chances))
    if only_first == only_second:
        return 1.0, 1 - chances[-1] / 2
    return exact, 2 * math.fsum(chances) - chances[-1]


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values with Holm's correction (Scand J Stat 6, 1979); None stays None.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        corrected[place] = largest
    return corrected
