"""Figures of the conclusions: confusion matrix and probabilities by class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import UNIT_TICKS, label_axes, new_figure, note
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, RULE, VERMILLION, style
from pneumoscope.report.tables import (
    Floats,
    Integers,
    Table,
    columns_of,
    require_shape,
    table_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 40


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """The numbers of conclusions by true class.

    Attributes:
        matrix: Images, ``[K, K]``: rows are the truth, columns the conclusion.
        classes: Names of the K classes.
    """

    matrix: Integers
    classes: tuple[str, ...]

    CAPTION: ClassVar[str] = (
        "Each row holds the images of one true class and adds up to 100%. Correct conclusions "
        "are on the diagonal (blue), wrong ones beside it (orange)."
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
        """Return the share of each cell in its row; NaN for empty rows."""
        totals = self.matrix.sum(axis=1, keepdims=True).astype(np.float64)
        shares: Floats = np.full(self.matrix.shape, np.nan)
        np.divide(self.matrix, totals, out=shares, where=totals > 0)
        return shares

    def rows(self) -> Table:
        """Return one row a cell: the count, and its share of the true class."""
        shares = self._shares()
        return table_of(
            ("truth", "conclusion", "images", "share_of_truth"),
            (
                (self.classes[t], self.classes[c], self.matrix[t, c], shares[t, c])
                for t, c in np.ndindex(self.matrix.shape)
            ),
        )

    def summary(self) -> str:
        """Return the matrix as a sentence."""
        return "; ".join(
            f"{truth}: "
            + ", ".join(f"{n:,} classified as {c}" for n, c in zip(row, self.classes, strict=True))
            for truth, row in zip(self.classes, self.matrix, strict=True)
        )

    @style()
    def draw(self) -> Figure:
        """Draw the matrix, the count and the row's share in each cell."""
        n, shares = len(self.classes), self._shares()
        figure = new_figure(min(NARROW_IN, 1.7 + 1.3 * n), 0.8 + (1.7 if n == 2 else 0.95) * n)
        axes = figure.subplots()
        for t, c in np.ndindex(n, n):
            self._draw_cell(axes, t, c, float(shares[t, c]))
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_ylim(n - 0.5, -0.5)
        axes.set_xticks(range(n), self.classes)
        names = zip(self.classes, self.matrix.sum(axis=1), strict=True)
        axes.set_yticks(range(n), [f"{name}\n{total:,}" for name, total in names])
        axes.xaxis.tick_top()
        axes.tick_params(labelcolor=INK)
        axes.spines[:].set_visible(False)
        axes.set_title("Conclusion", loc="center", pad=6, color=MUTED, weight="normal", size=10)
        note(axes, "Truth", up=6, ha="right", size=10)
        return figure

    def _draw_cell(self, axes: Axes, t: int, c: int, share: float) -> None:
        from matplotlib.patches import Rectangle  # noqa: PLC0415 - matplotlib is loaded to draw

        known = math.isfinite(share)
        # Never opaque: the number in the cell is in the page's ink, dark or light.
        tint = 0.05 + 0.38 * share if known else 0.0
        face = BLUE if t == c else VERMILLION
        corner = (c - 0.48, t - 0.48)
        axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=face, alpha=tint))
        count = f"{int(self.matrix[t, c]):,}"
        axes.text(c, t - 0.04, count, ha="center", va="bottom", size=15, weight="bold")
        part = f"{share:.1%}" if known else "no images"
        axes.text(c, t + 0.1, part, ha="center", va="top", size=9.5)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreDistributions:
    """The distribution of probabilities by true class.

    Attributes:
        edges: Of the bins, ``[B + 1]``, from 0 to 1.
        counts: Images of (negative, positive) in each bin, ``[2, B]``.
        classes: (negative, positive).
        threshold: From here on an image is called positive.
        zone: Between these probabilities an image is set aside as uncertain; None if there is
            no such zone.
    """

    edges: Floats
    counts: Integers
    classes: tuple[str, str]
    threshold: float
    zone: tuple[float, float] | None = None

    CAPTION: ClassVar[str] = (
        "Distribution of the probability for each class, on a square-root scale so that single "
        "images remain visible. Images right of the line are classified as positive: those "
        "below the axis are true positives, those above it false positives. In the grey zone, "
        "if any, the conclusion is UNCERTAIN."
    )

    def __post_init__(self) -> None:
        require_shape("counts", self.counts, (2, self.edges.size - 1))

    @classmethod
    def from_scores(
        cls,
        labels: npt.ArrayLike,
        probabilities: npt.ArrayLike,
        *,
        classes: tuple[str, str],
        threshold: float,
        zone: tuple[float, float] | None = None,
    ) -> Self:
        """Count probabilities in 40 bins by class.

        >>> found = ScoreDistributions.from_scores(
        ...     [0, 1], [0.1, 0.9], classes=("A", "B"), threshold=0.5
        ... )
        >>> found.counts.sum(axis=1).tolist()
        [1, 1]
        """
        truth, said = np.asarray(labels), np.asarray(probabilities, np.float64)
        require_shape("probabilities", said, truth.shape)
        edges = np.linspace(0, 1, _BINS + 1)
        counts = [np.histogram(said[truth == label], edges)[0] for label in (0, 1)]
        return cls(edges, np.array(counts, np.int64), classes, threshold, zone)

    def rows(self) -> Table:
        """Return one row a bin."""
        return columns_of(
            ("from", "to", *self.classes), self.edges[:-1], self.edges[1:], *self.counts
        )

    def summary(self) -> str:
        """Return the totals and the threshold as a sentence."""
        negative, positive = (int(count) for count in self.counts.sum(axis=1))
        text = (
            f"Probabilities of {negative:,} {self.classes[0]} and {positive:,} {self.classes[1]} "
            f"images, threshold {self.threshold:.3g}"
        )
        if self.zone is not None:
            text += f", uncertain from {self.zone[0]:.3g} to {self.zone[1]:.3g}"
        return text

    @style()
    def draw(self) -> Figure:
        """Draw one class upwards, the other downwards, on a scale of square roots."""
        figure = new_figure(NARROW_IN, 3.4)
        axes = figure.subplots()
        heights = np.sqrt(self.counts)
        up, down = (max(1.0, float(side.max(initial=0))) for side in heights)
        room = 0.11 * (up + down)  # for the name of the class
        centres, width = (self.edges[:-1] + self.edges[1:]) / 2, float(np.diff(self.edges)[0])
        if self.zone is not None:
            axes.axvspan(*self.zone, color=MUTED, alpha=0.16, linewidth=0)
        right = self.threshold < 0.6  # the names stand away from the line
        for sign, name, colour, height in zip(
            (1, -1), self.classes, (BLUE, VERMILLION), heights, strict=True
        ):
            axes.bar(centres, sign * height, width=0.86 * width, color=colour)
            axes.text(
                0.985 if right else 0.015, 0.985 if sign > 0 else 0.015, name,
                va="top" if sign > 0 else "bottom", ha="right" if right else "left",
                color=colour, weight="bold", transform=axes.transAxes,
            )  # fmt: skip
        axes.axhline(0, color=RULE, linewidth=0.8)
        axes.axvline(self.threshold, color=INK, linewidth=1)
        ticks = _root_ticks(max(up, down))
        shown = [-n for n in ticks[:0:-1] if n <= 1.1 * down**2]
        shown += [n for n in ticks if n <= 1.1 * up**2]
        axes.set_yticks(np.sign(shown) * np.sqrt(np.abs(shown)), [f"{abs(n):,}" for n in shown])
        axes.set_ylim(-down - room, up + room)
        axes.set_xlim(0, 1)
        axes.set_xticks(UNIT_TICKS)
        label_axes(axes, x="Predicted probability", y="Images", grid=False)
        return figure


def _root_ticks(most: float) -> list[int]:
    """Return 0 and up to three round counts for a square root axis up to ``most``.

    >>> _root_ticks(21)
    [0, 20, 100, 200]
    """
    round_counts = [m * 10**e for e in range(8) for m in (1, 2, 5)]
    wanted = [most**2 * share for share in (1 / 16, 1 / 4, 1.1)]
    found = {max((n for n in round_counts if n <= end), default=0) for end in wanted}
    return sorted({0, *found})
