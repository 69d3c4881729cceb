"""The model card of a run, in the sections of Mitchell and others (FAT* 2019).

What the software knows it writes; what only a person can know is marked, so that an empty place is
seen and not mistaken for a statement. The card's text is ``templates/card.md``,
that of several findings ``templates/findings_card.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.data.relation import TrainingRelation
from pneumoscope.evaluation.decision import decision_rows, decision_text
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.report.class_sections import class_table, set_rows
from pneumoscope.report.facts import PARTS, RunFacts
from pneumoscope.report.new_patients_section import card_lines
from pneumoscope.report.opening import caveats
from pneumoscope.report.page import NOTICE
from pneumoscope.report.rendering import environment
from pneumoscope.report.words import CLASS_NAMES, NAMES, images_of
from pneumoscope.runs import RunFolder, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from pneumoscope.evaluation.evaluation import Evaluation

PERSON: Final = "[to be filled by a person]"
"""Marks what the software cannot know."""

SECTIONS: Final = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)
"""The nine sections of a model card, in their order."""

_SHOWN = (
    "auc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity",
    "ppv", "npv", "brier", "ece", "calibration_slope",
)  # fmt: skip
_STANDING = {
    TrainingRelation.TEST: " From the same source as the training images.",
    TrainingRelation.VALIDATION: " Also used to choose epoch, calibration and threshold.",
}


def write_card(run: RunFolder) -> Path:
    """Write ``card.md`` into a finished run, and return its path.

    Args:
        run: The run; its numbers are those of ``metrics.json``.

    Raises:
        DataError: The run was not finished.
        OutputError: The card cannot be written.
    """
    place = run.root / "card.md"
    write_text(place, card_text(RunFacts.read(run.root)))
    return place


def card_text(facts: RunFacts) -> str:
    """Return the card as Markdown."""
    several = bool(facts.info.findings)
    findings = facts.best_of_findings
    found = findings if several else facts.best
    root = facts.provenance.get("data_root")
    notes = [GENERATED] if root and is_generated(root) else []
    if found is not None:
        notes += found.notes if isinstance(found, FindingsEvaluation) else caveats(found)
    text = environment().get_template("findings_card.md" if several else "card.md").render(
        facts=facts,
        found=found,
        notice=NOTICE,
        person=PERSON,
        notes=notes,
        level=level_text(found.question.level) if found else "",
        evidence_caveat=evidence_caveat(facts.info),
        **(_of_findings(findings) if several else _of_classes(facts, facts.best)),
    )  # fmt: skip
    return f"{text}\n"


def _of_findings(found: FindingsEvaluation | None) -> dict[str, Any]:
    if found is None:
        return {"evaluated_images": "none."}
    numbers = found.numbers
    each = zip(numbers.names, numbers.counts, numbers.thresholds, numbers.by_finding, strict=True)
    return {
        "evaluated_images": f"{numbers.n:,} {images_of(found)} of {numbers.patients:,} patients",
        "rows": list(each),
    }


def _of_classes(facts: RunFacts, found: Evaluation | None) -> dict[str, Any]:
    negative, positive = facts.info.pair
    others = [part for part in facts.evaluations if part in PARTS and found and part != found.part]
    own = found.by_class if found else None
    return {
        "positive": positive,
        "negative": negative,
        "groups": ", ".join(dict.fromkeys(group.column for group in found.groups)) if found else "",
        "evaluated_images": _evaluated_images(facts),
        "decision_rows": decision_rows(found) if found else (),
        "decision_text": decision_text(found) if found else "",
        "shown": _SHOWN,
        "names": NAMES,
        "classes": own,
        "class_table": class_table(own, "images") if own else None,
        "class_names": CLASS_NAMES,
        "set_rows": set_rows(own.sets) if own and own.sets else (),
        "new_patients": card_lines(facts.new_patients) if facts.new_patients else (),
        "others": [facts.performance(part) for part in others],
    }


def _evaluated_images(facts: RunFacts) -> str:
    found = facts.best
    if found is None:
        return "none."
    text = f"{facts.part(found.part)}.{_STANDING.get(found.relation, '')}"
    return text if found.has_test is not False else f"{text} There is no test part."
