"""The sections of a page about a reader of more than two classes, beside its positive group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
from pneumoscope.evaluation.multiclass.sets import SetNumbers
from pneumoscope.evaluation.notes import units
from pneumoscope.evaluation.scores import Scores
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.curves import class_reliability
from pneumoscope.report.figures.outcome import class_confusion, prediction_sets
from pneumoscope.report.figures.roc import class_roc
from pneumoscope.report.page import Section
from pneumoscope.report.tables import Table
from pneumoscope.report.words import CLASS_NAMES, facts_of, ranges, statements

OF_CLASS: Final = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "f1": "F1",
    "ece": "calibration error",
}
"""Titles of the metrics of each class against the rest, in the order of tables."""

_SHOWN = ("accuracy", "balanced_accuracy", "macro_auc", "top_2", "kappa", "macro_ppv", "macro_f1")
_BELIEVED = {
    "classwise_ece": "0 at best; the part due to chance is subtracted",
    "confidence_ece": "0 at best; of the most probable class alone",
    "brier": "0 at best, 2 at worst",
    "loss": "",
}
_CONCLUSIONS = {
    "One class is concluded": "named",
    "The group is concluded, kind uncertain": "kind_uncertain",
    "UNCERTAIN": "uncertain",
    "Correct, where one class is concluded": "right",
    "True class among the possible ones": "coverage",
}


def class_sections(
    found: Evaluation, scores: Scores, canvas: Canvas, *, brief: bool = False
) -> list[Section]:
    """Return the sections about each class; none for a reader of two.

    Args:
        found: The evaluation.
        scores: What the reader said of each image, or of each study or patient.
        canvas: Takes the files of figures and tables.
        brief: The main numbers and figures alone.
    """
    own = found.by_class
    if own is None:
        return []
    canvas = canvas.about(found.part, **facts_of(found))
    main = list(_each_class(own, scores, canvas, units(found)))
    if brief:
        return main
    return [*main, *_calibration(own, scores, canvas), *_possible(own, canvas, units(found))]


def classes_held(found: Evaluation) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the classes and how many images each has."""
    if found.by_class is not None:
        return found.by_class.labels.names, found.by_class.counts
    (tn, fp), (fn, tp) = found.confusion
    return found.classes, (tn + fp, fn + tp)


def class_table(own: ClassNumbers, unit: str) -> Table:
    """Return the numbers of each class against the rest, a row a class."""
    return (
        ("class", unit, *OF_CLASS.values()),
        tuple(
            (name, f"{count:,}", *ranges(numbers, OF_CLASS))
            for name, count, numbers in zip(own.labels.names, own.counts, own.by_class, strict=True)
        ),
    )


def set_rows(sets: SetNumbers) -> tuple[tuple[str, str], ...]:
    """Return what is concluded and how often the true class is possible, a row a share."""
    return tuple((title, getattr(sets, key).percent()) for title, key in _CONCLUSIONS.items())


def _each_class(own: ClassNumbers, scores: Scores, canvas: Canvas, unit: str) -> Iterator[Section]:
    """Yield overall metrics, those of each class, the confusion matrix and ROC curves."""
    known = scores.classes
    yield canvas.section(
        "classes",
        statements=statements(own, dict.fromkeys(_SHOWN, ""), CLASS_NAMES),
        figures={
            "class-confusion": class_confusion(own),
            "class-roc": class_roc(own, known) if known is not None else None,
        },
        table=class_table(own, unit),
        file="classes",
    )
    names = own.labels.names
    header = (
        "true class", "predicted class", unit, "share of the true class", "method of the interval",
    )  # fmt: skip
    rows = tuple(
        (names[t], names[c], f"{own.confusion[t][c]:,}", cell.percent(), cell.method or "none")
        for t, row in enumerate(own.shares)
        for c, cell in enumerate(row)
    )
    yield canvas.section("class_confusion", table=(header, rows), file="class-confusion-shares")


def _calibration(own: ClassNumbers, scores: Scores, canvas: Canvas) -> Iterator[Section]:
    """Yield the reliability of each class's probability."""
    if scores.classes is not None:
        yield canvas.section(
            "class_calibration",
            statements=statements(own, _BELIEVED, CLASS_NAMES),
            figures={"class-reliability": class_reliability(own, scores.classes)},
        )


def _possible(own: ClassNumbers, canvas: Canvas, unit: str) -> Iterator[Section]:
    """Yield the prediction sets: conclusions, sizes and coverage."""
    if own.sets is not None:
        yield canvas.section(
            "class_sets",
            figures={"class-sets": prediction_sets(own.sets, own.labels.names, own.counts)},
            table=(("conclusion", f"share of the {unit}"), set_rows(own.sets)),
            file="class-conclusions",
        )
