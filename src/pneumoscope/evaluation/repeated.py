"""Compare two recipes trained with the same seeds and evaluated on the same images.

A difference may be due to chance in the choice of patients and in the seeds. Both are taken into
account. For the mean difference over S seeds,

- the variance over patients is that of the mean of all runs' influences, where a patient with
  several images counts once (for areas DeLong's, by patient);
- the variance over seeds is that of the S paired differences, divided by S.

Their sum estimates the variance over both. The variance over seeds includes a small part of that
over patients, so the interval is slightly too wide. The degrees of freedom are Satterthwaite's
(Biometrics Bull 2, 1946), rounded down. With one seed, the variance over seeds is unknown, and the
interval only reflects the patients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.stats.areas import areas
from pneumoscope.stats.intervals import LEVEL, student_below, student_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference between two recipes, first minus second; None if undefined.

    Attributes:
        value: The mean difference over the seeds.
        low: Lower end of the interval over patients and seeds.
        high: Its upper end.
        p: P value of the test that there is no difference.
        patients: The interval over patients only, for these runs.
        seeds: The difference of each seed.
        degrees: Degrees of freedom.
        level: Confidence level.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    patients: tuple[float, float] | None
    seeds: tuple[float, ...]
    degrees: int
    level: float = LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The scores of runs of one recipe on the same images, one run per seed.

    Attributes:
        logits: The logits of each seed, [n]; [n, F] for several findings.
        right: Whether each image is classified correctly, bool [n] for each seed; [n, F] for
            several findings.
    """

    logits: Sequence[NDArray[np.float64]]
    right: Sequence[NDArray[np.bool_]]


def area_contrast(
    first: Runs,
    second: Runs,
    *,
    label: NDArray[np.int64],
    patient: NDArray[np.int64],
    level: float = LEVEL,
) -> Contrast:
    """Return the difference in AUC of runs paired by seed.

    Args:
        first: Runs of one recipe.
        second: Runs of another recipe, with the same seeds in the same order.
        label: 1 for positive, 0 for negative; [n].
        patient: Number of each image's patient, [n].
        level: Confidence level.
    """
    count = len(first.logits)
    found = areas(label, [*first.logits, *second.logits], patient=patient)
    if found is None:
        return Contrast(None, None, None, None, None, (), 0, level)
    weights = np.repeat([1.0, -1.0], count) / count
    each = found.values[:count] - found.values[count:]
    variance = float(weights @ found.covariance @ weights)
    return contrast(each, variance, patients=int(patient.max()) + 1, level=level)


def accuracy_contrast(
    first: Runs, second: Runs, *, patient: NDArray[np.int64], level: float = LEVEL
) -> Contrast:
    """Return the difference in accuracy of runs paired by seed; see ``area_contrast``."""
    by_seed = np.array(
        [a.astype(float) - b for a, b in zip(first.right, second.right, strict=True)]
    )
    each, image = by_seed.mean(1), by_seed.mean(0)
    groups = np.unique(patient, return_inverse=True)[1]
    count = int(groups.max()) + 1
    sums = np.bincount(groups, image - image.mean(), count)
    variance = float((sums**2).sum()) / len(image) ** 2
    if count > 1:
        variance *= count / (count - 1)
    return contrast(each, variance, patients=count, level=level)


def contrast(
    each: NDArray[np.float64], variance: float, *, patients: int, level: float = LEVEL
) -> Contrast:
    """Return a contrast from its parts.

    Args:
        each: The difference of each seed, [S].
        variance: Variance of their mean over patients.
        patients: Number of patients.
        level: Confidence level.
    """
    value, count = float(each.mean()), len(each)
    variance = max(0.0, variance)
    of_seeds = float(each.var(ddof=1)) / count if count > 1 else 0.0
    freedom = max(1, patients - 1)
    whole = variance + of_seeds
    degrees = min(freedom, _MANY)
    if of_seeds:
        satterthwaite = whole**2 / (of_seeds**2 / (count - 1) + variance**2 / freedom)
        degrees = max(1, min(_MANY, int(satterthwaite)))
    error = math.sqrt(whole)
    half = student_quantile((1 + level) / 2, degrees) * error
    alone = student_quantile((1 + level) / 2, min(freedom, _MANY)) * math.sqrt(variance)
    p = 1.0 if not error and not value else 0.0
    if error:
        p = 2 * (1 - student_below(abs(value) / error, degrees))
    return Contrast(
        value, value - half, value + half, p, (value - alone, value + alone),
        tuple(map(float, each)), degrees, level,
    )  # fmt: skip
