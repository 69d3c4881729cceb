"""ROC curves of one or several readers, and of each class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import DataError, OptionError
from pneumoscope.report import plotting
from pneumoscope.report.figures.compare import short_names
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.plotting import DASHES, SQUARE_IN, point_of, shortened
from pneumoscope.report.style import BLUE, MUTED, PALETTE, VERMILLION
from pneumoscope.report.tables import Floats, require_shape
from pneumoscope.stats.roc import Roc, roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.curves import RocBand
    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.scores import ClassScores

_BANDS = 2  # of more readers, bands hide each other
_POINTS = 400  # of a curve of several; more weigh on the page and are not seen
_TOGETHER = len(PALETTE)  # more classes than this stand each in a panel of its own


class Line(NamedTuple):
    """A curve among others.

    Attributes:
        name: Of the reader or the class.
        fpr: False positive rate, rising from 0 to 1, ``[T]``; empty if not defined.
        tpr: Sensitivity, ``[T]``.
        area: The area under it in words.
        point: (false positive rate, sensitivity) of the conclusions; None if there are none.
        band: Its band; None if there is none.
    """

    name: str
    fpr: Floats
    tpr: Floats
    area: str
    point: tuple[float, float] | None
    band: RocBand | None = None

    @property
    def label(self) -> str:
        """Name and area."""
        return f"{self.name}: AUC {self.area}"


def roc_of(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> Roc:
    """Return the curve of scores; ties form one step.

    Args:
        truth: ``int [N]``, 1 positive and 0 negative.
        probabilities: ``float [N]`` of the positive class, 0..1.

    Raises:
        DataError: Only one class is there, or a probability is not a number.
        OptionError: A label is neither 0 nor 1, or the lengths differ.

    Example:
        >>> roc_of([0, 1, 1], [0.2, 0.2, 0.9]).area
        0.75
    """
    labels, scores = np.asarray(truth), np.asarray(probabilities, dtype=np.float64)
    require_shape("labels", labels, (labels.size,))
    require_shape("probabilities", scores, labels.shape)
    if not np.isin(labels, (0, 1)).all():
        raise OptionError("labels", must="0 or 1", was=sorted(set(labels.tolist()) - {0, 1})[:5])
    if not np.isfinite(scores).all():
        raise DataError(
            f"{int((~np.isfinite(scores)).sum())} of {scores.size} probabilities are not "
            "numbers. Check the probability column of the scores file."
        )
    curve = roc(labels, scores)
    if curve is None:
        positives = int((labels == 1).sum())
        raise DataError(
            f"An ROC curve requires both classes, but of {labels.size} images {positives} are "
            f"positive and {labels.size - positives} negative. Evaluate on a set that has both."
        )
    return curve


def roc_curve(
    curve: Roc,
    *,
    threshold: float | None = None,
    point: tuple[float, float] | None = None,
    band: RocBand | None = None,
    auc_range: str = "",
) -> Drawing:
    """Return sensitivity against 1 - specificity at every threshold.

    Args:
        curve: What ``roc_of`` gave.
        threshold: The threshold in use.
        point: (false positive rate, sensitivity) of the conclusions; if None, where the curve
            reaches the threshold.
        band: The pointwise interval of the sensitivity; None if there is none.
        auc_range: The interval of the area, in words.
    """
    if threshold is not None and point is None:
        at = int(np.flatnonzero(curve.thresholds >= threshold)[-1])
        point = float(curve.false_positive_rate[at]), float(curve.sensitivity[at])
    where = []
    if point is not None:
        where = [] if threshold is None else [f"at probability ≥ {threshold:.3g}"]
        where += [f"sensitivity {point[1]:.3f}", f"specificity {1 - point[0]:.3f}"]
    columns: list[Floats] = [curve.thresholds, curve.false_positive_rate, curve.sensitivity]
    header = ["threshold", "false_positive_rate", "sensitivity"]
    if band is not None:
        header += ["low", "high"]
        columns += _edges_at(band, curve.false_positive_rate)
    return Drawing(
        "roc_curve",
        list(zip(*columns, strict=True)),
        lambda: _plot_one(curve, point, "\n".join(where), band, auc_range),
        {"area": curve.area, "range": auc_range, "where": where},
        header,
    )


def _edges_at(band: RocBand, rates: Floats) -> list[Floats]:
    """Return the edges of a band, a step function, at other rates; NaN where it has none."""
    place = np.searchsorted(band.false_positive_rate, rates + 1e-9, side="right") - 1
    inside = np.maximum(place, 0)
    return [np.where(place < 0, np.nan, edge[inside]) for edge in (band.low, band.high)]


def _plot_one(
    curve: Roc,
    point: tuple[float, float] | None,
    where: str,
    edges: RocBand | None,
    auc_range: str,
) -> Figure:
    figure, axes = plotting.one_panel(*SQUARE_IN)
    # A straight run is two points: a curve of 100,000 images must not weigh on the page.
    keep = _corners(curve.false_positive_rate, curve.sensitivity)
    fpr, tpr = curve.false_positive_rate[keep], curve.sensitivity[keep]
    plotting.diagonal(axes)
    if edges is None:
        axes.fill_between(fpr, tpr, color=BLUE, alpha=0.07, linewidth=0)
    else:
        plotting.band(axes, edges.false_positive_rate, edges.low, edges.high, step="post")
    axes.plot(fpr, tpr, color=BLUE, linewidth=2.2, clip_on=False, zorder=3)
    lift = 0.05 if auc_range else 0.0
    axes.text(0.96, 0.06 + lift, f"AUC {curve.area:.3f}", ha="right", size=15, weight="bold")
    axes.text(0.96, 0.045, auc_range, ha="right", color=MUTED, size=9.5)
    if point is not None:
        x, y = point
        plotting.mark_point(axes, x, y)
        aside = 0.04 if x < 0.55 else -0.04
        axes.text(  # below the curve, where there is room
            x + aside, max(y - 0.05, 0.34), where, va="top", linespacing=1.45,
            ha="left" if aside > 0 else "right",
        )  # fmt: skip
    plotting.unit_square(axes, x="1 - specificity", y="Sensitivity")
    return figure


def _corners(x: Floats, y: Floats) -> npt.NDArray[np.intp]:
    """Return the points where a line bends, and its ends."""
    dx, dy = np.diff(x), np.diff(y)
    turns = np.abs(dx[:-1] * dy[1:] - dy[:-1] * dx[1:]) > 1e-15
    return np.concatenate(([0], np.flatnonzero(turns) + 1, [x.size - 1]))


def roc_curves(found: Comparison) -> Drawing:
    """Return the curves of several readers on the same images."""
    lines, rows = [], []
    for name, short in zip(found.names, short_names(found.names), strict=True):
        curve, numbers = found.roc[name], found.numbers[name]
        x, y = curve.false_positive_rate, curve.sensitivity
        hit, free = (point_of(numbers[key])[0] for key in ("sensitivity", "specificity"))
        lines.append(Line(short, x, y, numbers["auc"].text(), (1 - free, hit), curve))
        rows += [(short, *row) for row in zip(x, y, curve.low, curve.high, strict=True)]
    return Drawing("roc_curves", rows, lambda: _plot_together(lines), {"lines": lines})


def class_roc(found: ClassNumbers, scores: ClassScores) -> Drawing:
    """Return the curve of each class against the rest: up to four in one square, or in panels."""
    lines = [_class_line(found, scores, k) for k in range(len(found.labels))]
    rows = [(one.name, *row) for one in lines for row in zip(one.fpr, one.tpr, strict=True)]

    def plot() -> Figure:
        if len(lines) > _TOGETHER:
            return _plot_apart(lines)
        return _plot_together([one._replace(name=shortened(one.name)) for one in lines])

    return Drawing("class_roc", rows, plot, {"lines": lines})


def _class_line(found: ClassNumbers, scores: ClassScores, k: int) -> Line:
    """Return the curve of class number ``k``, of its corners spread evenly over its length."""
    name, own = found.labels.names[k], found.by_class[k]
    curve = roc((scores.number == k).astype(np.int64), scores.probabilities[:, k])
    if curve is None:
        nothing: Floats = np.zeros(0)
        return Line(name, nothing, nothing, own["auc"].with_range(), None)
    along = curve.false_positive_rate + curve.sensitivity
    places = np.searchsorted(along, np.linspace(0, along[-1], _POINTS) - 1e-12)
    keep = np.unique(np.concatenate(([0], places)))
    hit, free = own["sensitivity"].value, own["specificity"].value
    point = None if hit is None or free is None else (1 - free, hit)
    return Line(
        name, curve.false_positive_rate[keep], curve.sensitivity[keep], own["auc"].with_range(),
        point,
    )  # fmt: skip


def _plot_together(lines: Sequence[Line]) -> Figure:
    width, height = SQUARE_IN
    figure, axes = plotting.one_panel(width, height + 0.3 + 0.26 * len(lines))
    plotting.diagonal(axes)
    drawn = []
    for place, one in enumerate(lines):
        colour = PALETTE[place % len(PALETTE)]
        dashes = DASHES[(place + place // len(PALETTE)) % len(DASHES)]
        if one.band is not None and len(lines) <= _BANDS:
            edges = one.band.low, one.band.high
            plotting.band(axes, one.fpr, *edges, step="post", color=colour, alpha=0.12)
        drawn += axes.plot(
            one.fpr, one.tpr, dashes, color=colour, linewidth=2, clip_on=False, zorder=3,
            drawstyle="default" if one.band is None else "steps-post", label=one.label,
        )  # fmt: skip
        _mark(axes, one, colour, size=7)
    plotting.unit_square(axes, x="1 - specificity", y="Sensitivity")
    plotting.legend(figure, drawn, columns=1, below=True)
    return figure


def _plot_apart(lines: Sequence[Line]) -> Figure:
    names = [one.name for one in lines]
    figure, grid = plotting.small_squares(names, x="1 - specificity", y="Sensitivity")
    for axes, one in zip(grid, lines, strict=True):
        axes.plot(one.fpr, one.tpr, color=BLUE, clip_on=False, zorder=3)
        _mark(axes, one, VERMILLION, size=5)
        axes.text(0.96, 0.06, f"AUC {one.area.partition(' (')[0]}", ha="right", size=9)
    return figure


def _mark(axes: Axes, one: Line, colour: str, *, size: int) -> None:
    if one.point is not None:
        axes.plot(*one.point, "o", ms=size, mfc=colour, mec="white", clip_on=False, zorder=4)
