"""Write figures and tables to disk, and return them for a page."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pneumoscope.evaluation.estimate import level_text
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.pictures import pictures_of_page
from pneumoscope.report.page import Panel, Section, Statement
from pneumoscope.report.rendering import read_yaml, table_from, text_of, texts
from pneumoscope.report.style import save
from pneumoscope.report.tables import Table
from pneumoscope.report.words import Numbers, statements_of
from pneumoscope.runs import write_csv
from pneumoscope.stats.intervals import LEVEL


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
        level: The confidence level of all intervals on the page; captions tell it.
        part: The part of the data that they show; ends the names of their files if not empty.
        facts: What texts and captions are filled in with.
    """

    folder: Path
    level: float = LEVEL
    part: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def about(self, part: str = "", /, **facts: object) -> Canvas:
        """Return the same canvas for another part and with further facts."""
        return replace(self, part=part, facts={**self.facts, **facts})

    def section(
        self,
        kind: str,
        *,
        figures: Mapping[str, Drawing | None] | None = None,
        numbers: Numbers | None = None,
        statements: tuple[Statement, ...] = (),
        rows: Iterable[object] | None = None,
        table: Table | None = None,
        **facts: object,
    ) -> Section:
        """Write the figures and the table of a section; return it for the page.

        Args:
            kind: Its key in ``sections.yaml``, which has its texts, which numbers it shows, the
                columns of its table and the name of the table's CSV file.
            figures: What to draw, by the names of their files; None is left out.
            numbers: The metrics that it shows.
            statements: Further results.
            rows: The values in the rows of its table.
            table: Its table, where the columns depend on the values.
            facts: What texts and captions are filled in with besides the canvas's own.

        Raises:
            OutputError: The folder cannot be written to.
        """
        here, spec = self.about(self.part, **facts), read_yaml("sections.yaml")[kind]
        known = {"level": level_text(self.level), **here.facts}
        words = texts("sections.yaml", kind, **known)
        if numbers is not None:
            names = read_yaml("names.yaml")[spec.get("names", "metrics")]
            statements = (*statements_of(numbers, spec["numbers"], names), *statements)
        if rows is not None:
            table = table_from(kind, rows, **known)
        if table is not None and "file" in spec:
            here.table(words["file"], table)
        panels = [here.panel(figure, name) for name, figure in (figures or {}).items() if figure]
        return Section(
            words["title"],
            text=words.get("text", ""),
            statements=statements,
            panels=tuple(panels),
            table=table,
            table_title=words.get("table", "Table"),
        )

    def panel(self, figure: Drawing, name: str) -> Panel:
        """Write a figure and its data; return it for the page.

        Args:
            figure: What to draw; its title and caption are in ``figures.yaml``.
            name: Names the files.

        Raises:
            OutputError: The folder cannot be written to.
        """
        known = {"level": level_text(self.level), **self.facts}
        title, caption = (
            text_of("figures.yaml", figure.kind, key, known) for key in ("title", "caption")
        )
        self.table(name, figure.table)
        svg = save(figure.draw(), self.folder, name=self._file(name)) if can_draw() else ""
        alt = figure.summary
        if figure.cells:
            pictures = pictures_of_page(figure)
            return Panel(title, caption, alt=alt, pictures=pictures, columns=figure.columns)
        if not svg:
            place = f"{self.folder.name}/{self._file(name)}.csv"
            return Panel(title, f"Not drawn; the data are in {place}.", instead=alt)
        return Panel(title, caption, svg=svg, alt=alt)

    def table(self, name: str, table: Table) -> Table:
        """Write a table as ``name.csv``, and return it."""
        header, rows = table
        write_csv(self.folder / f"{self._file(name)}.csv", header, rows)
        return table

    def _file(self, name: str) -> str:
        return f"{name}-{self.part}" if self.part else name
