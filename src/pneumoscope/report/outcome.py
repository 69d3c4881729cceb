"""A reader on one set of images → the sections of a page: figures, tables, the worst mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.report.figures_curves import NetBenefit, PrecisionRecall
from pneumoscope.report.figures_groups import RobustnessCurves, SubgroupForest
from pneumoscope.report.figures_outcome import ConfusionMatrix, RocCurve
from pneumoscope.report.figures_probabilities import ReliabilityDiagram, ScoreDistributions
from pneumoscope.report.judged import NAMES, Judged, headline, percent, with_range
from pneumoscope.report.mistakes import mistakes
from pneumoscope.report.page import Section, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.report._shared import Table
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.pictures import Pictures


def outcome_sections(
    item: Judged, canvas: Canvas, *, pictures: Pictures | None = None, brief: bool = False
) -> list[Section]:
    """Return everything that is known of a reader on these images, in sections.

    Args:
        item: The reader and the images.
        canvas: Takes the files of figures and tables.
        pictures: Where the images are; None leaves the sheet of mistakes out.
        brief: One section, with the main numbers and figures and the uncertain zone.
    """
    if brief:
        return [_main(item, canvas, more=_zone(item))]
    sections = [_main(item, canvas), *_without_lungs(item, canvas)]
    both = item.assessment["auc"].value is not None
    sections += _calibration(item, canvas)
    sections += _use(item, canvas) if both else []
    sections += _groups(item, canvas)
    sections += _robustness(item, canvas)
    sections += mistakes(item, canvas, pictures)
    return sections


def _main(item: Judged, canvas: Canvas, *, more: Sequence[Statement] = ()) -> Section:
    found, suffix = item.assessment, item.suffix
    panels = [
        canvas.panel(
            ConfusionMatrix(np.array(found.confusion), item.classes),
            f"confusion{suffix}",
            title="Conclusions and truth",
        )
    ]
    if found["auc"].value is not None:
        # From log odds, since float32 probabilities tie where the reader is very sure; the
        # operating point is that of the probabilities.
        fine = np.exp(-np.logaddexp(0, -item.scores.log_odds))
        curve = replace(
            RocCurve.from_scores(
                item.scores.label,
                fine,
                band=found.curves.roc if found.curves else None,
                auc_range=found["auc"].range_text(),
            ),
            operating_point=(
                1 - (found["specificity"].value or 0),
                found["sensitivity"].value or 0,
            ),
            threshold=found.threshold,
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
        item.scores.label, item.scores.probability, classes=item.classes,
        threshold=found.threshold, zone=item.zone,
    )  # fmt: skip
    panels.append(
        canvas.panel(distributions, f"scores{suffix}", title="Probabilities of each class")
    )
    keys = ("accuracy", "ppv", "npv", "lr_positive", "lr_negative", "f1", "mcc")
    table = canvas.table(f"numbers{suffix}", _numbers(item))
    patients = f"{found.n:,} {item.units} of {found.patients:,} patients"
    whom = patients if item.scores.patients_known else f"{found.n:,} {item.units}"
    flattered = (
        " They also decided about the reader (epoch, calibration, threshold, uncertain zone), so "
        "these numbers flatter it."
        if item.part == "val"
        else ""
    )
    return Section(
        f"On the {item.images}",
        text=(
            f"{whom}. From probability {found.threshold:.3g} on an image is called "
            f"{item.classes[1]}. Intervals are at {found['accuracy'].level:.0%}; the table below "
            f"the figures says how each was made.{flattered}"
        ),
        statements=(
            *(replace(statement, note="") for statement in headline(item)),
            *(
                Statement(NAMES[key], with_range(found[key]), found[key].n, _undefined(found[key]))
                for key in keys
            ),
            *more,
        ),
        panels=tuple(panels),
        table=table,
        table_title="Every number, with the method of its interval",
    )


def _undefined(estimate: Estimate) -> str:
    """Return why a ratio has no interval; empty if it has one, or is not defined itself."""
    if estimate.value is None or estimate.low is not None:
        return ""
    return "no interval, since it is infinite in some resamples"


def _numbers(item: Judged) -> Table:
    """Return every number with its interval, how that was made, and what it rests on."""
    found = item.assessment.numbers
    order = [*(key for key in NAMES if key in found), *(key for key in found if key not in NAMES)]
    body = tuple(
        (
            NAMES.get(key, key.replace("_", " ").capitalize()),
            found[key].text(4),
            found[key].range_text(4) or "none",
            found[key].method or "none",
            "; ".join(f"{one.low:.4f} to {one.high:.4f} ({one.method})" for one in found[key].also),
            f"{found[key].n:,}",
        )
        for key in order
    )
    header = (
        "number", "value", "interval", "method of the interval", "by another method", item.units,
    )  # fmt: skip
    return header, body


def _without_lungs(item: Judged, canvas: Canvas) -> list[Section]:
    if not item.baselines:
        return []
    found = item.assessment
    rows = [("this reader", percent(found["accuracy"]), with_range(found["auc"]), "")]
    rows += [(b.name, percent(b.accuracy), with_range(b.auc), b.fitted_on) for b in item.baselines]
    table = canvas.table(
        f"baselines{item.suffix}", (("rule", "accuracy", "AUC", "fitted on"), tuple(rows))
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


def _calibration(item: Judged, canvas: Canvas) -> list[Section]:
    found = item.assessment
    if found.curves is None:
        return []
    diagram = ReliabilityDiagram.from_bins(found.curves.reliability, ece=with_range(found["ece"]))
    statements = [
        Statement(NAMES[key], with_range(found[key]), found[key].n, note)
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
    zone = _zone(item)
    if zone:
        statements += zone
        text += (
            " The reader holds back where both classes are credible, or none: these images are set "
            "aside as uncertain."
        )
    return [
        Section(
            "Can its probabilities be believed?",
            text=text,
            statements=tuple(statements),
            panels=(
                canvas.panel(
                    diagram, f"reliability{item.suffix}", title="What was said, and what was so"
                ),
            ),
        )
    ]


def _zone(item: Judged) -> list[Statement]:
    """Return how the uncertain zone fares on these images; nothing if there is none."""
    aside, zone = item.assessment.uncertain, item.conformal
    if aside is None or zone is None:
        return []
    rest = aside.accuracy_of_the_rest
    return [
        Statement("Set aside as uncertain", with_range(aside.set_aside), aside.set_aside.n),
        Statement("Right among the others", with_range(rest), rest.n),
        *(
            Statement(
                f"True class credible, {name}",
                with_range(share),
                share.n,
                f"promised: {1 - zone.level:.0%} of images like the validation ones",
            )
            for name, share in zip(
                item.classes, (aside.coverage_negative, aside.coverage_positive), strict=True
            )
        ),
    ]


def _use(item: Judged, canvas: Canvas) -> list[Section]:
    found = item.assessment
    if found.curves is None:
        return []
    curve = NetBenefit.from_curve(found.curves.decision, threshold_in_use=found.threshold)
    fixed = [key for key in found.numbers if "_at_specificity_" in key or "_at_sensitivity_" in key]
    statements = [
        Statement(key.replace("_", " ").capitalize(), with_range(found[key]), found[key].n)
        for key in fixed
    ]
    if found.prevalence is not None:
        statements += [
            Statement(
                key.upper(), with_range(found[f"{key}_at_prevalence"]), found.n,
                f"where {100 * found.prevalence:.3g}% of the patients are positive",
            )
            for key in ("ppv", "npv")
        ]  # fmt: skip
    return [
        Section(
            "Would acting on it be of use?",
            text=f"{curve.summary()}.",
            statements=tuple(statements),
            panels=(canvas.panel(curve, f"net-benefit{item.suffix}", title="Net benefit"),),
        )
    ]


def _groups(item: Judged, canvas: Canvas) -> list[Section]:
    if not item.groups:
        return []
    suffix = item.suffix
    forest = SubgroupForest.from_groups(
        item.groups, everything=item.assessment.numbers, n=item.assessment.n
    )
    small = sum(group.small for group in item.groups)
    text = "The same numbers in groups of the images."
    if small:
        one = small == 1
        text += (
            f" {small} of {len(item.groups)} groups {'has' if one else 'have'} fewer than 20 "
            f"images of a class and {'is' if one else 'are'} marked (*): "
            f"{'its' if one else 'their'} numbers may be chance."
        )
    table = (
        ("group", item.units, "positive", "AUC", "sensitivity", "specificity"),
        tuple(
            (
                f"{group.column}: {group.value}{' *' if group.small else ''}",
                f"{group.n:,}",
                f"{group.positives:,}",
                *(with_range(group.numbers[key]) for key in ("auc", "sensitivity", "specificity")),
            )
            for group in item.groups
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


def _robustness(item: Judged, canvas: Canvas) -> list[Section]:
    if len(item.corrupted) < 2:
        return []
    curves = RobustnessCurves.from_rows(item.corrupted)
    return [
        Section(
            "On worse images",
            text=(
                f"{curves.summary()}. Squares mark strengths at which the whole interval lies "
                "below the value of the images as they are."
            ),
            panels=(
                canvas.panel(curves, f"robustness{item.suffix}", title="AUC as images get worse"),
            ),
        )
    ]
