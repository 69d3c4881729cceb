"""Write figures and tables to disk, and return them for a page."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib import resources
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


@cache
def captions() -> dict[str, dict[str, str]]:
    """Return title and caption of each kind of figure."""
    import yaml  # noqa: PLC0415 - to draw

    file = resources.files(__package__).joinpath("figures.yaml")
    found: dict[str, dict[str, str]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True, slots=True)
class Canvas:
    """An output folder for the PNG, SVG and CSV of each figure and the CSV of each table.

    Without matplotlib there are no PNG and SVG files, and a page says in words what a drawing would
    show; pictures of X-rays are in the page as always.

    Attributes:
        folder: Where they go.
        level: The confidence level of all intervals on the page; captions tell it.
    """

    folder: Path
    level: float = LEVEL

    def panel(self, figure: Drawing, name: str, *, kind: str = "", **facts: object) -> Panel:
        """Write a figure and its data; return it for the page.

        Args:
            figure: What to draw.
            name: Names the files.
            kind: The key of title and caption; the figure's own if empty.
            facts: What stands in braces in them.

        Raises:
            OutputError: The folder cannot be written to.
        """
        words = captions()[kind or figure.kind]
        facts["level"] = level_text(self.level)
        title, caption = (words[key].format(**facts).rstrip() for key in ("title", "caption"))
        self.table(name, figure.table)
        svg = save(figure.draw(), self.folder, name=name) if can_draw() else ""
        alt = figure.summary
        if figure.cells:
            pictures = pictures_of_page(figure)
            return Panel(title, caption, alt=alt, pictures=pictures, columns=figure.columns)
        if not svg:
            place = f"{self.folder.name}/{name}.csv"
            return Panel(title, f"Not drawn; the data are in {place}.", instead=alt)
        return Panel(title, caption, svg=svg, alt=alt)

    def table(self, name: str, table: Table) -> Table:
        """Write a table as ``name.csv``, and return it."""
        header, rows = table
        write_csv(self.folder / f"{name}.csv", header, rows)
        return table
