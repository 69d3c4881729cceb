"""Reporting checklists, filled in from the files of a run; ``standards.yaml`` has their items."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pneumoscope.errors import OptionError
from pneumoscope.report.card import PERSON
from pneumoscope.report.facts import RunFacts
from pneumoscope.report.rendering import environment, read_yaml, sentence

FILLED, PARTLY, OPEN = "filled", "partly", "open"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a standard.

    Attributes:
        number: Its number in the standard.
        section: The part of the paper that it belongs to.
        topic: Its subject, abbreviated.
        text: The answer of the software; in the standard with names of facts of a run in braces.
            Empty if there is none.
        person: What a person must add; empty if nothing.
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


@dataclass(frozen=True, slots=True)
class Checklist:
    """A standard, filled in as far as possible.

    Attributes:
        standard: Its short name: ``tripod-ai`` or ``claim``.
        title: Its name.
        source: Its publication.
        items: All items, in order.
        run: The run from which it was filled in; empty if none.
    """

    standard: str
    title: str
    source: str
    items: tuple[Item, ...]
    run: str = ""

    def count(self, state: str) -> int:
        """Return the number of items in a state."""
        return sum(item.state == state for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            **{name: getattr(self, name) for name in ("standard", "title", "source", "run")},
            "counts": {state: self.count(state) for state in (FILLED, PARTLY, OPEN)},
            "items": [item.to_dict() for item in self.items],
        }

    def to_markdown(self) -> str:
        """Return the checklist as Markdown, section by section."""
        template = environment().get_template("checklist.md")
        return template.render(found=self, person=PERSON, filled=FILLED, partly=PARTLY) + "\n"


@cache
def standards() -> dict[str, Checklist]:
    """Return the supported standards by name, not filled in."""
    return {
        name: Checklist(
            name,
            own["title"],
            own["source"],
            tuple(
                Item(section=section, **row)
                for section, rows in own["sections"].items()
                for row in rows
            ),
        )
        for name, own in read_yaml("standards.yaml").items()
    }


def fill(facts: RunFacts, standard: str) -> Checklist:
    """Fill in a standard from a run.

    Args:
        facts: The facts of the run.
        standard: ``tripod-ai`` or ``claim``.

    Raises:
        OptionError: There is no such standard.
    """
    found = standards().get(standard)
    if found is None:
        raise OptionError("standard", must=f"one of {', '.join(standards())}", was=standard)
    filled = tuple(replace(item, text=_filled(item.text, facts)) for item in found.items)
    return replace(found, items=filled, run=facts.root.resolve().name)


def _filled(text: str, facts: RunFacts) -> str:
    """Return a text with facts inserted; empty if it consists of unknown facts only.

    Of a name with a capital letter the fact becomes a sentence: ``{Data}``.
    """
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    said = {name: facts.say(name.lower()) for name in names}
    said = {name: sentence(fact) if name[0].isupper() else fact for name, fact in said.items()}
    if names and not any(said.values()):
        return ""
    return " ".join(text.format_map(said).split())
