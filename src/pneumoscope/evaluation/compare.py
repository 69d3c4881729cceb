"""Compare readers on the same images, with paired tests and corrections."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.bootstrap import RESAMPLES, point, resampled
from pneumoscope.evaluation.curves import RocBand
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.multiclass.compare import ClassComparison, compare_classes
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.pairs import NUMBERS, Pair, corrected, pair_of
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.seeds import SeedGroup, seed_groups
from pneumoscope.evaluation.weighted import Table, TableOptions
from pneumoscope.stats.areas import areas
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.entries import Unreadable


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A reader in a comparison.

    Attributes:
        name: Name.
        scores: Scores of the reader.
        threshold: Probability at or above which it calls an image positive.
        recipe: Identifier shared with runs that only differ in the seed; empty if unknown.
    """

    name: str
    scores: Scores
    threshold: float = 0.5
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An image on which the readers' conclusions differ, with their probabilities."""

    path: str
    label: int
    probabilities: tuple[float, ...]
    conclusions: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        names: The readers.
        n: Number of images scored by all readers.
        patients: Number of their patients.
        left_out: Number of images that some reader did not score.
        unreadable: Number of files that could not be read, which no reader scored.
        numbers: The metrics of each reader on these images, with the intervals of ``evaluate``.
        pairs: The comparison of each pair of readers.
        seeds: Runs that only differ in the seed.
        disagreements: Images on which the readers conclude differently, those with the widest
            spread of probabilities first.
        level: Confidence level of all intervals.
        roc: The ROC curve of each reader.
        by_class: The comparison by class, if all readers have the same classes and more than two;
            everything else then describes the positive group.
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
    level: float = LEVEL
    roc: dict[str, RocBand] = field(default_factory=dict)
    by_class: ClassComparison | None = None

    def verdicts(self, called: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return a sentence on each pair of readers: which one is better.

        Args:
            called: Name → displayed name of the reader.
        """
        names = called or {}
        return tuple(
            pair.verdict(names.get(pair.first), names.get(pair.second)) for pair in self.pairs
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        found: dict[str, Any] = {
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
            "roc": {name: curve.to_dict() for name, curve in self.roc.items()},
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
        if self.by_class is not None:
            found["classes"] = self.by_class.to_dict()
        return found


def compare(
    contenders: Sequence[Contender],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    unreadable: tuple[Unreadable, ...] = (),
) -> Comparison:
    """Compare readers on the images that all of them scored.

    Args:
        contenders: At least two readers, with different names.
        level: Confidence level.
        resamples: Number of resamples of the patients, which are the same for every reader.
        seed: Seed of the resampling.
        unreadable: Number of files that no reader could score.

    Raises:
        OptionError: There are fewer than two readers, or two of the same name.
        DataError: The readers share no image, or differ in an image's label.
    """
    names = [contender.name for contender in contenders]
    if len(names) < 2 or len(set(names)) < len(names):
        raise OptionError("the readers", must="two or more with different names", was=names)
    aligned, left_out = align([contender.scores for contender in contenders])
    label, patient = aligned[0].label, aligned[0].patient_numbers
    points, draws, whole = [], [], []
    for contender, scores in zip(contenders, aligned, strict=True):
        table = Table.of(scores, TableOptions(threshold=contender.threshold, curves=False))
        points.append({name: _float(value) for name, value in point(table).items()})
        draws.append(resampled(table, resamples=resamples, seed=seed))
        whole.append(
            numbers_of(
                scores,
                threshold=contender.threshold,
                level=level,
                resamples=resamples,
                seed=seed,
            )
        )
    found = areas(label, [scores.logit for scores in aligned], patient=patient)
    right = [
        (scores.probability >= contender.threshold) == (label == 1)
        for contender, scores in zip(contenders, aligned, strict=True)
    ]
    pairs = [
        pair_of((i, j), names, points=points, draws=draws, found=found, right=right, level=level)
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    return Comparison(
        tuple(names),
        len(label),
        int(patient.max()) + 1,
        left_out,
        {name: {key: own[key] for key in NUMBERS} for name, own in zip(names, whole, strict=True)},
        corrected(pairs),
        seed_groups(
            names,
            [contender.recipe for contender in contenders],
            [{key: values[key] for key in NUMBERS} for values in points],
        ),
        _disagreements(aligned, contenders),
        unreadable,
        level,
        {name: own.curves.roc for name, own in zip(names, whole, strict=True) if own.curves},
        compare_classes(
            names,
            [scores.classes for scores in aligned],
            patient,
            aligned[0].path,
            level=level,
            resamples=resamples,
            seed=seed,
        ),
    )


def align(all_scores: Sequence[Scores]) -> tuple[list[Scores], int]:
    """Return the rows of the common images in the same order, and the number of excluded images.

    Images are the same if their paths are. Where all scores have the files' SHA-256 and more images
    agree in it than in their paths, it identifies them: the folders of a reader of three classes
    have other names than those of a reader of two.

    Raises:
        DataError: There are no common images, a path is repeated, or an image has two labels.
    """
    if any(len(set(scores.path)) < len(scores) for scores in all_scores):
        raise DataError("a path occurs twice in the scores; readers are compared image by image.")
    rows = [{path: row for row, path in enumerate(scores.path)} for scores in all_scores]
    by_content = [_by_content(scores) for scores in all_scores]
    if len(_common(by_content)) > len(_common(rows)):
        rows = by_content
    shared = _common(rows)
    if not shared:
        raise DataError(
            "the readers have no images in common (column path); score them on the same data: "
            "`compare(A, B, data=DATA)`"
        )
    aligned = [
        scores.select([known[key] for key in shared])
        for scores, known in zip(all_scores, rows, strict=True)
    ]
    # Patients may be known in one file and not in another; resampling must be the same for all.
    patient = next((one.patient for one in aligned if one.patients_known), aligned[0].patient)
    aligned = [replace(scores, patient=patient) for scores in aligned]
    for scores in aligned[1:]:
        differs = np.flatnonzero(scores.label != aligned[0].label)
        if len(differs):
            path = aligned[0].path[int(differs[0])]
            raise DataError(f"{path}: its label differs between the scores.")
    everything = {key for known in rows for key in known}
    return aligned, len(everything) - len(shared)


def _common(rows: Sequence[Mapping[str, int]]) -> list[str]:
    """Return the keys that all have, in the order of the first."""
    return [key for key in rows[0] if all(key in known for known in rows)]


def _by_content(scores: Scores) -> dict[str, int]:
    """Return the row of each image by its SHA-256; copies of a file are numbered by their names."""
    if not scores.sha256 or not all(scores.sha256):
        return {}
    rows: dict[str, int] = {}
    copies: Counter[str] = Counter()
    by_name = {row: PurePosixPath(path).name for row, path in enumerate(scores.path)}
    for row in sorted(by_name, key=lambda row: (by_name[row], scores.path[row])):
        digest = scores.sha256[row]
        rows[f"{digest} {copies[digest]}"] = row
        copies[digest] += 1
    return dict(sorted(rows.items(), key=lambda item: item[1]))


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
