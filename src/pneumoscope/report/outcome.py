"""The sections of a page about one evaluation: figures, tables, worst errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.relation import TrainingRelation
from pneumoscope.evaluation.decision import decision_rows, decision_text, sets_aside
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.notes import units
from pneumoscope.report.class_sections import class_sections
from pneumoscope.report.figures.curves import net_benefit, precision_recall, reliability_diagram
from pneumoscope.report.figures.groups import robustness_curves, subgroup_forest
from pneumoscope.report.figures.outcome import confusion_matrix, score_distributions
from pneumoscope.report.figures.roc import roc_curve, roc_of
from pneumoscope.report.mistakes import mistakes
from pneumoscope.report.page import Section, Statement
from pneumoscope.report.words import NAMES, images_of, short_pair, statement, suffix_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.figures.drawing import Drawing
    from pneumoscope.report.page import Panel
    from pneumoscope.report.pictures import Pictures
    from pneumoscope.report.tables import Table

_MAIN = (
    "auc", "sensitivity", "specificity", "balanced_accuracy", "accuracy", "ppv", "npv",
    "lr_positive", "lr_negative", "f1", "mcc",
)  # fmt: skip
_CALIBRATION = {
    "ece": "ideal: 0; corrected for chance",
    "brier": "0 at best",
    "loss": "",
    "calibration_slope": "ideal: 1; below 1 means overconfident",
    "calibration_intercept": "0 at best",
    "calibration_in_the_large": "ideal: 0; above 0 means too many positive predictions",
}
_GIVEN = {
    "model": "",
    "given": " (set for this evaluation; the model has another)",
    "default": " (the default)",
}


def outcome_sections(
    found: Evaluation,
    scores: Scores,
    canvas: Canvas,
    *,
    pictures: Pictures | None = None,
    brief: bool = False,
) -> list[Section]:
    """Return all sections about an evaluation.

    A new section is a function here that yields it where there is something to show, and a line
    in this list.

    Args:
        found: The evaluation.
        scores: What the reader said of each image, or of each study or patient.
        canvas: Takes the files of figures and tables.
        pictures: Where the images are; None leaves the sheet of mistakes out.
        brief: The decision, the main numbers and the main figures alone.
    """
    main = [
        *_decision(found, canvas),
        *class_sections(found, scores, canvas, brief=brief),
        *_numbers(found, scores, canvas),
    ]
    if brief:
        return main
    return [
        *main,
        *_without_lungs(found, canvas),
        *_calibration(found, canvas),
        *_use(found, canvas),
        *_groups(found, canvas),
        *_robustness(found, canvas),
        *mistakes(found, scores, canvas, pictures),
    ]


def _decision(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    """Yield the performance as deployed, if images are set aside."""
    rows = decision_rows(found)
    if rows:
        table = ("", "as deployed", "threshold alone"), rows
        yield Section(
            f"Decision on the {images_of(found)}",
            text=(
                f"{decision_text(found)} The right column is for the threshold alone, which "
                "gives every image a class."
            ),
            table=canvas.table(f"decision{suffix_of(found)}", table),
        )


def _numbers(found: Evaluation, scores: Scores, canvas: Canvas) -> Iterator[Section]:
    """Yield the main metrics and figures."""
    whom = f"{found.n:,} {units(found)}"
    if found.patients_known:
        whom += f" of {found.patients:,} patients"
    alone = " These results are for the threshold alone." if sets_aside(found) else ""
    flattered = (
        " They were also used to choose epoch, calibration, threshold and uncertain zone, so "
        "these results are optimistic."
        if found.relation is TrainingRelation.VALIDATION
        else ""
    )
    yield Section(
        f"On the {images_of(found)}",
        text=(
            f"{whom}.{alone} At probability {found.threshold.value:.3g} or higher, an image is "
            f"classified as {found.classes[1]}{_GIVEN[found.threshold.source]}. Intervals are "
            f"{level_text(found.level)} intervals; the table below the figures gives their "
            f"methods.{flattered}"
        ),
        statements=tuple(statement(found, key, _why_no_interval(found, key)) for key in _MAIN),
        panels=tuple(_main_panels(found, scores, canvas)),
        table=canvas.table(f"numbers{suffix_of(found)}", _every_number(found)),
        table_title="All results with the methods of their intervals",
    )


def _main_panels(found: Evaluation, scores: Scores, canvas: Canvas) -> Iterator[Panel]:
    suffix, names = suffix_of(found), short_pair(found.labels)
    matrix = confusion_matrix(found.confusion, names)
    yield canvas.panel(matrix, f"confusion{suffix}")
    if found["auc"].value is not None:
        curve = _roc(found, scores)
        yield canvas.panel(curve, f"roc{suffix}")
        if found.curves is not None:
            recall, precision = found["sensitivity"].value, found["ppv"].value
            pr = precision_recall(
                found.curves.precision_recall,
                prevalence=found["prevalence"].value or 0.0,
                average_precision=found["average_precision"].value,
                point=None if recall is None or precision is None else (recall, precision),
            )
            yield canvas.panel(pr, f"precision-recall{suffix}")
    distributions = score_distributions(
        scores.label,
        scores.probability,
        classes=names,
        threshold=found.threshold.value,
        zone=found.policy.zone if found.policy is not None else None,
    )
    yield canvas.panel(distributions, f"scores{suffix}")


def _roc(found: Evaluation, scores: Scores) -> Drawing:
    """Return the ROC curve of the log odds, because float32 probabilities can tie.

    The operating point is that of the probabilities.
    """
    return roc_curve(
        roc_of(scores.label, np.exp(-np.logaddexp(0, -scores.log_odds))),
        threshold=found.threshold.value,
        point=(1 - (found["specificity"].value or 0), found["sensitivity"].value or 0),
        band=found.curves.roc if found.curves else None,
        auc_range=found["auc"].range_text(),
    )


def _why_no_interval(found: Evaluation, key: str) -> str:
    """Return why a ratio has no interval; empty if it has one, or is undefined."""
    if found[key].value is None or found[key].low is not None:
        return ""
    return "no interval, since it is not defined in some resamples"


def _every_number(found: Evaluation) -> Table:
    """Return every metric with interval, method and sample size."""
    order = [*(key for key in NAMES if key in found.numbers)]
    order += [key for key in found.numbers if key not in NAMES]
    header = ("number", "value", "interval", "method of the interval", "by another method")
    return (*header, units(found)), tuple(
        (
            statement(found, key).name,
            found[key].text(4),
            found[key].range_text(4) or "none",
            found[key].method or "none",
            "; ".join(f"{a.low:.4f} to {a.high:.4f} ({a.method})" for a in found[key].also),
            f"{found[key].n:,}",
        )
        for key in order
    )


def _without_lungs(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if not found.baselines:
        return
    rows = [("this reader", found["accuracy"], found["auc"], "")]
    rows += [(b.name, b.accuracy, b.auc, b.fitted_on) for b in found.baselines]
    table = (
        ("rule", "accuracy", "AUC", "fitted on"),
        tuple((name, share.percent(), area.with_range(), on) for name, share, area, on in rows),
    )
    yield Section(
        "Baselines",
        text=(
            "Performance on the same images of rules that do not look at the lungs. A reader "
            "that is not clearly better has not shown that it recognises the disease."
        ),
        table=canvas.table(f"baselines{suffix_of(found)}", table),
    )


def _calibration(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if found.curves is None:
        return
    diagram = reliability_diagram(found.curves.reliability, found["ece"].with_range())
    name = f"reliability{suffix_of(found)}"
    yield Section(
        "Calibration",
        text="In a calibrated reader, eight of ten images with a probability of 0.8 are positive.",
        statements=tuple(statement(found, key, note) for key, note in _CALIBRATION.items()),
        panels=(canvas.panel(diagram, name),),
    )


def _use(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if found.curves is None or found["auc"].value is None:
        return
    curve = net_benefit(found.curves.decision, found.threshold.value)
    statements = [
        statement(found, key)
        for key in found.numbers
        if "_at_specificity_" in key or "_at_sensitivity_" in key
    ]
    prevalence = found.question.prevalence
    if prevalence is not None:
        note = f"where {100 * prevalence:.3g}% of the patients are positive"
        statements += [
            Statement(key.upper(), found[f"{key}_at_prevalence"].with_range(), found.n, note)
            for key in ("ppv", "npv")
        ]
    yield Section(
        "Clinical utility",
        text=f"{curve.summary}.",
        statements=tuple(statements),
        panels=(canvas.panel(curve, f"net-benefit{suffix_of(found)}"),),
    )


def _groups(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if not found.groups:
        return
    forest = subgroup_forest(found.groups, found.numbers, found.n)
    small = sum(group.small for group in found.groups)
    text = "Results for groups of images."
    if small:
        has, is_, its = ("has", "is", "its") if small == 1 else ("have", "are", "their")
        text += (
            f" {small} of {len(found.groups)} groups {has} fewer than 20 images of a class and "
            f"{is_} marked (*): {its} numbers may be chance."
        )
    table = (
        ("group", units(found), "positive", "AUC", "sensitivity", "specificity"),
        tuple(
            (
                f"{group.column}: {group.value}{' *' if group.small else ''}",
                f"{group.n:,}",
                f"{group.positives:,}",
                *(group.numbers[key].with_range() for key in ("auc", "sensitivity", "specificity")),
            )
            for group in found.groups
        ),
    )
    yield Section(
        "Subgroups",
        text=text,
        panels=(canvas.panel(forest, f"groups{suffix_of(found)}"),),
        table=canvas.table(f"groups-table{suffix_of(found)}", table),
        table_title="All groups",
    )


def _robustness(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if len(found.robustness) < 2:
        return
    curves = robustness_curves(found.robustness)
    name = f"robustness{suffix_of(found)}"
    yield Section(
        "Robustness",
        text=(
            f"{curves.summary}. Squares mark strengths at which the whole interval is below "
            "the value of the unchanged images."
        ),
        panels=(canvas.panel(curves, name),),
    )
