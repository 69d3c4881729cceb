"""Measure how well the class can be predicted from properties other than anatomy.

A network learns any property that separates the classes. If size, encoding or the border of the
film do, a high score is no evidence about lungs. For each clue, a logistic regression is fitted and
tested on other patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pneumoscope.data.audit.measures import TINY_PX
from pneumoscope.data.audit.statistics import Area, area, folds_of
from pneumoscope.stats.logistic import fit_ridge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pneumoscope.data.audit.measures import Measured

FEWEST: Final = 10
"""Minimum number of images, and of patients, of each class."""

FOLDS: Final = 5
MOST_IMAGES: Final = 20_000
_RING = 2  # of 16: the outer eighth on each side
_KNOTS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Clue:
    """A property, and how well it predicts the class.

    Attributes:
        name: The property.
        kind: ``file`` (a property of the file), ``pixels`` (of the whole image), ``periphery`` (of
            the image without its centre) or ``together``.
        area: AUC of the prediction; 0.5 is chance.
        medians: Label → the median of the property, if it is one number.
        unit: Unit of the medians.
    """

    name: str
    kind: str
    area: Area
    medians: Mapping[str, float]
    unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "auc": self.area.to_dict(),
            "medians": dict(self.medians),
            "unit": self.unit,
        }


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """All properties tested, the strongest first.

    Attributes:
        classes: (negative, positive).
        clues: The properties tested.
        constant: Properties with the same value in all images.
        images: Number of images.
        patients: Number of patients.
    """

    classes: tuple[str, str]
    clues: tuple[Clue, ...]
    constant: tuple[str, ...]
    images: int
    patients: int

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON values."""
        return {
            "classes": list(self.classes),
            "images": self.images,
            "patients": self.patients,
            "clues": [clue.to_dict() for clue in self.clues],
            "constant": list(self.constant),
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A property to test: columns [n, k], and whether each is expanded into a spline basis."""

    name: str
    kind: str
    columns: NDArray[np.float64]
    bent: bool = True
    shown: NDArray[np.float64] | None = None
    unit: str = ""


def probe(measured: Measured, classes: tuple[str, str], *, seed: int = 0) -> Shortcuts | None:
    """Return how well each property predicts the class; None if there are too few images.

    Scores are cross-validated over patients, so no model is tested on patients that it was fitted
    on. Above 20,000 images, a sample of patients with about that many images is drawn.

    Args:
        measured: The images; those with other labels are ignored.
        classes: (negative, positive).
        seed: Seed of the folds.
    """
    labels = np.array([entry.label for entry in measured.entries])
    names = [str(entry.patient) for entry in measured.entries]
    _, groups = np.unique(names, return_inverse=True)
    rows = _rows(np.flatnonzero(np.isin(labels, classes)), groups, seed=seed)
    label = (labels[rows] == classes[1]).astype(np.int64)
    patients = groups[rows]
    for value in (0, 1):
        if len(np.unique(patients[label == value])) < FEWEST:
            return None
    fold = folds_of(label, patients, folds=FOLDS, seed=seed)
    clues, constant = [], []
    for source in _sources(measured, rows):
        if (np.ptp(source.columns, axis=0) == 0).all():
            constant.append(source.name)
            continue
        scores = _left_out(source, label, fold)
        medians = {}
        if source.shown is not None:
            medians = {
                name: float(np.median(source.shown[label == value]))
                for value, name in enumerate(classes)
            }
        found = area(label, scores, patients)
        clues.append(Clue(source.name, source.kind, found, medians, source.unit))
    clues.sort(key=lambda clue: (clue.kind == "together", -clue.area.value))
    return Shortcuts(classes, tuple(clues), tuple(constant), len(rows), len(np.unique(patients)))


def _rows(rows: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    if len(rows) <= MOST_IMAGES:
        return rows
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    drawn = rows[np.argsort(order[groups[rows]], kind="stable")]
    return np.sort(drawn[:MOST_IMAGES])


def _sources(measured: Measured, rows: NDArray[np.int64]) -> list[_Source]:
    entries = [measured.entries[row] for row in rows]

    def column(value: Callable[[Any], float]) -> NDArray[np.float64]:
        return np.array([value(entry) for entry in entries], np.float64)

    size, width = column(lambda e: e.bytes), column(lambda e: e.width)
    height = column(lambda e: e.height)
    modes = sorted({entry.mode for entry in entries})
    mode = np.array([[entry.mode == name for name in modes] for entry in entries], np.float64)
    if len(modes) == 1:
        mode = mode[:, :1]
    light = measured.brightness[rows].astype(np.float64)
    contrast = measured.contrast[rows].astype(np.float64)
    edges = np.concatenate([measured.edges[rows], 255 * measured.edges_black[rows]], axis=1)
    edges = edges.astype(np.float64)
    ring = np.ones((TINY_PX, TINY_PX), bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    outside = measured.tiny[rows][:, ring].astype(np.float64)
    single = [
        _Source("file size", "file", np.log(size)[:, None], shown=size / 1000, unit="kB"),
        _Source("width", "file", np.log(width)[:, None], shown=width, unit="px"),
        _Source("height", "file", np.log(height)[:, None], shown=height, unit="px"),
        _Source("aspect ratio", "file", np.log(width / height)[:, None], shown=width / height),
        _Source("mode", "file", mode, bent=False),
        _Source("border pixels", "pixels", edges, bent=False, shown=edges[:, :4].mean(axis=1)),
        _Source("mean brightness", "pixels", light[:, None], shown=light),
        _Source("contrast", "pixels", contrast[:, None], shown=contrast),
    ]
    facts = np.concatenate([s.columns for s in single if s.kind == "file"], axis=1)
    everything = np.concatenate([s.columns for s in single], axis=1)
    return [
        *single,
        _Source("outer eighth of the image", "periphery", outside, bent=False),
        _Source("all file properties", "together", facts),
        _Source("all of these except the image", "together", everything),
    ]


def _left_out(
    source: _Source, label: NDArray[np.int64], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return cross-validated scores: each image is scored by a model of the other folds."""
    scores = np.zeros(len(label))
    for number in range(FOLDS):
        train, left = fold != number, fold == number
        if not left.any():
            continue
        shape = _Shape(source.columns[train], bent=source.bent)
        weights = fit_ridge(shape(source.columns[train]), label[train])
        scores[left] = np.column_stack([shape(source.columns[left]), np.ones(left.sum())]) @ weights
    return scores


class _Shape:
    """Standardises columns on the training rows, optionally with a spline basis."""

    def __init__(self, training: NDArray[np.float64], *, bent: bool) -> None:
        self._mean = training.mean(axis=0)
        self._spread = np.maximum(training.std(axis=0), 1e-9)
        standard = (training - self._mean) / self._spread
        self._knots = np.quantile(standard, _KNOTS, axis=0) if bent else np.empty((0, 0))

    def __call__(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        standard = (columns - self._mean) / self._spread
        hinges = [np.maximum(0, standard - knot) for knot in self._knots]
        return np.concatenate([standard, *hinges], axis=1)
