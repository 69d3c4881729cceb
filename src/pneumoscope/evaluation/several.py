"""Computations shared by the metrics of several classes and of several findings.

Both measure each of K columns against the rest, as functions of patient weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from pneumoscope.evaluation.bootstrap import block_size, draw_counts, percentiles
from pneumoscope.evaluation.ece import bins_of, calibration_errors
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.numbers import area_of
from pneumoscope.evaluation.shares import share
from pneumoscope.stats.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = Mapping[str, NDArray[np.float64]]

BINS = 15
"""Bins of equal mass for calibration."""


class Ranked(NamedTuple):
    """Rows in decreasing order of a probability.

    Attributes:
        patient: Number of each row's patient, [n].
        own: Whether each row is positive, [n].
        ends: The last row of each sequence of equal probabilities.
    """

    patient: NDArray[np.int64]
    own: NDArray[np.bool_]
    ends: NDArray[np.int64]


class Table(Protocol):
    """Scores with everything that does not depend on patient weights."""

    @property
    def images(self) -> int:
        """Number of images."""

    @property
    def patients(self) -> int:
        """Number of patients."""


TableT = TypeVar("TableT", bound=Table)
Statistics = Callable[[TableT, "Floats"], dict[str, "Floats"]]


def ranked(said: Floats, own: NDArray[np.bool_], patient: NDArray[np.int64]) -> Ranked:
    """Return rows in decreasing order of their probabilities; see ``Ranked``."""
    order = np.argsort(-said, kind="stable")
    falling = said[order]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], len(falling) > 0))
    return Ranked(patient[order], own[order], ends)


def binned(probability: Floats, hit: NDArray[np.bool_]) -> Floats:
    """Return count, hits and probability of each bin for each image, [n, 3 * BINS]."""
    if not len(probability):
        return np.zeros((0, 3 * BINS))
    inside = bins_of(probability, BINS)[:, np.newaxis] == np.arange(BINS)
    each = (np.ones(len(hit)), hit, probability)
    return np.concatenate([inside * values[:, np.newaxis] for values in each], axis=1)


def errors_of_bins(bins: Floats) -> dict[str, Floats]:
    """Return the calibration errors of bins [b, K, 3, BINS], NaN without images.

    Returns:
        ``ece``, ``ece_twice`` and ``ece_squared_twice``, [b, K] each.
    """
    rows, kinds = bins.shape[:2]
    count, hits, mass = (bins[:, :, kind].reshape(-1, BINS) for kind in range(3))
    observed = np.where(count > 0, hits / np.maximum(count, 1), 0)
    said = np.where(count > 0, mass / np.maximum(count, 1), 0)
    errors = calibration_errors(count, observed, said)
    empty = count.sum(axis=1) == 0
    return {
        name: np.where(empty, np.nan, errors[key]).reshape(rows, kinds)
        for key, name in (
            ("ece", "ece"),
            ("ece_twice", "ece_twice"),
            ("squared_error_twice", "ece_squared_twice"),
        )
    }


def weighted_area(rank: Ranked, counts: Floats) -> Floats:
    """Return the area under the ROC curve for each weighting of the patients, [b]."""
    patient, own, ends = rank
    if not len(patient):
        return np.full(len(counts), np.nan)
    weights = np.take(counts, patient, axis=1)
    gained = weights * own
    above = np.cumsum(gained, axis=1)
    positives = above[:, -1].copy()
    negatives = weights.sum(axis=1) - positives
    if len(ends) == weights.shape[1]:
        weights -= gained  # now those of the rest
        area: Floats = np.einsum("bn,bn->b", weights, above)
        area /= positives * negatives
        return area
    above = above[:, ends]
    below = np.cumsum(weights, axis=1)[:, ends] - above
    gained = np.diff(above, axis=1, prepend=0)
    lost = np.diff(below, axis=1, prepend=0)
    area = np.einsum("bu,bu->b", lost, above - gained / 2)
    area /= positives * negatives
    return area


def point(statistics: Statistics[TableT], table: TableT) -> dict[str, Floats]:
    """Return the metrics of the original scores."""
    found = statistics(table, np.ones((1, table.patients)))
    return {name: values[0] for name, values in found.items()}


def resampled(
    statistics: Statistics[TableT], table: TableT, *, resamples: int, seed: int
) -> dict[str, Floats]:
    """Return the metrics of resamples by patient, [resamples, ...] each.

    The draws are those of ``evaluation.bootstrap.resampled``.
    """
    drawn = draw_counts(
        table.patients, resamples=resamples, seed=seed, block=block_size(table.images)
    )
    blocks = [statistics(table, counts) for counts in drawn]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Metrics of scores and of their resamples, and the estimates made from them.

    Attributes:
        found: Name → value, or values by column.
        draws: The same of each resample, with the resamples first; None without resampling.
        level: Confidence level.
    """

    found: Values
    draws: Values | None
    level: float

    def share(
        self,
        hits: NDArray[np.bool_],
        of: NDArray[np.bool_],
        patient: NDArray[np.int64],
        name: str,
        *place: int,
    ) -> Estimate:
        """Return a proportion of images; ``name`` and ``place`` are those of its resamples."""
        return share(hits, of, patient, draws=self._drawn(name, *place), level=self.level)

    def area(
        self, own: NDArray[np.bool_], said: Floats, patient: NDArray[np.int64], place: int
    ) -> Estimate:
        """Return the area of a column: DeLong's interval, and that by resampling in ``also``."""
        first = area_of(own.astype(np.int64), said, patient, level=self.level)
        second = self._interval("auc", place)
        if first.low is None or first.high is None:
            return Estimate.of(first.value, first.n, second)
        interval = Interval(first.low, first.high, first.method, first.level)
        return Estimate.of(first.value, first.n, interval, second)

    def number(self, name: str, n: int, *place: int) -> Estimate:
        """Return any other metric of n images."""
        value = float(self.found[name][place])
        if not name.endswith("ece"):
            return Estimate.of(value, n, self._interval(name, *place))
        return Estimate.of(value, n, self._error_interval(name, value, *place))

    def _drawn(self, name: str, *place: int) -> Floats | None:
        """Return the resampled values of a metric, [R]."""
        if self.draws is None:
            return None
        index: tuple[Any, ...] = (slice(None), *place)
        found: Floats = self.draws[name][index]
        return found

    def _interval(self, name: str, *place: int) -> Interval | None:
        return percentiles(self._drawn(name, *place), level=self.level)

    def _error_interval(self, name: str, value: float, *place: int) -> Interval | None:
        """Return the interval of a calibration error, centred on the sample value."""
        found = self._interval(f"{name}_twice", *place)
        square = self._interval(f"{name}_squared_twice", *place)
        if found is None or square is None:
            return None
        # As for two classes, it starts at 0 if that of the squared error does. Noise is only
        # subtracted to first order, so with few images the interval of the draws may not contain
        # the value.
        low = 0.0 if square.low <= 0 else max(0.0, min(found.low, value))
        return Interval(low, max(value, found.high), found.method, found.level)
