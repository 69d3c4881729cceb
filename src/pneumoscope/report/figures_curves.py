"""How a reader fares at every threshold: precision, calibration, usefulness, and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Floats, Integers, Table, new_figure, number, require_shape
from pneumoscope.report.style import (
    BLUE,
    INK,
    MUTED,
    NARROW_IN,
    RULE,
    VERMILLION,
    style,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.curves import DecisionCurve, PrecisionRecallBand, Reliability

_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)
_SQUARE_IN = (4.6, 4.5)
_BINS = 40


def _unit_square(axes: Axes, *, x: str, y: str) -> None:
    """Give axes from 0 to 1 both ways, the name of y above them, where it is read first."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xticks(_TICKS)
    axes.set_yticks(_TICKS)
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_color(RULE)
    axes.set_xlabel(x)
    axes.set_title(y, color=MUTED, weight="normal", size=10)


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
        "holds 95% of resamples of the patients, at each recall by itself."
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
        """Take what ``assess`` computed."""
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
            _unit_square(axes, x="Recall (sensitivity)", y="Precision (PPV)")
            return figure


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityDiagram:
    """What was said against what was observed, in bins of equal mass.

    Attributes:
        n: Images of each bin, ``[B]``.
        probability: Mean probability of each bin, ``[B]``.
        observed: Share of positive images of each bin, ``[B]``.
        low: Lower end of its interval, ``[B]``.
        high: Upper end, ``[B]``.
        ece: The calibration error with its interval, in words; empty if it is not known.
    """

    n: Floats
    probability: Floats
    observed: Floats
    low: Floats
    high: Floats
    ece: str = ""

    CAPTION: ClassVar[str] = (
        "Images in order of their probability, in bins of equally many; the bars below say how "
        "many. A point on the dotted diagonal means that the reader says what happens. Above it, "
        "more images are positive than it says; below, fewer. Vertical lines are 95% intervals: "
        "one that crosses the diagonal shows no fault."
    )

    def __post_init__(self) -> None:
        if self.n.ndim != 1 or self.n.size == 0:
            raise OptionError("n", must="[B], at least one bin", was=self.n.shape)
        for name in ("probability", "observed", "low", "high"):
            require_shape(name, getattr(self, name), self.n.shape)

    @classmethod
    def from_bins(cls, found: Reliability, *, ece: str = "") -> Self:
        """Take what ``assess`` computed."""
        return cls(found.n, found.probability, found.observed, found.low, found.high, ece)

    def rows(self) -> Table:
        """Return one row a bin."""
        columns = (self.n, self.probability, self.observed, self.low, self.high)
        body = tuple(tuple(number(value) for value in row) for row in zip(*columns, strict=True))
        return ("images", "mean_probability", "share_positive", "low", "high"), body

    def summary(self) -> str:
        """Return how many bins agree with what they say as a sentence."""
        agree = int(((self.low <= self.probability) & (self.probability <= self.high)).sum())
        text = (
            f"{self.n.size} bins of {int(self.n.min())} to {int(self.n.max())} images; in {agree} "
            "of them the observed share agrees with the probability"
        )
        return f"{text}; calibration error {self.ece}" if self.ece else text

    def draw(self) -> Figure:
        """Draw the bins in their square, and their counts below it."""
        with style():
            figure = new_figure(4.6, 5.3, gap=0.04)
            upper, lower = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
            upper.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
            upper.plot(self.probability, self.observed, color=BLUE, linewidth=1, alpha=0.5)
            upper.vlines(self.probability, self.low, self.high, color=BLUE, linewidth=1.4)
            upper.plot(
                self.probability, self.observed, "o", ms=6, color=BLUE, clip_on=False, zorder=3
            )
            _unit_square(upper, x="", y="Share of images that are positive")
            upper.set_aspect("auto")
            if self.ece:
                upper.annotate(
                    f"Calibration error {self.ece}", (0, 1), xytext=(0, 24), weight="bold",
                    size=11.5, xycoords="axes fraction", textcoords="offset points",
                )  # fmt: skip
            lower.vlines(self.probability, 0, self.n, color=BLUE, linewidth=4)
            lower.set_ylim(0, float(self.n.max()) * 1.15)
            lower.set_yticks([int(self.n.max())])
            lower.tick_params(length=0, pad=6)
            lower.set_xlabel("Probability that the reader gives")
            lower.set_title("Images", color=MUTED, weight="normal", size=10)
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
        """Take what ``assess`` computed."""
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
            axes.set_xticks(_TICKS)
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


