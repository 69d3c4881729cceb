"""Metrics of several findings as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.cli.numbers import table
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.reader.findings import policy_of

if TYPE_CHECKING:
    from pneumoscope.evaluation.multilabel.compare import FindingsComparison
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.workflow.recalibrate_findings import FindingsRecalibrated

_SHOWN = (
    ("AUC", "auc"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("PPV", "ppv"),
    ("calibration error", "ece"),
)
_OF_ALL = (
    ("AUC", "macro_auc"),
    ("sensitivity", "macro_sensitivity"),
    ("specificity", "macro_specificity"),
    ("calibration error", "macro_ece"),
)


def findings_text(found: FindingsEvaluation) -> str:
    """Return the results of an evaluation of several findings, and its caveats, as text."""
    lines = [f"split {found.part}" if found.part else "scores", *findings_lines(found)]
    if found.question.resamples:
        level = level_text(found.question.level)
        methods = (
            f"Intervals at {level}: AUC by DeLong's method by patient; others by "
            f"{found.question.resamples:,} resamples of the patients, or Wilson's where each "
            "patient has one image."
        )
        lines += ["", methods]
    if found.unreadable:
        lines.append(f"{found.unreadable} unreadable files were skipped.")
    if found.notes:
        lines += ["", "Before you rely on this:", *(f"- {text}" for text in found.notes)]
    return "\n".join(lines)


def findings_lines(found: FindingsEvaluation) -> list[str]:
    """Return the metrics of each finding and their means."""
    numbers = found.numbers
    head = ("finding", "labelled", "positive", "masked", "threshold")
    rows: list[tuple[str, ...]] = [(*head, *(title for title, _ in _SHOWN))]
    rows += [
        (
            name,
            f"{counts.labelled:,}",
            f"{counts.positive:,}",
            f"{counts.masked:,}",
            f"{threshold:.3f}",
            *(own[key].with_range() for _, key in _SHOWN),
        )
        for name, counts, threshold, own in zip(
            numbers.names, numbers.counts, numbers.thresholds, numbers.by_finding, strict=True
        )
    ]
    means = ", ".join(f"{title} {numbers[key].with_range()}" for title, key in _OF_ALL)
    images = f"{numbers.n:,} images of {numbers.patients:,} patients"
    return [table(rows), f"{images}. Mean over the findings: {means}"]


def compared_text(found: FindingsComparison) -> str:
    """Return a comparison of readers, finding by finding, as text."""
    rows: list[tuple[str, ...]] = [
        ("finding", "images", *(f"AUC of {name}" for name in found.names))
    ]
    rows += [
        (name, f"{one.n:,}", *(one.numbers[reader]["auc"].with_range() for reader in found.names))
        for name, one in found.by_finding.items()
    ]
    lines = [table(rows)]
    for name, one in found.by_finding.items():
        lines += ["", f"{name}:", *(f"  {pair.verdict()}" for pair in one.pairs)]
    tests = sum(len(one.pairs) for one in found.by_finding.values())
    if tests > 1:
        lines += ["", f"p values are corrected by Holm's method for all {tests} tests."]
    lines += [f"{name} is left out: {why}." for name, why in found.left_out.items()]
    return "\n".join(lines)


def recalibrated_text(found: FindingsRecalibrated) -> str:
    """Return what was fitted for each finding as text."""
    rows: list[tuple[str, ...]] = [
        ("finding", "scale", "bias", "threshold", "uncertain between", "rule")
    ]
    for name, rule in found.rules.items():
        line, zone = rule.calibration or {}, policy_of(rule).zone
        rows.append(
            (
                name,
                f"{line.get('scale', 1):.4g}",
                f"{line.get('bias', 0):.4g}",
                f"{rule.operating_point.threshold:.4g}",
                "" if zone is None else f"{zone[0]:.3f} and {zone[1]:.3f}",
                "unchanged" if name in found.kept else rule.operating_point.rule,
            )
        )
    return f"{table(rows)}\nModel:  {found.model}"
