"""The section of a page with the wrong conclusions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.reader.overlay import Scale
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.page import Section
from pneumoscope.report.pictures import Case, Pictures

SHOWN_MISTAKES = 8


def mistakes(
    found: Evaluation, scores: Scores, canvas: Canvas, pictures: Pictures | None
) -> list[Section]:
    """Return a sheet of the most confident errors, and a table of all errors.

    Args:
        found: The evaluation.
        scores: What the reader said of each image.
        canvas: Takes the files of the sheet and the table.
        pictures: Where the images are; None leaves the sheet out.
    """
    called = scores.probability >= found.threshold.value
    wrong = np.flatnonzero(called != (scores.label == 1))
    if not wrong.size:
        return [canvas.section("no_mistakes", n=len(scores))]
    sure = np.where(called, scores.log_odds, -scores.log_odds)
    ranked = wrong[np.argsort(-sure[wrong], kind="stable")]
    said = [probability_text(float(value)) for value in scores.probability]
    label = true_names(found, scores)
    rows = tuple(
        (scores.path[row], label[row], found.classes[int(called[row])], said[row]) for row in ranked
    )
    cases = [
        Case(scores.path[row], label[row], f"{found.classes[1]} {said[row]}")
        for row in worst_rows(ranked, called)
    ]
    info = pictures.reader if pictures else None
    kind, facts = "case_sheet", {}
    if info is not None:
        kind = "cases_with_evidence"
        facts = {"full": f"{Scale.of_reader(info).full:g}", "caveat": evidence_caveat(info)}
    sheet = pictures.sheet(cases, kind) if pictures else None
    section = canvas.about(f"{canvas.part}-images".strip("-"), **facts).section(
        "mistakes",
        figures={"mistakes": sheet},
        table=canvas.table("mistakes", (("image", "label", "concluded", "probability"), rows)),
        n=len(scores),
        wrong=wrong.size,
        alarms=int(called[wrong].sum()),
        positive=found.classes[1],
    )
    return [section]


def true_names(found: Evaluation, scores: Scores) -> list[str]:
    """Return the name of each image's true class, or of its group where only that is known."""
    if scores.classes is None:
        return [found.classes[int(own)] for own in scores.label]
    names = scores.classes.labels.names
    return [names[own] for own in scores.classes.number]


def worst_rows(
    ranked: NDArray[np.intp], called: NDArray[np.bool_], *, shown: int = SHOWN_MISTAKES
) -> list[int]:
    """Return the errors to show: the most confident, balanced between both kinds.

    Args:
        ranked: Rows of all mistakes, the surest first.
        called: Whether each row was called positive.
        shown: How many at most.
    """
    kinds = [[int(row) for row in ranked if called[row] == kind] for kind in (False, True)]
    half = math.ceil(shown / 2)
    room = [max(half, shown - len(other)) for other in reversed(kinds)]
    chosen = {row for rows, most in zip(kinds, room, strict=True) for row in rows[:most]}
    return [int(row) for row in ranked if int(row) in chosen][:shown]
