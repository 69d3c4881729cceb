"""Figures of each class against the rest: ROC curves and calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.evaluation.ece import bins_of
from pneumoscope.report.axes import SQUARE_IN, legend, new_figure, panels, unit_square
from pneumoscope.report.figures.classes import shortened
from pneumoscope.report.style import BLUE, MUTED, PALETTE, VERMILLION, WIDE_IN, style
from pneumoscope.report.tables import Floats, Table, table_of
from pneumoscope.stats.roc import roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.scores import ClassScores

_TOGETHER = len(PALETTE)  # more curves than this stand each in a panel of its own
_ACROSS = 4
_LINES = ("-", "--", "-.", ":")  # told apart without colour, too
_POINTS = 400  # of a curve; more weigh on the page and are not seen
_BINS = 10
_PANEL_NAME = 18  # characters above a panel


@dataclass(frozen=True, slots=True, eq=False)
class ClassCurve:
    """The ROC curve of one class against the rest.

    Attributes:
        name: The class.
        fpr: False positive rate, rising from 0 to 1, [t]; empty if not defined.
        tpr: Sensitivity, [t].
        area: The area under it, with its interval.
        point: (false positive rate, sensitivity) where the class is called if it is likeliest.
    """

    name: str
    fpr: Floats
    tpr: Floats
    area: Estimate
    point: tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class OneVsRestRoc:
    """ROC curves of each class against the rest.

    Attributes:
        curves: Of each class.
    """

    curves: tuple[ClassCurve, ...]

    CAPTION: ClassVar[str] = (
        "Each class against all others, by its own probability. The mark is where the class is "
        "predicted if it is the most probable. A class that is not distinguished from the others "
        "lies on the dotted diagonal."
    )

    @classmethod
    def of(cls, found: ClassNumbers, scores: ClassScores) -> Self:
        """Take the curves from scores, and areas and marks from their numbers."""
        return cls(tuple(_curve(found, scores, k) for k in range(len(found.labels))))

    def rows(self) -> Table:
        """Return one row a class and point of its curve."""
        return table_of(
            ("class", "false_positive_rate", "sensitivity"),
            (
                (one.name, *row)
                for one in self.curves
                for row in zip(one.fpr.tolist(), one.tpr.tolist(), strict=True)
            ),
        )

    def summary(self) -> str:
        """Return the areas as a sentence."""
        return "One-vs-rest ROC curves; " + "; ".join(
            f"{one.name}: AUC {one.area.with_range()}" for one in self.curves
        )

    @style()
    def draw(self) -> Figure:
        """Draw up to four classes in one square, more in a panel each."""
        return self._in_one() if len(self.curves) <= _TOGETHER else self._in_panels()

    def _in_one(self) -> Figure:
        width, height = SQUARE_IN
        figure = new_figure(width, height + 0.3 + 0.26 * len(self.curves))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
        lines = []
        for place, one in enumerate(self.curves):
            label = f"{shortened(one.name)}: AUC {one.area.with_range()}"
            lines += axes.plot(
                one.fpr, one.tpr, _LINES[place], clip_on=False, zorder=3, color=PALETTE[place],
                linewidth=2, label=label,
            )  # fmt: skip
            if one.point is not None:
                axes.plot(*one.point, "o", ms=7, mfc=PALETTE[place], mec="white", clip_on=False,
                          zorder=4)  # fmt: skip
        unit_square(axes, x="1 - specificity", y="Sensitivity")
        legend(figure, lines, columns=1, below=True)
        return figure

    def _in_panels(self) -> Figure:
        figure = _grid_figure(len(self.curves))
        for axes, one in zip(panels(figure, len(self.curves), across=_ACROSS), self.curves,
                             strict=True):  # fmt: skip
            axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
            axes.plot(one.fpr, one.tpr, color=BLUE, clip_on=False, zorder=3)
            if one.point is not None:
                axes.plot(*one.point, "o", ms=5, mfc=VERMILLION, mec="white", clip_on=False,
                          zorder=4)  # fmt: skip
            axes.text(0.96, 0.06, f"AUC {one.area.text()}", ha="right", size=9)
            _small_square(axes, one.name)
        figure.supxlabel("1 - specificity", color=MUTED, size=10)
        figure.supylabel("Sensitivity", color=MUTED, size=10)
        return figure


def _curve(found: ClassNumbers, scores: ClassScores, k: int) -> ClassCurve:
    """Return the curve of class number ``k``."""
    own = found.by_class[k]
    curve = roc((scores.number == k).astype(np.int64), scores.probabilities[:, k])
    if curve is None:
        nothing: Floats = np.zeros(0)
        return ClassCurve(found.labels.names[k], nothing, nothing, own["auc"], None)
    keep = _thinned(curve.false_positive_rate, curve.sensitivity)
    hit, free = own["sensitivity"].value, own["specificity"].value
    return ClassCurve(
        found.labels.names[k],
        curve.false_positive_rate[keep],
        curve.sensitivity[keep],
        own["auc"],
        None if hit is None or free is None else (1 - free, hit),
    )


def _thinned(fpr: Floats, tpr: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return points of a curve that are seen: its corners, spread evenly over its length."""
    along = np.linspace(0, fpr[-1] + tpr[-1], _POINTS)
    return np.unique(np.concatenate(([0], np.searchsorted(fpr + tpr, along - 1e-12))))


