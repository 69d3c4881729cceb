"""Evaluations and comparisons as calm tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.reader.prediction import probability_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.pairs import Pair
    from pneumoscope.workflow.judge import Evaluated

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
    ("partial AUC, sensitivity from 0.9", "partial_auc"),
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


def evaluation_text(result: Evaluated) -> str:
    """Return the numbers of an evaluation for people."""
    found = result.assessment
    (tn, fp), (fn, tp) = found.confusion
    level = f"{found['accuracy'].level:.4g}"
    title = f"split {result.part}" if result.part else "scores"
    rows = [(title, "value", f"{float(level):.0%} interval", "n")]
    rows += [_row(name, found[key]) for name, key in _MAIN]
    if found.prevalence is not None:
        rows += [
            _row(f"{name} at prevalence {found.prevalence:g}", found[f"{key}_at_prevalence"])
            for name, key in (("PPV", "ppv"), ("NPV", "npv"))
        ]
    rows += [_row(name, found[key]) for name, key in (*_FIXED, *_CALIBRATION)]
    lines = [
        table(rows),
        "",
        (
            f"{found.n:,} {plural(result.unit)} of {found.patients:,} patients. At probability "
            f"{found.threshold:.4g} and above {article(result.unit)} is called positive:"
        ),
        f"  {tp:,} true positives, {fn:,} false negatives",
        f"  {tn:,} true negatives, {fp:,} false positives",
        *_unit(result),
        *_utility(result),
        *_uncertain(result),
        *_groups(result),
        *_baselines(result),
        *_robustness(result),
    ]
    if found.resamples:
        lines += ["", f"Intervals: {_methods(result)}."]
    if result.unreadable:
        lines.append(f"{len(result.unreadable)} unreadable files were skipped.")
    return "\n".join(lines)


def comparison_text(found: Comparison, *, shown: int = 10) -> str:
    """Return a comparison for people, with at most ``shown`` of the images disagreed on."""
    rows = [("reader", *(name for name, _ in _COMPARED))]
    for name in found.names:
        numbers = found.numbers[name]
        rows.append((name, *(_with_range(numbers[key]) for _, key in _COMPARED)))
    lines = [f"{found.n:,} images of {found.patients:,} patients", "", table(rows)]
    for pair in found.pairs:
        lines += ["", *_pair_lines(pair, several=len(found.pairs) > 1)]
    for group in found.seeds:
        lines += ["", f"Seeds: {', '.join(group.members)}"]
        lines += [
            f"  {name}: mean {group.mean[key]:.4f}, standard deviation {group.deviation[key]:.4f}; "
            + (
                f"a difference to another recipe is found from {group.detectable[key]:.4f} on"
                if group.detectable[key] > _ALIKE
                else "all runs are alike"
            )
            for name, key in _COMPARED
        ]
    if found.disagreements:
        lines += ["", f"{len(found.disagreements):,} images are concluded differently:"]
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
        lines += ["", "All images are concluded alike."]
    if found.left_out:
        lines.append(f"{found.left_out:,} images that not all readers scored are left out.")
    if found.unreadable:
        lines.append(f"{len(found.unreadable)} unreadable files were skipped.")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns: the first to the left, the others too, two blanks apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(name: str, estimate: Estimate) -> tuple[str, str, str, str]:
    return name, estimate.text(), estimate.range_text(), f"{estimate.n:,}"


def _with_range(estimate: Estimate) -> str:
    between = estimate.range_text()
    return f"{estimate.text()} ({between})" if between else estimate.text()


def plural(unit: str) -> str:
    """Return the plural of what is judged: images, studies or patients."""
    return "studies" if unit == "study" else f"{unit}s"


def article(unit: str) -> str:
    """Return what is judged with its article.

    >>> article("image")
    'an image'
    """
    return f"an {unit}" if unit == "image" else f"a {unit}"


def _unit(result: Evaluated) -> list[str]:
    if result.unit == "image":
        return []
    what = {"mean": "mean", "max": "maximum"}[result.aggregate]
    return [
        f"  Each {result.unit} counts once, with the {what} of the probabilities of its images.",
        f"  There are {result.images:,} images.",
    ]


def _utility(result: Evaluated) -> list[str]:
    curves = result.assessment.curves
    if curves is None or result.assessment["auc"].value is None:
        return []
    useful = curves.decision.useful()
    if useful is None:
        return ["", "Net benefit: at no threshold above treating all and treating none."]
    return [
        "",
        (
            f"Net benefit: above treating all and treating none at thresholds from {useful[0]:.2f} "
            f"to {useful[1]:.2f}."
        ),
    ]


def _uncertain(result: Evaluated) -> list[str]:
    found = result.assessment.uncertain
    if found is None:
        return []
    return [
        "",
        (
            f"Set aside as uncertain: {_with_range(found.set_aside)} of the images; of the others "
            f"{_with_range(found.accuracy_of_the_rest)} are concluded rightly. The true class is "
            f"credible in {_with_range(found.coverage)}."
        ),
    ]


def _groups(result: Evaluated) -> list[str]:
    if not result.groups:
        return []
    rows: list[tuple[str, ...]] = [("group", "n", "AUC", "sensitivity", "specificity", "")]
    rows += [
        (
            f"{group.column}: {group.value}",
            f"{group.n:,}",
            *(_with_range(group.numbers[name]) for name in ("auc", "sensitivity", "specificity")),
            "few images" if group.small else "",
        )
        for group in result.groups
    ]
    return ["", table(rows)]


def _baselines(result: Evaluated) -> list[str]:
    rows = [("without looking at the lungs", "accuracy", "AUC", "fitted on")]
    rows += [
        (item.name, _with_range(item.accuracy), _with_range(item.auc), item.fitted_on)
        for item in result.baselines
    ]
    reader = result.assessment
    rows.append(("this reader", _with_range(reader["accuracy"]), _with_range(reader["auc"]), ""))
    return ["", table(rows)]


def _robustness(result: Evaluated) -> list[str]:
    if not result.corrupted:
        return []
    plain, *worse = result.corrupted
    names = list(dict.fromkeys(row.corruption for row in worse))
    rows: list[tuple[str, ...]] = [("AUC on worse images", "1", "2", "3", "4", "5", "amounts")]
    for name in names:
        own = [row for row in worse if row.corruption == name]
        amounts = ", ".join(f"{row.amount:g}" for row in own)
        rows.append((name, *(row.numbers["auc"].text() for row in own), f"{amounts} {own[0].unit}"))
    n = plain.numbers["accuracy"].n
    return ["", table(rows), f"As they are: {plain.numbers['auc'].text()}; {n:,} images."]


def _methods(result: Evaluated) -> str:
    found = result.assessment
    methods = dict.fromkeys(
        f"{name} {found[key].method}"
        for name, key in (("AUC", "auc"), ("sensitivity", "sensitivity"))
        if found[key].method
    )
    rest = f"others {found.resamples:,} resamples of the patients"
    return "; ".join((*methods, rest))


def _pair_lines(pair: Pair, *, several: bool) -> list[str]:
    lines = [pair.verdict(), f"{pair.first} less {pair.second}:"]
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
        f"  equally often right: p = {pair.mcnemar_mid_p:.3g}{corrected} (McNemar, mid-p; "
        f"{pair.only_first_right:,} against {pair.only_second_right:,} images)"
    )
    if pair.detectable_auc is not None:
        lines.append(
            f"  a difference in AUC would be found from {pair.detectable_auc:.4f} on (power 80 %)"
        )
    return lines


def _with_sign(estimate: Estimate) -> str:
    text = f"{estimate.value:+.4f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:+.4f} to {estimate.high:+.4f})"
