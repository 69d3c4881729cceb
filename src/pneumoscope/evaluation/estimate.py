"""A number, its interval, and what both rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pneumoscope.stats.intervals import LEVEL, Interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and what it rests on.

    Attributes:
        value: The number; None where it is not defined (no image of a class).
        n: How many images it is a mean or a count over.
        low: Lower end of its interval; None where there is none.
        high: Upper end.
        method: How the interval was made: ``wilson``, ``delong``, ``bootstrap by patient``, …
        level: Confidence level of the interval.
        also: Intervals by other methods.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    method: str = ""
    level: float = LEVEL
    also: tuple[Interval, ...] = ()

    @classmethod
    def of(cls, value: float | None, n: int, *intervals: Interval | None) -> Estimate:
        """Return a number with the first interval that there is; the rest stand under ``also``."""
        if value is None or not math.isfinite(value):
            return cls(None, n)
        there = [interval for interval in intervals if interval is not None]
        if not there:
            return cls(float(value), n)
        first, *rest = there
        return cls(
            float(value), n, first.low, first.high, first.method, first.level, also=tuple(rest)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; ``also`` only where there is something."""
        found: dict[str, Any] = {
            "value": self.value,
            "n": self.n,
            "low": self.low,
            "high": self.high,
            "method": self.method,
            "level": self.level,
        }
        if self.also:
            found["also"] = [interval.to_dict() for interval in self.also]
        return found

    def text(self, digits: int = 3) -> str:
        """Return the number for people."""
        return "not defined" if self.value is None else f"{self.value:.{digits}f}"

    def range_text(self, digits: int = 3) -> str:
        """Return the interval for people, empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}"
