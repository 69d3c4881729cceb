"""The probabilities that a reader gives: what each is worth, and which class gets which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Floats, Integers, Table, new_figure, number, require_shape
from pneumoscope.report.axes import UNIT_TICKS, unit_square
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
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.curves import Reliability

_SQUARE_IN = (4.6, 4.5)
_BINS = 40


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
        "more images are positive than it says; below, fewer. Vertical lines are {level} "
        "intervals: one that crosses the diagonal shows no fault."
    )

    def __post_init__(self) -> None:
        if self.n.ndim != 1 or self.n.size == 0:
            raise OptionError("n", must="[B], at least one bin", was=self.n.shape)
        for name in ("probability", "observed", "low", "high"):
            require_shape(name, getattr(self, name), self.n.shape)

    @classmethod
    def from_bins(cls, found: Reliability, *, ece: str = "") -> Self:
        """Take what ``evaluate`` computed."""
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
            unit_square(upper, x="", y="Share of images that are positive")
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
            axes.set_xticks(UNIT_TICKS)
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
