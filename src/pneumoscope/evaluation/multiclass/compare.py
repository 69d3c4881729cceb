"""Compare readers of several classes on the same images, class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.bootstrap import RESAMPLES, percentiles
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.multiclass.numbers import ClassNumbers, class_numbers
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.multiclass.weighted import ClassTable, statistics
from pneumoscope.evaluation.paired import holm, mcnemar
from pneumoscope.evaluation.pairs import delong_difference
from pneumoscope.evaluation.several import point, resampled
from pneumoscope.labels import LabelSpace
from pneumoscope.stats.areas import areas
from pneumoscope.stats.intervals import LEVEL, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Draws = Mapping[str, NDArray[np.float64]]

OVERALL = (
    "accuracy", "balanced_accuracy", "macro_auc", "kappa", "top_2", "macro_f1", "loss", "brier",
)  # fmt: skip
"""The metrics over all classes that are compared."""

_PAIRED = "paired bootstrap"


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """The differences of two readers on one class against the rest, the first minus the second.

    Attributes:
        auc: Difference of the areas, with DeLong's interval by patient first.
        sensitivity: Difference of the sensitivities, with an interval by resampling the patients of
            both in the same way.
        ppv: Difference of the positive predictive values, with the same kind of interval.
        auc_p: P value of DeLong's test that the areas are equal; None if undefined.
        auc_p_holm: The same after Holm's correction for all classes and pairs of readers.
        sensitivity_p: P value of the test that the sensitivities are equal: McNemar's (mid-p) if
            each patient has one image, otherwise Durkalski's; None without an image of the class.
        sensitivity_p_holm: The same after Holm's correction.
        only_first: Number of images of the class that only the first classified correctly.
        only_second: Number of images of the class that only the second classified correctly.
    """

    auc: Estimate
    sensitivity: Estimate
    ppv: Estimate
    auc_p: float | None
    sensitivity_p: float | None
    only_first: int
    only_second: int
    auc_p_holm: float | None = None
    sensitivity_p_holm: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {name: found[name].to_dict() for name in ("auc", "sensitivity", "ppv")}


@dataclass(frozen=True, slots=True)
class ClassPair:
    """The differences of two readers, by class and over all classes.

    Attributes:
        first: Name of the first reader.
        second: Name of the second reader.
        by_class: The differences of each class, in order.
        overall: The difference of each metric of ``OVERALL``, with an interval by resampling the
            patients of both in the same way.
    """

    first: str
    second: str
    by_class: tuple[ClassDifference, ...]
    overall: Mapping[str, Estimate]

    def to_dict(self, labels: LabelSpace) -> dict[str, Any]:
        """Return the fields as JSON values, with the differences under the names of the classes."""
        return {
            "first": self.first,
            "second": self.second,
            "by_class": {
                name: one.to_dict() for name, one in zip(labels.names, self.by_class, strict=True)
            },
            "overall": {name: one.to_dict() for name, one in self.overall.items()},
        }


@dataclass(frozen=True, slots=True)
class ClassComparison:
    """The comparison of readers of the same classes on the same images.

    Attributes:
        labels: The classes.
        numbers: The metrics of each reader, by name.
        pairs: The comparison of each pair of readers.
        level: Confidence level of all intervals; differences with p below 1 minus the level are
            significant.
    """

    labels: LabelSpace
    numbers: Mapping[str, ClassNumbers]
    pairs: tuple[ClassPair, ...]
    level: float = LEVEL

    @property
    def tests(self) -> int:
        """The number of tests of one kind in Holm's correction."""
        return len(self.pairs) * len(self.labels)

    def verdict(self, pair: ClassPair, names: Mapping[str, str] | None = None) -> str:
        """Return a sentence on the classes on which one of two readers is better.

        Args:
            pair: The comparison of the two readers.
            names: Name → displayed name of the reader.
        """
        first, second = ((names or {}).get(name, name) for name in (pair.first, pair.second))
        found = [
            f"{name} ({one.auc.signed()}, p = {one.auc_p_holm:.2g})"
            for name, one in zip(self.labels.names, pair.by_class, strict=True)
            if one.auc_p_holm is not None and one.auc_p_holm < 1 - self.level
        ]
        corrected = f"after Holm's correction for {self.tests} tests"
        if not found:
            return (
                f"{first} and {second} do not differ significantly in the AUC of any class, "
                f"{corrected}."
            )
        return (
            f"{first} minus {second}: significant differences in the AUC of {'; '.join(found)}, "
            f"{corrected}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "labels": self.labels.to_dict(),
            "numbers": {name: one.to_dict() for name, one in self.numbers.items()},
            "pairs": [pair.to_dict(self.labels) for pair in self.pairs],
            "holm_tests": self.tests,
        }


