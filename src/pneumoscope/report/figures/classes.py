"""Figures of readers of several classes: which class is taken for which, and what is possible."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pneumoscope.report.axes import floor_of, interval, label_axes, name_rows, new_figure, point_of
from pneumoscope.report.style import BLUE, INK, MUTED, VERMILLION, WIDE_IN, style
from pneumoscope.report.tables import Table, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.sets import SetNumbers

_WITH_INTERVALS = 4  # so many classes leave room for an interval in each cell
_WITH_COUNTS = 7  # and so many for the count
_NAME_CHARACTERS = 20


def shortened(name: str, characters: int = _NAME_CHARACTERS) -> str:
    """Return the name of a class, cut to a number of characters.

    >>> shortened("Pleural thickening and more", 12)
    'Pleural thi…'
    """
    return name if len(name) <= characters else f"{name[: characters - 1]}…"


@dataclass(frozen=True, slots=True, eq=False)
class ClassConfusion:
    """The most probable class by true class, for any number of classes.

    Attributes:
        found: The numbers of the reader.
    """

    found: ClassNumbers

    CAPTION: ClassVar[str] = (
        "Each row holds the images of one true class and adds up to 100%; the columns say which "
        "class the reader finds likeliest. Right ones lie on the diagonal (blue), wrong ones "
        "beside it (orange). Ranges are {level} intervals by patient."
    )

    def rows(self) -> Table:
        """Return one row a cell: the count, and its share of the true class with its interval."""
        names = self.found.labels.names
        return table_of(
            ("truth", "likeliest", "images", "share_of_truth", "low", "high"),
            (
                (names[t], names[c], self.found.confusion[t][c], *point_of(cell))
                for t, row in enumerate(self.found.shares)
                for c, cell in enumerate(row)
            ),
        )

    def summary(self) -> str:
        """Return the share of each class that is recognised as a sentence."""
        return "Recognised: " + ", ".join(
            f"{name} {_percent(row[place])} of {count:,}"
            for place, (name, row, count) in enumerate(
                zip(self.found.labels.names, self.found.shares, self.found.counts, strict=True)
            )
        )

    @style()
    def draw(self) -> Figure:
        """Draw the matrix; the more classes, the less stands in a cell."""
        names, counts = self.found.labels.names, self.found.counts
        n = len(names)
        cell = {2: 1.5, 3: 1.3, 4: 1.15}.get(n, max(0.36, 4.6 / n))
        figure = new_figure(min(WIDE_IN, 1.9 + cell * n), 1.1 + (0.72 if n < 5 else 0.8) * cell * n)
        axes = figure.subplots()
        for t, row in enumerate(self.found.shares):
            for c, share in enumerate(row):
                self._draw_cell(axes, t, c, share)
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_ylim(n - 0.5, -0.5)
        upright = n > _WITH_INTERVALS
        axes.set_xticks(
            range(n),
            [shortened(name) for name in names],
            rotation=90 if upright else 0,
            size=9 if n <= _WITH_COUNTS else 8.5,
        )
        between = "\n" if n <= _WITH_COUNTS else " "
        axes.set_yticks(
            range(n),
            [
                f"{shortened(name)}{between}({count:,})"
                for name, count in zip(names, counts, strict=True)
            ],
            size=9 if n <= _WITH_COUNTS else 8.5,
        )
        axes.xaxis.tick_top()
        axes.tick_params(labelcolor=INK)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("Columns: most probable class\nRows: true class (images)")
        return figure

    def _draw_cell(self, axes: Axes, t: int, c: int, share: Estimate) -> None:
        from matplotlib.patches import Rectangle  # noqa: PLC0415 - matplotlib is loaded to draw

        n, count = len(self.found.counts), self.found.confusion[t][c]
        known = share.value is not None
        # Never opaque: the number in the cell is in the page's ink, dark or light.
        tint = 0.05 + 0.38 * share.value if share.value is not None else 0.0
        face = BLUE if t == c else VERMILLION
        axes.add_patch(
            Rectangle((c - 0.48, t - 0.48), 0.96, 0.96, facecolor=face, alpha=tint, linewidth=0)
        )
        if n > _WITH_COUNTS:
            text = "" if not known or not count else f"{100 * (share.value or 0):.0f}"
            axes.text(c, t, text, ha="center", va="center", size=8.5)
            return
        axes.text(c, t - 0.06, f"{count:,}", ha="center", va="bottom",
                  size=13 if n <= _WITH_INTERVALS else 10, weight="bold")  # fmt: skip
        lines = [f"{share.value:.1%}" if share.value is not None else "no images"]
        if n <= _WITH_INTERVALS and share.low is not None and share.high is not None:
            lines.append(f"{share.low:.1%} to {share.high:.1%}")
        axes.text(c, t + 0.02, "\n".join(lines), ha="center", va="top", size=8.5)


@dataclass(frozen=True, slots=True, eq=False)
class PossibleClasses:
    """How many classes remain possible, and how often the true one is among them.

    Attributes:
        sets: The numbers of the prediction sets.
        names: The classes.
        counts: Images of each class.
    """

    sets: SetNumbers
    names: tuple[str, ...]
    counts: tuple[int, ...]

    CAPTION: ClassVar[str] = (
        "Left: how many classes remain possible for an image. Right: how often the true class is "
        "among them, for the images of each class, with {level} intervals by patient; the dotted "
        "line is what the reader promises of each class."
    )

    def rows(self) -> Table:
        """Return one row a size of the set, then one row a class."""
        rows = [
            ("possible classes", str(size), *point_of(one))
            for size, one in enumerate(self.sets.sizes, 1)
        ]
        rows += [
            ("true class among them", name, *point_of(one))
            for name, one in zip(self.names, self.sets.coverage_by_class, strict=True)
        ]
        return table_of(("what", "which", "share", "low", "high"), rows)

    def summary(self) -> str:
        """Return the sizes and coverages as a sentence."""
        sizes = ", ".join(
            f"{size}: {_percent(one)}" for size, one in enumerate(self.sets.sizes, 1) if one.value
        )
        covered = ", ".join(
            f"{name} {_percent(one)}"
            for name, one in zip(self.names, self.sets.coverage_by_class, strict=True)
        )
        return f"Possible classes, {sizes}; true class among them, {covered}"

    @style()
    def draw(self) -> Figure:
        """Draw bars of the sizes on the left, and a row a class on the right."""
        n = len(self.names)
        figure = new_figure(WIDE_IN, 1.7 + 0.24 * n, gap=0.08)
        left, right = figure.subplots(1, 2)
        shares = [one.value or 0.0 for one in self.sets.sizes]
        left.bar(range(1, n + 1), shares, width=0.72, color=BLUE)
        for size, share in enumerate(shares, 1):
            if share and n <= _WITH_COUNTS:
                left.text(size, share, f"{share:.0%}", ha="center", va="bottom", size=9)
        step = 1 if n <= _WITH_COUNTS else 2  # two-digit numbers side by side would touch
        left.set_xticks(range(1, n + 1, step))
        left.set_ylim(0, 1.12 * max([*shares, 0.1]))
        label_axes(left, x="Possible classes", y="Share of images")
        points = [point_of(one) for one in self.sets.coverage_by_class]
        if self.sets.error_level is not None:
            right.axvline(1 - self.sets.error_level, linestyle=":", color=MUTED, linewidth=1)
        for row, point in enumerate(points):
            interval(right, row, point, colour=BLUE)
        promised = 1 - (self.sets.error_level or 0)
        least = floor_of([promised, *(value for point in points for value in point)])
        right.set_xlim(least, 1.01)
        right.set_xticks([least, (least + 1) / 2, 1], [f"{least:g}", "", "1"])
        named = zip(self.names, self.counts, strict=True)
        name_rows(right, [f"{shortened(name)} ({count:,})" for name, count in named])
        right.set_title("True class possible", color=MUTED, weight="normal", size=10)
        return figure


def _percent(share: Estimate) -> str:
    return "not defined" if share.value is None or math.isnan(share.value) else f"{share.value:.1%}"
