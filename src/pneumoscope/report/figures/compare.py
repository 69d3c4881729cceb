"""Readers beside each other: how they differ, and how runs of one recipe scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report._shared import Floats, Table, new_figure, number
from pneumoscope.report.figures.groups import Point, point_of
from pneumoscope.report.style import BLUE, GREEN, INK, MUTED, NARROW_IN, VERMILLION, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.compare import Comparison

NUMBERS = (
    ("auc", "AUC"),
    ("accuracy", "Accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
)
"""What figures of several readers show, with its name."""


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without the folders that all of them share.

    >>> short_names(["runs/a", "runs/b"])
    ('a', 'b')
    """
    parts = [PurePath(name).parts or (name,) for name in names]
    shared = 0
    while len(parts) > 1 and all(
        len(own) > shared + 1 and own[shared] == parts[0][shared] for own in parts
    ):
        shared += 1
    return tuple("/".join(own[shared:]) for own in parts)


@dataclass(frozen=True, slots=True, eq=False)
class DifferenceForest:
    """Differences between readers on the same images, with intervals.

    Attributes:
        pairs: (first, second) of each pair.
        points: For each pair the difference, first less second, of each of ``NUMBERS``.
    """

    pairs: tuple[tuple[str, str], ...]
    points: tuple[tuple[Point, ...], ...]

    CAPTION: ClassVar[str] = (
        "First reader less the second, on the same images, with {level} intervals. Where an "
        "interval crosses the line in the middle, the images do not tell which of the two is "
        "better; that is not proof that they are equal."
    )

    def __post_init__(self) -> None:
        if not self.pairs or len(self.pairs) != len(self.points):
            raise OptionError("points", must="one row a pair, at least one", was=len(self.points))

    @classmethod
    def from_comparison(cls, found: Comparison) -> Self:
        """Take what ``compare`` gave."""
        short = dict(zip(found.names, short_names(found.names), strict=True))
        return cls(
            tuple((short[pair.first], short[pair.second]) for pair in found.pairs),
            tuple(
                tuple(point_of(pair.differences[key]) for key, _ in NUMBERS) for pair in found.pairs
            ),
        )

    def rows(self) -> Table:
        """Return one row a pair and number."""
        body = tuple(
            (first, second, key, *(number(value) for value in point))
            for (first, second), points in zip(self.pairs, self.points, strict=True)
            for (key, _), point in zip(NUMBERS, points, strict=True)
        )
        return ("first", "second", "number", "difference", "low", "high"), body

    def summary(self) -> str:
        """Return the differences in area as a sentence."""
        return "; ".join(
            f"{first} less {second}: AUC {points[0][0]:+.3f}"
            if math.isfinite(points[0][0])
            else f"{first} less {second}: AUC not defined"
            for (first, second), points in zip(self.pairs, self.points, strict=True)
        )

    def draw(self) -> Figure:
        """Draw a row a pair and number around zero."""
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

        lines = 5 * len(self.pairs)
        ends = [v for points in self.points for point in points for v in point if math.isfinite(v)]
        reach = max([0.02, *map(abs, ends)]) * 1.12
        with style():
            figure = new_figure(NARROW_IN, 0.27 * lines + 0.7)
            axes = figure.subplots()
            axes.axvline(0, color=INK, linewidth=1)
            ticks: list[tuple[float, str, bool]] = []
            for p, ((first, second), points) in enumerate(
                zip(self.pairs, self.points, strict=True)
            ):
                ticks.append((5 * p, f"{first} less {second}", True))
                for k, ((_, name), (value, low, high)) in enumerate(
                    zip(NUMBERS, points, strict=True), 1
                ):
                    y = 5 * p + k
                    ticks.append((y, name, False))
                    if math.isfinite(value):
                        apart = low > 0 or high < 0
                        colour = VERMILLION if apart else BLUE
                        axes.plot([low, high], [y, y], color=colour, linewidth=1.8)
                        axes.plot(value, y, "s" if apart else "o", ms=6, color=colour)
            axes.set_xlim(-reach, reach)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.set_ylim(lines - 0.4, -0.6)
            axes.set_yticks([y for y, _, _ in ticks], [text for _, text, _ in ticks])
            for label, (_, _, heading) in zip(axes.get_yticklabels(), ticks, strict=True):
                label.set(color=INK, weight="bold" if heading else "normal", size=9)
            axes.tick_params(length=0, pad=5)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x")
            axes.set_xlabel("second is better  ←  difference  →  first is better")
            return figure


