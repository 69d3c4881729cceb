"""Evaluations and comparisons as text tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.evaluation.decision import decision_rows
from pneumoscope.evaluation.estimate import level_text, method_text
from pneumoscope.evaluation.notes import units
from pneumoscope.reader.prediction import probability_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.pairs import Pair

_MAIN = (
    ("AUC", "auc"),
    ("average precision", "average_precision"),
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("PPV", "ppv"),
    ("NPV", "npv"),
    ("LR+", "lr_positive"),
    ("LR-", "lr_negative"),
    ("F1", "f1"),
    ("MCC", "mcc"),
)
_CALIBRATION = (
    ("loss", "loss"),
    ("Brier score", "brier"),
    ("  reliability", "brier_reliability"),
    ("  resolution", "brier_resolution"),
    ("  uncertainty", "brier_uncertainty"),
    ("calibration error", "ece"),
    ("calibration slope", "calibration_slope"),
    ("calibration intercept", "calibration_intercept"),
)
_FIXED = (
    ("partial AUC (sensitivity 0.9 to 1)", "partial_auc"),
    ("partial AUC, standardised", "partial_auc_standardised"),
    *(
        (f"{one} at {other} {share}", f"{one}_at_{other}_{share}")
        for one, other in (("sensitivity", "specificity"), ("specificity", "sensitivity"))
        for share in ("0.9", "0.95")
    ),
)
_COMPARED = (
    ("AUC", "auc"),
    ("accuracy", "accuracy"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("Brier score", "brier"),
    ("loss", "loss"),
)


_ALIKE = 1e-12


def evaluation_text(found: Evaluation) -> str:
    """Return the results of an evaluation and its caveats as text."""
    (tn, fp), (fn, tp) = found.confusion
    question = found.question
    title = f"split {found.part}" if found.part else "scores"
    rows = [(title, "value", f"{level_text(found.level)} interval", "n")]
    rows += [_row(name, found[key]) for name, key in _MAIN]
    if question.prevalence is not None:
        rows += [
            _row(f"{name} at prevalence {question.prevalence:g}", found[f"{key}_at_prevalence"])
            for name, key in (("PPV", "ppv"), ("NPV", "npv"))
        ]
    rows += [_row(name, found[key]) for name, key in (*_FIXED, *_CALIBRATION)]
    source = {"given": ", as specified", "default": ", the default"}.get(found.threshold.source, "")
    lines = [
        *_decision(found),
        table(rows),
        "",
        (
            f"{found.n:,} {units(found)} of {found.patients:,} patients. At probability "
            f"{found.threshold.value:.4g}{source} or higher, {article(found.unit)} is classified "
            "as positive:"
        ),
        f"  {tp:,} true positives, {fn:,} false negatives",
        f"  {tn:,} true negatives, {fp:,} false positives",
        *_unit(found),
        *_utility(found),
        *_classes(found),
        *_groups(found),
        *_baselines(found),
        *_robustness(found),
    ]
    if question.resamples:
        lines += ["", f"Intervals: {_methods(found)}."]
    if found.unreadable:
        lines.append(f"{found.unreadable} unreadable files were skipped.")
    grave = [note.text for note in found.notes if note.grave]
    if grave:
        lines += ["", "Before you rely on this:", *(f"- {text}" for text in grave)]
    return "\n".join(lines)


def _classes(found: Evaluation) -> list[str]:
    if found.by_class is None:
        return []
    from pneumoscope.cli.class_numbers import class_lines  # noqa: PLC0415 - for several classes

    return class_lines(found.by_class, table)


def comparison_text(found: Comparison, *, shown: int = 10) -> str:
    """Return a comparison as text, with at most ``shown`` of the disagreements."""
    rows = [("reader", *(name for name, _ in _COMPARED))]
    for name in found.names:
        numbers = found.numbers[name]
        rows.append((name, *(numbers[key].with_range() for _, key in _COMPARED)))
    lines = [f"{found.n:,} images of {found.patients:,} patients", "", table(rows)]
    for pair in found.pairs:
        lines += ["", *_pair_lines(pair, several=len(found.pairs) > 1)]
    if found.by_class is not None:
        from pneumoscope.cli.class_numbers import (  # noqa: PLC0415 - for several classes
            class_comparison_lines,
        )

        lines += class_comparison_lines(found.by_class, table)
    for group in found.seeds:
        lines += ["", f"Seeds: {', '.join(group.members)}"]
        lines += [
            f"  {name}: mean {group.mean[key]:.4f}, standard deviation {group.deviation[key]:.4f}; "
            + (
                f"smallest detectable difference to another recipe: {group.detectable[key]:.4f}"
                if group.detectable[key] > _ALIKE
                else "all runs are equal"
            )
            for name, key in _COMPARED
        ]
    if found.disagreements:
        lines += ["", f"{len(found.disagreements):,} images with different conclusions:"]
        head = ("image", "truth", *found.names)
        body = [
            (
                item.path,
                "positive" if item.label else "negative",
                *(
                    f"{probability_text(probability)} {'+' if positive else '-'}"
                    for probability, positive in zip(
                        item.probabilities, item.conclusions, strict=True
                    )
                ),
            )
            for item in found.disagreements[:shown]
        ]
        lines.append(table([head, *body]))
        if len(found.disagreements) > shown:
            lines.append(f"and {len(found.disagreements) - shown:,} more (--json has them all)")
    else:
        lines += ["", "All conclusions agree."]
    if found.left_out:
        lines.append(f"{found.left_out:,} images not scored by all readers were left out.")
    if found.unreadable:
        lines.append(f"{len(found.unreadable)} unreadable files were skipped.")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns: the first left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(name: str, estimate: Estimate) -> tuple[str, str, str, str]:
    return name, estimate.text(), estimate.range_text(), f"{estimate.n:,}"


def article(unit: str) -> str:
    """Return the unit of evaluation with its article.

    >>> article("image")
    'an image'
    """
    return f"an {unit}" if unit == "image" else f"a {unit}"


def _unit(found: Evaluation) -> list[str]:
    if found.unit == "image":
        return []
    what = {"mean": "mean", "max": "maximum"}[found.question.aggregate]
    return [
        f"  Each {found.unit} counts once, with the {what} of the probabilities of its images.",
        f"  There are {found.images:,} images.",
    ]


def _utility(found: Evaluation) -> list[str]:
    curves = found.curves
    if curves is None or found["auc"].value is None:
        return []
    useful = curves.decision.useful()
    if useful is None:
        return ["", "Net benefit: at no threshold higher than for treating all and treating none."]
    return [
        "",
        (
            "Net benefit: higher than for treating all and treating none at thresholds from "
            f"{useful[0]:.2f} to {useful[1]:.2f}."
        ),
    ]


def _decision(found: Evaluation) -> list[str]:
    """Return the performance of the decision as deployed; empty if nothing is set aside."""
    rows = decision_rows(found)
    if not rows:
        return []
    return [table([("decision", "as deployed", "threshold alone"), *rows]), ""]


def _groups(found: Evaluation) -> list[str]:
    if not found.groups:
        return []
    rows: list[tuple[str, ...]] = [("group", "n", "AUC", "sensitivity", "specificity", "")]
    rows += [
        (
            f"{group.column}: {group.value}",
            f"{group.n:,}",
            *(group.numbers[name].with_range() for name in ("auc", "sensitivity", "specificity")),
            "few images" if group.small else "",
        )
        for group in found.groups
    ]
    return ["", table(rows)]


def _baselines(found: Evaluation) -> list[str]:
    rows = [("baseline, ignoring the lungs", "accuracy", "AUC", "fitted on")]
    rows += [
        (item.name, item.accuracy.with_range(), item.auc.with_range(), item.fitted_on)
        for item in found.baselines
    ]
    reader = found
    rows.append(("this reader", reader["accuracy"].with_range(), reader["auc"].with_range(), ""))
    return ["", table(rows)]


def _robustness(found: Evaluation) -> list[str]:
    if not found.robustness:
        return []
    plain, *worse = found.robustness
    names = list(dict.fromkeys(row.corruption for row in worse))
    rows: list[tuple[str, ...]] = [("AUC on degraded images", "1", "2", "3", "4", "5", "amounts")]
    for name in names:
        own = [row for row in worse if row.corruption == name]
        amounts = ", ".join(f"{row.amount:g}" for row in own)
        rows.append((name, *(row.numbers["auc"].text() for row in own), f"{amounts} {own[0].unit}"))
    n = plain.numbers["accuracy"].n
    return ["", table(rows), f"Unchanged: {plain.numbers['auc'].text()}; {n:,} images."]


def _methods(found: Evaluation) -> str:
    methods = dict.fromkeys(
        f"{name} {method_text(found[key].method)}"
        for name, key in (("AUC", "auc"), ("sensitivity", "sensitivity"))
        if found[key].method
    )
    rest = f"others: bootstrap, {found.question.resamples:,} resamples of the patients"
    return "; ".join((*methods, rest))


def _pair_lines(pair: Pair, *, several: bool) -> list[str]:
    lines = [pair.verdict(), f"{pair.first} minus {pair.second}:"]
    lines += [
        f"  {name}: {_with_sign(pair.differences[key])}"
        for name, key in _COMPARED
        if pair.differences[key].value is not None
    ]
    if pair.auc_p is not None:
        corrected = f", {pair.auc_p_holm:.3g} after Holm's correction" if several else ""
        lines.append(f"  equal AUC: p = {pair.auc_p:.3g}{corrected} (DeLong)")
    corrected = f", {pair.mcnemar_p_holm:.3g} after Holm's correction" if several else ""
    lines.append(
        f"  equal error rate: p = {pair.mcnemar_mid_p:.3g}{corrected} (McNemar, mid-p; "
        f"{pair.only_first_right:,} against {pair.only_second_right:,} images)"
    )
    if pair.detectable_auc is not None:
        lines.append(
            f"  smallest detectable difference in AUC: {pair.detectable_auc:.4f} (power 80%)"
        )
    return lines


def _with_sign(estimate: Estimate) -> str:
    text = f"{estimate.value:+.4f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:+.4f} to {estimate.high:+.4f})"
