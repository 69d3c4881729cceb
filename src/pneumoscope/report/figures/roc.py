"""ROC curves of one or several readers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import DataError, OptionError
from pneumoscope.report.axes import SQUARE_IN, band, legend, mark_point, new_figure, unit_square
from pneumoscope.report.figures.compare import short_names
from pneumoscope.report.style import BLUE, MUTED, PALETTE, style
from pneumoscope.report.tables import Floats, Table, columns_of, require_shape, table_of
from pneumoscope.stats.roc import roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.curves import RocBand

_LINES = ("-", "--", "-.", ":")  # told apart without colour, too
_BANDS = 2  # of more readers, bands hide each other


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """Sensitivity against 1 - specificity at every threshold.

    Attributes:
        fpr: False positive rate, that is 1 - specificity, ``[T]``, rising from 0 to 1.
        tpr: True positive rate, that is sensitivity, ``[T]``, rising from 0 to 1.
        thresholds: Concluded positive at a probability of at least this, ``[T]``, falling from
            infinity (nothing is positive).
        auc: The area under the curve, 0..1.
        operating_point: ``(fpr, tpr)`` of the threshold in use; None if there is none.
        threshold: The threshold in use.
        band: The pointwise interval of the sensitivity; None if there is none.
        auc_range: The interval of the area, in words.
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats
    auc: float
    operating_point: tuple[float, float] | None = None
    threshold: float | None = None
    band: RocBand | None = None
    auc_range: str = ""

    CAPTION: ClassVar[str] = (
        "Each point is a threshold on the probability. The dotted diagonal is chance level "
        "(AUC 0.5); a perfect reader passes through the upper left corner (AUC 1). The AUC is "
        "the probability that a random positive image ranks higher than a random negative one. "
        "The band, if shown, contains {level} of the resamples of the patients, at each false "
        "positive rate separately."
    )

    def __post_init__(self) -> None:
        require_shape("tpr", self.tpr, self.fpr.shape)
        require_shape("thresholds", self.thresholds, self.fpr.shape)

    @classmethod
    def from_scores(
        cls,
        labels: npt.ArrayLike,
        probabilities: npt.ArrayLike,
        *,
        threshold: float | None = None,
        band: RocBand | None = None,
        auc_range: str = "",
    ) -> Self:
        """Compute the curve; ties form one step.

        Args:
            labels: ``int [N]``, 1 positive and 0 negative.
            probabilities: ``float [N]`` of the positive class, 0..1.
            threshold: The operating point is at probability >= this.
            band: What ``evaluate`` computed of resamples.
            auc_range: The interval of the area, in words.

        Raises:
            DataError: Only one class is there, or a probability is not a number.
            OptionError: A label is neither 0 nor 1, the lengths differ, or the threshold is not
                a number.

        Example:
            >>> RocCurve.from_scores([0, 1, 1], [0.2, 0.2, 0.9]).auc
            0.75
        """
        truth, scores = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
        _check_scores(truth, scores, threshold)
        curve = roc(truth, scores)
        positive = truth == 1
        positives, negatives = int(positive.sum()), int((~positive).sum())
        if curve is None:
            raise DataError(
                f"A ROC curve needs both classes, but of {truth.size} images {positives} are "
                f"positive and {negatives} negative. Evaluate on a part that has both."
            )
        point = None
        if threshold is not None:
            called = scores >= threshold
            point = (
                int((called & ~positive).sum()) / negatives,
                int((called & positive).sum()) / positives,
            )
        return cls(
            curve.false_positive_rate, curve.sensitivity, curve.thresholds, curve.area,
            point, threshold, band, auc_range,
        )  # fmt: skip

    def rows(self) -> Table:
        """Return one row a threshold, from the strictest on."""
        header = ("threshold", "false_positive_rate", "sensitivity")
        columns = (self.thresholds, self.fpr, self.tpr)
        if self.band is None:
            return columns_of(header, *columns)
        # The band is a step function: a rate has the edges of the last grid point up to it.
        rates = self.band.false_positive_rate
        place = np.searchsorted(rates, self.fpr + 1e-9, side="right") - 1
        inside = np.maximum(place, 0)
        edges = [np.where(place < 0, np.nan, edge[inside]) for edge in _edges(self.band)]
        return columns_of((*header, "low", "high"), *columns, *edges)

    def summary(self) -> str:
        """Return the area and the operating point as a sentence."""
        between = f" ({self.auc_range})" if self.auc_range else ""
        return f"ROC curve, area under the curve {self.auc:.3f}{between}{self._at_point(', ')}"

    def _at_point(self, separator: str) -> str:
        if self.operating_point is None:
            return ""
        fpr, tpr = self.operating_point
        where = ""
        if self.threshold is not None:
            where = f"{separator}at probability ≥ {self.threshold:.3g}"
        return f"{where}{separator}sensitivity {tpr:.3f}{separator}specificity {1 - fpr:.3f}"

    @style()
    def draw(self) -> Figure:
        """Draw the curve in its square, with the diagonal of guessing and the operating point."""
        figure = new_figure(*SQUARE_IN)
        axes = figure.subplots()
        # A straight run is two points: a curve of 100,000 images must not weigh on the page.
        keep = _corners(self.fpr, self.tpr)
        fpr, tpr = self.fpr[keep], self.tpr[keep]
        axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
        if self.band is None:
            axes.fill_between(fpr, tpr, color=BLUE, alpha=0.07, linewidth=0)
        else:
            band(axes, self.band.false_positive_rate, *_edges(self.band), step="post")
        axes.plot(fpr, tpr, color=BLUE, linewidth=2.2, clip_on=False, zorder=3)
        lift = 0.05 if self.auc_range else 0.0
        axes.text(0.96, 0.06 + lift, f"AUC {self.auc:.3f}", ha="right", size=15, weight="bold")
        axes.text(0.96, 0.045, self.auc_range, ha="right", color=MUTED, size=9.5)
        if self.operating_point is not None:
            self._draw_point(axes, *self.operating_point)
        unit_square(axes, x="1 - specificity", y="Sensitivity")
        return figure

    def _draw_point(self, axes: Axes, fpr: float, tpr: float) -> None:
        """Mark the operating point, with its numbers below the curve, where there is room."""
        mark_point(axes, fpr, tpr)
        aside = 0.04 if fpr < 0.55 else -0.04
        axes.text(
            fpr + aside, max(tpr - 0.05, 0.34), self._at_point("\n").strip(), va="top",
            ha="left" if aside > 0 else "right", linespacing=1.45,
        )  # fmt: skip