@dataclass(frozen=True, slots=True, eq=False)
class ScoreDistributions:
    """The probabilities that images of each class got.

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
        "How many images of each class got which probability, on a scale of square roots, so that "
        "single images remain visible. Right of the line an image is called positive: what stands "
        "below the axis there is a found patient, what stands above it a false alarm. In the grey "
        "zone, where there is one, the reader says that it is uncertain."
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
        """Count probabilities in 40 bins, class by class.

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
        body = tuple(
            (number(low), number(high), str(int(negative)), str(int(positive)))
            for low, high, negative, positive in zip(
                self.edges[:-1], self.edges[1:], *self.counts, strict=True
            )
        )
        return ("from", "to", *self.classes), body

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

    def draw(self) -> Figure:
        """Draw one class upwards, the other downwards, on a scale of square roots."""
        with style():
            figure = new_figure(NARROW_IN, 3.4)
            axes = figure.subplots()
            heights = np.sqrt(self.counts)
            up, down = (max(1.0, float(side.max(initial=0))) for side in heights)
            room = 0.11 * (up + down)  # for the name of the class
            centres, width = (self.edges[:-1] + self.edges[1:]) / 2, float(np.diff(self.edges)[0])
            if self.zone is not None:
                axes.axvspan(*self.zone, color=MUTED, alpha=0.16, linewidth=0)
            for sign, colour, height in zip((1, -1), (BLUE, VERMILLION), heights, strict=True):
                axes.bar(centres, sign * height, width=0.86 * width, color=colour)
            axes.axhline(0, color=RULE, linewidth=0.8)
            axes.axvline(self.threshold, color=INK, linewidth=1)
            ticks = _root_ticks(max(up, down))
            shown = [-n for n in ticks[:0:-1] if n <= 1.1 * down**2]
            shown += [n for n in ticks if n <= 1.1 * up**2]
            axes.set_yticks(np.sign(shown) * np.sqrt(np.abs(shown)))
            axes.set_yticklabels([f"{abs(n):,}" for n in shown])
            axes.set_ylim(-down - room, up + room)
            axes.set_xlim(0, 1)
            axes.set_xticks(_TICKS)
            axes.tick_params(length=0, pad=6)
            for y, va, name, colour in (
                (0.985, "top", self.classes[0], BLUE),
                (0.015, "bottom", self.classes[1], VERMILLION),
            ):
                right = self.threshold < 0.6  # away from the line
                axes.text(
                    0.985 if right else 0.015, y, name, va=va, ha="right" if right else "left",
                    color=colour, weight="bold", transform=axes.transAxes,
                )  # fmt: skip
            axes.set_xlabel("Probability that the reader gives")
            axes.set_title("Images", color=MUTED, weight="normal", size=10)
            return figure


def _root_ticks(most: float) -> list[int]:
    """Return up to three round counts and 0 for an axis of square roots that ends at ``most``.

    >>> _root_ticks(21)
    [0, 20, 100, 200]
    """
    round_counts = [m * 10**e for e in range(8) for m in (1, 2, 5)]
    wanted = [most**2 * share for share in (1 / 16, 1 / 4, 1.1)]
    found = {max((n for n in round_counts if n <= end), default=0) for end in wanted}
    return sorted({0, *found})
