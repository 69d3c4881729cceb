"""The items of the reporting standards, from ``standards.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

import yaml


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a standard.

    Attributes:
        number: Its number in the standard.
        topic: What it asks for, in our words.
        text: What the software answers; names in braces are facts of a run, which
            `pneumoscope.report.checklist` computes. Empty if it knows nothing.
        person: What is left for a person; empty if nothing is.
    """

    number: str
    topic: str
    text: str = ""
    person: str = ""


class Standard(NamedTuple):
    """A reporting standard: name, reference and items by section."""

    title: str
    source: str
    sections: dict[str, tuple[Row, ...]]


@cache
def standards() -> dict[str, Standard]:
    """Return the supported standards by name."""
    file = resources.files(__package__).joinpath("standards.yaml")
    return {
        name: Standard(
            own["title"],
            own["source"],
            {title: tuple(Row(**row) for row in rows) for title, rows in own["sections"].items()},
        )
        for name, own in yaml.safe_load(file.read_text(encoding="utf-8")).items()
    }
