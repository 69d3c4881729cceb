"""Compute the metrics of scores at a threshold, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.bootstrap import RESAMPLES, percentiles, point, resampled
from pneumoscope.evaluation.curves import Curves
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.shares import share
from pneumoscope.evaluation.weighted import Table, TableOptions
from pneumoscope.stats.areas import areas
from pneumoscope.stats.intervals import LEVEL, Interval, newcombe_area
from pneumoscope.stats.roc import area_under_roc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

    Arrays = Mapping[str, NDArray[np.float64]]

SMALL = 20
"""Number of images of a class below which the metrics of a group are flagged."""

_WHOLE_GROUP = {
    "loss", "balanced_accuracy", "lr_positive", "lr_negative", "f1", "mcc", "average_precision",
    "partial_auc", "partial_auc_standardised", "brier", "brier_reliability", "brier_resolution",
    "brier_uncertainty", "brier_within_bins", "calibration_slope", "calibration_intercept",
    "calibration_in_the_large", "ppv_at_prevalence", "npv_at_prevalence",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """The metrics of scores at one threshold.

    Attributes:
        n: Number of images.
        patients: Number of patients.
        confusion: [[true negatives, false positives], [false negatives, true positives]].
        values: The metrics by name; ``docs/reference/files.md`` explains them.
        curves: The arrays for figures; None if not requested.
    """

    n: int
    patients: int
    confusion: tuple[tuple[int, int], tuple[int, int]]
    values: dict[str, Estimate]
    curves: Curves | None

    def __getitem__(self, name: str) -> Estimate:
        return self.values[name]


def numbers_of(
    scores: Scores,
    *,
    threshold: float,
    prevalence: float | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    curves: bool = True,
) -> Numbers:
    """Return the metrics of scores at a probability threshold.

    The area under the ROC curve has DeLong's interval, by patient (Newcombe's if every pair is in
    order). Proportions have Wilson's interval if each patient has one image. If patients have
    several images, which are correlated, the interval is by resampling patients, or, if that has
    zero width (100 of 100), Wilson's with the number of patients. All other metrics have intervals
    by resampling patients. Intervals by other methods are in ``also``.

    Args:
        scores: Scores of the reader.
        threshold: Probability at or above which an image is called positive.
        prevalence: Share of positive patients for which predictive values are computed in addition.
        level: Confidence level of all intervals.
        resamples: Number of resamples of the patients; 0 omits these intervals.
        seed: Seed of the resampling.
        curves: Whether to compute the arrays of the figures.

    Raises:
        DataError: There are no scores.
        OptionError: There are too few resamples.
    """
    if not len(scores):
        raise DataError("there are no images to evaluate.")
    ask = TableOptions(threshold=threshold, prevalence=prevalence, curves=curves)
    table = Table.of(scores, ask)
    found = point(table)
    draws = resampled(table, resamples=resamples, seed=seed) if resamples else None
    return Numbers(
        len(scores),
        table.patients,
        _confusion(found),
        _numbers(scores, found, draws, threshold=threshold, level=level),
        Curves.of(found, draws, level=level, clustered=table.patients < len(scores))
        if curves
        else None,
    )


def area_estimate(scores: Scores, *, level: float = LEVEL) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, or else Newcombe's."""
    return area_of(scores.label, scores.logit, scores.patient_numbers, level=level)


