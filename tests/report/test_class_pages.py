"""Figures and pages of readers of several classes."""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from helpers.made_classes import as_scores, make_class_scores, policy_of, space_of
from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.multiclass.calibration import softmax
from pneumoscope.evaluation.multiclass.numbers import ClassNumbers, class_numbers
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.question import Images, Question, Reader
from pneumoscope.evaluation.scores import Scores
from pneumoscope.labels import LabelSpace
from pneumoscope.report.canvas import Canvas
from pneumoscope.report.class_sections import class_sections
from pneumoscope.report.evaluation_page import write_evaluation_page
from pneumoscope.report.figures.curves import class_reliability
from pneumoscope.report.figures.outcome import class_confusion, prediction_sets
from pneumoscope.report.figures.roc import class_roc
from pneumoscope.report.opening import class_headline, opening_of
from pneumoscope.report.rendering import texts
from pneumoscope.report.words import facts_of

K = (2, 3, 4, 14)
_TOUCHING = 4  # pixels


def measured(classes: int) -> tuple[ClassNumbers, ClassScores]:
    own = make_class_scores(60 * classes, classes, sharp=2.5)
    how = policy_of(make_class_scores(60 * classes, classes, seed=1)) if classes > 2 else None
    return class_numbers(own, np.arange(len(own)), policy=how, resamples=100), own


def figures_of(classes: int) -> dict[str, Figure]:
    found, own = measured(classes)
    drawn = {
        "confusion": class_confusion(found).draw(),
        "roc": class_roc(found, own).draw(),
        "calibration": class_reliability(found, own).draw(),
    }
    if found.sets is not None:
        drawn["sets"] = prediction_sets(found.sets, found.labels.names, found.counts).draw()
    return drawn


