"""Metrics in groups of images: by etiology, image size, or any column of a manifest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.numbers import SMALL, numbers_of
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

ETIOLOGY = "etiology"
NUMBERS = ("auc", "sensitivity", "specificity", "accuracy")
MAX_VALUES = 12
"""A column with more values than this does not define subgroups (for example an identifier)."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ETIOLOGY = re.compile(r"(?:^|[_\/-])(bacteria|virus)[_-]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Group:
    """The metrics of one group.

    Attributes:
        column: The column that defines the group.
        value: The group.
        n: Number of images; for an etiology, its positive images and all negative ones.
        patients: Number of patients.
        positives: Number of positive images.
        small: Whether a class has fewer than 20 images, which is too few for reliable metrics.
        numbers: ``auc``, ``sensitivity``, ``specificity`` and ``accuracy``.
    """

    column: str
    value: str
    n: int
    patients: int
    positives: int
    small: bool
    numbers: dict[str, Estimate]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Group:
        """Return the row written by ``to_dict``."""
        return cls(
            values["column"],
            values["value"],
            values["n"],
            values["patients"],
            values["positives"],
            values["small"],
            {name: Estimate.from_dict(values[name]) for name in NUMBERS},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "column": self.column,
            "value": self.value,
            "n": self.n,
            "patients": self.patients,
            "positives": self.positives,
            "small": self.small,
            **{name: number.to_dict() for name, number in self.numbers.items()},
        }


def subgroups(
    scores: Scores,
    *,
    threshold: float,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Group, ...]:
    """Return the metrics of each group of the given columns.

    Those of ``own_columns`` come first. Images without a value in a column are in none of its
    groups; a column with one value, or with more than 12, is ignored.

    Only positive images have an etiology. Its group also contains all negative images, so that the
    area under the curve is that between the etiology and the negative class.

    Args:
        scores: Scores of the reader.
        threshold: Probability at or above which an image is called positive.
        columns: The value of each path, for further columns.
        level: Confidence level.
        resamples: Number of resamples of the patients.
        seed: Seed of the resampling.
    """
    rows: list[Group] = []
    for column, values in {**own_columns(scores), **(columns or {})}.items():
        here = np.array([values.get(path, "") for path in scores.path], dtype=object)
        names = sorted({str(name) for name in here if name}, key=_with_numbers)
        if not 1 < len(names) <= MAX_VALUES:
            continue
        for name in names:
            chosen = np.array([value == name for value in here], bool)
            if column == ETIOLOGY:
                chosen |= scores.label == 0
            part = scores.select(np.flatnonzero(chosen))
            rows.append(
                _group(column, name, part, threshold, level=level, resamples=resamples, seed=seed)
            )
    return tuple(rows)


def own_columns(scores: Scores) -> dict[str, dict[str, str]]:
    """Return the grouping columns derived from scores: etiology and images per patient.

    The etiology is taken from the patient's name (``bacteria-person1``) or the path.
    """
    found: dict[str, dict[str, str]] = {}
    rows = list(zip(scores.path, scores.patient, scores.label, strict=True))
    etiologies = {
        path: match[1].lower()
        for path, patient, label in rows
        if label == 1 and (match := _ETIOLOGY.search(patient.name) or _ETIOLOGY.search(path))
    }
    if etiologies:
        found[ETIOLOGY] = etiologies
    images = Counter(scores.patient)
    found["images per patient"] = {
        path: "one" if images[patient] == 1 else "several" for path, patient, _ in rows
    }
    return found


def size_tertiles(paths: Sequence[str], pixels: NDArray[np.int64]) -> dict[str, str]:
    """Return the tertile of the image size for each path."""
    low, high = np.quantile(pixels, [1 / 3, 2 / 3])
    if low == high:
        return {}
    names = (
        f"up to {low / 1e6:.2f} megapixels",
        f"{low / 1e6:.2f} to {high / 1e6:.2f} megapixels",
        f"above {high / 1e6:.2f} megapixels",
    )
    return {
        path: names[int(size > low) + int(size > high)]
        for path, size in zip(paths, pixels, strict=True)
    }


def _with_numbers(name: str) -> tuple[list[float], str]:
    """Return the sort key of a group: by the numbers in its name, then by name."""
    return [float(number) for number in _NUMBER.findall(name)], name


def _group(
    column: str,
    value: str,
    part: Scores,
    threshold: float,
    *,
    level: float,
    resamples: int,
    seed: int,
) -> Group:
    found = numbers_of(
        part, threshold=threshold, level=level, resamples=resamples, seed=seed, curves=False
    )
    positives = int((part.label == 1).sum())
    return Group(
        column,
        value,
        found.n,
        found.patients,
        positives,
        min(positives, found.n - positives) < SMALL,
        {name: found[name] for name in NUMBERS},
    )
