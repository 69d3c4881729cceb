"""Readers against each other on the same images: paired, corrected, and with what could be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.bootstrap import RESAMPLES, percentiles, point, resampled
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.metrics import area_estimate
from pneumoscope.evaluation.paired import holm, mcnemar
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.seeds import POWER, SeedGroup, seed_groups
from pneumoscope.evaluation.weighted import Question, Table
from pneumoscope.stats.areas import Areas, areas
from pneumoscope.stats.intervals import LEVEL, Interval, normal_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.entries import Unreadable

NUMBERS = (
    "auc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "average_precision",
    "brier",
    "loss",
    "ece",
)


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """One of the readers that are compared.

    Attributes:
        name: What it is called.
        scores: What it said.
        threshold: The probability from which it calls an image positive.
        recipe: What it shares with runs that differ in the seed alone; empty if not known.
    """

    name: str
    scores: Scores
    threshold: float = 0.5
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two readers against each other; differences are the first less the second.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        differences: Of each number, with the interval by resampling the patients of both alike;
            of the area DeLong's interval first.
        auc_p: Of DeLong's test that the areas are equal; None where it cannot be made.
        auc_p_holm: The same, after Holm's correction for all pairs.
        only_first_right: Images that the first alone concluded rightly.
        only_second_right: Images that the second alone concluded rightly.
        mcnemar_p: Of McNemar's exact test that both are right equally often.
        mcnemar_mid_p: Its mid-p version, which is less conservative.
        mcnemar_p_holm: The mid-p after Holm's correction for all pairs.
        detectable_auc: The smallest true difference of the areas that this test would have found
            with a power of 80 %: (1.960 + 0.842) times the standard error of the difference.
    """

    first: str
    second: str
    differences: dict[str, Estimate]
    auc_p: float | None
    auc_p_holm: float | None
    only_first_right: int
    only_second_right: int
    mcnemar_p: float
    mcnemar_mid_p: float
    mcnemar_p_holm: float
    detectable_auc: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["differences"] = {
            name: number.to_dict() for name, number in self.differences.items()
        }
        return fields


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An image on which the readers conclude differently, and each one's probability."""

    path: str
    label: int
    probabilities: tuple[float, ...]
    conclusions: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes:
        names: The readers.
        n: Images that all of them scored.
        patients: Their patients.
        left_out: Images that some reader did not score.
        unreadable: Files that could not be read, which no reader scored.
        numbers: The numbers of each reader on these images.
        pairs: Each two readers against each other.
        seeds: Runs that differ in the seed alone.
        disagreements: Images on which the readers conclude differently, those with the widest
            spread of probabilities first.
    """

    names: tuple[str, ...]
    n: int
    patients: int
    left_out: int
    numbers: dict[str, dict[str, Estimate]]
    pairs: tuple[Pair, ...]
    seeds: tuple[SeedGroup, ...]
    disagreements: tuple[Disagreement, ...]
    unreadable: tuple[Unreadable, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "readers": list(self.names),
            "n": self.n,
            "patients": self.patients,
            "left_out": self.left_out,
            "unreadable": [{"path": item.path, "reason": item.reason} for item in self.unreadable],
            "numbers": {
                reader: {name: number.to_dict() for name, number in numbers.items()}
                for reader, numbers in self.numbers.items()
            },
            "pairs": [pair.to_dict() for pair in self.pairs],
            "seeds": [group.to_dict() for group in self.seeds],
            "disagreements": [
                {
                    "path": item.path,
                    "label": item.label,
                    "probabilities": dict(zip(self.names, item.probabilities, strict=True)),
                    "positive": dict(zip(self.names, item.conclusions, strict=True)),
                }
                for item in self.disagreements
            ],
        }


def compare(
    contenders: Sequence[Contender],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    unreadable: tuple[Unreadable, ...] = (),
) -> Comparison:
    """Return how readers differ on the images that all of them scored.

    Args:
        contenders: Two or more, with different names.
        level: Confidence level.
        resamples: Resamples of the patients, the same ones for every reader.
        seed: Of the resampling.
        unreadable: Files that no reader could score.

    Raises:
        OptionError: Fewer than two, or two of one name.
        DataError: They share no image, or differ in an image's label.
    """
    names = [contender.name for contender in contenders]
    if len(names) < 2 or len(set(names)) < len(names):
        raise OptionError("the readers", must="two or more with different names", was=names)
    aligned, left_out = align([contender.scores for contender in contenders])
    label, patient = aligned[0].label, aligned[0].patient_numbers
    points, draws = [], []
    for contender, scores in zip(contenders, aligned, strict=True):
        table = Table.of(scores, Question(threshold=contender.threshold, curves=False))
        points.append({name: _float(value) for name, value in point(table).items()})
        draws.append(resampled(table, resamples=resamples, seed=seed))
    found = areas(label, [scores.logit for scores in aligned], patient=patient)
    right = [
        (scores.probability >= contender.threshold) == (label == 1)
        for contender, scores in zip(contenders, aligned, strict=True)
    ]
    pairs = [
        _pair((i, j), names, points=points, draws=draws, found=found, right=right, level=level)
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    return Comparison(
        tuple(names),
        len(label),
        int(patient.max()) + 1,
        left_out,
        {
            name: {key: _number(key, scores, values, drawn, level=level) for key in NUMBERS}
            for name, scores, values, drawn in zip(names, aligned, points, draws, strict=True)
        },
        _corrected(pairs),
        seed_groups(
            names,
            [contender.recipe for contender in contenders],
            [{key: values[key] for key in NUMBERS} for values in points],
        ),
        _disagreements(aligned, contenders),
        unreadable,
    )


def align(all_scores: Sequence[Scores]) -> tuple[list[Scores], int]:
    """Return the rows of the images that all scores have, in one order, and how many are left out.

    Raises:
        DataError: There are none, a path comes twice, or an image has two labels.
    """
    rows: list[dict[str, int]] = []
    for scores in all_scores:
        rows.append({path: row for row, path in enumerate(scores.path)})
        if len(rows[-1]) < len(scores):
            raise DataError(
                "a path stands twice in the scores; readers are compared image by image."
            )
    shared = [path for path in all_scores[0].path if all(path in known for known in rows)]
    if not shared:
        raise DataError(
            "the readers scored no image in common, by the column path; score them on the same "
            "data: pneumoscope compare A B --data DATA"
        )
    aligned = [
        scores.select([known[path] for path in shared])
        for scores, known in zip(all_scores, rows, strict=True)
    ]
    # One file may know the patients where another does not; resampling must be the same for all.
    patient = next((one.patient for one in aligned if one.patients_known), aligned[0].patient)
    aligned = [replace(scores, patient=patient) for scores in aligned]
    for scores in aligned[1:]:
        differs = np.flatnonzero(scores.label != aligned[0].label)
        if len(differs):
            raise DataError(
                f"{shared[int(differs[0])]}: the scores to compare give it different labels."
            )
    everything = {path for known in rows for path in known}
    return aligned, len(everything) - len(shared)


def _pair(
    rows: tuple[int, int],
    names: list[str],
    *,
    points: list[dict[str, float]],
    draws: list[dict[str, NDArray[np.float64]]],
    found: Areas | None,
    right: list[NDArray[np.bool_]],
    level: float,
) -> Pair:
    i, j = rows
    n = len(right[i])
    differences = {}
    for name in NUMBERS:
        intervals = [
            percentiles(draws[i][name] - draws[j][name], level=level, method="paired bootstrap")
        ]
        if name == "auc" and found is not None:
            intervals.insert(0, _difference_interval(found, i, j, level=level))
        if name == "ece":  # noise raises both, so the resamples tell little of the difference
            intervals = []
        differences[name] = Estimate.of(points[i][name] - points[j][name], n, *intervals)
    error = _standard_error(found, i, j) if found is not None else 0.0
    only_first, only_second = int((right[i] & ~right[j]).sum()), int((right[j] & ~right[i]).sum())
    exact, mid = mcnemar(only_first, only_second)
    return Pair(
        names[i],
        names[j],
        differences,
        _delong_p(found, i, j, error) if found is not None else None,
        None,
        only_first,
        only_second,
        exact,
        mid,
        mid,
        (normal_quantile(0.95) + NormalDist().inv_cdf(POWER)) * error if error else None,
    )


def _standard_error(found: Areas, i: int, j: int) -> float:
    c = found.covariance
    return math.sqrt(max(0.0, float(c[i, i] + c[j, j] - 2 * c[i, j])))


def _delong_p(found: Areas, i: int, j: int, error: float) -> float:
    difference = abs(float(found.values[i] - found.values[j]))
    if difference < 1e-12:
        return 1.0
    return 2 * NormalDist().cdf(-difference / error) if error else 0.0


def _difference_interval(found: Areas, i: int, j: int, *, level: float) -> Interval:
    difference = float(found.values[i] - found.values[j])
    half = normal_quantile(level) * _standard_error(found, i, j)
    method = "paired delong by patient" if found.clustered else "paired delong"
    return Interval(max(-1.0, difference - half), min(1.0, difference + half), method, level)


def _corrected(pairs: list[Pair]) -> tuple[Pair, ...]:
    by_area = holm([pair.auc_p for pair in pairs])
    by_right = holm([pair.mcnemar_mid_p for pair in pairs])
    return tuple(
        replace(pair, auc_p_holm=area, mcnemar_p_holm=right if right is not None else 1.0)
        for pair, area, right in zip(pairs, by_area, by_right, strict=True)
    )


def _number(
    name: str,
    scores: Scores,
    values: Mapping[str, float],
    drawn: Mapping[str, NDArray[np.float64]],
    *,
    level: float,
) -> Estimate:
    if name == "auc":
        return area_estimate(scores, level=level)
    interval = None if name == "ece" else percentiles(drawn[name], level=level)
    return Estimate.of(values[name], len(scores), interval)


def _disagreements(
    aligned: Sequence[Scores], contenders: Sequence[Contender]
) -> tuple[Disagreement, ...]:
    probabilities = np.stack([scores.probability for scores in aligned])
    thresholds = np.array([contender.threshold for contender in contenders])[:, np.newaxis]
    called = probabilities >= thresholds
    rows = np.flatnonzero(called.any(axis=0) & ~called.all(axis=0))
    spread = np.ptp(probabilities[:, rows], axis=0)
    return tuple(
        Disagreement(
            aligned[0].path[row],
            int(aligned[0].label[row]),
            tuple(map(float, probabilities[:, row])),
            tuple(map(bool, called[:, row])),
        )
        for row in rows[np.argsort(-spread, kind="stable")]
    )


def _float(value: NDArray[np.float64]) -> float:
    return float(value) if value.ndim == 0 else math.nan
