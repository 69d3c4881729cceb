"""How good a reader is: the confusion matrix and the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import DataError, OptionError
from pneumoscope.report._shared import Floats, Integers, Table, new_figure, number, require_shape
from pneumoscope.report.axes import unit_square
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, VERMILLION, style
from pneumoscope.stats.roc import roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.curves import RocBand

_ROC_COLUMNS: tuple[str, ...] = ("threshold", "false_positive_rate", "sensitivity")


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """What was concluded about the images of each class.

    Attributes:
        matrix: Images, ``[K, K]``: rows are the truth, columns the conclusion.
        classes: Names of the K classes.
    """

    matrix: Integers
    classes: tuple[str, ...]

    CAPTION: ClassVar[str] = (
        "Each row holds the images of one true class and adds up to 100%. Right conclusions lie "
        "on the diagonal (blue), wrong ones beside it (orange)."
    )

    def __post_init__(self) -> None:
        require_shape("matrix", self.matrix, (len(self.classes), len(self.classes)))

    @classmethod
    def from_labels(
        cls, truth: npt.ArrayLike, conclusion: npt.ArrayLike, *, classes: tuple[str, ...]
    ) -> Self:
        """Count pairs of class indices.

        >>> ConfusionMatrix.from_labels([0, 1, 1], [0, 1, 0], classes=("A", "B")).matrix.tolist()
        [[1, 0], [1, 1]]
        """
        rows, columns = np.asarray(truth, dtype=np.int64), np.asarray(conclusion, dtype=np.int64)
        require_shape("conclusion", columns, rows.shape)
        for name, indices in (("truth", rows), ("conclusion", columns)):
            if indices.size and not 0 <= indices.min() <= indices.max() < len(classes):
                wrong = sorted(set(indices.tolist()) - set(range(len(classes))))
                raise OptionError(name, must=f"class indices below {len(classes)}", was=wrong)
        matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(matrix, (rows, columns), 1)
        return cls(matrix, classes)

    def _shares(self) -> Floats:
        totals = self.matrix.sum(axis=1, keepdims=True).astype(np.float64)
        shares: Floats = np.full(self.matrix.shape, np.nan)
        np.divide(self.matrix, totals, out=shares, where=totals > 0)
        return shares

    def rows(self) -> Table:
        """Return one row a cell: the count, and its share of the true class."""
        shares = self._shares()
        body = tuple(
            (truth, conclusion, str(int(self.matrix[t, c])), number(shares[t, c]))
            for t, truth in enumerate(self.classes)
            for c, conclusion in enumerate(self.classes)
        )
        return ("truth", "conclusion", "images", "share_of_truth"), body

    def summary(self) -> str:
        """Return the matrix as a sentence."""
        return "; ".join(
            f"{truth}: "
            + ", ".join(f"{n:,} called {c}" for n, c in zip(row, self.classes, strict=True))
            for truth, row in zip(self.classes, self.matrix, strict=True)
        )

    def draw(self) -> Figure:
        """Draw the matrix, the count and the row's share in each cell."""
        from matplotlib.patches import Rectangle  # noqa: PLC0415 - matplotlib is loaded to draw

        n, shares = len(self.classes), self._shares()
        with style():
            figure = new_figure(min(NARROW_IN, 1.7 + 1.3 * n), 0.8 + (1.7 if n == 2 else 0.95) * n)
            axes = figure.subplots()
            for t, c in np.ndindex(n, n):
                share = shares[t, c]
                known = bool(np.isfinite(share))
                # Never opaque: the number in the cell is in the page's ink, dark or light.
                tint = 0.05 + 0.38 * float(share) if known else 0.0
                face = BLUE if t == c else VERMILLION
                corner = (c - 0.48, t - 0.48)
                axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=face, alpha=tint))
                count = f"{int(self.matrix[t, c]):,}"
                axes.text(c, t - 0.04, count, ha="center", va="bottom", size=15, weight="bold")
                part = f"{share:.1%}" if known else "no images"
                axes.text(c, t + 0.1, part, ha="center", va="top", size=9.5)
            axes.set_xlim(-0.5, n - 0.5)
            axes.set_ylim(n - 0.5, -0.5)
            axes.set_xticks(range(n), self.classes)
            names = zip(self.classes, self.matrix.sum(axis=1), strict=True)
            axes.set_yticks(range(n), [f"{name}\n{total:,}" for name, total in names])
            axes.xaxis.tick_top()
            axes.tick_params(length=0, labelcolor=INK)
            axes.spines[:].set_visible(False)
            axes.set_title("Conclusion", loc="center", pad=6, color=MUTED, weight="normal", size=10)
            axes.annotate(
                "Truth", (0, 1), xytext=(-8, 6), xycoords="axes fraction", ha="right",
                textcoords="offset points", color=MUTED,
            )  # fmt: skip
            return figure


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
        band: Pointwise interval of the sensitivity: false positive rates, lower and upper edge,
            ``[G]`` each; None if there is none.
        auc_range: The interval of the area, in words.
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats
    auc: float
    operating_point: tuple[float, float] | None = None
    threshold: float | None = None
    band: tuple[Floats, Floats, Floats] | None = None
    auc_range: str = ""

    CAPTION: ClassVar[str] = (
        "Each point is a threshold on the probability. A reader that guesses lies on the dotted "
        "diagonal (AUC 0.5), a perfect one passes through the upper left corner (AUC 1). The AUC "
        "is the chance that a random positive image gets a higher probability than a random "
        "negative one. The band, where there is one, holds {level} of resamples of the patients, "
        "at each false alarm rate by itself."
    )

    def __post_init__(self) -> None:
        require_shape("tpr", self.tpr, self.fpr.shape)
        require_shape("thresholds", self.thresholds, self.fpr.shape)
        if self.band is not None:
            for edge in self.band:
                require_shape("band", edge, self.band[0].shape)

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
        """Compute the curve; images of equal probability are one step, so order decides nothing.

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
        curve = roc(truth, scores)
        positive = truth == 1
        positives, negatives = int(positive.sum()), int((~positive).sum())
        if curve is None:
            raise DataError(
                f"A ROC curve needs both classes, but of {truth.size} images {positives} are "
                f"positive and {negatives} negative. Evaluate on a split that holds both."
            )
        point = None
        if threshold is not None:
            called = scores >= threshold
            point = (
                int((called & ~positive).sum()) / negatives,
                int((called & positive).sum()) / positives,
            )
        return cls(
            fpr=curve.false_positive_rate,
            tpr=curve.sensitivity,
            thresholds=curve.thresholds,
            auc=curve.area,
            operating_point=point,
            threshold=threshold,
            band=_known_band(band),
            auc_range=auc_range,
        )

    def rows(self) -> Table:
        """Return one row a threshold, from the strictest on."""
        columns, names = [self.thresholds, self.fpr, self.tpr], _ROC_COLUMNS
        if self.band is not None:
            # The band is a step function: a rate has the edges of the last grid point up to it.
            rates, low, high = self.band
            place = np.searchsorted(rates, self.fpr + 1e-9, side="right") - 1
            inside = np.maximum(place, 0)
            columns += [np.where(place < 0, np.nan, edge[inside]) for edge in (low, high)]
            names = (*names, "low", "high")
        body = tuple(tuple(number(value) for value in row) for row in zip(*columns, strict=True))
        return names, body

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

    def draw(self) -> Figure:
        """Draw the curve in its square, with the diagonal of guessing and the operating point."""
        with style():
            figure = new_figure(4.6, 4.5)
            axes = figure.subplots()
            # A straight run is two points: a curve of 100,000 images must not weigh on the page.
            keep = _corners(self.fpr, self.tpr)
            fpr, tpr = self.fpr[keep], self.tpr[keep]
            axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
            if self.band is None:
                axes.fill_between(fpr, tpr, color=BLUE, alpha=0.07, linewidth=0)
            else:
                axes.fill_between(*self.band, step="post", color=BLUE, alpha=0.16, linewidth=0)
            axes.plot(fpr, tpr, color=BLUE, linewidth=2.2, clip_on=False, zorder=3)
            lift = 0.05 if self.auc_range else 0.0
            axes.text(0.96, 0.06 + lift, f"AUC {self.auc:.3f}", ha="right", size=15, weight="bold")
            if self.auc_range:
                axes.text(0.96, 0.045, self.auc_range, ha="right", color=MUTED, size=9.5)
            if self.operating_point is not None:
                self._draw_point(axes, *self.operating_point)
            unit_square(axes, x="1 - specificity", y="Sensitivity")
            return figure

    def _draw_point(self, axes: Axes, fpr: float, tpr: float) -> None:
        """Mark the operating point, with its numbers below the curve, where there is room."""
        axes.plot(fpr, tpr, "o", ms=9, mfc=VERMILLION, mec=INK, mew=1, clip_on=False, zorder=4)
        aside = 0.04 if fpr < 0.55 else -0.04
        axes.text(
            fpr + aside, max(tpr - 0.05, 0.34), self._at_point("\n").strip(), va="top",
            ha="left" if aside > 0 else "right", linespacing=1.45,
        )  # fmt: skip


def _known_band(band: RocBand | None) -> tuple[Floats, Floats, Floats] | None:
    """Return the part of a band that is defined; None if no part is."""
    if band is None:
        return None
    there = np.isfinite(band.low) & np.isfinite(band.high)
    if there.sum() < 2:
        return None
    return band.false_positive_rate[there], band.low[there], band.high[there]


def _corners(x: Floats, y: Floats) -> npt.NDArray[np.intp]:
    """Return where a line turns, and its two ends."""
    dx, dy = np.diff(x), np.diff(y)
    turns = np.abs(dx[:-1] * dy[1:] - dy[:-1] * dx[1:]) > 1e-15
    return np.concatenate(([0], np.flatnonzero(turns) + 1, [x.size - 1]))
