"""Reporting checklists, filled in from the files of a run."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import Any

from pneumoscope.errors import OptionError
from pneumoscope.report.card import PERSON
from pneumoscope.report.facts import RunFacts
from pneumoscope.report.rendering import environment, sentence
from pneumoscope.report.standards import FILLED, OPEN, PARTLY, Item, standards


@dataclass(frozen=True, slots=True)
class Checklist:
    """A standard, filled in as far as possible.

    Attributes:
        standard: Its short name: ``tripod-ai`` or ``claim``.
        title: Its name.
        source: Where it stands.
        run: The run that filled it.
        items: All items, in order.
    """

    standard: str
    title: str
    source: str
    run: str
    items: tuple[Item, ...]

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


def fill(facts: RunFacts, standard: str) -> Checklist:
    """Fill in a standard from a run.

    Args:
        facts: What stands in the files of the run.
        standard: ``tripod-ai`` or ``claim``.

    Raises:
        OptionError: There is no such standard.
    """
    if standard not in standards():
        raise OptionError("standard", must=f"one of {', '.join(standards())}", was=standard)
    title, source, items = standards()[standard]
    filled = tuple(replace(item, text=_filled(item.text, facts)) for item in items)
    return Checklist(standard, title, source, facts.root.resolve().name, filled)


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
