"""Figures of a comparison: differences between readers, and spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.report.axes import (
    interval,
    label_axes,
    name_rows,
    new_figure,
    point_of,
    whole_numbers,
)
from pneumoscope.report.style import BLUE, GREEN, INK, MUTED, NARROW_IN, VERMILLION, style
from pneumoscope.report.tables import Floats, Table, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.estimate import Estimate

NUMBERS = (
    ("auc", "AUC"),
    ("accuracy", "Accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
)
"""What figures of several readers show, with its name."""


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without their common leading folders.

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
        differences: For each pair the difference, first less second, of each of ``NUMBERS``.
    """

    pairs: tuple[tuple[str, str], ...]
    differences: tuple[tuple[Estimate, ...], ...]

    CAPTION: ClassVar[str] = (
        "First reader minus second reader on the same images, with {level} intervals. If an "
        "interval includes zero, the images do not show which of the two is better; this does "
        "not prove that they are equal."
    )

    def __post_init__(self) -> None:
        if not self.pairs or len(self.pairs) != len(self.differences):
            was = len(self.differences)
            raise OptionError("differences", must="one row per pair, at least one", was=was)

    @classmethod
    def from_comparison(cls, found: Comparison) -> Self:
        """Make the figure from the result of ``compare``."""
        short = dict(zip(found.names, short_names(found.names), strict=True))
        return cls(
            tuple((short[pair.first], short[pair.second]) for pair in found.pairs),
            tuple(tuple(pair.differences[key] for key, _ in NUMBERS) for pair in found.pairs),
        )

    def rows(self) -> Table:
        """Return one row a pair and number."""
        return table_of(
            ("first", "second", "number", "difference", "low", "high"),
            (
                (*pair, key, *point_of(one))
                for pair, differences in zip(self.pairs, self.differences, strict=True)
                for (key, _), one in zip(NUMBERS, differences, strict=True)
            ),
        )

    def summary(self) -> str:
        """Return the differences in area as a sentence."""
        return "; ".join(
            f"{first} minus {second}: AUC "
            + ("not defined" if area.value is None else f"{area.value:+.3f}")
            for (first, second), (area, *_) in zip(self.pairs, self.differences, strict=True)
        )

    @style()
    def draw(self) -> Figure:
        """Draw a row a pair and number around zero."""
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

        step = 1 + len(NUMBERS)
        points = [[point_of(one) for one in row] for row in self.differences]
        ends = [abs(v) for row in points for point in row for v in point if math.isfinite(v)]
        figure = new_figure(NARROW_IN, 0.27 * step * len(points) + 0.7)
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        names: list[str] = []
        for (first, second), row in zip(self.pairs, points, strict=True):
            names.append(f"{first} minus {second}")
            for (_, name), point in zip(NUMBERS, row, strict=True):
                apart = point[1] > 0 or point[2] < 0
                interval(
                    axes, len(names), point, colour=VERMILLION if apart else BLUE,
                    mark="s" if apart else "o",
                )  # fmt: skip
                names.append(name)
        name_rows(axes, names, bold=range(0, len(names), step))
        reach = max([0.02, *ends]) * 1.12
        axes.set_xlim(-reach, reach)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("second is better  ←  difference  →  first is better")
        return figure


