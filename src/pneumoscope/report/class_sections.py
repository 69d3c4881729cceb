"""The sections of a page about a reader of more than two classes, beside its positive group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pneumoscope.evaluation.estimate import level_text
from pneumoscope.evaluation.notes import units
from pneumoscope.report.figures.curves import class_reliability
from pneumoscope.report.figures.outcome import class_confusion, prediction_sets
from pneumoscope.report.figures.roc import class_roc
from pneumoscope.report.page import Section, Statement
from pneumoscope.report.words import CLASS_NAMES, images_of, suffix_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
    from pneumoscope.evaluation.multiclass.sets import SetNumbers
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.report.canvas import Canvas
    from pneumoscope.report.tables import Table

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
    main = list(_each_class(found, own, scores, canvas))
    if brief:
        return main
    return [*main, *_calibration(found, own, scores, canvas), *_possible(found, own, canvas)]


def classes_held(found: Evaluation) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the classes and how many images each has."""
    if found.by_class is not None:
        return found.by_class.labels.names, found.by_class.counts
    (tn, fp), (fn, tp) = found.confusion
    return found.classes, (tn + fp, fn + tp)


def classes_in_a_sentence(found: Evaluation) -> str:
    """Return the numbers of each class for a checklist; empty for two classes."""
    own = found.by_class
    if own is None:
        return ""
    each = "; ".join(
        f"{name}: AUC {numbers['auc'].with_range()}, sensitivity "
        f"{numbers['sensitivity'].with_range()}, PPV {numbers['ppv'].with_range()}"
        for name, numbers in zip(own.labels.names, own.by_class, strict=True)
    )
    return (
        f"By class, with the most probable one predicted: {each}; balanced accuracy "
        f"{own['balanced_accuracy'].with_range()}, kappa {own['kappa'].with_range()} "
        f"({level_text(found.level)} intervals by patient)."
    )


def class_table(own: ClassNumbers, unit: str) -> Table:
    """Return the numbers of each class against the rest, a row a class."""
    return (
        ("class", unit, *OF_CLASS.values()),
        tuple(
            (name, f"{count:,}", *(numbers[key].with_range() for key in OF_CLASS))
            for name, count, numbers in zip(own.labels.names, own.counts, own.by_class, strict=True)
        ),
    )


def set_rows(sets: SetNumbers) -> tuple[tuple[str, str], ...]:
    """Return what is concluded and how often the true class is possible, a row a share."""
    rows = [
        ("One class is concluded", sets.named.percent()),
        ("The group is concluded, kind uncertain", sets.kind_uncertain.percent()),
        ("UNCERTAIN", sets.uncertain.percent()),
        ("Correct, where one class is concluded", sets.right.percent()),
        ("True class among the possible ones", sets.coverage.percent()),
    ]
    return tuple(rows)


def _each_class(
    found: Evaluation, own: ClassNumbers, scores: Scores, canvas: Canvas
) -> Iterator[Section]:
    """Yield overall metrics, those of each class, the confusion matrix and ROC curves."""
    suffix, unit = suffix_of(found), units(found)
    negative, positive = found.classes
    panels = [canvas.panel(class_confusion(own), f"class-confusion{suffix}")]
    if scores.classes is not None:
        curves = class_roc(own, scores.classes)
        panels.append(canvas.panel(curves, f"class-roc{suffix}"))
    yield Section(
        f"Each of the {len(own.labels)} classes, on the {images_of(found)}",
        text=(
            f"Here the most probable class is the predicted one. Intervals are at "
            f"{level_text(found.level)}, by patient. The other sections compare {positive} with "
            f"{negative}."
        ),
        statements=tuple(
            Statement(CLASS_NAMES[key], own[key].with_range(), own.n) for key in _SHOWN
        ),
        panels=tuple(panels),
        table=canvas.table(f"classes{suffix}", class_table(own, unit)),
        table_title="Each class against the rest",
    )
    yield Section(
        "Confusion matrix",
        text=f"For each true class, the share of its {unit} by predicted class.",
        table=canvas.table(f"class-confusion-shares{suffix}", _confusion(own, unit)),
        table_title="All pairs of true and predicted class",
    )


def _confusion(own: ClassNumbers, unit: str) -> Table:
    names = own.labels.names
    return (
        (
            "true class",
            "predicted class",
            unit,
            "share of the true class",
            "method of the interval",
        ),
        tuple(
            (names[t], names[c], f"{own.confusion[t][c]:,}", cell.percent(), cell.method or "none")
            for t, row in enumerate(own.shares)
            for c, cell in enumerate(row)
        ),
    )


def _calibration(
    found: Evaluation, own: ClassNumbers, scores: Scores, canvas: Canvas
) -> Iterator[Section]:
    """Yield the reliability of each class's probability."""
    if scores.classes is None:
        return
    diagrams = class_reliability(own, scores.classes)
    yield Section(
        "Calibration by class",
        text="Of images with probability 0.8 for a class, eight of ten should be of that class.",
        statements=tuple(
            Statement(CLASS_NAMES[key], own[key].with_range(), own.n, note)
            for key, note in _BELIEVED.items()
        ),
        panels=(canvas.panel(diagrams, f"class-reliability{suffix_of(found)}"),),
    )


def _possible(found: Evaluation, own: ClassNumbers, canvas: Canvas) -> Iterator[Section]:
    """Yield the prediction sets: conclusions, sizes and coverage."""
    sets = own.sets
    if sets is None:
        return
    promise = (
        "The reader has no prediction sets and always names the most probable class."
        if sets.error_level is None
        else "If several classes are possible, the reader names their group when all of them "
        "belong to it, and UNCERTAIN otherwise. The sets are designed to miss the true class for "
        f"at most {sets.error_level:.1%} of the images of each class."
    )
    figure = prediction_sets(sets, own.labels.names, own.counts)
    yield Section(
        "Prediction sets",
        text=promise,
        panels=(
            canvas.panel(
                figure,
                f"class-sets{suffix_of(found)}",
            ),
        ),
        table=canvas.table(
            f"class-conclusions{suffix_of(found)}",
            (("conclusion", f"share of the {units(found)}"), set_rows(sets)),
        ),
        table_title="Conclusions",
    )
