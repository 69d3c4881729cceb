"""The sections of a comparison of readers of the same several classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.report.figures.compare import class_differences
from pneumoscope.report.page import Section
from pneumoscope.report.words import CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pneumoscope.evaluation.compare import Comparison
    from pneumoscope.evaluation.multiclass.compare import ClassComparison
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.tables import Table

_SHOWN = (("auc", "AUC"), ("sensitivity", "sensitivity"), ("ppv", "PPV"))


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
    figure = class_differences(own, short)
    verdicts = " ".join(own.verdict(pair, short) for pair in own.pairs)
    return [
        Section(
            "Each reader, class by class",
            text="Each class against the rest; the most probable class is the predicted one.",
            table=canvas.table("class-readers", _readers(own, short)),
            table_title="Each reader and class",
        ),
        Section(
            "How they differ, class by class",
            text=(
                f"{verdicts} p is of DeLong's paired test of the areas, and of the paired test "
                "that both find the class equally often (McNemar's mid-p; Durkalski's where "
                "patients have several images). Each is corrected by Holm's method for "
                f"{own.tests} tests: all classes of all pairs."
            ),
            panels=(canvas.panel(figure, "class-differences"),),
            table=canvas.table("class-pairs", _pairs(own, short)),
            table_title="Each pair and class",
        ),
        Section(
            "How they differ over all classes",
            text="Both readers are resampled on the same patients.",
            table=canvas.table("class-overall", _overall(own, short)),
        ),
    ]


def _readers(own: ClassComparison, short: Mapping[str, str]) -> Table:
    return (
        ("class", "reader", *(title for _, title in _SHOWN)),
        tuple(
            (name, short[reader], *(numbers.of(name)[key].with_range() for key, _ in _SHOWN))
            for name in own.labels.names
            for reader, numbers in own.numbers.items()
        ),
    )


def _pairs(own: ClassComparison, short: Mapping[str, str]) -> Table:
    header = (
        "class", "pair", "difference in AUC", "p of AUC", "difference in sensitivity",
        "only first right", "only second right", "p of sensitivity",
    )  # fmt: skip
    return header, tuple(
        (
            name,
            f"{short[pair.first]} less {short[pair.second]}",
            one.auc.signed(),
            _p(one.auc_p_holm),
            one.sensitivity.signed(),
            f"{one.only_first:,}",
            f"{one.only_second:,}",
            _p(one.sensitivity_p_holm),
        )
        for pair in own.pairs
        for name, one in zip(own.labels.names, pair.by_class, strict=True)
    )


def _overall(own: ClassComparison, short: Mapping[str, str]) -> Table:
    titles = [f"{short[pair.first]} less {short[pair.second]}" for pair in own.pairs]
    return (
        ("number", *titles),
        tuple(
            (CLASS_NAMES[key], *(pair.overall[key].signed() for pair in own.pairs))
            for key in own.pairs[0].overall
        ),
    )


def _p(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
