"""The section of a page with the wrong conclusions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.decision import sets_aside
from pneumoscope.reader.evidence import evidence_caveat
from pneumoscope.reader.overlay import Scale
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report.page import Section
from pneumoscope.report.pictures import Case
from pneumoscope.report.words import suffix_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.page import Panel
    from pneumoscope.report.pictures import Pictures

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
        text = f"None of the {len(scores):,} images was classified wrongly."
        return [Section("Mistakes", text=text)]
    sure = np.where(called, scores.log_odds, -scores.log_odds)
    ranked = wrong[np.argsort(-sure[wrong], kind="stable")]
    said = [probability_text(float(value)) for value in scores.probability]
    label = true_names(found, scores)
    rows = tuple(
        (scores.path[row], label[row], found.classes[int(called[row])], said[row]) for row in ranked
    )
    name = f"mistakes{suffix_of(found)}"
    table = canvas.table(name, (("image", "label", "concluded", "probability"), rows))
    cases = [
        Case(scores.path[row], label[row], f"{found.classes[1]} {said[row]}")
        for row in worst_rows(ranked, called)
    ]
    panels: tuple[Panel, ...] = ()
    if pictures is not None:
        kind, facts = _how_to_read(found, pictures)
        panels = pictures.panels(canvas, cases, f"{name}-images", kind, **facts)
    false_alarms = int(called[wrong].sum())
    return [
        Section(
            "Errors",
            text=(
                f"{wrong.size:,} of {len(scores):,} images were classified wrongly: "
                f"{wrong.size - false_alarms:,} {found.classes[1]} missed, {false_alarms:,} "
                f"false {'alarm' if false_alarms == 1 else 'alarms'}, at the threshold "
                f"alone.{_set_aside(found, int(wrong.size))} The most confident errors come "
                "first."
            ),
            panels=panels,
            table=table,
            table_title="All errors",
        )
    ]


def true_names(found: Evaluation, scores: Scores) -> list[str]:
    """Return the name of each image's true class, or of its group where only that is known."""
    if scores.classes is None:
        return [found.classes[int(own)] for own in scores.label]
    names = scores.classes.labels.names
    return [names[own] for own in scores.classes.number]


def _how_to_read(found: Evaluation, pictures: Pictures) -> tuple[str, dict[str, object]]:
    """Return the key of the caption, and what is filled in."""
    if pictures.predictor is None or not pictures.draws_evidence:
        return "", {}
    info = pictures.predictor.info
    full = f"{Scale.of_reader(info).full:g}"
    caveat = evidence_caveat(info)
    return "cases_with_evidence", {"positive": found.classes[1], "full": full, "caveat": caveat}


def _set_aside(found: Evaluation, wrong: int) -> str:
    """Return how many wrong conclusions are not given because the image is set aside."""
    if found.policy is None or not sets_aside(found):
        return ""
    error = found.policy.deployed.error
    left = round((error.value or 0) * error.n)
    return f" {wrong - left:,} of these images are set aside as deployed, {left:,} are not."


def worst_rows(
    ranked: NDArray[np.intp],
    called: NDArray[np.bool_],
    *,
    shown: int = SHOWN_MISTAKES,
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
