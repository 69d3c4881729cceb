"""A reader on one set of images → the sections of a page: figures, tables, the worst mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.decision import decision_rows, decision_text, sets_aside
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.notes import units
from pneumoscope.evaluation.question import TrainingRelation
from pneumoscope.report.figures.curves import NetBenefit, PrecisionRecall
from pneumoscope.report.figures.groups import RobustnessCurves, SubgroupForest
from pneumoscope.report.figures.outcome import ConfusionMatrix, RocCurve
from pneumoscope.report.figures.probabilities import ReliabilityDiagram, ScoreDistributions
from pneumoscope.report.mistakes import mistakes
from pneumoscope.report.page import Section, Statement
from pneumoscope.report.words import NAMES, images_of, suffix_of

if TYPE_CHECKING:
    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.report._shared import Table
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.pictures import Pictures


def outcome_sections(
    found: Evaluation,
    scores: Scores,
    canvas: Canvas,
    *,
    pictures: Pictures | None = None,
    brief: bool = False,
) -> list[Section]:
    """Return everything that is known of a reader on these images, in sections.

    Args:
        found: The evaluation.
        scores: What the reader said of each image, or of each study or patient.
        canvas: Takes the files of figures and tables.
        pictures: Where the images are; None leaves the sheet of mistakes out.
        brief: The decision, the main numbers and the main figures alone.
    """
    if brief:
        return [*_decision(found, canvas), _main(found, scores, canvas)]
    sections = [
        *_decision(found, canvas),
        _main(found, scores, canvas),
        *_without_lungs(found, canvas),
    ]
    both = found["auc"].value is not None
    sections += _calibration(found, canvas)
    sections += _use(found, canvas) if both else []
    sections += _groups(found, canvas)
    sections += _robustness(found, canvas)
    sections += mistakes(found, scores, canvas, pictures)
    return sections


def _decision(found: Evaluation, canvas: Canvas) -> list[Section]:
    """Return what the decision achieves as deployed; nothing if it concludes on every image."""
    rows = decision_rows(found)
    if not rows:
        return []
    header = ("", "as deployed", "threshold alone")
    return [
        Section(
            f"What it decides on the {images_of(found)}",
            text=(
                f"{decision_text(found)} The right column is of the threshold alone, which "
                "concludes on every image."
            ),
            table=canvas.table(f"decision{suffix_of(found)}", (header, rows)),
        )
    ]


def _main(found: Evaluation, scores: Scores, canvas: Canvas) -> Section:
    suffix = suffix_of(found)
    panels = [
        canvas.panel(
            ConfusionMatrix(np.array(found.confusion), found.classes),
            f"confusion{suffix}",
            title="Conclusions and truth",
        )
    ]
    if found["auc"].value is not None:
        # From log odds, since float32 probabilities tie where the reader is very sure; the
        # operating point is that of the probabilities.
        fine = np.exp(-np.logaddexp(0, -scores.log_odds))
        curve = replace(
            RocCurve.from_scores(
                scores.label,
                fine,
                band=found.curves.roc if found.curves else None,
                auc_range=found["auc"].range_text(),
            ),
            operating_point=(
                1 - (found["specificity"].value or 0),
                found["sensitivity"].value or 0,
            ),
            threshold=found.threshold.value,
        )
        panels.append(canvas.panel(curve, f"roc{suffix}", title="Sensitivity against false alarms"))
        if found.curves is not None:
            recall, precision = found["sensitivity"].value, found["ppv"].value
            known = None if recall is None or precision is None else (recall, precision)
            pr = PrecisionRecall.from_band(
                found.curves.precision_recall,
                prevalence=found["prevalence"].value or 0.0,
                average_precision=found["average_precision"].value,
                operating_point=known,
            )
            panels.append(
                canvas.panel(pr, f"precision-recall{suffix}", title="Precision against recall")
            )
    distributions = ScoreDistributions.from_scores(
        scores.label,
        scores.probability,
        classes=found.classes,
        threshold=found.threshold.value,
        zone=found.policy.zone if found.policy is not None else None,
    )
    panels.append(
        canvas.panel(distributions, f"scores{suffix}", title="Probabilities of each class")
    )
    keys = (
        "auc",
        "sensitivity",
        "specificity",
        "balanced_accuracy",
        "accuracy",
        "ppv",
        "npv",
        "lr_positive",
        "lr_negative",
        "f1",
        "mcc",
    )
    table = canvas.table(f"numbers{suffix}", _numbers(found))
    patients = f"{found.n:,} {units(found)} of {found.patients:,} patients"
    whom = patients if found.patients_known else f"{found.n:,} {units(found)}"
    alone = " These are the numbers of the threshold alone." if sets_aside(found) else ""
    flattered = (
        " They also decided about the reader (epoch, calibration, threshold, uncertain zone), so "
        "these numbers flatter it."
        if found.relation is TrainingRelation.VALIDATION
        else ""
    )
    return Section(
        f"On the {images_of(found)}",
        text=(
            f"{whom}.{alone} From probability {found.threshold.value:.3g} on an image is called "
            f"{found.classes[1]}{_SAID[found.threshold.source]}. Intervals are at "
            f"{level_text(found.level)}; the table below the figures says how each was made."
            f"{flattered}"
        ),
        statements=(
            *(
                Statement(NAMES[key], found[key].with_range(), found[key].n, _undefined(found[key]))
                for key in keys
            ),
        ),
        panels=tuple(panels),
        table=table,
        table_title="Every number, with the method of its interval",
    )


_SAID = {
    "model": "",
    "given": " (given for this evaluation; the model has another)",
    "default": " (nothing says otherwise)",
}


def _undefined(estimate: Estimate) -> str:
    """Return why a ratio has no interval; empty if it has one, or is not defined itself."""
    if estimate.value is None or estimate.low is not None:
        return ""
    return "no interval, since it is not defined in some resamples"


def _numbers(found: Evaluation) -> Table:
    """Return every number with its interval, how that was made, and what it rests on."""
    numbers = found.numbers
    order = [key for key in NAMES if key in numbers]
    order += [key for key in numbers if key not in NAMES]
    body = tuple(
        (
            NAMES.get(key, key.replace("_", " ").capitalize()),
            numbers[key].text(4),
            numbers[key].range_text(4) or "none",
            numbers[key].method or "none",
            "; ".join(
                f"{one.low:.4f} to {one.high:.4f} ({one.method})" for one in numbers[key].also
            ),
            f"{numbers[key].n:,}",
        )
        for key in order
    )
    header = (
        "number", "value", "interval", "method of the interval", "by another method", units(found),
    )  # fmt: skip
    return header, body


def _without_lungs(found: Evaluation, canvas: Canvas) -> list[Section]:
    if not found.baselines:
        return []
    rows = [("this reader", found["accuracy"].percent(), found["auc"].with_range(), "")]
    rows += [
        (b.name, b.accuracy.percent(), b.auc.with_range(), b.fitted_on) for b in found.baselines
    ]
    table = canvas.table(
        f"baselines{suffix_of(found)}", (("rule", "accuracy", "AUC", "fitted on"), tuple(rows))
    )
    return [
        Section(
            "Without looking at the lungs",
            text=(
                "What rules achieve on the same images that know nothing of medicine. A reader "
                "that does not clearly beat them has not shown that it sees the disease."
            ),
            table=table,
        )
    ]


def _calibration(found: Evaluation, canvas: Canvas) -> list[Section]:
    if found.curves is None:
        return []
    diagram = ReliabilityDiagram.from_bins(found.curves.reliability, ece=found["ece"].with_range())
    statements = [
        Statement(NAMES[key], found[key].with_range(), found[key].n, note)
        for key, note in (
            ("ece", "0 at best; what chance adds is subtracted"),
            ("brier", "0 at best"),
            ("loss", ""),
            ("calibration_slope", "1 at best; below 1 the reader is too sure"),
            ("calibration_intercept", "0 at best"),
            ("calibration_in_the_large", "0 at best; above 0 it says positive too often"),
        )
    ]
    text = "Whether a probability of 0.8 means that eight of ten such images are positive."
    return [
        Section(
            "Can its probabilities be believed?",
            text=text,
            statements=tuple(statements),
            panels=(
                canvas.panel(
                    diagram,
                    f"reliability{suffix_of(found)}",
                    title="What was said, and what was so",
                ),
            ),
        )
    ]


def _use(found: Evaluation, canvas: Canvas) -> list[Section]:
    if found.curves is None:
        return []
    curve = NetBenefit.from_curve(found.curves.decision, threshold_in_use=found.threshold.value)
    fixed = [key for key in found.numbers if "_at_specificity_" in key or "_at_sensitivity_" in key]
    statements = [
        Statement(key.replace("_", " ").capitalize(), found[key].with_range(), found[key].n)
        for key in fixed
    ]
    if found.question.prevalence is not None:
        statements += [
            Statement(
                key.upper(), found[f"{key}_at_prevalence"].with_range(), found.n,
                f"where {100 * found.question.prevalence:.3g}% of the patients are positive",
            )
            for key in ("ppv", "npv")
        ]  # fmt: skip
    return [
        Section(
            "Would acting on it be of use?",
            text=f"{curve.summary()}.",
            statements=tuple(statements),
            panels=(canvas.panel(curve, f"net-benefit{suffix_of(found)}", title="Net benefit"),),
        )
    ]


def _groups(found: Evaluation, canvas: Canvas) -> list[Section]:
    if not found.groups:
        return []
    suffix = suffix_of(found)
    forest = SubgroupForest.from_groups(found.groups, everything=found.numbers, n=found.n)
    small = sum(group.small for group in found.groups)
    text = "The same numbers in groups of the images."
    if small:
        one = small == 1
        text += (
            f" {small} of {len(found.groups)} groups {'has' if one else 'have'} fewer than 20 "
            f"images of a class and {'is' if one else 'are'} marked (*): "
            f"{'its' if one else 'their'} numbers may be chance."
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
    return [
        Section(
            "Is it worse for some?",
            text=text,
            panels=(canvas.panel(forest, f"groups{suffix}", title="Groups of images"),),
            table=canvas.table(f"groups-table{suffix}", table),
            table_title="All groups",
        )
    ]


def _robustness(found: Evaluation, canvas: Canvas) -> list[Section]:
    if len(found.robustness) < 2:
        return []
    curves = RobustnessCurves.from_rows(found.robustness)
    return [
        Section(
            "On worse images",
            text=(
                f"{curves.summary()}. Squares mark strengths at which the whole interval lies "
                "below the value of the images as they are."
            ),
            panels=(
                canvas.panel(
                    curves, f"robustness{suffix_of(found)}", title="AUC as images get worse"
                ),
            ),
        )
    ]
