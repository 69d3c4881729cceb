"""The model card of a run, in the sections of Mitchell and others (FAT* 2019).

Fields that the software cannot fill in are marked. The template is ``templates/card.md``, or
``templates/findings_card.md`` for several findings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.evaluation.decision import decision_rows, decision_text
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.report.class_sections import class_rows, set_rows
from pneumoscope.report.facts import RunFacts
from pneumoscope.report.new_patients_section import card_lines
from pneumoscope.report.opening import caveats
from pneumoscope.report.page import NOTICE
from pneumoscope.report.rendering import environment, table_from
from pneumoscope.report.words import CLASS_NAMES, NAMES, images_of
from pneumoscope.runs import RunFolder, write_text

PERSON: Final = "[to be filled in by a person]"
"""Marks fields that the software cannot fill in."""

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
    several, best = facts.best_of_findings, facts.best
    root = facts.provenance.get("data_root")
    notes = [GENERATED] if root and is_generated(root) else []
    notes += caveats(best) if best is not None else several.notes if several is not None else ()
    own = best.by_class if best is not None else None
    template = "findings_card.md" if facts.info.findings else "card.md"
    text = (
        environment()
        .get_template(template)
        .render(
            facts=facts,
            found=best or several,
            notice=NOTICE,
            person=PERSON,
            notes=notes,
            evidence_caveat=evidence_caveat(facts.info),
            evaluated=images_of(several) if several is not None else "",
            decision_rows=decision_rows(best) if best is not None else (),
            decision_text=decision_text(best) if best is not None else "",
            shown=_SHOWN,
            names=NAMES,
            classes=own,
            class_table=table_from("classes", class_rows(own), units="images") if own else None,
            class_names=CLASS_NAMES,
            set_rows=set_rows(own.sets) if own and own.sets else (),
            new_patients=card_lines(facts.new_patients) if facts.new_patients else (),
        )
    )
    return f"{text}\n"
