"""The sections of a page about one evaluation: figures, tables, worst errors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pneumoscope.evaluation.baseline import Baseline
from pneumoscope.evaluation.decision import decision_rows
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.scores import Scores
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.class_sections import class_sections
from pneumoscope.report.figures.curves import net_benefit, precision_recall, reliability_diagram
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.groups import robustness_curves, subgroup_forest
from pneumoscope.report.figures.outcome import confusion_matrix, score_distributions
from pneumoscope.report.figures.roc import roc_curve, roc_of
from pneumoscope.report.page import Section
from pneumoscope.report.pictures import Pictures, mistakes
from pneumoscope.report.words import NAMES, facts_of, name_of, short_pair, statements_of

_MAIN = (
    "auc", "sensitivity", "specificity", "balanced_accuracy", "accuracy", "ppv", "npv",
    "lr_positive", "lr_negative", "f1", "mcc",
)  # fmt: skip


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
        scores: Scores of the images, or of the studies or patients.
        canvas: Takes the files of figures and tables.
        pictures: Where the images are; None leaves the sheet of mistakes out.
        brief: The decision, the main numbers and the main figures alone.
    """
    canvas = canvas.about(found.part, **facts_of(found))
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
    if rows := decision_rows(found):
        yield canvas.section("decision", rows=rows)


def _numbers(found: Evaluation, scores: Scores, canvas: Canvas) -> Iterator[Section]:
    """Yield the main metrics and figures."""
    order = [key for key in NAMES if key in found.numbers]
    order += [key for key in found.numbers if key not in NAMES]
    yield canvas.section(
        "numbers",
        statements=statements_of(found, {key: _why_no_interval(found, key) for key in _MAIN}),
        figures=dict(_main_figures(found, scores)),
        rows=[(name_of(key), found[key]) for key in order],
    )


def _main_figures(found: Evaluation, scores: Scores) -> Iterator[tuple[str, Drawing]]:
    names = short_pair(found.labels)
    yield "confusion", confusion_matrix(found.confusion, names)
    if found["auc"].value is not None:
        yield "roc", _roc(found, scores)
        if found.curves is not None:
            recall, precision = found["sensitivity"].value, found["ppv"].value
            curve = precision_recall(
                found.curves.precision_recall,
                prevalence=found["prevalence"].value or 0.0,
                average_precision=found["average_precision"].value,
                point=None if recall is None or precision is None else (recall, precision),
            )
            yield "precision-recall", curve
    zone = found.policy.zone if found.policy is not None else None
    threshold = found.threshold.value
    distributions = score_distributions(
        scores.label, scores.probability, classes=names, threshold=threshold, zone=zone
    )
    yield "scores", distributions


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


def _without_lungs(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if found.baselines:
        reader = Baseline("this reader", found["accuracy"], found["auc"], "")
        yield canvas.section("baselines", rows=(reader, *found.baselines))


def _calibration(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if found.curves is not None:
        diagram = reliability_diagram(found.curves.reliability, found["ece"].with_range())
        yield canvas.section(
            "calibration",
            numbers=found,
            figures={"reliability": diagram},
        )


def _use(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if found.curves is None or found["auc"].value is None:
        return
    curve = net_benefit(found.curves.decision, found.threshold.value)
    given = [k for k in found.numbers if "_at_specificity_" in k or "_at_sensitivity_" in k]
    shown = statements_of(found, dict.fromkeys(given, ""))
    prevalence = found.question.prevalence
    if prevalence is not None:
        note = f"where {100 * prevalence:.3g}% of the patients are positive"
        values = {"ppv_at_prevalence": "PPV", "npv_at_prevalence": "NPV"}
        shown += statements_of(found, dict.fromkeys(values, note), values)
    yield canvas.section(
        "utility",
        statements=shown,
        figures={"net-benefit": curve},
        summary=curve.summary,
    )


def _groups(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if found.groups:
        forest = subgroup_forest(found.groups, found.numbers, found.n)
        yield canvas.section("groups", figures={"groups": forest}, rows=found.groups)


def _robustness(found: Evaluation, canvas: Canvas) -> Iterator[Section]:
    if len(found.robustness) > 1:
        curves = robustness_curves(found.robustness)
        yield canvas.section("robustness", figures={"robustness": curves}, summary=curves.summary)
