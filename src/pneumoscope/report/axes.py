"""What the figures' axes have in common: grids of panels, the unit square, pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from pneumoscope.report.style import MUTED, RULE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pneumoscope.report._shared import Floats, Pixels

UNIT_TICKS: Final = (0, 0.2, 0.4, 0.6, 0.8, 1)
"""Of an axis of shares or probabilities."""


def panels(
    figure: Figure, n: int, *, across: int, share_y: bool = False
) -> npt.NDArray[np.object_]:
    """Return the axes of ``n`` panels, row by row; the places that are left over stay empty.

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


def logarithmic_width(axes: Axes, *, low: float, high: float) -> None:
    """Make the horizontal scale logarithmic, with a round number towards either end.

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
    """Take the vertical scale away: heights are written beside the marks, or are only compared."""
    axes.set_yticks([])
    axes.set_yticks([], minor=True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)


def unit_square(axes: Axes, *, x: str, y: str) -> None:
    """Give axes from 0 to 1 both ways, the name of y above them, where it is read first."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xticks(UNIT_TICKS)
    axes.set_yticks(UNIT_TICKS)
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_color(RULE)
    axes.set_xlabel(x)
    axes.set_title(y, color=MUTED, weight="normal", size=10)


def show_grey(axes: Axes, image: Pixels | Floats) -> None:
    """Show grey levels 0 to 255, each pixel as it is."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="none")