def compare_classes(
    names: Sequence[str],
    readers: Sequence[ClassScores | None],
    patient: NDArray[np.int64],
    path: Sequence[str],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ClassComparison | None:
    """Compare readers of the same classes; None if classes differ, or if there are only two.

    Args:
        names: Names of the readers.
        readers: The scores of each reader for the same images in the same order.
        patient: Number of each image's patient, [n].
        path: Path of each image, [n].
        level: Confidence level.
        resamples: Number of resamples of the patients, which are the same for every reader.
        seed: Seed of the resampling.

    Raises:
        DataError: The scores of the readers have different true classes for an image.
    """
    same = _of_one_order(readers, path)
    if same is None:
        return None
    points, draws = [], []
    for scores in same:
        table = ClassTable.of(scores, patient)
        points.append(point(statistics, table))
        draws.append(resampled(statistics, table, resamples=resamples, seed=seed))
    numbers = {
        name: class_numbers(scores, patient, level=level, resamples=resamples, seed=seed)
        for name, scores in zip(names, same, strict=True)
    }
    pairs = [
        _pair((i, j), names, same, patient, points=points, draws=draws, level=level)
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    return ClassComparison(same[0].labels, numbers, _corrected(pairs), level)


def _of_one_order(
    readers: Sequence[ClassScores | None], path: Sequence[str]
) -> list[ClassScores] | None:
    """Return the scores with the classes in the order of the first reader."""
    first = readers[0]
    if first is None:
        return None
    found = []
    for scores in readers:
        if scores is None or set(scores.labels.names) != set(first.labels.names):
            return None
        order = [scores.labels.names.index(name) for name in first.labels.names]
        moved = ClassScores(
            first.labels,
            np.argsort(order)[scores.number],
            scores.logits[:, order],
            scores.probabilities[:, order],
        )
        if (moved.number != first.number).any():
            names = first.labels.names
            row = int(np.flatnonzero(moved.number != first.number)[0])
            raise DataError(
                f"{path[row]}: the scores have different true classes for it, "
                f"{names[first.number[row]]} and {names[moved.number[row]]}."
            )
        found.append(moved)
    return found


def _pair(
    rows: tuple[int, int],
    names: Sequence[str],
    readers: Sequence[ClassScores],
    patient: NDArray[np.int64],
    *,
    points: Sequence[Draws],
    draws: Sequence[Draws],
    level: float,
) -> ClassPair:
    """Compare two readers, without Holm's correction."""
    i, j = rows
    n = len(patient)

    def difference(
        name: str, k: int | None = None, *, of: int = n, first: Interval | None = None
    ) -> Estimate:
        one, other = draws[i][name], draws[j][name]
        apart = one - other if k is None else one[:, k] - other[:, k]
        value = points[i][name] - points[j][name]
        interval = percentiles(apart, level=level, method=_PAIRED)
        return Estimate.of(float(value if k is None else value[k]), of, first, interval)

    by_class = []
    for k in range(len(readers[0].labels)):
        own = readers[0].number == k
        right = [scores.probabilities.argmax(axis=1) == k for scores in (readers[i], readers[j])]
        both = areas(
            own.astype(np.int64),
            [readers[i].probabilities[:, k], readers[j].probabilities[:, k]],
            patient=patient,
        )
        interval, p = (None, None) if both is None else delong_difference(both, level=level)
        area = difference("auc", k, first=interval)
        test, only = equal_shares(right[0][own], right[1][own], patient[own])
        sensitivity = difference("sensitivity", k, of=int(own.sum()))
        by_class.append(ClassDifference(area, sensitivity, difference("ppv", k), p, test, *only))
    overall = {name: difference(name) for name in OVERALL}
    return ClassPair(names[i], names[j], tuple(by_class), overall)


def equal_shares(
    first: NDArray[np.bool_], second: NDArray[np.bool_], patient: NDArray[np.int64]
) -> tuple[float | None, tuple[int, int]]:
    """Test whether two readers are correct equally often on the same images.

    If each patient has one image, this is McNemar's test (mid-p). Otherwise the differences are
    summed over the images of a patient, and the sums are compared with zero (Durkalski and others,
    "Analysis of clustered matched-pair data", Statistics in Medicine 22, 2003, with each image
    counting once).

    Args:
        first: Whether the first is correct, [n].
        second: Whether the second is correct, [n].
        patient: Number of each image's patient, [n].

    Returns:
        The p value, None without images; and the numbers of images on which only the first, and
        only the second, is correct.
    """
    only = int((first & ~second).sum()), int((second & ~first).sum())
    if not len(first):
        return None, only
    if len(np.unique(patient)) == len(patient):
        return mcnemar(*only)[1], only
    apart = np.bincount(patient, first.astype(np.float64) - second)
    error = math.sqrt(float((apart**2).sum()))
    if not error:
        return 1.0, only
    return 2 * NormalDist().cdf(-abs(float(apart.sum())) / error), only


def _corrected(pairs: Sequence[ClassPair]) -> tuple[ClassPair, ...]:
    """Return the pairs with p values after Holm's correction for all classes and pairs."""
    every = [one for pair in pairs for one in pair.by_class]
    by_area = iter(holm([one.auc_p for one in every]))
    by_share = iter(holm([one.sensitivity_p for one in every]))
    return tuple(
        replace(
            pair,
            by_class=tuple(
                replace(one, auc_p_holm=next(by_area), sensitivity_p_holm=next(by_share))
                for one in pair.by_class
            ),
        )
        for pair in pairs
    )
