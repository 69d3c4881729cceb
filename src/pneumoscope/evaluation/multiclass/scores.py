"""Scores by class, for readers of more than two classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.columns import OF_A_CLASS
from pneumoscope.errors import DataError
from pneumoscope.labels import LabelSpace
from pneumoscope.stats.logistic import group_log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASS, POSITIVE, GROUP = "class", "positive_classes", "positive_group"
"""Columns of a table of scores: the true class, and, with the same value in every row, the positive
classes separated by ``|`` and the name of their group."""
LOGIT, PROBABILITY = OF_A_CLASS
"""Prefixes of the columns of each class, before its name."""

_SUM = 1e-3  # tolerance of the sum of an image's probabilities


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """The scores of a reader of more than two classes for n labelled images.

    Attributes:
        labels: The K classes, with the positive group.
        number: The number of each image's true class; int64 [n].
        logits: Logits of each class before calibration; float64 [n, K].
        probabilities: Probabilities of each class; float64 [n, K], rows sum to 1.

    Raises:
        ValueError: The shapes do not match, or a class number is invalid.
    """

    labels: LabelSpace
    number: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        wanted = (len(self.number), len(self.labels))
        if self.logits.shape != wanted or self.probabilities.shape != wanted:
            raise ValueError(
                f"logits {self.logits.shape} and probabilities {self.probabilities.shape} "
                f"for {wanted[0]} images of {wanted[1]} classes"
            )
        if len(self.number) and not 0 <= self.number.min() <= self.number.max() < wanted[1]:
            raise ValueError(f"numbers of classes must be from 0 to {wanted[1] - 1}")

    def __len__(self) -> int:
        return len(self.number)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether each class counts as positive, [K]."""
        return np.array(self.labels.is_positive)

    @property
    def label(self) -> NDArray[np.int64]:
        """1 for images of a positive class, otherwise 0; [n]."""
        return self.inside[self.number].astype(np.int64)

    @property
    def probability(self) -> NDArray[np.float64]:
        """The probability of the positive group, [n]."""
        return np.clip(self.labels.positive_probability(self.probabilities), 0, 1)

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """The log odds of the positive group, [n], from log sums."""
        with np.errstate(divide="ignore"):
            found = group_log_odds(np.log(self.probabilities), self.inside)
        return np.clip(found, -750, 750)

    def select(self, rows: NDArray[np.int64]) -> ClassScores:
        """Return some rows."""
        return ClassScores(
            self.labels, self.number[rows], self.logits[rows], self.probabilities[rows]
        )

    def columns(self) -> dict[str, Iterable[object]]:
        """Return the columns of a table for ``of_rows``."""
        n, names = len(self), self.labels.names
        found: dict[str, Iterable[object]] = {
            CLASS: [names[number] for number in self.number.tolist()],
            POSITIVE: ["|".join(self.labels.positive)] * n,
        }
        if self.labels.group:
            found[GROUP] = [self.labels.group] * n
        for begin, values in ((LOGIT, self.logits), (PROBABILITY, self.probabilities)):
            for place, name in enumerate(names):
                found[begin + name] = map(repr, values[:, place].tolist())
        return found

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, str]]) -> ClassScores | None:
        """Return the scores by class in the rows of a table; None if there are none.

        If logits are missing, the logarithms of the probabilities are used.

        Raises:
            DataError: A class is unknown, or probabilities do not sum to 1.
            KeyError, ValueError: A column is missing, or a value is not a number.
        """
        columns = list(rows[0]) if rows else []
        if CLASS not in columns or POSITIVE not in columns:
            return None
        names = [name.removeprefix(PROBABILITY) for name in columns if name.startswith(PROBABILITY)]
        labels = LabelSpace.of(names, rows[0][POSITIVE].split("|"), rows[0].get(GROUP) or "")
        place = {name: number for number, name in enumerate(names)}
        unknown = sorted({row[CLASS] for row in rows} - set(names))
        if unknown:
            raise DataError(f"the class {unknown[0]!r} has no column of probabilities.")
        probabilities = np.array(
            [[float(row[PROBABILITY + name]) for name in names] for row in rows]
        )
        if (
            not ((probabilities >= 0) & (probabilities <= 1)).all()
            or np.abs(probabilities.sum(1) - 1).max() > _SUM
        ):
            raise DataError("the probabilities of an image must be from 0 to 1 and sum to 1.")
        if all(LOGIT + name in columns for name in names):
            logits = np.array([[float(row[LOGIT + name]) for name in names] for row in rows])
        else:
            logits = np.log(np.maximum(probabilities, 1e-45))
        number = np.array([place[row[CLASS]] for row in rows], np.int64)
        return cls(labels, number, logits, probabilities)
