"""Building blocks of figures: empty figures, axes, bands, marks and rows with names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from pneumoscope.report.style import BLUE, INK, MUTED, RULE, VERMILLION, WIDE_IN

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.report.tables import Floats

UNIT_TICKS: Final = (0, 0.2, 0.4, 0.6, 0.8, 1)
"""Of an axis of shares or probabilities."""
DASHES: Final = ("-", "--", "-.", ":")
"""Line styles that can be distinguished without colour."""
SQUARE_IN: Final = (4.6, 4.5)
"""Width and height of a figure that is a square with its labels, in inches."""

Point: TypeAlias = tuple[float, float, float]
"""A value and the ends of its interval; NaN where there is none."""


def shortened(name: str, characters: int = 20) -> str:
    """Return a name, cut to a number of characters.

    >>> shortened("Pleural thickening and more", 12)
    'Pleural thi…'
    """
    return name if len(name) <= characters else f"{name[: characters - 1]}…"


def point_of(estimate: Estimate) -> Point:
    """Return an estimate as three numbers, NaN if missing."""
    value, low, high = (
        math.nan if one is None else one for one in (estimate.value, estimate.low, estimate.high)
    )
    return value, low, high


def new_figure(
    width_in: float, height_in: float, *, gap: float = 0.02, margin_in: float = 0.04
) -> Figure:
    """Return an empty figure outside pyplot's global state.

    Args:
        width_in: Its width in inches.
        height_in: Its height in inches.
        gap: Between panels, as a share of a panel.
        margin_in: Around each panel, in inches.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - matplotlib is loaded to draw
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    layout = ConstrainedLayoutEngine(w_pad=margin_in, h_pad=margin_in, wspace=gap, hspace=gap)
    return Figure(figsize=(width_in, height_in), layout=layout)


def one_panel(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """Return an empty figure and its only axes."""
    figure = new_figure(width_in, height_in)
    return figure, figure.subplots()


def panels(
    figure: Figure, n: int, *, across: int, share_y: bool = False
) -> npt.NDArray[np.object_]:
    """Return the axes of ``n`` panels, row by row; unused places stay empty.

    Args:
        figure: Where they go.
        n: How many.
        across: Panels in a row.
        share_y: Whether all have one vertical scale.
    """
    grid = figure.subplots(math.ceil(n / across), across, squeeze=False, sharey=share_y).ravel()
    for axes in grid[n:]:
        axes.set_axis_off()
    return grid[:n]


def label_axes(axes: Axes, *, x: str = "", y: str = "", grid: bool = True) -> None:
    """Label the axes, the y label above the axis; draw horizontal grid lines."""
    axes.set_xlabel(x)
    axes.set_title(y, color=MUTED, weight="normal", size=10)
    if grid:
        axes.grid(axis="y")


def whole_numbers(axes: Axes, **options: Any) -> None:
    """Place ticks of the horizontal axis at integers only."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - matplotlib is loaded to draw

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, **options))


def unit_square(axes: Axes, *, x: str, y: str) -> None:
    """Give axes from 0 to 1 both ways, framed."""
    label_axes(axes, x=x, y=y, grid=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=UNIT_TICKS, yticks=UNIT_TICKS)
    axes.spines["left"].set_visible(True)
    axes.spines[:].set_color(RULE)


def diagonal(axes: Axes) -> None:
    """Draw the dotted diagonal of a square."""
    axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)


def small_squares(
    names: Sequence[str], *, x: str, y: str
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Return a figure of small squares with a diagonal each, up to four in a row, and their axes.

    Args:
        names: Stand above the squares.
        x: Below all of them.
        y: Beside all of them.
    """
    across = min(len(names), 4)
    side = min(2.3, (WIDE_IN - 0.3) / across)
    down = math.ceil(len(names) / across)
    figure = new_figure(across * side + 0.3, down * (side + 0.28) + 0.3, gap=0.04)
    grid = panels(figure, len(names), across=across)
    for axes, name in zip(grid, names, strict=True):
        diagonal(axes)
        unit_square(axes, x="", y="")
        axes.set_title(shortened(name, 18), size=9.5)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.tick_params(labelsize=8)
    figure.supxlabel(x, color=MUTED, size=10)
    figure.supylabel(y, color=MUTED, size=10)
    return figure, grid


def logarithmic_width(axes: Axes, *, low: float, high: float) -> None:
    """Make the horizontal scale logarithmic, with round numbers towards both ends.

    Matplotlib would write powers in its mathematical markup, which our style shows as it is,
    since names may hold dollar signs.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fitting = [n * 10.0**e for e in powers for n in (1, 2, 3, 5, 7) if low <= n * 10.0**e <= high]
    shown = [*fitting[:1], *fitting[1:][-1:]]
    axes.set_xscale("log")
    axes.set_xticks(shown, [f"{n:,.6g}" for n in shown])
    axes.set_xticks([], minor=True)


def without_height_scale(axes: Axes) -> None:
    """Remove the vertical scale, if values are written beside the marks or only compared."""
    axes.set_yticks([])
    axes.set_yticks([], minor=True)


def write(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **look: Any
) -> None:
    """Write a text a number of points beside a place of the axes."""
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **look)


def note(axes: Axes, text: str, *, up: float, **look: Any) -> None:
    """Write a line a number of points above the upper left corner of the axes."""
    look = {"color": MUTED, "size": 9.5, **look}
    write(axes, text, (0, 1), (0, up), xycoords="axes fraction", **look)


def legend(figure: Figure, handles: Sequence[Artist], *, columns: int, below: bool = False) -> None:
    """Place the legend outside the axes, above or below."""
    figure.legend(
        handles=handles, loc="outside lower center" if below else "outside upper right",
        ncols=columns, frameon=False, labelcolor=INK, fontsize=9.5, handlelength=2.6,
    )  # fmt: skip


def band(
    axes: Axes, x: Floats, low: Floats, high: Floats, *, step: Any = None, **look: Any
) -> None:
    """Shade between two edges where both are defined."""
    there = np.isfinite(low) & np.isfinite(high)
    if there.sum() > 1:
        axes.fill_between(
            x[there], low[there], high[there], step=step, linewidth=0,
            **{"color": BLUE, "alpha": 0.16, **look},
        )  # fmt: skip


def mark_point(axes: Axes, x: float, y: float) -> None:
    """Mark the operating point on a curve."""
    axes.plot(x, y, "o", ms=9, mfc=VERMILLION, mec=INK, mew=1, clip_on=False, zorder=4)


def name_rows(axes: Axes, names: Sequence[str], *, bold: Sequence[int] = ()) -> None:
    """Write the name of each row on the left, from the top; headings are bold."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    for row, label in enumerate(axes.get_yticklabels()):
        label.set(color=INK, weight="bold" if row in bold else "normal", size=9)
    axes.grid(axis="x")


def floor_of(values: Sequence[float], *, at_most: float = 0.9) -> float:
    """Return the lower limit of an axis up to 1: a tenth below all finite values."""
    known = [value for value in values if math.isfinite(value)]
    return math.floor(10 * (min([at_most, *known]) - 0.02)) / 10
