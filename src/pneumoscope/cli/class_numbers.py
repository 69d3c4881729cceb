"""Per-class metrics as text, for readers of more than two classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pneumoscope.evaluation.multiclass.compare import ClassComparison
    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.sets import SetNumbers

_OF_CLASS = (("AUC", "auc"), ("sensitivity", "sensitivity"), ("PPV", "ppv"))
_OF_ALL = (
    ("Accuracy", "accuracy"),
    ("Balanced accuracy", "balanced_accuracy"),
    ("Macro AUC", "macro_auc"),
    ("Cohen's kappa", "kappa"),
    ("True class among the two most probable", "top_2"),
    ("Calibration error, mean over classes", "classwise_ece"),
    ("Calibration error of the confidence", "confidence_ece"),
)


def class_lines(found: ClassNumbers, table: Callable[[Sequence[Sequence[str]]], str]) -> list[str]:
    """Return the metrics of each class and over all classes, and the shares of conclusions.

    Args:
        found: The metrics.
        table: Formats rows in columns.
    """
    names = found.labels.names
    rows = [("each class against the rest", "n", *(title for title, _ in _OF_CLASS))]
    rows += [
        (name, f"{count:,}", *(own[key].with_range() for _, key in _OF_CLASS))
        for name, count, own in zip(names, found.counts, found.by_class, strict=True)
    ]
    matrix = [("predicted (the most probable class)", *names)]
    matrix += [
        (
            f"of {count:,} {name}",
            *(f"{n:,} ({_percent(n, count)})" for n in row),
        )
        for name, count, row in zip(names, found.counts, found.confusion, strict=True)
    ]
    several = [("all classes", "value")]
    several += [(title, found[key].with_range()) for title, key in _OF_ALL]
    lines = ["", table(rows), "", table(matrix), "", table(several)]
    return [*lines, "", table(_sets(found.sets))] if found.sets is not None else lines


def class_comparison_lines(
    found: ClassComparison, table: Callable[[Sequence[Sequence[str]]], str]
) -> list[str]:
    """Return the comparison by class: metrics of each reader, then differences of each pair.

    Args:
        found: The comparison.
        table: Formats rows in columns.
    """
    lines = []
    for title, key in _OF_CLASS:
        rows = [(f"{title}, each class against the rest", *found.labels.names)]
        rows += [
            (name, *(own[key].with_range() for own in numbers.by_class))
            for name, numbers in found.numbers.items()
        ]
        lines += ["", table(rows)]
    for pair in found.pairs:
        rows = [(f"{pair.first} minus {pair.second}", "AUC", "p", "sensitivity", "p", "PPV")]
        rows += [
            (
                name,
                one.auc.signed(),
                _p(one.auc_p_holm),
                one.sensitivity.signed(),
                _p(one.sensitivity_p_holm),
                one.ppv.signed(),
            )
            for name, one in zip(found.labels.names, pair.by_class, strict=True)
        ]
        lines += ["", table(rows)]
        lines += [
            f"  {title}: {pair.overall[key].signed()}"
            for title, key in _OF_ALL
            if key in pair.overall
        ]
        lines += ["", found.verdict(pair)]
    return lines


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _sets(sets: SetNumbers) -> list[tuple[str, str]]:
    return [
        ("conclusions", "share of the images"),
        ("One class", sets.named.with_range()),
        ("A group, kind uncertain", sets.kind_uncertain.with_range()),
        ("UNCERTAIN", sets.uncertain.with_range()),
        ("Correct, where one class is concluded", sets.right.with_range()),
        ("True class in the conformal set", sets.coverage.with_range()),
    ]


def _percent(count: int, total: int) -> str:
    return f"{count / total:.0%}" if total else "-"
