"""A number with its interval and sample size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoscope.stats.intervals import LEVEL, Interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, method and sample size.

    Attributes:
        value: The number; None if undefined (no image of a class).
        n: Number of images it is computed from.
        low: Lower end of its interval; None if there is none.
        high: Upper end; ``math.inf`` for a ratio without an upper end.
        method: Method of the interval: ``wilson``, ``delong``, ``bootstrap by patient``, …
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
        """Return an estimate with the first available interval; others are listed in ``also``."""
        if value is None or not math.isfinite(value):
            return cls(None, n)
        there = [interval for interval in intervals if interval is not None]
        if not there:
            return cls(float(value), n)
        first, *rest = there
        return cls(
            float(value), n, first.low, first.high, first.method, first.level, also=tuple(rest)
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Estimate:
        """Return the estimate written by ``to_dict``.

        Raises:
            KeyError, TypeError: A field is missing or has the wrong type.
        """
        low, high = values["low"], values["high"]
        return cls(
            values["value"],
            values["n"],
            low,
            math.inf if low is not None and high is None else high,
            values["method"],
            LEVEL if low is None else values["level"],
            tuple(Interval.from_dict(one) for one in values.get("also", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; ``also`` only if not empty.

        JSON has no infinity: an interval without an upper end has ``low`` and ``high`` null.
        """
        found: dict[str, Any] = {
            "value": self.value,
            "n": self.n,
            "low": self.low,
            "high": None if self.high == math.inf else self.high,
            "method": self.method,
            "level": None if self.low is None else self.level,
        }
        if self.also:
            found["also"] = [interval.to_dict() for interval in self.also]
        return found

    def text(self, digits: int = 3) -> str:
        """Return the number as text."""
        return "not defined" if self.value is None else f"{self.value:.{digits}f}"

    def range_text(self, digits: int = 3) -> str:
        """Return the interval as text, empty if there is none."""
        if self.low is None or self.high is None:
            return ""
        upper = "infinity" if self.high == math.inf else f"{self.high:.{digits}f}"
        return f"{self.low:.{digits}f} to {upper}"

    def with_range(self, digits: int = 3) -> str:
        """Return the number with its interval: ``0.962 (0.938 to 0.978)``.

        Ratios of at least 10 have two digits fewer.
        """
        if self.value is not None and abs(self.value) >= 10:
            digits = max(1, digits - 2)
        between = self.range_text(digits)
        return f"{self.text(digits)} ({between})" if between else self.text(digits)

    def signed(self) -> str:
        """Return a difference with its sign and interval: ``+0.0120 (-0.0031 to +0.0270)``."""
        if self.value is None:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{self.value:+.4f}"
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"

    def percent(self) -> str:
        """Return a proportion with its interval in percent: ``86.4% (83.5% to 88.9%)``."""
        if self.value is None:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{self.value:.1%}"
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def method_text(method: str) -> str:
    """Return the name of a method of intervals for people, with authors capitalised.

    >>> method_text("delong by patient (obuchowski)")
    'DeLong by patient (Obuchowski)'
    """
    for name in ("DeLong", "Newcombe", "Obuchowski", "Wilson"):
        method = method.replace(name.lower(), name)
    return method


def level_text(level: float) -> str:
    """Return a confidence level as text.

    >>> level_text(0.95), level_text(0.999)
    ('95%', '99.9%')
    """
    return f"{100 * level:.6g}%"
