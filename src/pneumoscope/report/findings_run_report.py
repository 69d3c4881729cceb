"""The report and the model card of a training run of several findings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pneumoscope.data.generated import GENERATED, is_generated
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.findings_card import write_findings_card
from pneumoscope.report.findings_page import (
    findings_answer,
    findings_headline,
    findings_sections,
    question_of,
)
from pneumoscope.report.page import Report, Section, footer_of, write_report
from pneumoscope.report.run_report import (
    augmentation_section,
    data_line,
    learning_section,
    of_the_run,
    recipe_section,
)
from pneumoscope.report.words import PARTS
from pneumoscope.training.log import read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.runs import RunFolder
    from pneumoscope.training.recipe import Recipe


def write_findings_run_report(
    run: RunFolder,
    *,
    recipe: Recipe,
    data: PreparedData,
    judged: Sequence[FindingsEvaluation],
) -> None:
    """Write ``report.html``, ``card.md`` and ``figures/`` of a finished run.

    Args:
        run: The run.
        recipe: Its recipe.
        data: Its images.
        judged: The evaluation on validation images and, last, on test images if there are any.

    Raises:
        OutputError: They cannot be written.
    """
    facts = json.loads(run.provenance.read_text(encoding="utf-8"))
    best = judged[-1]
    canvas = Canvas(run.figures, level=best.question.level)
    sections = [
        section
        for found in reversed(judged)
        for section in findings_sections(
            found, canvas, name="" if found is best else f"{found.part}-"
        )
    ]
    sections += [
        learning_section(canvas, read_log(run.log), recipe, facts),
        _data(data),
        *augmentation_section(canvas, recipe, data),
        recipe_section(canvas, recipe, facts),
    ]
    generated = [GENERATED] if is_generated(data.catalog.root) else []
    write_report(
        run.report,
        Report(
            title=run.root.name,
            question=question_of(data.catalog.findings),
            data=data_line(data.catalog, data.split),
            answer=findings_answer(best),
            caveats=(*generated, *best.notes, *of_the_run(recipe, facts)),
            headline=findings_headline(best),
            sections=tuple(sections),
            footer=(
                f"{footer_of(facts)} · data {data.catalog.fingerprint[:12]} · seed {recipe.seed}"
            ),
        ),
    )
    write_findings_card(run)


def _data(data: PreparedData) -> Section:
    """Return the section that counts the labels of each finding in each part."""
    labels = data.catalog.finding_labels
    parts = {name: data.split.rows(part) for part, name in PARTS.items()}
    there = {name: rows for name, rows in parts.items() if rows}
    rows = tuple(
        (
            finding,
            *(
                f"{(labels[own, place] == 1).sum():,} of {(labels[own, place] >= 0).sum():,}"
                for own in there.values()
            ),
        )
        for place, finding in enumerate(data.catalog.findings)
    )
    return Section(
        "The data",
        text=(
            "Images with each finding, of those that have a label of it. No patient, and no image "
            "under two names, stands in two parts."
        ),
        table=(("finding", *there), rows),
        table_title="Labels of each finding",
    )