@dataclass(frozen=True, slots=True, eq=False)
class SeedDots:
    """The results of several readers, and the spread of runs of one recipe.

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
        "One dot per reader. For runs of one recipe that differ only in the seed, the cross is "
        "their mean and the bar one standard deviation to either side. Differences between "
        "recipes smaller than such a bar may be due to the seed."
    )

    def __post_init__(self) -> None:
        if not self.names or not len(self.names) == len(self.values) == len(self.group):
            raise OptionError("values and group", must="one row per reader", was=len(self.values))

    @classmethod
    def from_comparison(
        cls, found: Comparison, *, known: tuple[float, float, str] | None = None
    ) -> Self:
        """Make the figure from the result of ``compare``."""
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
        return table_of(
            ("reader", "recipe", *(key for key, _ in NUMBERS)),
            (
                (name, group if group >= 0 else "", *values)
                for name, group, values in zip(self.names, self.group, self.values, strict=True)
            ),
        )

    def summary(self) -> str:
        """Return the spread of the accuracies as a sentence."""
        accuracies = np.array([values[1] for values in self.values])
        return (
            f"{len(self.names)} readers; accuracy from {np.nanmin(accuracies):.3f} to "
            f"{np.nanmax(accuracies):.3f}"
        )

    @style()
    def draw(self) -> Figure:
        """Draw a panel a number, a dot a reader."""
        groups = list(dict.fromkeys(self.group))
        figure = new_figure(NARROW_IN, 5.2, gap=0.05)
        grid = figure.subplots(2, 2, sharey=True).ravel()
        for axes, (key, title), values in zip(grid, NUMBERS, np.array(self.values).T, strict=True):
            if key == "accuracy" and self.known is not None:
                low, high, source = self.known
                axes.axhspan(low, high, color=MUTED, alpha=0.16, linewidth=0)
                told = f"{source}: {low:.0%} to {high:.0%}"
                axes.text(-0.55, high, told, size=8, color=MUTED, va="bottom")
            for x, group in enumerate(groups):
                members = [row for row, own in enumerate(self.group) if own == group]
                kept = [row == self.kept for row in members]
                self._draw_group(axes, x, values[members], alike=group >= 0, kept=kept)
            axes.set_title(title)
            axes.set_xlim(-0.6, len(groups) - 0.4)
            axes.set_ylim(self._floor(), 1.005)
            several = len(groups) > 1
            names = ["–" if g < 0 else str(g + 1) for g in groups]  # noqa: RUF001
            axes.set_xticks(range(len(groups)), names if several else [""])
            axes.set_xlabel("recipe" if several else "", size=9)
            axes.grid(axis="y")
        return figure

    def _floor(self) -> float:
        """Return the lower axis limit: a multiple of 0.05 below all values."""
        shown = [value for values in self.values for value in values if math.isfinite(value)]
        shown += self.known[:1] if self.known is not None else ()
        return max(0.0, math.floor(20 * (min(shown, default=0.0) - 0.02)) / 20)

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


@dataclass(frozen=True, slots=True, eq=False)
class SeedLosses:
    """Validation loss by epoch of each run, with the selected run highlighted.

    Attributes:
        names: The runs.
        losses: The validation loss of each epoch, from the first on, of each run.
        epochs: The epoch whose weights each run kept, from 1 on.
        kept: The number of the run that was kept.
    """

    names: tuple[str, ...]
    losses: tuple[Sequence[float], ...]
    epochs: tuple[int, ...]
    kept: int

    CAPTION: ClassVar[str] = (
        "Validation loss after each epoch, one line per run; a dot marks the epoch whose "
        "weights were kept. The run with the lowest dot is kept (thick line). Lines that are "
        "far apart or cross often mean that the choice depends largely on chance."
    )

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.losses), len(self.epochs)}
        if lengths != {len(self.names)} or not 0 <= self.kept < len(self.names):
            raise OptionError("losses and epochs", must="one row per run", was=sorted(lengths))

    def _lowest(self, row: int) -> float:
        return self.losses[row][self.epochs[row] - 1]

    def rows(self) -> Table:
        """Return one row a run and epoch."""
        return table_of(
            ("run", "epoch", "val_loss", "kept"),
            (
                (name, epoch, loss, "yes" if epoch == best else "")
                for name, losses, best in zip(self.names, self.losses, self.epochs, strict=True)
                for epoch, loss in enumerate(losses, 1)
            ),
        )

    def summary(self) -> str:
        """Return which run was kept as a sentence."""
        return (
            f"Validation loss of {len(self.names)} runs by epoch; {self.names[self.kept]} was kept "
            f"with {self._lowest(self.kept):.4f}"
        )

    @style()
    def draw(self) -> Figure:
        """Draw a line a run, the kept one above the others."""
        figure = new_figure(NARROW_IN, 3.2)
        axes = figure.subplots()
        for row, losses in enumerate(self.losses):
            own = row == self.kept
            colour, order, width = (BLUE, 3, 2.2) if own else (MUTED, 2, 1.1)
            epochs = range(1, len(losses) + 1)
            axes.plot(epochs, losses, color=colour, linewidth=width, zorder=order)
            axes.plot(
                self.epochs[row], self._lowest(row), "o", ms=8 if own else 5, color=colour,
                zorder=order, clip_on=False,
            )  # fmt: skip
        axes.annotate(
            self.names[self.kept], (self.epochs[self.kept], self._lowest(self.kept)),
            xytext=(0, -16), textcoords="offset points", ha="center", weight="bold", color=INK,
            size=9.5,
        )  # fmt: skip
        low, high = min(map(min, self.losses)), max(map(max, self.losses))
        axes.set_ylim(max(0.0, low - 0.22 * (high - low or 1)), None)
        axes.margins(x=0.08)
        whole_numbers(axes, nbins=8, min_n_ticks=1)
        label_axes(axes, x="Epoch", y="Validation loss")
        return figure
