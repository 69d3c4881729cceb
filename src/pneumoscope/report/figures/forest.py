"""Forest plots: values with their intervals, a row each, in panels side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pneumoscope.report.axes import Point, floor_of, interval, name_rows, new_figure, point_of
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, VERMILLION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate

RATES = (("auc", "AUC"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"))
"""What is shown of groups and findings: keys and titles."""

Scale = Callable[["Axes", list[float]], None]
"""Sets the horizontal axis of a panel for its values."""


class Mark(NamedTuple):
    """What a row has in a panel.

    Attributes:
        point: A value and the ends of its interval.
        colour: Its colour.
        mark: Its shape.
        hollow: Whether it is drawn hollow.
        beside: Further values, drawn as small lines.
        behind: Marks of the same row that it covers.
    """

    point: Point
    colour: str = BLUE
    mark: str = "o"
    hollow: bool = False
    beside: Sequence[float] = ()
    behind: tuple[Mark, ...] = ()

    def draw(self, axes: Axes, y: float) -> None:
        """Draw it at a height."""
        for other in self.behind:
            other.draw(axes, y)
        axes.plot(list(self.beside), [y] * len(self.beside), "|", ms=8, color=MUTED)
        interval(axes, y, self.point, colour=self.colour, mark=self.mark, hollow=self.hollow)

    def values(self) -> list[float]:
        """Return the values that its panel must show."""
        return [*self.point, *(value for other in self.behind for value in other.values())]


class Row(NamedTuple):
    """A row: its name, its mark in each panel, and the heading that it belongs to.

    A heading stands above the first of its rows.
    """

    name: str
    marks: tuple[Mark, ...]
    heading: str = ""
    bold: bool = False


def rate_marks(numbers: Mapping[str, Estimate], *, hollow: bool) -> tuple[Mark, ...]:
    """Return the marks of ``RATES``."""
    return tuple(Mark(point_of(numbers[key]), hollow=hollow) for key, _ in RATES)


def rate_ends() -> tuple[str, ...]:
    """Return the names of the columns that ``rate_values`` gives."""
    return tuple(end for key, _ in RATES for end in (key, f"{key}_low", f"{key}_high"))


def rate_values(numbers: Mapping[str, Estimate]) -> tuple[float, ...]:
    """Return each of ``RATES`` with the ends of its interval."""
    return tuple(value for key, _ in RATES for value in point_of(numbers[key]))


def difference_mark(point: Point, *, apart: bool, seeds: Sequence[float] = ()) -> Mark:
    """Return a difference, as a square if it is beyond chance."""
    colour, mark = (VERMILLION, "s") if apart else (BLUE, "o")
    return Mark(point, colour, mark, beside=seeds)


def up_to_one(axes: Axes, values: list[float]) -> None:
    """Scale an axis of shares from below the lowest to 1, with its ends written."""
    least = max(0.0, floor_of(values))
    axes.set_xlim(least, 1.01)
    axes.set_xticks([least, (least + 1) / 2, 1], [f"{least:g}", "", "1"])


def around_zero(label: str = "", *, least: float = 0.02, ticks: int = 5) -> Scale:
    """Return a scale of differences with zero in its middle.

    Args:
        label: Below the axis.
        least: The shortest reach to either side.
        ticks: How many at most.
    """

    def scale(axes: Axes, values: list[float]) -> None:
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

        reach = 1.1 * max([least, *(abs(value) for value in values if math.isfinite(value))])
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        axes.set_xlim(-reach, reach)
        axes.xaxis.set_major_locator(MaxNLocator(ticks))
        axes.set_xlabel(label)

    return scale


def forest(
    rows: Sequence[Row],
    titles: Sequence[str] = ("",),
    *,
    scale: Scale = up_to_one,
    reference: Sequence[float] = (),
    width_in: float = NARROW_IN,
    across: int = 3,
) -> Figure:
    """Return a forest plot.

    Args:
        rows: From top to bottom.
        titles: Of the panels.
        scale: Sets the horizontal axis of each panel.
        reference: Of each panel where a dotted line stands; none if empty.
        width_in: The width of the figure in inches.
        across: Panels in a row.
    """
    names: list[str] = []
    bold, heights = [], []
    for row, before in zip(rows, ["", *(row.heading for row in rows)], strict=False):
        if row.heading != before:
            bold.append(len(names))
            names.append(row.heading)
        if row.bold:
            bold.append(len(names))
        heights.append(len(names))
        names.append(row.name)
    across = min(across, len(titles))
    down = math.ceil(len(titles) / across)
    figure = new_figure(width_in, down * (0.27 * len(names) + 0.75), gap=0.06)
    grid = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for place, (axes, title) in enumerate(zip(grid, titles, strict=True)):
        marks = [row.marks[place] for row in rows]
        axes.set_title(title)
        for value in reference[place : place + 1]:
            axes.axvline(value, linestyle=":", color=MUTED, linewidth=1)
        for y, mark in zip(heights, marks, strict=True):
            mark.draw(axes, y)
        scale(axes, [value for mark in marks for value in mark.values()])
        name_rows(axes, names, bold=bold)
    return figure