@dataclass(frozen=True, slots=True, eq=False)
class ClassBins:
    """What was said of a class and what was so, in bins of equal mass.

    Attributes:
        name: The class.
        said: Mean probability of each bin, [b].
        observed: Share of its images that are of the class, [b].
        images: How many they are, [b].
        error: The calibration error of the class.
    """

    name: str
    said: Floats
    observed: Floats
    images: tuple[int, ...]
    error: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class ClassCalibration:
    """Reliability diagrams, one a class.

    Attributes:
        bins: Of each class.
    """

    bins: tuple[ClassBins, ...]

    CAPTION: ClassVar[str] = (
        "For each class, images in ten groups of equal size by its probability: across, the mean "
        "probability; up, the share that is of the class. Points on the dotted diagonal are "
        "right; below it the probability of the class is too high. ECE is its calibration error."
    )

    @classmethod
    def of(cls, found: ClassNumbers, scores: ClassScores) -> Self:
        """Count scores in bins."""
        return cls(
            tuple(
                _bins(name, scores.probabilities[:, k], scores.number == k, own["ece"])
                for k, (name, own) in enumerate(
                    zip(found.labels.names, found.by_class, strict=True)
                )
            )
        )

    def rows(self) -> Table:
        """Return one row a class and bin."""
        return table_of(
            ("class", "mean_probability", "share_of_class", "images"),
            (
                (one.name, *row)
                for one in self.bins
                for row in zip(one.said.tolist(), one.observed.tolist(), one.images, strict=True)
            ),
        )

    def summary(self) -> str:
        """Return the errors as a sentence."""
        return "Calibration error by class; " + "; ".join(
            f"{one.name}: {one.error.with_range()}" for one in self.bins
        )

    @style()
    def draw(self) -> Figure:
        """Draw a small square a class."""
        n = len(self.bins)
        across = min(n, _ACROSS)
        figure = _grid_figure(n)
        for axes, one in zip(panels(figure, n, across=across), self.bins, strict=True):
            axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
            axes.plot(one.said, one.observed, "o-", ms=4, color=BLUE, clip_on=False, zorder=3)
            axes.text(0.96, 0.06, f"ECE {one.error.text()}", ha="right", size=9)
            _small_square(axes, one.name)
        figure.supxlabel("Mean probability of the class", color=MUTED, size=10)
        figure.supylabel("Share that is of the class", color=MUTED, size=10)
        return figure


def _bins(name: str, said: Floats, own: np.ndarray, error: Estimate) -> ClassBins:
    """Return the bins of one class; empty ones are left out."""
    inside = bins_of(np.asarray(said, np.float64), _BINS)
    count = np.bincount(inside, minlength=_BINS)
    there = count > 0
    mean, share = (
        np.bincount(inside, weights=values, minlength=_BINS)[there] / count[there]
        for values in (said, own.astype(np.float64))
    )
    return ClassBins(name, mean, share, tuple(count[there].tolist()), error)


def _grid_figure(n: int) -> Figure:
    across = min(n, _ACROSS)
    side = min(2.3, (WIDE_IN - 0.3) / across)
    deep = -(-n // across)
    return new_figure(across * side + 0.3, deep * (side + 0.28) + 0.3, gap=0.04)


def _small_square(axes: Axes, name: str) -> None:
    """Give a panel of a grid its name and few ticks."""
    unit_square(axes, x="", y="")
    axes.set_title(shortened(name, _PANEL_NAME), size=9.5)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelsize=8)
