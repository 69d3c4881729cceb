"""The data type of all figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pneumoscope.report.rendering import read_yaml, text_of
from pneumoscope.report.style import style
from pneumoscope.report.tables import Floats, Pixels, Table, table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Rows: TypeAlias = Sequence[Sequence[object]]


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
        rows: The data.
        plot: Draws it; called with the common style applied.
        facts: What its summary is filled in with.
        header: The columns of the data; those in ``figures.yaml`` if empty.
        cells: Of a sheet of pictures its places, row by row, which a page arranges itself.
        columns: How many of these stand in a row.
    """

    kind: str
    rows: Rows
    plot: Callable[[], Figure]
    facts: Mapping[str, object] = field(default_factory=dict)
    header: Sequence[str] = ()
    cells: tuple[Cell, ...] = ()
    columns: int = 0

    @property
    def table(self) -> Table:
        """The data as text, with their header."""
        return table_of(self.header or read_yaml("figures.yaml")[self.kind]["columns"], self.rows)

    @property
    def summary(self) -> str:
        """A description of the figure in one sentence."""
        return text_of("figures.yaml", self.kind, "summary", self.facts)

    def draw(self) -> Figure:
        """Return the drawing, in the common style of figures."""
        with style():
            return self.plot()