def texts_of(figure: Figure) -> list[tuple[str, float, float, float, float]]:
    """Return the texts of a figure that are seen, with their places in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    found = []
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text().strip() and text.get_visible():
            box = text.get_window_extent(renderer)
            found.append((text.get_text(), box.x0, box.y0, box.x1, box.y1))
    return found


@pytest.mark.parametrize("classes", K)
def test_no_text_lies_on_another_or_beyond_the_edge(classes: int) -> None:
    for name, figure in figures_of(classes).items():
        texts = texts_of(figure)
        assert len(texts) > classes, name
        width, height = figure.get_size_inches() * figure.dpi
        for text, x0, y0, x1, y1 in texts:
            assert -1 < x0 < x1 < width + 1, (name, text)
            assert -1 < y0 < y1 < height + 1, (name, text)
        for one, other in itertools.combinations(texts, 2):
            # Boxes are a line high, so those of texts that only look close may touch.
            wide = min(one[3], other[3]) - max(one[1], other[1])
            high = min(one[4], other[4]) - max(one[2], other[2])
            assert min(wide, high) < _TOUCHING, (name, one, other)


@pytest.mark.parametrize("classes", K)
def test_the_data_of_the_figures(classes: int) -> None:
    found, own = measured(classes)
    _, rows = class_confusion(found).table
    assert len(rows) == classes**2
    assert sum(int(row[2]) for row in rows) == len(own)
    _, points = class_roc(found, own).table
    marks = [
        (float(x[0]), float(y[0]))
        for axes in class_roc(found, own).draw().axes
        for line in axes.lines
        if line.get_marker() == "o"
        for x, y in [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))]
    ]
    for name, numbers, mark in zip(found.labels.names, found.by_class, marks, strict=True):
        fpr, tpr = np.array([(float(row[1]), float(row[2])) for row in points if row[0] == name]).T
        # The trapezoid of the thinned curve is the area but for what lies between its points.
        assert float(np.trapezoid(tpr, fpr)) == pytest.approx(numbers["auc"].value, abs=2e-3)
        assert mark == pytest.approx(
            (1 - (numbers["specificity"].value or 0), numbers["sensitivity"].value)
        )
    _, bins = class_reliability(found, own).table
    assert sum(int(row[3]) for row in bins) == classes * len(own)


def test_bins_by_hand() -> None:
    # Ten images in ten bins: of each one, what was said and what was so.
    first = np.linspace(0.05, 0.95, 10)
    said = np.stack([first, 1 - first], axis=1)
    number = (np.arange(10) < 5).astype(np.int64)  # the five with the least are of class 1
    own = ClassScores(space_of(2), number, np.log(said), said)
    figure = class_reliability(class_numbers(own, np.arange(10), resamples=0), own)
    one = np.array([row[1:] for row in figure.table[1] if row[0] == "NORMAL"], np.float64)
    assert one[:, 0] == pytest.approx(first)
    assert one[:, 1].tolist() == [0] * 5 + [1] * 5
    assert one[:, 2].tolist() == [1] * 10


def test_a_class_without_images_has_no_curve_and_is_drawn_all_the_same() -> None:
    own = make_class_scores(60, 3)
    own = own.select(np.flatnonzero(own.number != 2))
    found = class_numbers(own, np.arange(len(own)), resamples=0)
    roc = class_roc(found, own)
    assert "VIRUS" not in {row[0] for row in roc.table[1]}
    assert "VIRUS: AUC not defined" in roc.summary
    assert "VIRUS not defined of 0" in class_confusion(found).summary
    for figure in (roc, class_confusion(found), class_reliability(found, own)):
        assert texts_of(figure.draw())


def evaluated(classes: int, *, sharp: float = 2.5) -> tuple[Evaluation, Scores]:
    own = make_class_scores(50 * classes, classes, sharp=sharp)
    scores = as_scores(own, part="test", per_patient=2)
    how = policy_of(make_class_scores(60 * classes, classes, seed=1))
    reader = Reader("several", own.labels, policy=how)
    question = Question(resamples=100, group_resamples=0)
    return evaluate(scores, question, reader=reader, images=Images(part="test")), scores


@pytest.mark.parametrize("classes", [3, 14])
def test_the_page_of_several_classes(classes: int, tmp_path: Path) -> None:
    found, scores = evaluated(classes)
    assert found.by_class is not None
    page = write_evaluation_page(tmp_path / "page", found, scores).read_text(encoding="utf-8")
    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    for title in (
        f"Each of the {classes} classes, on the test images", "Confusion matrix",
        "Calibration by class", "Prediction sets",
    ):  # fmt: skip
        assert title in titles
    figures = tmp_path / "page" / "figures"
    for name in ("class-confusion", "class-roc", "class-reliability", "class-sets"):
        assert (figures / f"{name}-test.png").is_file(), name
    with (figures / "classes-test.csv").open(newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert tuple(rows) == found.by_class.labels.names
    name = found.by_class.labels.names[1]
    assert rows[name]["AUC"] == found.by_class.of(name)["auc"].with_range()
    assert int(rows[name]["images"]) == found.by_class.counts[1]
    assert "Macro AUC" in page
    assert f"each of {classes} classes from the others?" in page
    held = ", ".join(
        f"{n} {label}"
        for n, label in zip(found.by_class.counts, found.by_class.labels.names, strict=True)
    )
    assert held in page
    with (figures / "mistakes-test.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} <= set(found.by_class.labels.names)


def test_a_page_of_two_classes_says_nothing_of_it(tmp_path: Path) -> None:
    own = make_class_scores(60, 2)
    plain = Scores(
        tuple(f"{row}.png" for row in range(60)),
        as_scores(own).patient, own.label, own.log_odds, own.probability, "test",
    )  # fmt: skip
    found = evaluate(plain, Question(resamples=0))
    assert class_sections(found, plain, Canvas(tmp_path)) == []
    assert class_headline(found) == ()
    assert texts("pages.yaml", "by_class", **facts_of(found))["answer"] == ""
    assert opening_of(replace(found, labels=own.labels))["question"].endswith("from NORMAL?")


def test_the_brief_form_has_the_main_section_alone(tmp_path: Path) -> None:
    found, scores = evaluated(3)
    whole = class_sections(found, scores, Canvas(tmp_path / "whole"))
    brief = class_sections(found, scores, Canvas(tmp_path / "brief"), brief=True)
    assert [one.title for one in brief] == [one.title for one in whole][: len(brief)]
    assert len(brief) < len(whole)


def test_what_is_concluded_stands_in_the_table(tmp_path: Path) -> None:
    """By hand: of four images two are named, one is of the group, one is uncertain."""
    labels = LabelSpace.of(("N", "B", "V"), ("B", "V"), "P")
    logits = np.log(
        np.array([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.02, 0.5, 0.48], [0.34, 0.33, 0.33]])
    )
    own = ClassScores(labels, np.array([0, 1, 1, 2]), logits, softmax(logits))
    how = policy_of(make_class_scores(300, 3, seed=4))
    found = evaluate(
        as_scores(own, part="test"),
        Question(resamples=0),
        reader=Reader("r", labels, policy=how),
        images=Images(part="test"),
    )
    last = class_sections(found, as_scores(own, part="test"), Canvas(tmp_path))[-1]
    assert last.table is not None
    told = {name: value.partition(" ")[0] for name, value in last.table[1]}
    assert told["One class"] == "50.0%"
    assert told["Positive, kind uncertain"] == "25.0%"
    assert told["UNCERTAIN"] == "25.0%"
    assert told["Correct, where the conclusion is one class"] == "100.0%"
