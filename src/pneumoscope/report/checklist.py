"""Reporting checklists, filled in from the files of a run."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.report.card import PERSON
from pneumoscope.report.facts import RunFacts
from pneumoscope.report.standards import standards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pneumoscope.evaluation.robustness import Corrupted
    from pneumoscope.evaluation.subgroups import Group

FILLED, PARTLY, OPEN = "filled", "partly", "open"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a standard, and its answer from the run.

    Attributes:
        number: Its number in the standard.
        section: The part of the paper that it belongs to.
        topic: What it asks for, in our words.
        text: What the software knows; empty where it knows nothing.
        person: What is left for a person; empty where nothing is.
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
        """Return the fields as JSON values."""
        names = ("number", "section", "topic", "state", "text", "person")
        return {name: getattr(self, name) for name in names}


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
        lines = [
            f"# {self.title}: {self.run}",
            "",
            f"Standard: {self.source}",
            "",
            (
                f"{len(self.items)} items: {self.count(FILLED)} filled from the files of the "
                f"run, {self.count(PARTLY)} partly, {self.count(OPEN)} left to a person. "
                f"{PERSON} marks what the software cannot know. Topics are abbreviated; see the "
                "standard for the full text."
            ),
        ]
        section = ""
        for item in self.items:
            if item.section != section:
                section = item.section
                lines += ["", f"## {section}"]
            lines += ["", f"**{item.number} {item.topic}.**"]
            if item.text:
                lines[-1] += f" {item.text}"
            if item.person or not item.text:
                lines[-1] += f" {PERSON[:-1]}: {item.person}]" if item.person else f" {PERSON}"
        return "\n".join(lines) + "\n"


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
    title, source, sections = standards()[standard]
    known = _known(facts)
    return Checklist(
        standard,
        title,
        source,
        facts.root.resolve().name,
        tuple(
            Item(row.number, section, row.topic, _filled(row.text, known), row.person)
            for section, rows in sections.items()
            for row in rows
        ),
    )


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Return a text with facts inserted; empty if it consists of unknown facts only."""
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    if names and not any(known[name] for name in names):
        return ""
    return " ".join(text.format_map(known).split())


def _known(facts: RunFacts) -> dict[str, str]:
    recipe, own = facts.recipe, facts.provenance
    negative, positive = facts.info.pair
    found = facts.best
    part = found.part if found is not None else ""
    aside = facts.part("unused")
    members = facts.info.training.get("members")
    return {
        "aims": f"Development, and evaluation on {_part_words(part)} of the same data set.",
        "all_performance": " ".join(
            _sentence(facts.performance(name)) for name in facts.evaluated
        ),
        "balance": _sentence(
            f"{facts.part('train')}; handling: {recipe.get('balance', 'none')}; the recipe's "
            f"operating point: {recipe.get('operating_point', facts.info.operating_point.rule)}"
        ),
        "classes": f"{negative} and {positive}",
        "data": _sentence(facts.data()),
        "decisions": facts.decisions(),
        "difference": (
            "Training and evaluation images are parts of one data set."
            if part
            else "No images were evaluated."
        ),
        "ensemble": (
            f"{len(members)} members whose outputs are averaged."
            if isinstance(members, list)
            else "None: one network."
        ),
        "evidence": _evidence(facts),
        "gate": facts.gate(),
        "groups": "; ".join(map(_group, found.groups)) if found is not None else "",
        "history": (
            f"The model file records {len(facts.info.history)} changes after training."
            if facts.info.history
            else "None after training."
        ),
        "input": _sentence(facts.input()),
        "internal": _internal(facts),
        "intended": facts.intended(),
        "level": level_text(found.level) if found is not None else "no",
        "licence": facts.info.licence or "none given",
        "limits": (
            f"One training with one seed ({own.get('seed')}); {_part_words(part)} come from the "
            "same data as the training images; the intervals show their precision."
        ),
        "missing": _sentence(
            f"{own.get('unreadable', 0)} files could not be read; {aside}; only the image is "
            "used, so no other data can be missing"
        ),
        "modes": f"Kinds of pixels: {facts.kinds_of_pixels()}.",
        "network": facts.network(),
        "parts": _sentence(facts.parts()),
        "performance": _sentence(facts.performance()) if part else "",
        "positive": positive,
        "robustness": _robustness(found.robustness if found is not None else ()),
        "selection": _sentence(
            f"epoch {own.get('best_epoch')} of {own.get('epochs')} was kept (rule "
            f"{recipe.get('keep', 'lowest validation loss')})"
        ),
        "sha": facts.sha256,
        "software": f"Versions: {facts.software()}",
        "split": _sentence(facts.split()),
        "training": _sentence(facts.training()),
    }  # fmt: skip


def _part_words(part: str) -> str:
    return {"test": "the test images", "val": "the validation images"}.get(part, "no images")


def _internal(facts: RunFacts) -> str:
    names = [_part_words(part) for part in facts.evaluated]
    if not names:
        return ""
    return f"On {' and '.join(names)} of the same data set; numbers: item 37."


def _evidence(facts: RunFacts) -> str:
    if facts.draws_evidence:
        return (
            "The model draws a signed map of evidence over the image, in units of the logit; "
            f"report.html shows it for the most confident errors. {evidence_caveat(facts.info)}"
        ).strip()
    return "The model shows no evidence."


def _robustness(rows: Sequence[Corrupted]) -> str:
    """Return a sentence on the results on corrupted images; empty if not evaluated."""
    known = [(area, row) for row in rows if (area := row.numbers["auc"].value) is not None]
    if len(known) < 2 or rows[0].numbers["auc"].value is None:
        return ""
    lowest, row = min(known, key=lambda pair: pair[0])
    kinds = len({row.corruption for row in rows}) - 1
    return (
        f"{kinds} corruptions at five strengths each, on {rows[0].numbers['accuracy'].n} "
        f"images: AUC {rows[0].numbers['auc'].text()} on the unchanged images, lowest "
        f"{lowest:.3f} ({row.corruption}, {row.amount:g} {row.unit}). All of them are in "
        "metrics.json."
    )


def _group(group: Group) -> str:
    return f"{group.column} {group.value} (n = {group.n}): AUC {group.numbers['auc'].with_range()}"


def _sentence(text: str) -> str:
    """Capitalise a text and end it with a full stop."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
