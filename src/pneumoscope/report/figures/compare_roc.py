"""The ROC curves of several readers in one square."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Floats, Table, new_figure, number, require_shape
from pneumoscope.report.axes import unit_square
from pneumoscope.report.figures.compare import short_names
from pneumoscope.report.style import MUTED, PALETTE, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.compare import Comparison

_LINES = ("-", "--", "-.", ":")  # told apart without colour, too
_BANDS = 2  # of more readers, bands hide each other


@dataclass(frozen=True, slots=True, eq=False)
class RocCurves:
    """Sensitivity against 1 - specificity of several readers on the same images.

    Attributes:
        names: The readers, [R].
        rates: False positive rates, [G], the same for all.
        sensitivity: Of each reader the highest sensitivity at each rate, [R, G].
        low: Lower edge of its pointwise interval, [R, G]; NaN where there is none.
        high: Upper edge.
        areas: Of each reader the area under its curve, [R]; NaN where it is not defined.
        points: Of each reader (false positive rate, sensitivity) at its own threshold, [R].
    """

    names: tuple[str, ...]
    rates: Floats
    sensitivity: Floats
    low: Floats
    high: Floats
    areas: tuple[float, ...]
    points: tuple[tuple[float, float], ...]

    CAPTION: ClassVar[str] = (
        "A line a reader, on the same images; the mark on it is its own threshold. Readers whose "
        "curves cross are better at different things: look at the false alarm rate that you would "
        "accept. Whether two curves lie apart by more than chance, the test of their areas says, "
        "which compares them image by image; bands that overlap do not."
    )

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.rates))
        for name in ("sensitivity", "low", "high"):
            require_shape(name, getattr(self, name), shape)
        if not self.names or not len(self.names) == len(self.areas) == len(self.points):
            raise OptionError("areas and points", must="one a reader", was=len(self.areas))

    @classmethod
    def from_comparison(cls, found: Comparison) -> Self:
        """Take what ``compare`` gave."""
        curves = [found.roc[name] for name in found.names]
        numbers = [found.numbers[name] for name in found.names]

        def value(of: float | None) -> float:
            return math.nan if of is None else of

        return cls(
            short_names(found.names),
            curves[0].false_positive_rate,
            np.stack([curve.sensitivity for curve in curves]),
            np.stack([curve.low for curve in curves]),
            np.stack([curve.high for curve in curves]),
            tuple(value(own["auc"].value) for own in numbers),
            tuple(
                (1 - value(own["specificity"].value), value(own["sensitivity"].value))
                for own in numbers
            ),
        )

    def rows(self) -> Table:
        """Return one row a reader and rate."""
        body = tuple(
            (name, *(number(value) for value in row))
            for name, *columns in zip(
                self.names, self.sensitivity, self.low, self.high, strict=True
            )
            for row in zip(self.rates, *columns, strict=True)
        )
        return ("reader", "false_positive_rate", "sensitivity", "low", "high"), body

    def summary(self) -> str:
        """Return the areas as a sentence."""
        return "ROC curves; " + "; ".join(
            f"{name}: AUC {area:.3f}" if math.isfinite(area) else f"{name}: AUC not defined"
            for name, area in zip(self.names, self.areas, strict=True)
        )

    def draw(self) -> Figure:
        """Draw all curves in one square, with the diagonal of guessing."""
        with style():
            figure = new_figure(4.6, 4.5 + 0.24 * len(self.names))
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
            for place, (name, area) in enumerate(zip(self.names, self.areas, strict=True)):
                color = PALETTE[place % len(PALETTE)]
                line = _LINES[(place + place // len(PALETTE)) % len(_LINES)]
                there = np.isfinite(self.low[place]) & np.isfinite(self.high[place])
                if len(self.names) <= _BANDS and there.sum() > 1:
                    axes.fill_between(
                        self.rates[there], self.low[place][there], self.high[place][there],
                        step="post", color=color, alpha=0.12, linewidth=0,
                    )  # fmt: skip
                text = f"{name}: AUC {area:.3f}" if math.isfinite(area) else f"{name}: no AUC"
                axes.step(
                    self.rates, self.sensitivity[place], line, where="post", color=color,
                    linewidth=2, clip_on=False, zorder=3, label=text,
                )  # fmt: skip
                axes.plot(
                    *self.points[place], "o", ms=7, mfc=color, mec="white", mew=1, clip_on=False,
                    zorder=4,
                )  # fmt: skip
            unit_square(axes, x="1 - specificity", y="Sensitivity")
            figure.legend(loc="outside lower center", ncols=1, frameon=False, handlelength=3)
            return figure
