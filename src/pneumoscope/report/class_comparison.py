"""The sections of a comparison of readers of the same several classes."""

from __future__ import annotations

from collections.abc import Mapping

from pneumoscope.evaluation.compare import Comparison
from pneumoscope.evaluation.multiclass.compare import ClassComparison
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.compare import class_differences
from pneumoscope.report.page import Section
from pneumoscope.report.tables import Table
from pneumoscope.report.words import CLASS_NAMES, ranges

_SHOWN = {"auc": "AUC", "sensitivity": "sensitivity", "ppv": "PPV"}


def class_comparison_sections(
    found: Comparison, short: Mapping[str, str], canvas: Canvas
) -> list[Section]:
    """Return the sections about each class; none where readers know two, or different ones.

    Args:
        found: The comparison.
        short: Name → what to call the reader.
        canvas: Takes the files of figures and tables.
    """
    own = found.by_class
    if own is None:
        return []
    readers = tuple(
        (name, short[reader], *ranges(numbers.of(name), _SHOWN))
        for name in own.labels.names
        for reader, numbers in own.numbers.items()
    )
    header = ("class", "reader", *_SHOWN.values())
    return [
        canvas.section("class_readers", table=(header, readers), file="class-readers"),
        canvas.section(
            "class_pairs",
            figures={"class-differences": class_differences(own, short)},
            table=_pairs(own, short),
            file="class-pairs",
            verdicts=" ".join(own.verdict(pair, short) for pair in own.pairs),
            tests=own.tests,
        ),
        canvas.section("class_overall", table=_overall(own, short), file="class-overall"),
    ]


def _pairs(own: ClassComparison, short: Mapping[str, str]) -> Table:
    header = (
        "class", "pair", "difference in AUC", "p of AUC", "difference in sensitivity",
        "only first right", "only second right", "p of sensitivity",
    )  # fmt: skip
    return header, tuple(
        (
            name, f"{short[pair.first]} less {short[pair.second]}", one.auc.signed(),
            p_text(one.auc_p_holm), one.sensitivity.signed(), f"{one.only_first:,}",
            f"{one.only_second:,}", p_text(one.sensitivity_p_holm),
        )
        for pair in own.pairs
        for name, one in zip(own.labels.names, pair.by_class, strict=True)
    )  # fmt: skip


def _overall(own: ClassComparison, short: Mapping[str, str]) -> Table:
    titles = [f"{short[pair.first]} less {short[pair.second]}" for pair in own.pairs]
    return (
        ("number", *titles),
        tuple(
            (CLASS_NAMES[key], *(pair.overall[key].signed() for pair in own.pairs))
            for key in own.pairs[0].overall
        ),
    )


def p_text(value: float | None) -> str:
    """Return a p-value as text."""
    return "none" if value is None else f"{value:.3g}"
