"""Self-contained HTML pages.

The page is a single file. It loads nothing from outside and runs no script, which a content
security policy enforces. All texts are escaped, except `Panel.svg`, which is markup returned by
`pneumoscope.report.save`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pneumoscope.errors import OptionError
from pneumoscope.report.rendering import environment
from pneumoscope.report.tables import Table
from pneumoscope.runs import write_text

NOTICE: Final = (
    "Research software, not a medical device. Not for diagnosis or treatment; images must be "
    "read by a radiologist."
)
_LONG_TABLE: Final = 16


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of a results table.

    Attributes:
        name: What was measured: ``Sensitivity``.
        value: How it came out: ``0.962`` or ``0.962 (0.938-0.978)``.
        n: On how many images.
        note: Under which condition: ``at probability >= 0.50``.
    """

    name: str
    value: str
    n: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a contact sheet.

    Attributes:
        images: PNG or JPEG files, one below the other.
        title: Stands above them.
        note: Stands below the title.
    """

    images: tuple[bytes, ...]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure with its caption.

    Attributes:
        title: What it shows.
        caption: How to read it.
        svg: What `pneumoscope.report.save` returned. It is put into the page as it is.
        alt: What it shows, for those who cannot see it; the title if empty.
        pictures: A sheet of pictures, which stand side by side as far as there is room.
        instead: What stands in place of a figure that could not be drawn. Of ``svg``,
            ``pictures`` and this, one is given.
        columns: How many of them in a row where there is room for all; on a phone half of it.
    """

    title: str
    caption: str
    svg: str = ""
    alt: str = ""
    pictures: tuple[Picture, ...] = ()
    columns: int = 4
    instead: str = ""

    def __post_init__(self) -> None:
        kinds = {"svg": self.svg, "pictures": self.pictures, "instead": self.instead}
        given = [name for name, value in kinds.items() if value]
        if len(given) != 1:
            must = "given exactly one of svg, pictures and instead"
            raise OptionError(f"Panel {self.title!r}", must=must, was=given or "none")
        if self.svg and not self.svg.startswith("<svg"):
            must = "given an svg that begins with <svg"
            hint = "Pass the return value of pneumoscope.report.save()."
            raise OptionError(f"Panel {self.title!r}", must=must, was=self.svg[:20], hint=hint)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report: text, results, figures and a table.

    Attributes:
        title: Its heading.
        text: Paragraphs, with an empty line between them.
        statements: Results.
        panels: Figures; two stand side by side where there is room.
        table: Header and rows.
        table_title: What the table holds, where it is so long that it is folded.
    """

    title: str
    text: str = ""
    statements: tuple[Statement, ...] = ()
    panels: tuple[Panel, ...] = ()
    table: Table | None = None
    table_title: str = "Table"

    def __post_init__(self) -> None:
        header, rows = self.table or ((), ())
        for row in rows:
            if len(row) != len(header):
                name = f"The table of section {self.title!r}"
                raise OptionError(name, must=f"of {len(header)} columns in every row", was=row)


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a page.

    Attributes:
        title: Of what this is the report: the name of the run.
        question: What was to be found out.
        data: From what, in one line.
        answer: What was found, in a sentence or two.
        caveats: What to know before relying on it, the gravest first.
        headline: The numbers of the answer, two to four.
        sections: All the rest.
        footer: Where it came from: version, time, fingerprints.
    """

    title: str
    question: str
    data: str
    answer: str
    caveats: tuple[str, ...]
    headline: tuple[Statement, ...]
    sections: tuple[Section, ...]
    footer: str


def render(report: Report, *, template: str = "page.html", **more: Any) -> str:
    """Return the page as self-contained HTML.

    Args:
        report: What it says.
        template: One of the files in ``templates/`` that extends ``page.html``.
        more: What that template needs besides.

    Example:
        >>> page = render(Report("Run 7", "Pneumonia?", "624 images", "Yes.", (), (), (), "v0.1"))
        >>> page.startswith("<!doctype html>")
        True
    """
    page = environment().get_template(template)
    return page.render(report=report, notice=NOTICE, long_table=_LONG_TABLE, **more)


def write_report(path: Path, report: Report, **how: Any) -> None:
    """Write the page to ``path`` atomically.

    Raises:
        OutputError: The folder cannot be written to.
    """
    write_text(path, render(report, **how))


def footer_of(facts: Mapping[str, Any]) -> str:
    """Return version and time from ``provenance`` for the footer."""
    return f"pneumoscope {facts['packages'].get('pneumoscope', '')} · {facts['written']}"