def area_of(
    label: NDArray[np.int64],
    score: NDArray[np.float64],
    patient: NDArray[np.int64],
    *,
    level: float = LEVEL,
) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, or else Newcombe's.

    Args:
        label: 1 for positive images, otherwise 0; [n].
        score: Higher is more positive; [n].
        patient: Number of each image's patient, [n].
        level: Confidence level.
    """
    value = area_under_roc(label, score)
    found = areas(label, [score], patient=patient)
    if found is not None and found.covariance[0, 0] > 0:
        return Estimate.of(value, len(label), found.interval(level=level))
    if value is None:
        return Estimate(None, len(label))
    counts = [len(np.unique(patient[label == own])) for own in (1, 0)]
    return Estimate.of(value, len(label), newcombe_area(value, counts[0], counts[1], level=level))


def _confusion(found: Arrays) -> tuple[tuple[int, int], tuple[int, int]]:
    tp, fp = int(found["tp"]), int(found["fp"])
    return (int(found["negatives"]) - fp, fp), (int(found["positives"]) - tp, tp)


def _numbers(
    scores: Scores, found: Arrays, draws: Arrays | None, *, threshold: float, level: float
) -> dict[str, Estimate]:
    n = len(scores)
    patient = scores.patient_numbers
    positive, called = scores.label == 1, scores.probability >= threshold
    right = positive == called
    everything = np.ones(n, bool)

    def draw(name: str) -> NDArray[np.float64] | None:
        return None if draws is None else draws[name]

    def resampled_interval(name: str) -> Interval | None:
        return percentiles(draw(name), level=level)

    def part(name: str, hits: NDArray[np.bool_], of: NDArray[np.bool_]) -> Estimate:
        return share(hits, of, patient, draws=draw(name), level=level)

    def plain_number(name: str) -> Estimate:
        return Estimate.of(_value(found[name]), n, resampled_interval(name))

    numbers = {
        "loss": plain_number("loss"),
        "accuracy": part("accuracy", right, everything),
        "balanced_accuracy": plain_number("balanced_accuracy"),
        "auc": area_estimate(scores, level=level),
        "sensitivity": part("sensitivity", called, positive),
        "specificity": part("specificity", ~called, ~positive),
        "ppv": part("ppv", positive, called),
        "npv": part("npv", ~positive, ~called),
        "prevalence": part("prevalence", positive, everything),
        "ece": _ece(found, draws, n, level=level),
        "rms_calibration_error": _rms(found, draws, n, level=level),
    }
    numbers["auc"] = _with_also(numbers["auc"], resampled_interval("auc"))
    fixed = [name for name in found if "_at_specificity_" in name or "_at_sensitivity_" in name]
    both = numbers["auc"].value is not None
    for name in (*sorted(_WHOLE_GROUP), *fixed):
        if name in found:
            numbers[name] = plain_number(name)
    for name, interval in _brier_parts(draws, n, level=level).items():
        numbers[name] = Estimate.of(_value(found[name]), n, interval)
    if not both:
        numbers["average_precision"] = Estimate(None, n)
        numbers["calibration_slope"] = numbers["calibration_intercept"] = Estimate(None, n)
    return numbers


def _brier_parts(draws: Arrays | None, n: int, *, level: float) -> dict[str, Interval | None]:
    """Return the intervals of reliability and resolution.

    Both are sums of squares of shares in bins. A resample adds noise to these shares, which
    increases the squares; it is subtracted, so that the interval is centred on the observed value.
    """
    if draws is None:
        return {"brier_reliability": None, "brier_resolution": None}
    noise = draws["brier_reliability"] - draws["squared_error"]
    whole = draws["brier_uncertainty"] / max(n - 1, 1)  # the overall share is one as well
    found = {}
    for name, values in (
        ("brier_reliability", draws["squared_error"]),
        ("brier_resolution", draws["brier_resolution"] - noise + whole),
    ):
        interval = percentiles(values, level=level)
        found[name] = interval and replace(
            interval, low=max(0.0, interval.low), high=max(0.0, interval.high)
        )
    return found


def _ece(found: Arrays, draws: Arrays | None, n: int, *, level: float) -> Estimate:
    """Return the calibration error; its interval starts at 0 if that of the squared error does."""
    rms = _rms(found, draws, n, level=level)
    interval = percentiles(None if draws is None else draws["ece_twice"], level=level)
    if interval is not None:
        low = 0.0 if rms.low == 0 else max(0.0, interval.low)
        interval = Interval(low, max(low, interval.high), interval.method, level)
    return Estimate.of(_value(found["ece"]), n, interval)


def _rms(found: Arrays, draws: Arrays | None, n: int, *, level: float) -> Estimate:
    square = _value(found["squared_error"])
    interval = percentiles(None if draws is None else draws["squared_error_twice"], level=level)
    if interval is not None:
        low, high = (math.sqrt(max(0.0, end)) for end in (interval.low, interval.high))
        interval = Interval(low, high, interval.method, level)
    return Estimate.of(None if square is None else math.sqrt(max(0.0, square)), n, interval)


def _with_also(estimate: Estimate, interval: Interval | None) -> Estimate:
    first = (
        Interval(estimate.low, estimate.high, estimate.method, estimate.level)
        if estimate.low is not None and estimate.high is not None
        else None
    )
    return Estimate.of(estimate.value, estimate.n, first, interval)


def _value(number: NDArray[np.float64]) -> float | None:
    return float(number) if np.isfinite(number) else None
