"""How a reader fares at every threshold: its precision, and what acting on it gains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.report._shared import Floats, Table, new_figure, number, require_shape
from pneumoscope.report.axes import UNIT_TICKS, unit_square
from pneumoscope.report.style import (
    BLUE,
    INK,
    MUTED,
    NARROW_IN,
    VERMILLION,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.curves import DecisionCurve, PrecisionRecallBand

_SQUARE_IN = (4.6, 4.5)


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Precision at each recall, with its band.

    Attributes:
        recall: Share of the positive images that are called positive, ``[G]``, rising.
        precision: Share of the called images that are positive, ``[G]``.
        low: Lower edge of the band, ``[G]``; NaN where there is none.
        high: Upper edge, ``[G]``.
        prevalence: Share of positive images, which is what a guesser's precision is.
        average_precision: The area under the steps; None if it is not defined.
        operating_point: ``(recall, precision)`` of the threshold in use; None if nothing is called.
    """

    recall: Floats
    precision: Floats
    low: Floats
    high: Floats
    prevalence: float
    average_precision: float | None = None
    operating_point: tuple[float, float] | None = None

    CAPTION: ClassVar[str] = (
        "Of the images called positive, how many are: at every share of the ill that is found. "
        "A reader that guesses lies on the dotted line, whose height is the share of positive "
        "images in this set; where fewer patients are ill, the whole curve lies lower. The band "
        "holds {level} of resamples of the patients, at each recall by itself."
    )

    def __post_init__(self) -> None:
        for name in ("precision", "low", "high"):
            require_shape(name, getattr(self, name), self.recall.shape)

    @classmethod
    def from_band(
        cls,
        band: PrecisionRecallBand,
        *,
        prevalence: float,
        average_precision: float | None = None,
        operating_point: tuple[float, float] | None = None,
    ) -> Self:
        """Take what ``evaluate`` computed."""
        return cls(
            band.recall, band.precision, band.low, band.high, prevalence, average_precision,
            operating_point,
        )  # fmt: skip

    def rows(self) -> Table:
        """Return one row a recall."""
        columns = (self.recall, self.precision, self.low, self.high)
        body = tuple(tuple(number(value) for value in row) for row in zip(*columns, strict=True))
        return ("recall", "precision", "low", "high"), body

    def summary(self) -> str:
        """Return the area and the operating point as a sentence."""
        text = "Precision-recall curve"
        if self.average_precision is not None:
            text += f", average precision {self.average_precision:.3f}"
        if self.operating_point is not None:
            recall, precision = self.operating_point
            text += f", at the threshold recall {recall:.3f} and precision {precision:.3f}"
        return f"{text}; a guesser has {self.prevalence:.3f}"

    def draw(self) -> Figure:
        """Draw the curve in its square, with its band and the line of guessing."""
        with style():
            figure = new_figure(*_SQUARE_IN)
            axes = figure.subplots()
            axes.axhline(self.prevalence, linestyle=":", color=MUTED, linewidth=1)
            there = np.isfinite(self.low) & np.isfinite(self.high)
            if there.any():
                axes.fill_between(
                    self.recall[there], self.low[there], self.high[there], step="pre",
                    color=BLUE, alpha=0.16, linewidth=0,
                )  # fmt: skip
            axes.step(
                self.recall, self.precision, where="pre", color=BLUE, linewidth=2.2, zorder=3,
                clip_on=False,
            )  # fmt: skip
            if self.average_precision is not None:
                axes.text(
                    0.04, 0.05, f"AP {self.average_precision:.3f}", size=15, weight="bold"
                )  # fmt: skip
            if self.operating_point is not None:
                axes.plot(
                    *self.operating_point, "o", ms=9, mfc=VERMILLION, mec=INK, mew=1,
                    clip_on=False, zorder=4,
                )  # fmt: skip
            unit_square(axes, x="Recall (sensitivity)", y="Precision (PPV)")
            return figure