@dataclass(frozen=True, slots=True, eq=False)
class SeedDots:
    """What each of several readers achieves, and how runs of one recipe scatter.

    Attributes:
        names: The readers.
        values: Of each reader each of ``NUMBERS``; NaN where it is not defined.
        group: For each reader the number of the recipe that it shares with others, -1 for none.
        known: A range of accuracies from run to run that is known from elsewhere, with its
            source; None if there is none.
        kept: The number of the reader that was kept of them, drawn hollow; None if none was.
    """

    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    group: tuple[int, ...]
    known: tuple[float, float, str] | None = None
    kept: int | None = None

    CAPTION: ClassVar[str] = (
        "A dot a reader. Where readers are runs of one recipe that differ in the seed alone, the "
        "cross is their mean and the bar one standard deviation to either side. A difference "
        "between two recipes that is smaller than such a bar may be the seed's."
    )

    def __post_init__(self) -> None:
        if not self.names or not len(self.names) == len(self.values) == len(self.group):
            raise OptionError("values and group", must="one row a reader", was=len(self.values))

    @classmethod
    def from_comparison(
        cls, found: Comparison, *, known: tuple[float, float, str] | None = None
    ) -> Self:
        """Take what ``compare`` gave."""
        belongs = {name: g for g, group in enumerate(found.seeds) for name in group.members}
        return cls(
            short_names(found.names),
            tuple(
                tuple(point_of(found.numbers[name][key])[0] for key, _ in NUMBERS)
                for name in found.names
            ),
            tuple(belongs.get(name, -1) for name in found.names),
            known,
        )

    def rows(self) -> Table:
        """Return one row a reader."""
        body = tuple(
            (name, str(group) if group >= 0 else "", *(number(value) for value in values))
            for name, group, values in zip(self.names, self.group, self.values, strict=True)
        )
        return ("reader", "recipe", *(key for key, _ in NUMBERS)), body

    def summary(self) -> str:
        """Return the spread of the accuracies as a sentence."""
        accuracies = np.array([values[1] for values in self.values])
        return (
            f"{len(self.names)} readers; accuracy from {np.nanmin(accuracies):.3f} to "
            f"{np.nanmax(accuracies):.3f}"
        )

    def draw(self) -> Figure:
        """Draw a panel a number, a dot a reader."""
        table = np.array(self.values)
        groups = list(dict.fromkeys(self.group))
        shown = table[np.isfinite(table)]
        least = float(shown.min()) if shown.size else 0.0
        if self.known is not None:
            least = min(least, self.known[0])
        least = max(0.0, math.floor(20 * (least - 0.02)) / 20)
        with style():
            figure = new_figure(NARROW_IN, 5.2, gap=0.05)
            grid = figure.subplots(2, 2, sharey=True).ravel()
            for axes, (k, (key, title)) in zip(grid, enumerate(NUMBERS), strict=True):
                if key == "accuracy" and self.known is not None:
                    low, high, source = self.known
                    axes.axhspan(low, high, color=MUTED, alpha=0.16, linewidth=0)
                    axes.text(
                        -0.55, high, f"{source}: {low:.0%} to {high:.0%}", size=8, color=MUTED,
                        va="bottom",
                    )  # fmt: skip
                for x, group in enumerate(groups):
                    members = [row for row, own in enumerate(self.group) if own == group]
                    kept = [row == self.kept for row in members]
                    self._draw_group(axes, x, table[members, k], alike=group >= 0, kept=kept)
                axes.set_title(title)
                axes.set_xlim(-0.6, len(groups) - 0.4)
                axes.set_ylim(least, 1.005)
                names = ["–" if g < 0 else str(g + 1) for g in groups]  # noqa: RUF001
                axes.set_xticks(range(len(groups)), names if len(groups) > 1 else [""])
                if len(groups) > 1:
                    axes.set_xlabel("recipe", size=9)
                axes.tick_params(length=0, pad=5)
                axes.grid(axis="y")
                axes.spines["left"].set_visible(False)
            return figure

    @staticmethod
    def _draw_group(
        axes: Axes, x: int, values: Floats, *, alike: bool, kept: Sequence[bool]
    ) -> None:
        spread = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
        for place, value, hollow in zip(x + spread, values, kept, strict=True):
            axes.plot(
                place, value, "o", ms=7 if hollow else 6, mec=BLUE, mew=1.6,
                mfc="none" if hollow else BLUE, alpha=1 if hollow else 0.8, clip_on=False,
            )  # fmt: skip
        if alike and len(values) > 1 and np.isfinite(values).all():
            mean, deviation = float(values.mean()), float(values.std(ddof=1))
            ends = [max(0.0, mean - deviation), min(1.0, mean + deviation)]
            axes.plot([x + 0.32] * 2, ends, color=GREEN, clip_on=False)
            axes.plot(x + 0.32, mean, "X", ms=8, color=GREEN, clip_on=False, zorder=3)
