"""The reporting standards and their items, from ``standards.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

import yaml

FILLED, PARTLY, OPEN = "filled", "partly", "open"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a standard.

    Attributes:
        number: Its number in the standard.
        section: The part of the paper that it belongs to.
        topic: What it asks for, in our words.
        text: What the software answers; in the standard with names in braces, which are facts of a
            run that `pneumoscope.report.checklist` computes. Empty if it knows nothing.
        person: What is left for a person; empty if nothing is.
    """

    number: str
    section: str
    topic: str
    text: str = ""
    person: str = ""

    @property
    def state(self) -> str:
        """``filled``, ``partly`` or ``open``."""
        if not self.text:
            return OPEN
        return PARTLY if self.person else FILLED

    def to_dict(self) -> dict[str, str]:
        """Return the fields and the state as JSON values."""
        names = ("number", "section", "topic", "state", "text", "person")
        return {name: getattr(self, name) for name in names}


class Standard(NamedTuple):
    """A reporting standard: name, reference and items in order."""

    title: str
    source: str
    items: tuple[Item, ...]


@cache
def standards() -> dict[str, Standard]:
    """Return the supported standards by name."""
    file = resources.files(__package__).joinpath("standards.yaml")
    return {
        name: Standard(
            own["title"],
            own["source"],
            tuple(
                Item(section=section, **row)
                for section, rows in own["sections"].items()
                for row in rows
            ),
        )
        for name, own in yaml.safe_load(file.read_text(encoding="utf-8")).items()
    }
