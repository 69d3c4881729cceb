"""Forest plots: values with their intervals, one row each, in panels side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pneumoscope.report import plotting
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.plotting import Point, point_of
from pneumoscope.report.style import BLUE, INK, MUTED, NARROW_IN, VERMILLION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate

RATES = (("auc", "AUC"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"))
"""Metrics of groups and findings: keys and titles."""

Scale = Callable[["Axes", list[float]], None]
"""Sets the horizontal axis of a panel for its values."""


class Mark(NamedTuple):
    """The mark of a row in a panel.

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
        """Draw it with its interval at a height, or a note if it is undefined."""
        for other in self.behind:
            other.draw(axes, y)
        axes.plot(list(self.beside), [y] * len(self.beside), "|", ms=8, color=MUTED)
        value, low, high = self.point
        if not math.isfinite(value):
            look: dict[str, Any] = {"ha": "right", "va": "center", "color": MUTED, "size": 8.5}
            axes.text(1, y, "not defined", transform=axes.get_yaxis_transform(), **look)
            return
        colour, alpha = self.colour, 0.5 if self.hollow else 1
        axes.plot([low, high], [y, y], color=colour, linewidth=1.7, alpha=alpha)
        inside = "none" if self.hollow else colour
        axes.plot(value, y, self.mark, ms=6, mec=colour, mew=1.4, mfc=inside, clip_on=False)

    def values(self) -> list[float]:
        """Return the values that its panel must show."""
        return [*self.point, *(value for other in self.behind for value in other.values())]


class Row(NamedTuple):
    """A row.

    Attributes:
        name: Stands on its left.
        marks: Its mark in each panel.
        heading: Stands above the first of the rows that have it.
        bold: Whether the name is bold.
        cells: Its rows in the table of the figure.
    """

    name: str
    marks: tuple[Mark, ...]
    heading: str = ""
    bold: bool = False
    cells: tuple[tuple[object, ...], ...] = ()


def cells_of(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    """Return the rows of the table of a forest plot."""
    return [cells for row in rows for cells in row.cells]


def forest_drawing(
    kind: str, rows: Sequence[Row], facts: Mapping[str, object], **look: Any
) -> Drawing:
    """Return a forest plot with its data; see ``Drawing`` and ``forest``."""
    return Drawing(kind, cells_of(rows), lambda: forest(rows, **look), facts)


def rated_row(
    name: str, numbers: Mapping[str, Estimate], *cells: object, hollow: bool, heading: str = ""
) -> Row:
    """Return the row of a group or a finding, with the metrics in ``RATES``."""
    marks = tuple(Mark(point_of(numbers[key]), hollow=hollow) for key, _ in RATES)
    values = (value for mark in marks for value in mark.point)
    return Row(name, marks, heading, cells=((*cells, *values),))


def difference_mark(point: Point, *, apart: bool, seeds: Sequence[float] = ()) -> Mark:
    """Return a difference, as a square if it is significant."""
    colour, mark = (VERMILLION, "s") if apart else (BLUE, "o")
    return Mark(point, colour, mark, beside=seeds)


def up_to_one(axes: Axes, values: list[float]) -> None:
    """Scale an axis of shares from below the lowest to 1, with its ends written."""
    least = max(0.0, plotting.floor_of(values))
    ticks = [least, (least + 1) / 2, 1]
    axes.set(xlim=(least, 1.01), xticks=ticks, xticklabels=[f"{least:g}", "", "1"])


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
        axes.set(xlim=(-reach, reach), xlabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(ticks))

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
    figure = plotting.new_figure(width_in, down * (0.27 * len(names) + 0.75), gap=0.06)
    grid = plotting.panels(figure, len(titles), across=across, share_y=True)
    for place, (axes, title) in enumerate(zip(grid, titles, strict=True)):
        marks = [row.marks[place] for row in rows]
        axes.set_title(title)
        for value in reference[place : place + 1]:
            axes.axvline(value, linestyle=":", color=MUTED, linewidth=1)
        for y, mark in zip(heights, marks, strict=True):
            mark.draw(axes, y)
        scale(axes, [value for mark in marks for value in mark.values()])
        plotting.name_rows(axes, names, bold=bold)
    return figure
