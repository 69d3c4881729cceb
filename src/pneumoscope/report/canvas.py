"""Write figures and tables to disk, and return them for a page."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.evaluation.estimate import level_text
from pneumoscope.report.figures.pictures import pictures_of_page
from pneumoscope.report.page import Panel
from pneumoscope.report.style import save
from pneumoscope.runs import write_csv
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from pneumoscope.report.figures.drawing import Drawing
    from pneumoscope.report.tables import Table


def can_draw() -> bool:
    """Return whether matplotlib is installed; without it, pages have no drawings."""
    return importlib.util.find_spec("matplotlib") is not None


@dataclass(frozen=True, slots=True)
class Canvas:
    """An output folder for the PNG, SVG and CSV of each figure and the CSV of each table.

    Without matplotlib there are no PNG and SVG files, and a page says in words what a drawing would
    show; pictures of X-rays are in the page as always.

    Attributes:
        folder: Where they go.
        level: The confidence level of all intervals on the page; captions name it.
    """

    folder: Path
    level: float = LEVEL

    def panel(self, figure: Drawing, name: str, *, title: str, caption: str = "") -> Panel:
        """Write a figure and its data; return it for the page.

        Args:
            figure: What to draw.
            name: Names the files.
            title: Stands above it in the page.
            caption: How to read it; the figure's own if empty. ``{level}`` becomes the level.

        Raises:
            OutputError: The folder cannot be written to.
        """
        self.table(name, figure.table)
        svg = save(figure.draw(), self.folder, name=name) if can_draw() else None
        caption = (caption or figure.caption).replace("{level}", level_text(self.level))
        alt = figure.summary
        if figure.cells:
            pictures = pictures_of_page(figure)
            return Panel(title, caption, alt=alt, pictures=pictures, columns=figure.columns)
        if svg is None:
            place = f"{self.folder.name}/{name}.csv"
            return Panel(title, f"Not drawn; the data are in {place}.", instead=alt)
        return Panel(title, caption, svg=svg, alt=alt)

    def table(self, name: str, table: Table) -> Table:
        """Write a table as ``name.csv``, and return it."""
        header, rows = table
        write_csv(self.folder / f"{name}.csv", header, rows)
        return table
