"""The images that a reader concluded wrongly, as a section of a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.decision import sets_aside
from pneumoscope.reader.evidence import Scale, evidence_caveat
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report.page import Section
from pneumoscope.report.pictures import Case
from pneumoscope.report.words import suffix_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.pictures import Pictures

SHOWN_MISTAKES = 8


def mistakes(
    found: Evaluation, scores: Scores, canvas: Canvas, pictures: Pictures | None
) -> list[Section]:
    """Return what was concluded wrongly: a sheet of the surest mistakes, and a table of all.

    Args:
        found: The evaluation.
        scores: What the reader said of each image.
        canvas: Takes the files of the sheet and the table.
        pictures: Where the images are; None leaves the sheet out.
    """
    called = scores.probability >= found.threshold.value
    wrong = np.flatnonzero(called != (scores.label == 1))
    if not wrong.size:
        return [
            Section("Mistakes", text=f"None of the {len(scores):,} images was concluded wrongly.")
        ]
    sure = np.where(called, scores.log_odds, -scores.log_odds)
    ranked = wrong[np.argsort(-sure[wrong], kind="stable")]
    body = tuple(
        (
            scores.path[row],
            found.classes[int(scores.label[row])],
            found.classes[int(called[row])],
            probability_text(float(scores.probability[row])),
        )
        for row in ranked
    )
    suffix = suffix_of(found)
    table = canvas.table(
        f"mistakes{suffix}",
        (("image", "label", "concluded", "probability"), body),
    )
    panels = []
    sheet = pictures and pictures.sheet(
        [
            Case(
                scores.path[row],
                found.classes[int(scores.label[row])],
                f"{found.classes[1]} {probability_text(float(scores.probability[row]))}",
            )
            for row in worst_rows(ranked, called)
        ]
    )
    if sheet:
        caption = sheet.CAPTION
        if sheet.evidence is not None:
            caption += (
                " Below each image stands the same with the reader's evidence: orange speaks for "
                f"{found.classes[1]}, blue against it. Each has its own scale, in full colour from "
                f"where its evidence is strongest, at least ±{Scale().full:g} units of the logit."
            )
        if sheet.evidence is not None and pictures and pictures.predictor:
            caption += f" {evidence_caveat(pictures.predictor.info)}".rstrip()
        panels.append(
            canvas.panel(sheet, f"mistakes{suffix}-images", title="Surest and wrong",
                         caption=caption)
        )  # fmt: skip
    false_alarms = int(called[wrong].sum())
    aside = _set_aside(found, int(wrong.size))
    return [
        Section(
            "The worst mistakes",
            text=(
                f"{wrong.size:,} of {len(scores):,} images were concluded wrongly: "
                f"{wrong.size - false_alarms:,} {found.classes[1]} missed, {false_alarms:,} false "
                f"{'alarm' if false_alarms == 1 else 'alarms'}, at the threshold alone.{aside} The "
                "list begins with those of which the reader was surest."
            ),
            panels=tuple(panels),
            table=table,
            table_title="All images that were concluded wrongly",
        )
    ]


def _set_aside(found: Evaluation, wrong: int) -> str:
    """Return how many of the wrong conclusions are not given, since the image is set aside."""
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
    """Return the mistakes to show: the surest of each kind in equal parts, if there are as many.

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
