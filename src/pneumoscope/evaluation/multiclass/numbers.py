"""Metrics of a reader of several classes, with intervals by patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, in_range
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.evaluation.multiclass.sets import SetNumbers, set_numbers
from pneumoscope.evaluation.multiclass.weighted import ClassTable, statistics
from pneumoscope.evaluation.several import Measured, point, resampled
from pneumoscope.labels import LabelSpace
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multiclass.scores import ClassScores
    from pneumoscope.reader.policy import DecisionPolicy

OF_CLASS = ("auc", "sensitivity", "specificity", "ppv", "f1", "ece")
"""The metrics of each class against the rest."""

OF_ALL = (
    *("accuracy", "balanced_accuracy", "macro_auc", "macro_ppv", "macro_f1", "kappa", "top_2"),
    *("loss", "brier", "classwise_ece", "confidence_ece"),
)
"""The metrics over all classes."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassNumbers:
    """The metrics of a reader of K classes: one-vs-rest and overall.

    The predicted class is the most probable one, regardless of the threshold; ``sets`` describes
    the conclusions of the reader.

    Attributes:
        labels: The classes.
        n: Number of images.
        patients: Number of patients.
        confusion: Number of images by true class (rows) and predicted class, [K][K].
        shares: The same as shares of each row, with intervals.
        values: The metrics of ``OF_ALL``.
        by_class: The metrics of ``OF_CLASS`` for each class, in order.
        counts: Number of images of each class.
        sets: Metrics of the prediction sets; None without a policy.
        calibration: The calibration between logits and probabilities; None if unknown.
    """

    labels: LabelSpace
    n: int
    patients: int
    confusion: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[Estimate, ...], ...]
    values: Mapping[str, Estimate]
    by_class: tuple[Mapping[str, Estimate], ...]
    counts: tuple[int, ...]
    sets: SetNumbers | None = None
    calibration: VectorCalibration | None = None

    def __getitem__(self, name: str) -> Estimate:
        return self.values[name]

    def of(self, name: str) -> Mapping[str, Estimate]:
        """Return the metrics of a class by name."""
        return self.by_class[self.labels.names.index(name)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; each number as ``Estimate.to_dict`` gives it."""
        return {
            "labels": self.labels.to_dict(),
            "n": self.n,
            "patients": self.patients,
            "counts": list(self.counts),
            "confusion": [list(row) for row in self.confusion],
            "row_shares": [[cell.to_dict() for cell in row] for row in self.shares],
            "values": {name: one.to_dict() for name, one in self.values.items()},
            "by_class": {
                name: {key: one.to_dict() for key, one in own.items()}
                for name, own in zip(self.labels.names, self.by_class, strict=True)
            },
            "sets": self.sets and self.sets.to_dict(),
            "calibration": self.calibration and self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassNumbers:
        """Return the metrics written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        labels = LabelSpace.of(**values["labels"])
        sets, calibration = values["sets"], values["calibration"]
        return cls(
            labels,
            values["n"],
            values["patients"],
            tuple(tuple(row) for row in values["confusion"]),
            tuple(tuple(map(Estimate.from_dict, row)) for row in values["row_shares"]),
            _estimates(values["values"]),
            tuple(_estimates(values["by_class"][name]) for name in labels.names),
            tuple(values["counts"]),
            None if sets is None else SetNumbers.from_dict(sets),
            None if calibration is None else VectorCalibration.from_dict(calibration),
        )


def _estimates(values: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate.from_dict(one) for name, one in values.items()}


def class_numbers(
    scores: ClassScores,
    patient: NDArray[np.int64],
    *,
    policy: DecisionPolicy | None = None,
    calibration: VectorCalibration | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ClassNumbers:
    """Return the metrics of a reader of several classes.

    The area under the ROC curve of a class has DeLong's interval, by patient. Shares have the
    intervals of ``evaluation.shares.share``: Wilson's if each patient has one image. All other
    metrics have intervals by resampling patients; a metric has none if a class is missing in more
    than 5 % of the resamples.

    Args:
        scores: Scores of labelled images.
        patient: Number of each image's patient, from 0; int64 [n].
        policy: The decision policy of the reader; if None, ``sets`` is omitted.
        calibration: The calibration of the reader, if known.
        level: Confidence level of all intervals.
        resamples: Number of resamples of the patients; 0 omits these intervals.
        seed: Seed of the resampling.

    Raises:
        DataError: There are no scores.
        OptionError: There are too few resamples.
    """
    if not len(scores):
        raise DataError("there are no images to evaluate.")
    if resamples:
        in_range("resamples", resamples, low=100, high=10_000_000)
    table = ClassTable.of(scores, patient)
    found = point(statistics, table)
    draws = resampled(statistics, table, resamples=resamples, seed=seed) if resamples else None
    ask = _Asked(scores, patient, Measured(found, draws, level))
    classes = range(len(scores.labels))
    confusion = found["confusion"].astype(int)
    return ClassNumbers(
        scores.labels,
        len(scores),
        table.patients,
        tuple(map(tuple, confusion.tolist())),
        tuple(tuple(ask.cell(true, called) for called in classes) for true in classes),
        {name: ask.of_all(name) for name in OF_ALL},
        tuple({name: ask.of_class(name, k) for name in OF_CLASS} for k in classes),
        tuple(confusion.sum(axis=1).tolist()),
        None
        if policy is None
        else set_numbers(policy, scores, patient, level=level, resamples=resamples, seed=seed),
        calibration,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The estimates of scores."""

    scores: ClassScores
    patient: NDArray[np.int64]
    measured: Measured

    @property
    def _called(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.scores.probabilities.argmax(axis=1)
        return found

    def cell(self, true: int, called: int) -> Estimate:
        """Return the row share of a cell of the confusion matrix."""
        hits, own = self._called == called, self.scores.number == true
        return self.measured.share(hits, own, self.patient, "row_shares", true, called)

    def of_all(self, name: str) -> Estimate:
        """Return a metric over all classes."""
        if name != "accuracy":
            return self.measured.number(name, len(self.scores))
        right, everything = self._called == self.scores.number, np.ones(len(self.scores), bool)
        return self.measured.share(right, everything, self.patient, name)

    def of_class(self, name: str, k: int) -> Estimate:
        """Return a one-vs-rest metric of a class."""
        own, called = self.scores.number == k, self._called == k
        shares = {
            "sensitivity": (called, own),
            "specificity": (~called, ~own),
            "ppv": (own, called),
        }
        if name in shares:
            return self.measured.share(*shares[name], self.patient, name, k)
        if name == "auc":
            return self.measured.area(own, self.scores.probabilities[:, k], self.patient, k)
        return self.measured.number(name, len(own), k)
