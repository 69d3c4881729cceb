"""Tables of settings and environment, needed to reproduce a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pneumoscope.report.page import Section

if TYPE_CHECKING:
    from pneumoscope.report.canvas import Canvas

_SHOWN_APART = {"packages", "python", "commit", "machine", "written"}


def settings_section(
    canvas: Canvas, name: str, rows: Iterable[tuple[str, object]], *, title: str, text: str,
    table_title: str,
) -> Section:  # fmt: skip
    """Return a section with a table of names and values, also written as ``name.csv``."""
    table = ("what", "value"), tuple((key, as_text(value)) for key, value in rows)
    return Section(title, text=text, table=canvas.table(name, table), table_title=table_title)


def environment_rows(facts: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return versions, commit and machine from ``provenance``."""
    machine = facts["machine"]
    return [
        *facts["packages"].items(),
        ("python", facts["python"]),
        ("commit", facts["commit"] or "not a checkout"),
        ("machine", f"{machine['system']}, {machine['cores']} cores"),
    ]


def environment_section(
    canvas: Canvas, facts: Mapping[str, Any], *, table_title: str = "Versions, machine and settings"
) -> Section:
    """Return the section about the environment."""
    rows = [*environment_rows(facts), *(row for row in facts.items() if row[0] not in _SHOWN_APART)]
    return settings_section(
        canvas, "environment", rows, title="Environment", table_title=table_title,
        text="Everything needed to reproduce these results.",
    )  # fmt: skip


def as_text(value: object) -> str:
    """Return a value of a recipe or of provenance as text."""
    match value:
        case dict():
            return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "none"
        case list() | tuple():
            return "; ".join(as_text(item) for item in value) or "none"
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
