"""Tables of settings and environment, needed to reproduce a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pneumoscope.report.canvas import Canvas
from pneumoscope.report.page import Section

_SHOWN_APART = {"packages", "python", "commit", "machine", "written"}


def settings_section(canvas: Canvas, kind: str, rows: Iterable[tuple[str, object]]) -> Section:
    """Return a section with a table of names and values; its kind is a key of ``sections.yaml``."""
    return canvas.section(kind, rows=[(key, as_text(value)) for key, value in rows])


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
    canvas: Canvas, facts: Mapping[str, Any], *, kind: str = "environment"
) -> Section:
    """Return the section about the environment."""
    rows = [*environment_rows(facts), *(row for row in facts.items() if row[0] not in _SHOWN_APART)]
    return settings_section(canvas, kind, rows)


def as_text(value: object) -> str:
    """Return a value of a recipe or of provenance as text."""
    match value:
        case dict():
            return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "none"
        case list() | tuple():
            return "; ".join(as_text(item) for item in value) or "none"
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
