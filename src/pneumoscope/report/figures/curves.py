"""Figures over all thresholds: precision, net benefit and calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import (
    SQUARE_IN,
    UNIT_TICKS,
    band,
    label_axes,
    legend,
    mark_point,
    new_figure,
    note,
    unit_square,
)
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, VERMILLION, style
from pneumoscope.report.tables import Table, columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.curves import DecisionCurve, PrecisionRecallBand, Reliability


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Precision at each recall, with its band.

    Attributes:
        curve: What ``evaluate`` computed.
        prevalence: Share of positive images, which is what a guesser's precision is.
        average_precision: The area under the steps; None if it is not defined.
        operating_point: ``(recall, precision)`` of the threshold in use; None if nothing is called.
    """

    curve: PrecisionRecallBand
    prevalence: float
    average_precision: float | None = None
    operating_point: tuple[float, float] | None = None

    CAPTION: ClassVar[str] = (
        "Precision (the share of positive conclusions that are correct) at each recall (the "
        "share of positive images found). The dotted line is chance level, the share of "
        "positive images in this set; with fewer positive images, the whole curve is lower. "
        "The band contains {level} of the resamples of the patients, at each recall separately."
    )

    def rows(self) -> Table:
        """Return one row a recall."""
        curve = self.curve
        return columns_of(
            ("recall", "precision", "low", "high"),
            curve.recall, curve.precision, curve.low, curve.high,
        )  # fmt: skip

    def summary(self) -> str:
        """Return the area and the operating point as a sentence."""
        text = "Precision-recall curve"
        if self.average_precision is not None:
            text += f", average precision {self.average_precision:.3f}"
        if self.operating_point is not None:
            recall, precision = self.operating_point
            text += f", at the threshold recall {recall:.3f} and precision {precision:.3f}"
        return f"{text}; chance level {self.prevalence:.3f}"

    @style()
    def draw(self) -> Figure:
        """Draw the curve in its square, with its band and the line of guessing."""
        figure = new_figure(*SQUARE_IN)
        axes = figure.subplots()
        curve = self.curve
        axes.axhline(self.prevalence, linestyle=":", color=MUTED, linewidth=1)
        band(axes, curve.recall, curve.low, curve.high, step="pre")
        axes.step(
            curve.recall, curve.precision, where="pre", color=BLUE, linewidth=2.2, zorder=3,
            clip_on=False,
        )  # fmt: skip
        if self.average_precision is not None:
            axes.text(0.04, 0.05, f"AP {self.average_precision:.3f}", size=15, weight="bold")
        if self.operating_point is not None:
            mark_point(axes, *self.operating_point)
        unit_square(axes, x="Recall (sensitivity)", y="Precision (PPV)")
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class NetBenefit:
    """Net benefit of using the reader, treating all and treating none.

    Attributes:
        curve: What ``evaluate`` computed.
        threshold_in_use: Where the reader concludes.
    """

    curve: DecisionCurve
    threshold_in_use: float | None = None

    CAPTION: ClassVar[str] = (
        "The threshold expresses how many false positives are acceptable per true positive: "
        "four at 0.2, one at 0.5. The net benefit is the number of true positives per image "
        "minus the false positives weighted accordingly. A reader is useful where its line is "
        "above both others: treating all (dashed) and treating none (zero). The values apply "
        "to the share of positive images in this set."
    )

    def rows(self) -> Table:
        """Return one row a threshold; treating none has 0 everywhere."""
        curve = self.curve
        return columns_of(
            ("threshold", "reader", "low", "high", "treat_all", "treat_none"),
            curve.threshold, curve.net_benefit, curve.low, curve.high, curve.treat_all,
            ["0"] * len(curve.threshold),
        )  # fmt: skip

    def summary(self) -> str:
        """Return where the reader is of use as a sentence."""
        useful = self.curve.useful()
        if useful is None:
            return (
                "Decision curve: the reader is not above both treating all and treating none "
                "at any threshold"
            )
        return (
            "Decision curve: the reader is above treating all and treating none at thresholds "
            f"from {useful[0]:.2f} to {useful[1]:.2f}"
        )

    @style()
    def draw(self) -> Figure:
        """Draw the three lines over the thresholds."""
        figure = new_figure(NARROW_IN, 3.6)
        axes = figure.subplots()
        curve, x = self.curve, self.curve.threshold
        top = max(float(np.nanmax(curve.net_benefit)), float(np.nanmax(curve.treat_all)), 0.02)
        floor = -0.25 * top
        # Far below the axis there is nothing to see, but much that a page would have to carry.
        band(axes, x, np.maximum(curve.low, 2 * floor), np.maximum(curve.high, 2 * floor))
        lines = [
            *axes.plot(
                x, curve.net_benefit, color=BLUE, linewidth=2.2, zorder=3, label="this reader"
            ),
            *axes.plot(x, curve.treat_all, "--", color=VERMILLION, label="treat all"),
            axes.axhline(0, color=MUTED, linewidth=1.2, label="treat none"),
        ]
        legend(figure, lines, columns=3)
        axes.set_xlim(0, 1)
        axes.set_ylim(floor, top * 1.16)
        axes.set_xticks(UNIT_TICKS)
        label_axes(axes, x="Threshold probability", y="Net benefit")
        if self.threshold_in_use is not None:
            left = self.threshold_in_use < 0.75
            axes.axvline(self.threshold_in_use, ymax=0.9, color=INK, linewidth=0.9)
            axes.annotate(
                f"threshold {self.threshold_in_use:.2f}", (self.threshold_in_use, top * 1.16),
                xytext=(4 if left else -4, -2), textcoords="offset points", size=9, va="top",
                ha="left" if left else "right",
            )  # fmt: skip
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityDiagram:
    """Predicted against observed frequencies, in bins of equal mass.

    Attributes:
        bins: What ``evaluate`` computed, one bin at least.
        ece: The calibration error with its interval, in words; empty if it is not known.
    """

    bins: Reliability
    ece: str = ""

    CAPTION: ClassVar[str] = (
        "Images sorted by probability, in bins of equal size; the bars below show the number "
        "of images. Points on the dotted diagonal mean perfect calibration. Above it, more "
        "images are positive than predicted; below it, fewer. Vertical lines are {level} "
        "intervals: one that crosses the diagonal shows no miscalibration."
    )

    def __post_init__(self) -> None:
        if not self.bins.n.size:
            raise OptionError("bins", must="at least one", was=self.bins.n.shape)

    def rows(self) -> Table:
        """Return one row a bin."""
        bins = self.bins
        return columns_of(
            ("images", "mean_probability", "share_positive", "low", "high"),
            bins.n, bins.probability, bins.observed, bins.low, bins.high,
        )  # fmt: skip

    def summary(self) -> str:
        """Return how many bins agree with what they say as a sentence."""
        bins = self.bins
        agree = int(((bins.low <= bins.probability) & (bins.probability <= bins.high)).sum())
        text = (
            f"{bins.n.size} bins of {int(bins.n.min())} to {int(bins.n.max())} images; in {agree} "
            "of them the observed share agrees with the probability"
        )
        return f"{text}; calibration error {self.ece}" if self.ece else text

    @style()
    def draw(self) -> Figure:
        """Draw the bins in their square, and their counts below it."""
        figure = new_figure(SQUARE_IN[0], 5.3, gap=0.04)
        upper, lower = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
        x, observed, most = self.bins.probability, self.bins.observed, int(self.bins.n.max())
        upper.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
        upper.plot(x, observed, color=BLUE, linewidth=1, alpha=0.5)
        upper.vlines(x, self.bins.low, self.bins.high, color=BLUE, linewidth=1.4)
        upper.plot(x, observed, "o", ms=6, color=BLUE, clip_on=False, zorder=3)
        unit_square(upper, x="", y="Share of images that are positive")
        upper.set_aspect("auto")
        if self.ece:
            note(upper, f"Calibration error {self.ece}", up=24, color=INK, weight="bold", size=11.5)
        lower.vlines(x, 0, self.bins.n, color=BLUE, linewidth=4)
        lower.set_ylim(0, most * 1.15)
        lower.set_yticks([most])
        label_axes(lower, x="Predicted probability", y="Images", grid=False)
        return figure
