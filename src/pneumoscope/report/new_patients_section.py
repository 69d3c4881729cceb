"""Expected performance on new patients: the section of a page, and the text of a card."""

from __future__ import annotations

from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.new_patients import ESTIMATOR, NewPatients
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.groups import new_patients_forest
from pneumoscope.report.page import Section, Statement
from pneumoscope.report.rendering import read_yaml, text_of
from pneumoscope.report.words import NAMES

_NAMES = {**NAMES, **read_yaml("names.yaml")["new_patients"]}


def new_patients_section(found: NewPatients, canvas: Canvas) -> Section:
    """Return the section of a page.

    Args:
        found: What was found.
        canvas: Takes the files of figure and table.
    """
    return canvas.section(
        "new_patients",
        statements=tuple(
            Statement(_NAMES[name], own.mean.with_range(), own.mean.n, _words("range", own=own))
            for name, own in found.expected.items()
        ),
        figures={"new-patients": new_patients_forest(found)},
        rows=found.groups,
        found=found,
        judged=_words("judged", found=found),
        estimator=ESTIMATOR,
    )


def card_lines(found: NewPatients) -> list[str]:
    """Return the lines of a card about new patients."""
    numbers = [
        f"{_NAMES[name]}: {own.mean.with_range()} ({level_text(found.level)} "
        f"interval of the mean); {_words('range', own=own)}"
        for name, own in found.expected.items()
    ]
    return [_words("judged", found=found), *numbers, f"Estimator: {ESTIMATOR}."]


def _words(kind: str, **facts: object) -> str:
    """Return a text about the evaluation of the groups, or about the range of a metric."""
    return text_of("sections.yaml", f"new_patients_{kind}", "text", facts)
