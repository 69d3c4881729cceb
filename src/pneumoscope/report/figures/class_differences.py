"""Differences between readers of several classes, class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pneumoscope.report.axes import Point, interval, name_rows, new_figure, point_of
from pneumoscope.report.figures.classes import shortened
from pneumoscope.report.style import BLUE, INK, VERMILLION, WIDE_IN, style
from pneumoscope.report.tables import Table, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.multiclass.compare import ClassComparison

_NUMBERS = (("auc", "AUC"), ("sensitivity", "Sensitivity"))


@dataclass(frozen=True, slots=True, eq=False)
class ClassDifferenceForest:
    """Differences of AUC and sensitivity of each class, with intervals.

    Attributes:
        titles: Of each pair of readers.
        classes: Names of the K classes.
        points: Of each pair and class the two differences, [pairs][K][2].
        apart: Whether each differs beyond chance after Holm's correction, [pairs][K][2].
    """

    titles: tuple[str, ...]
    classes: tuple[str, ...]
    points: tuple[tuple[tuple[Point, Point], ...], ...]
    apart: tuple[tuple[tuple[bool, bool], ...], ...]

    CAPTION: ClassVar[str] = (
        "First reader less the second, on the same images, with {level} intervals by patient. "
        "Squares mark differences that remain after Holm's correction for all classes and pairs; "
        "intervals are not corrected."
    )

    @classmethod
    def of(cls, found: ClassComparison, names: Mapping[str, str]) -> Self:
        """Take what ``compare_classes`` gave.

        Args:
            found: The comparison.
            names: Name → what to call the reader.
        """

        def beyond(p: float | None) -> bool:
            return p is not None and p < 1 - found.level

        return cls(
            tuple(f"{names[pair.first]} less {names[pair.second]}" for pair in found.pairs),
            found.labels.names,
            tuple(
                tuple((point_of(one.auc), point_of(one.sensitivity)) for one in pair.by_class)
                for pair in found.pairs
            ),
            tuple(
                tuple(
                    (beyond(one.auc_p_holm), beyond(one.sensitivity_p_holm))
                    for one in pair.by_class
                )
                for pair in found.pairs
            ),
        )

    def rows(self) -> Table:
        """Return one row a pair, class and number."""
        return table_of(
            ("pair", "class", "number", "difference", "low", "high", "beyond_chance"),
            (
                (title, name, key, *point, "yes" if apart else "no")
                for title, points, marks in zip(self.titles, self.points, self.apart, strict=True)
                for name, both, beyond in zip(self.classes, points, marks, strict=True)
                for (key, _), point, apart in zip(_NUMBERS, both, beyond, strict=True)
            ),
        )

    def summary(self) -> str:
        """Return the differences in area as a sentence."""
        return "; ".join(
            f"{title}: "
            + ", ".join(
                f"{name} AUC {area[0]:+.3f}" if math.isfinite(area[0]) else f"{name} not defined"
                for name, (area, _) in zip(self.classes, points, strict=True)
            )
            for title, points in zip(self.titles, self.points, strict=True)
        )

    @style()
    def draw(self) -> Figure:
        """Draw two panels side by side, a row a class below the heading of its pair."""
        names: list[str] = []
        headings, places = [], []
        for title in self.titles:
            headings.append(len(names))
            names.append(title)
            places.append(len(names))
            names += [shortened(name) for name in self.classes]
        figure = new_figure(WIDE_IN, 0.27 * len(names) + 0.9, gap=0.06)
        grid = figure.subplots(1, 2, sharey=True)
        for number, (axes, (_, title)) in enumerate(zip(grid, _NUMBERS, strict=True)):
            axes.set_title(title)
            axes.axvline(0, color=INK, linewidth=1)
            for first, points, marks in zip(places, self.points, self.apart, strict=True):
                for row, (point, apart) in enumerate(zip(points, marks, strict=True), first):
                    interval(
                        axes, row, point[number],
                        colour=VERMILLION if apart[number] else BLUE,
                        mark="s" if apart[number] else "o",
                    )  # fmt: skip
            self._centred(axes, number)
            name_rows(axes, names, bold=headings)
        return figure

    def _centred(self, axes: Axes, number: int) -> None:
        """Give both sides of zero the same room, and three ticks."""
        ends = [abs(v) for own in self.points for both in own for v in both[number]]
        reach = max([0.02, *(v for v in ends if math.isfinite(v))]) * 1.12
        axes.set_xlim(-reach, reach)
        tick = float(f"{reach / 1.12:.1g}")
        axes.set_xticks([-tick, 0, tick], [f"{-tick:g}", "0", f"+{tick:g}"])
