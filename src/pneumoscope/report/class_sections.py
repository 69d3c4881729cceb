"""The sections of a page about each class of more than two, or each of several findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pneumoscope.data.prepared import PreparedData
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multiclass.numbers import ClassNumbers
from pneumoscope.evaluation.multiclass.sets import SetNumbers
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.scores import Scores
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.figures.curves import class_reliability
from pneumoscope.report.figures.groups import finding_forest
from pneumoscope.report.figures.outcome import class_confusion, prediction_sets
from pneumoscope.report.figures.roc import class_roc
from pneumoscope.report.page import Section
from pneumoscope.report.rendering import read_yaml
from pneumoscope.report.words import PARTS, facts_of, images_of


def class_sections(
    found: Evaluation, scores: Scores, canvas: Canvas, *, brief: bool = False
) -> list[Section]:
    """Return the sections about each class; none for a reader of two classes.

    Args:
        found: The evaluation.
        scores: Scores of the images, or of the studies or patients.
        canvas: Takes the files of figures and tables.
        brief: The main numbers and figures alone.
    """
    own = found.by_class
    if own is None:
        return []
    canvas = canvas.about(found.part, **facts_of(found))
    main = list(_each_class(own, scores, canvas))
    return main if brief else [*main, *_probabilities(own, scores, canvas)]


def classes_held(found: Evaluation) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of the classes and their numbers of images."""
    if found.by_class is not None:
        return found.by_class.labels.names, found.by_class.counts
    (tn, fp), (fn, tp) = found.confusion
    return found.classes, (tn + fp, fn + tp)


def class_rows(own: ClassNumbers) -> list[tuple[str, int, Mapping[str, Estimate]]]:
    """Return the name, the number of images and the metrics against the rest of each class."""
    return list(zip(own.labels.names, own.counts, own.by_class, strict=True))


def set_rows(sets: SetNumbers) -> tuple[tuple[str, str], ...]:
    """Return the shares of each conclusion and the coverage, one row each."""
    names = read_yaml("names.yaml")["conclusions"]
    return tuple((title, getattr(sets, key).percent()) for key, title in names.items())


def _each_class(own: ClassNumbers, scores: Scores, canvas: Canvas) -> Iterator[Section]:
    """Yield overall metrics, those of each class, the confusion matrix and ROC curves."""
    known, names = scores.classes, own.labels.names
    yield canvas.section(
        "classes",
        numbers=own,
        figures={
            "class-confusion": class_confusion(own),
            "class-roc": class_roc(own, known) if known is not None else None,
        },
        rows=class_rows(own),
    )
    rows = [
        (names[t], names[c], own.confusion[t][c], cell)
        for t, row in enumerate(own.shares)
        for c, cell in enumerate(row)
    ]
    yield canvas.section("class_confusion", rows=rows)


def _probabilities(own: ClassNumbers, scores: Scores, canvas: Canvas) -> Iterator[Section]:
    """Yield the reliability of each class's probability, and the prediction sets."""
    if scores.classes is not None:
        figures = {"class-reliability": class_reliability(own, scores.classes)}
        yield canvas.section("class_calibration", numbers=own, figures=figures)
    if own.sets is not None:
        figures = {"class-sets": prediction_sets(own.sets, own.labels.names, own.counts)}
        yield canvas.section("class_sets", figures=figures, rows=set_rows(own.sets))


def findings_section(found: FindingsEvaluation, canvas: Canvas, *, name: str = "") -> Section:
    """Return the section on the metrics of each finding on a set of images.

    Args:
        found: The evaluation.
        canvas: Where figures go.
        name: Put before the names of figures, where a page has several such sets.
    """
    numbers = found.numbers
    names = read_yaml("names.yaml")["of_finding"]
    shown = {key: title for key, title in names.items() if key in numbers.by_finding[0]}
    rows = tuple(
        (
            finding,
            *(f"{n:,}" for n in (counts.labelled, counts.positive, counts.masked)),
            f"{threshold:.4g}",
            *(own[key].with_range() for key in shown),
        )
        for finding, counts, threshold, own in zip(
            numbers.names, numbers.counts, numbers.thresholds, numbers.by_finding, strict=True
        )
    )
    header = ("finding", "labelled", "positive", "masked", "threshold", *shown.values())
    return canvas.section(
        "findings",
        numbers=numbers,
        figures={f"{name}findings": finding_forest(numbers)},
        table=(header, rows),
        images=images_of(found),
    )


def findings_data(data: PreparedData, canvas: Canvas) -> Section:
    """Return the section that counts the labels of each finding in each part."""
    labels = data.catalog.finding_labels
    parts = {name: data.split.rows(part) for part, name in PARTS.items()}
    there = {name: rows for name, rows in parts.items() if rows}
    rows = tuple(
        (
            finding,
            *(
                f"{(labels[own, place] == 1).sum():,} of {(labels[own, place] >= 0).sum():,}"
                for own in there.values()
            ),
        )
        for place, finding in enumerate(data.catalog.findings)
    )
    return canvas.section("finding_labels", table=(("finding", *there), rows))
