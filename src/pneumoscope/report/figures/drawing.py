"""The value that every figure is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pneumoscope.report.rendering import text_of
from pneumoscope.report.style import style
from pneumoscope.report.tables import Floats, Pixels, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Cell(NamedTuple):
    """A place in a sheet: pictures of one size in a column, with title and note."""

    images: tuple[Pixels | Floats, ...]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A figure with its data.

    Attributes:
        kind: The key of its texts in ``figures.yaml``.
        table: The data: a header and rows of text.
        plot: Draws it; called with the common style applied.
        facts: What its summary is filled in with.
        cells: Of a sheet of pictures its places, row by row, which a page arranges itself.
        columns: How many of these stand in a row.
    """

    kind: str
    table: Table
    plot: Callable[[], Figure]
    facts: Mapping[str, object] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    columns: int = 0

    @property
    def summary(self) -> str:
        """What is to be seen, in a sentence."""
        return text_of("figures.yaml", self.kind, "summary", self.facts)

    def draw(self) -> Figure:
        """Return the drawing, in the style of all figures."""
        with style():
            return self.plot()
