"""The data of the figures: ROC, precision-recall, reliability and decision curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pneumoscope.evaluation.bootstrap import band
from pneumoscope.evaluation.weighted import FALSE_POSITIVE_RATES, ODDS_THRESHOLDS, RECALLS
from pneumoscope.stats.intervals import LEVEL, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float64]]

_DIGITS = 6


def _column(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], np.float64)


class _Columns:
    """Columns of equal length, serialised as lists; non-finite values become null."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the columns written by ``to_dict``, with six digits."""
        return cls(*(_column(values[field.name]) for field in fields(cls)))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as JSON values, rounded to six digits."""
        return {
            field.name: [
                round(float(value), _DIGITS) if np.isfinite(value) else None
                for value in getattr(self, field.name)
            ]
            for field in fields(self)  # type: ignore[arg-type]
        }


@dataclass(frozen=True, slots=True, eq=False)
class RocBand(_Columns):
    """Highest sensitivity at each false positive rate, with pointwise interval; [101] each.

    A step function of values reached by some threshold, without interpolation.
    """

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallBand(_Columns):
    """Highest precision for each recall, with pointwise interval; [100] each."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability(_Columns):
    """Mean probability and observed frequency in the non-empty bins of equal mass.

    Attributes:
        n: Number of images of each bin.
        probability: Mean probability.
        observed: Share of positive images.
        low: Lower end of its interval.
        high: Upper end.
    """

    n: NDArray[np.float64]
    probability: NDArray[np.float64]
    observed: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurve(_Columns):
    """Net benefit of using the reader at each threshold probability; [99] each.

    Net benefit is the number of true positives minus that of false positives weighted by the odds
    of the threshold, as a share of all images (Vickers and Elkin, Med Decis Making 26, 2006). It is
    0 if nobody is treated.
    """

    threshold: NDArray[np.float64]
    net_benefit: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    treat_all: NDArray[np.float64]

    def useful(self) -> tuple[float, float] | None:
        """Return the widest range of thresholds at which the reader beats treating all and none."""
        better = self.net_benefit > np.maximum(self.treat_all, 0) + 1e-12
        best: tuple[int, int] | None = None
        start: int | None = None
        for row, here in enumerate([*better, False]):
            if here and start is None:
                start = row
            elif not here and start is not None:
                if best is None or row - start > best[1] - best[0] + 1:
                    best = (start, row - 1)
                start = None
        return best and (float(self.threshold[best[0]]), float(self.threshold[best[1]]))


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """All curves of one set of scores."""

    roc: RocBand
    precision_recall: PrecisionRecallBand
    reliability: Reliability
    decision: DecisionCurve

    @classmethod
    def of(
        cls,
        point: Arrays,
        draws: Arrays | None,
        *,
        level: float = LEVEL,
        clustered: bool = False,
    ) -> Curves:
        """Return the curves of a point estimate, with bands if there are resamples.

        Args:
            point: The result of ``point``.
            draws: The result of ``resampled``.
            level: Confidence level.
            clustered: Whether patients have several images; bins of the reliability diagram then
                have intervals by resampling patients, unless their width is zero.
        """

        def edges(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            if draws is None:
                nothing = np.full(len(point[name]), np.nan)
                return nothing, nothing
            return band(draws[name], level=level)

        there = point["bin_n"] > 0
        n, hits = point["bin_n"][there], point["bin_positive"][there]
        intervals = [wilson(hit, count, level=level) for hit, count in zip(hits, n, strict=True)]
        low = np.array([interval.low for interval in intervals if interval])
        high = np.array([interval.high for interval in intervals if interval])
        if clustered and draws is not None:
            with np.errstate(invalid="ignore"):
                shares = draws["bin_positive"][:, there] / draws["bin_n"][:, there]
            below, above = band(shares, level=level)
            wide = above > below
            low, high = np.where(wide, below, low), np.where(wide, above, high)
        prevalence = point["prevalence"]
        treat_all = prevalence - (1 - prevalence) * ODDS_THRESHOLDS / (1 - ODDS_THRESHOLDS)
        return cls(
            RocBand(FALSE_POSITIVE_RATES, point["roc"], *edges("roc")),
            PrecisionRecallBand(RECALLS, point["precision_recall"], *edges("precision_recall")),
            Reliability(
                n,
                point["bin_probability"][there] / n,
                hits / n,
                low,
                high,
            ),
            DecisionCurve(
                ODDS_THRESHOLDS, point["net_benefit"], *edges("net_benefit"), treat_all=treat_all
            ),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Curves:
        """Return the curves written by ``to_dict``."""
        return cls(
            RocBand.from_dict(values["roc"]),
            PrecisionRecallBand.from_dict(values["precision_recall"]),
            Reliability.from_dict(values["reliability"]),
            DecisionCurve.from_dict(values["decision"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the columns of each curve as JSON values."""
        return {
            "roc": self.roc.to_dict(),
            "precision_recall": self.precision_recall.to_dict(),
            "reliability": self.reliability.to_dict(),
            "decision": self.decision.to_dict(),
        }
