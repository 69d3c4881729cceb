"""The model card of a run of several findings; the text is ``templates/findings_card.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.report.card import PERSON
from pneumoscope.report.facts import PARTS, RunFacts
from pneumoscope.report.page import NOTICE, environment
from pneumoscope.runs import RunFolder, write_text

if TYPE_CHECKING:
    from pathlib import Path


def write_findings_card(run: RunFolder) -> Path:
    """Write ``card.md`` into a finished run, and return its path.

    Raises:
        DataError: The run was not finished.
        OutputError: The card cannot be written.
    """
    place = run.root / "card.md"
    write_text(place, findings_card_text(RunFacts.read(run.root)))
    return place


def findings_card_text(facts: RunFacts) -> str:
    """Return the card as Markdown."""
    found = facts.findings.get("test") or facts.findings.get("val")
    root = facts.provenance.get("data_root")
    generated = [GENERATED] if root and is_generated(root) else []
    text = environment().get_template("findings_card.md").render(
        facts=facts,
        found=found,
        notice=NOTICE,
        person=PERSON,
        level=level_text(found.question.level) if found else "",
        evaluated=(
            f"{found.numbers.n:,} {PARTS.get(found.part, found.part)} images of "
            f"{found.numbers.patients:,} patients"
            if found
            else ""
        ),
        rows=list(
            zip(
                found.numbers.names,
                found.numbers.counts,
                found.numbers.thresholds,
                found.numbers.by_finding,
                strict=True,
            )
        )
        if found
        else [],
        notes=[*generated, *(found.notes if found else ())],
    )  # fmt: skip
    return text + "\n"
