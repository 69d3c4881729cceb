"""The sections of a page about a reader of several findings."""

from __future__ import annotations

from pneumoscope.data.prepared import PreparedData
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.groups import finding_forest
from pneumoscope.report.page import Section
from pneumoscope.report.words import PARTS, images_of, ranges

_SHOWN = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "ece": "calibration error",
    "uncertain": "uncertain",
}


def findings_section(found: FindingsEvaluation, canvas: Canvas, *, name: str = "") -> Section:
    """Return the section on the numbers of each finding of a set of images.

    Args:
        found: The evaluation.
        canvas: Where figures go.
        name: Put before the names of figures, where a page has several such sets.
    """
    numbers = found.numbers
    shown = {key: title for key, title in _SHOWN.items() if key in numbers.by_finding[0]}
    rows = tuple(
        (
            finding,
            *(f"{n:,}" for n in (counts.labelled, counts.positive, counts.masked)),
            f"{threshold:.4g}",
            *ranges(own, shown),
        )
        for finding, counts, threshold, own in zip(
            numbers.names, numbers.counts, numbers.thresholds, numbers.by_finding, strict=True
        )
    )
    header = ("finding", "labelled", "positive", "masked", "threshold", *shown.values())
    return canvas.section(
        "findings",
        numbers=numbers,
        figures={f"{name}findings": finding_forest(numbers)},
        table=(header, rows),
        images=images_of(found),
    )


def findings_data(data: PreparedData, canvas: Canvas) -> Section:
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
    return canvas.section("finding_labels", table=(("finding", *there), rows))