@dataclass(frozen=True, slots=True, eq=False)
class NetBenefit:
    """Net benefit of acting on the reader, on everybody and on nobody.

    Attributes:
        threshold: Threshold probabilities, ``[T]``, rising.
        net_benefit: Of acting on the reader, ``[T]``.
        low: Lower edge of its band, ``[T]``; NaN where there is none.
        high: Upper edge, ``[T]``.
        treat_all: Of treating everybody, ``[T]``.
        useful: The widest range of thresholds where the reader is above both policies.
        threshold_in_use: Where the reader concludes.
    """

    threshold: Floats
    net_benefit: Floats
    low: Floats
    high: Floats
    treat_all: Floats
    useful: tuple[float, float] | None = None
    threshold_in_use: float | None = None

    CAPTION: ClassVar[str] = (
        "The threshold says how many false alarms one found patient is worth: at 0.2, four; at "
        "0.5, one. The height is the gain in found patients per image, less false alarms at that "
        "price. A reader is of use where its line is above both others: treating all (dashed) "
        "and treating none (zero). The heights hold for the share of positive images in this set."
    )

    def __post_init__(self) -> None:
        for name in ("net_benefit", "low", "high", "treat_all"):
            require_shape(name, getattr(self, name), self.threshold.shape)

    @classmethod
    def from_curve(cls, found: DecisionCurve, *, threshold_in_use: float | None = None) -> Self:
        """Take what ``evaluate`` computed."""
        return cls(
            found.threshold, found.net_benefit, found.low, found.high, found.treat_all,
            found.useful(), threshold_in_use,
        )  # fmt: skip

    def rows(self) -> Table:
        """Return one row a threshold; treating none has 0 everywhere."""
        columns = (self.threshold, self.net_benefit, self.low, self.high, self.treat_all)
        body = tuple((*(number(value) for value in row), "0") for row in zip(*columns, strict=True))
        return ("threshold", "reader", "low", "high", "treat_all", "treat_none"), body

    def summary(self) -> str:
        """Return where the reader is of use as a sentence."""
        if self.useful is None:
            return "Decision curve: at no threshold is the reader above both simple policies"
        low, high = self.useful
        return (
            "Decision curve: the reader is above treating all and treating none at thresholds "
            f"from {low:.2f} to {high:.2f}"
        )

    def draw(self) -> Figure:
        """Draw the three lines over the thresholds."""
        with style():
            figure = new_figure(NARROW_IN, 3.6)
            axes = figure.subplots()
            top = max(float(np.nanmax(self.net_benefit)), float(np.nanmax(self.treat_all)), 0.02)
            floor = -0.25 * top
            there = np.isfinite(self.low) & np.isfinite(self.high)
            if there.any():
                axes.fill_between(
                    self.threshold[there], np.maximum(self.low[there], 2 * floor),
                    np.maximum(self.high[there], 2 * floor), color=BLUE, alpha=0.16, linewidth=0,
                )  # fmt: skip
            lines = [
                *axes.plot(self.threshold, self.net_benefit, color=BLUE, linewidth=2.2, zorder=3),
                *axes.plot(self.threshold, self.treat_all, "--", color=VERMILLION, linewidth=1.8),
                axes.axhline(0, color=MUTED, linewidth=1.2),
            ]
            figure.legend(
                lines, ("this reader", "treat all", "treat none"), loc="outside upper right",
                ncols=3, frameon=False, labelcolor=INK, fontsize=9.5,
            )  # fmt: skip
            axes.set_xlim(0, 1)
            axes.set_ylim(floor, top * 1.16)
            axes.set_xticks(UNIT_TICKS)
            axes.tick_params(length=0, pad=6)
            axes.grid(axis="y")
            if self.threshold_in_use is not None:
                axes.axvline(self.threshold_in_use, ymax=0.9, color=INK, linewidth=0.9)
                axes.annotate(
                    f"in use {self.threshold_in_use:.2f}", (self.threshold_in_use, top * 1.16),
                    xytext=(4 if self.threshold_in_use < 0.75 else -4, -2),
                    textcoords="offset points", size=9, va="top",
                    ha="left" if self.threshold_in_use < 0.75 else "right",
                )  # fmt: skip
            axes.set_xlabel("Threshold probability")
            axes.set_title("Net benefit", color=MUTED, weight="normal", size=10)
            return figure
