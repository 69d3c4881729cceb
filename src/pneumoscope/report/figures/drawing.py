"""The value that every figure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pneumoscope.report.style import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pneumoscope.report.tables import Floats, Pixels, Table


class Cell(NamedTuple):
    """A place in a sheet: pictures of one size in a column, with title and note."""

    images: tuple[Pixels | Floats, ...]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A figure with its data.

    Attributes:
        table: The data: a header and rows of text.
        summary: What is to be seen, in a sentence.
        kind: The key of its title and caption in ``figures.yaml``.
        plot: Draws it; called with the common style applied.
        cells: Of a sheet of pictures its places, row by row, which a page arranges itself.
        columns: How many of these stand in a row.
    """

    table: Table
    summary: str
    kind: str
    plot: Callable[[], Figure]
    cells: tuple[Cell, ...] = ()
    columns: int = 0

    def draw(self) -> Figure:
        """Return the drawing, in the style of all figures."""
        with style():
            return self.plot()