def _check_scores(truth: npt.NDArray[np.int64], scores: Floats, threshold: float | None) -> None:
    """Validate labels, probabilities and threshold."""
    require_shape("labels", truth, (truth.size,))
    require_shape("probabilities", scores, truth.shape)
    if threshold is not None and not np.isfinite(threshold):
        raise OptionError("threshold", must="a number, or None", was=threshold)
    if not np.isin(truth, (0, 1)).all():
        raise OptionError("labels", must="0 or 1", was=sorted(set(truth.tolist()) - {0, 1})[:5])
    if not np.isfinite(scores).all():
        raise DataError(
            f"{int((~np.isfinite(scores)).sum())} of {scores.size} probabilities are not "
            "numbers. Look at the probability column of the scores file."
        )


def _edges(band: RocBand) -> tuple[Floats, Floats]:
    return band.low, band.high


def _corners(x: Floats, y: Floats) -> npt.NDArray[np.intp]:
    """Return the points where a line bends, and its ends."""
    dx, dy = np.diff(x), np.diff(y)
    turns = np.abs(dx[:-1] * dy[1:] - dy[:-1] * dx[1:]) > 1e-15
    return np.concatenate(([0], np.flatnonzero(turns) + 1, [x.size - 1]))


@dataclass(frozen=True, slots=True, eq=False)
class RocCurves:
    """Sensitivity against 1 - specificity of several readers on the same images.

    Attributes:
        names: The readers, [R].
        curves: Of each reader its curve and band.
        areas: Of each reader the area under its curve, [R]; NaN where it is not defined.
        points: Of each reader (false positive rate, sensitivity) at its own threshold, [R].
    """

    names: tuple[str, ...]
    curves: tuple[RocBand, ...]
    areas: tuple[float, ...]
    points: tuple[tuple[float, float], ...]

    CAPTION: ClassVar[str] = (
        "One line per reader, on the same images; the mark is its threshold. If curves cross, "
        "look at the false positive rate you would accept. Whether two curves differ by more "
        "than chance is shown by the paired test of their areas, not by overlapping bands."
    )

    def __post_init__(self) -> None:
        lengths = {len(one) for one in (self.names, self.curves, self.areas, self.points)}
        if lengths != {len(self.names)} or not self.names:
            raise OptionError("curves, areas and points", must="one per reader", was=lengths)

    @classmethod
    def from_comparison(cls, found: Comparison) -> Self:
        """Take what ``compare`` gave."""

        def value(name: str, key: str) -> float:
            number = found.numbers[name][key].value
            return math.nan if number is None else number

        return cls(
            short_names(found.names),
            tuple(found.roc[name] for name in found.names),
            tuple(value(name, "auc") for name in found.names),
            tuple(
                (1 - value(name, "specificity"), value(name, "sensitivity")) for name in found.names
            ),
        )

    def rows(self) -> Table:
        """Return one row a reader and rate."""
        return table_of(
            ("reader", "false_positive_rate", "sensitivity", "low", "high"),
            (
                (name, *row)
                for name, curve in zip(self.names, self.curves, strict=True)
                for row in zip(
                    curve.false_positive_rate, curve.sensitivity, *_edges(curve), strict=True
                )
            ),
        )

    def _labels(self) -> list[str]:
        return [
            f"{name}: AUC {area:.3f}" if math.isfinite(area) else f"{name}: AUC not defined"
            for name, area in zip(self.names, self.areas, strict=True)
        ]

    def summary(self) -> str:
        """Return the areas as a sentence."""
        return "ROC curves; " + "; ".join(self._labels())

    @style()
    def draw(self) -> Figure:
        """Draw all curves in one square, with the diagonal of guessing."""
        width, height = SQUARE_IN
        figure = new_figure(width, height + 0.24 * len(self.names))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
        lines = []
        for place, (label, curve, point) in enumerate(
            zip(self._labels(), self.curves, self.points, strict=True)
        ):
            color = PALETTE[place % len(PALETTE)]
            dashes = _LINES[(place + place // len(PALETTE)) % len(_LINES)]
            rates = curve.false_positive_rate
            if len(self.names) <= _BANDS:
                band(axes, rates, *_edges(curve), step="post", color=color, alpha=0.12)
            lines += axes.step(
                rates, curve.sensitivity, dashes, where="post", color=color, linewidth=2,
                clip_on=False, zorder=3, label=label,
            )  # fmt: skip
            axes.plot(*point, "o", ms=7, mfc=color, mec="white", mew=1, clip_on=False, zorder=4)
        unit_square(axes, x="1 - specificity", y="Sensitivity")
        legend(figure, lines, columns=1, below=True)
        return figure
