"""Figures of an evaluation and of a comparison: what they compute, and that they draw anything."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from helpers.made_scores import people
from pneumoscope.errors import OptionError
from pneumoscope.evaluation.compare import Comparison, Contender, compare
from pneumoscope.evaluation.curves import (
    Curves,
    DecisionCurve,
    PrecisionRecallBand,
    Reliability,
    RocBand,
)
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.question import Question
from pneumoscope.evaluation.robustness import Corrupted
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.subgroups import Group, subgroups
from pneumoscope.reader.prediction import probability_text
from pneumoscope.report import (
    Drawing,
    case_sheet,
    differences,
    net_benefit,
    precision_recall,
    reliability_diagram,
    robustness_curves,
    roc_curve,
    roc_curves,
    save,
    score_distributions,
    seed_dots,
    seed_losses,
    subgroup_forest,
)
from pneumoscope.report.figures.compare import seed_dots_of, short_names
from pneumoscope.report.figures.drawing import Cell
from pneumoscope.report.figures.pictures import pictures_of_page
from pneumoscope.report.figures.roc import roc_of
from pneumoscope.report.pictures import worst_rows

NAN = math.nan


def drawn_scores(n: int = 120, *, seed: int = 0, noise: float = 1.2) -> Scores:
    """Return scores of n images that tell the classes apart fairly well."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3 > 0
    logit = 2.0 * (label - 0.5) + noise * rng.standard_normal(n)
    names = tuple(f"{'bacteria' if k % 2 else 'virus'}-{k:03d}.png" for k in range(n))
    return Scores(
        names,
        people(f"p{k // 2}" for k in range(n)),
        label.astype(np.int64),
        logit,
        1 / (1 + np.exp(-logit)),
        "test",
    )


@pytest.fixture(scope="module")
def scores() -> Scores:
    return drawn_scores()


@pytest.fixture(scope="module")
def assessment(scores: Scores) -> Evaluation:
    return evaluate(scores, Question(resamples=100))


@pytest.fixture(scope="module")
def curves(assessment: Evaluation) -> Curves:
    assert assessment.curves is not None
    return assessment.curves


def compared(names: tuple[str, ...], recipes: tuple[str, ...]) -> Comparison:
    return compare(
        [
            Contender(name, drawn_scores(60, seed=k + 1), recipe=recipe)
            for k, (name, recipe) in enumerate(zip(names, recipes, strict=True))
        ],
        resamples=100,
    )


@pytest.fixture(scope="module")
def two() -> Comparison:
    return compared(("runs/a", "runs/b"), ("same", "same"))


def texts(figure: Figure) -> str:
    return "\n".join(
        artist.get_text() for artist in figure.findobj(Text) if isinstance(artist, Text)
    )


# --- curves ------------------------------------------------------------------------------------


def test_the_roc_curve_lies_in_its_band_and_names_its_interval(
    scores: Scores, assessment: Evaluation, curves: Curves
) -> None:
    roc = roc_curve(
        roc_of(scores.label, scores.probability),
        threshold=0.5,
        band=curves.roc,
        auc_range=assessment["auc"].range_text(),
    )

    header, body = roc.table
    assert header == ("threshold", "false_positive_rate", "sensitivity", "low", "high")
    middle = [row for row in body if 0.05 < float(row[1]) < 0.6]
    inside = sum(float(row[3]) <= float(row[2]) <= float(row[4]) for row in middle)
    assert middle
    assert inside >= 0.9 * len(middle)
    assert assessment["auc"].range_text() in texts(roc.draw())
    plain = roc_curve(roc_of(scores.label, scores.probability))
    assert plain.table[0] == header[:3]


def test_precision_falls_to_the_prevalence_where_all_are_called(
    assessment: Evaluation, curves: Curves
) -> None:
    prevalence = assessment["prevalence"].value
    assert prevalence is not None
    assert prevalence == pytest.approx(2 / 3)
    figure = precision_recall(
        curves.precision_recall,
        prevalence=prevalence,
        average_precision=assessment["average_precision"].value,
        point=(0.8, 0.9),
    )

    assert len(figure.table[1]) == 100
    assert float(figure.table[1][-1][1]) >= prevalence - 1e-6
    assert "chance level 0.667" in figure.summary
    assert f"AP {assessment['average_precision'].value:.3f}" in texts(figure.draw())


def test_the_reliability_diagram_counts_every_image(scores: Scores, curves: Curves) -> None:
    figure = reliability_diagram(curves.reliability, "0.041 (0.000 to 0.120)")

    assert sum(int(row[0]) for row in figure.table[1]) == len(scores)
    assert "Calibration error 0.041 (0.000 to 0.120)" in texts(figure.draw())
    assert re.match(r"15 bins of 8 to 8 images; in \d+ of them", figure.summary)


def test_net_benefit_says_where_the_reader_is_of_use(curves: Curves) -> None:
    figure = net_benefit(curves.decision, 0.5)

    useful = curves.decision.useful()
    assert useful is not None
    low, high = useful
    assert f"from {low:.2f} to {high:.2f}" in figure.summary
    assert {"this reader", "treat all", "treat none", "threshold 0.50"} <= set(
        texts(figure.draw()).splitlines()
    )
    half = np.array([0.1, 0.5])
    never = net_benefit(DecisionCurve(half, half, half, half, half))
    assert "at any threshold" in never.summary


def test_scores_fall_into_bins_of_their_class() -> None:
    figure = score_distributions(
        [0, 0, 1, 1], [0.0, 0.26, 0.26, 1.0], classes=("A", "B"), threshold=0.3, zone=(0.2, 0.4)
    )

    counts = [(int(row[2]), int(row[3])) for row in figure.table[1]]
    assert np.sum(counts, axis=0).tolist() == [2, 2]
    assert figure.table[1][10] == ("0.25", "0.275", "1", "1")
    assert figure.table[1][-1] == ("0.975", "1", "0", "1")
    assert figure.summary.endswith("threshold 0.3, uncertain from 0.2 to 0.4")


# --- groups and corruptions ----------------------------------------------------------------------


def test_small_groups_are_marked_in_the_forest(scores: Scores, assessment: Evaluation) -> None:
    few = {path: "rare" if k < 9 else "common" for k, path in enumerate(scores.path)}
    groups = subgroups(scores, threshold=0.5, columns={"device": few}, resamples=100)
    forest = subgroup_forest(tuple(groups), assessment.numbers, assessment.n)

    shown = texts(forest.draw())
    assert "rare (9) *" in shown
    assert "common (111)\n" in shown
    assert "all images (120)" in shown
    rows = {row[1]: row for row in forest.table[1]}
    assert rows["rare"][3] == "yes"
    assert rows["common"][3] == "no"
    assert float(rows["all images"][4]) == pytest.approx(assessment["auc"].value or 0, abs=1e-6)


def corrupted(name: str, strength: int, auc: float) -> Corrupted:
    number = Estimate(auc, 50, auc - 0.05, min(1.0, auc + 0.05), "delong")
    return Corrupted(
        name, strength, float(strength), "units" if strength else "",
        dict.fromkeys(("auc", "accuracy", "sensitivity", "specificity"), number),
        Estimate(0.1 * strength, 50),
    )  # fmt: skip


def test_robustness_shows_the_worst_corruption() -> None:
    rows = [corrupted("none", 0, 0.95)]
    for name, fall in (("blur", 0.01), ("noise", 0.08)):
        rows += [corrupted(name, s, 0.95 - fall * s) for s in range(1, 6)]
    figure = robustness_curves(rows)

    assert "lowest at the strongest noise, 0.550 against 0.950" in figure.summary
    assert len(figure.table[1]) == 10
    assert figure.table[1][5][:5] == ("noise", "1", "1", "units", "0.87")
    assert {"blur", "noise", "units"} <= set(texts(figure.draw()).splitlines())
    with pytest.raises(OptionError, match="at least one corruption"):
        robustness_curves(rows[:1])


# --- comparison ----------------------------------------------------------------------------------


def test_differences_have_the_sign_of_first_less_second(two: Comparison) -> None:
    figure = differences(two)

    first, second = (two.numbers[name]["auc"].value or 0 for name in two.names)
    assert float(figure.table[1][0][3]) == pytest.approx(first - second, abs=1e-5)
    assert figure.table[1][0][:3] == ("a", "b", "auc")
    assert "a minus b" in texts(figure.draw())


def test_the_label_below_differences_fits_beside_long_names() -> None:
    found = compared(("seeds/seed-5", "other/seed-6"), ("", ""))
    drawn = differences(found).draw()
    drawn.draw_without_rendering()
    label = drawn.axes[0].xaxis.label.get_window_extent()
    assert 0 <= label.x0 < label.x1 <= drawn.bbox.width


def test_the_curves_of_all_readers_are_in_one_figure(two: Comparison) -> None:
    figure = roc_curves(two)

    header, rows = figure.table
    assert header == ("reader", "false_positive_rate", "sensitivity", "low", "high")
    assert len(rows) == 2 * len(two.roc[two.names[0]].false_positive_rate)
    drawn = figure.draw()
    marks = [line.get_xydata() for line in drawn.axes[0].lines if line.get_marker() == "o"]
    for short, name, mark in zip("ab", two.names, marks, strict=True):
        area, sensitivity, specificity = (
            two.numbers[name][key].value or 0 for key in ("auc", "sensitivity", "specificity")
        )
        assert np.asarray(mark)[0].tolist() == pytest.approx([1 - specificity, sensitivity])
        assert f"{short}: AUC {area:.3f}" in texts(drawn)
        assert f"{short}: AUC {area:.3f}" in figure.summary


def test_runs_of_one_recipe_have_a_mean(two: Comparison) -> None:
    figure = seed_dots_of(two, known=(0.81, 0.87, "earlier report"))

    assert [row[1] for row in figure.table[1]] == ["0", "0"]
    assert "earlier report: 81% to 87%" in texts(figure.draw())
    alone = seed_dots_of(compared(("a", "b"), ("", "")))
    assert [row[1] for row in alone.table[1]] == ["", ""]
    assert "recipe" not in texts(alone.draw())


def test_the_run_that_is_kept_stands_out() -> None:
    dots = seed_dots(("a", "b"), ((0.9, 0.8, 0.8, 1.0),) * 2, (0, 0), kept=1)
    marks = [line for line in dots.draw().axes[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "none" for line in marks] == [False, True]
    losses = seed_losses(("a", "b"), ([0.5, 0.4], [0.6, 0.2, 0.3]), (2, 2), 1)
    assert losses.table[1][3] == ("b", "2", "0.2", "yes")
    assert losses.summary.endswith("b was kept with 0.2000")
    assert "b" in texts(losses.draw())


def test_names_lose_what_they_share() -> None:
    assert short_names(["a/b/x", "a/b/y/z"]) == ("x", "y/z")
    assert short_names(["same", "other"]) == ("same", "other")
    assert short_names(["/r/one/scores-val.csv", "/r/two/scores-val.csv"]) == (
        "one/scores-val.csv",
        "two/scores-val.csv",
    )


# --- single images -------------------------------------------------------------------------------


def sheet(n: int, *, evidence: bool = False) -> Drawing:
    plain = np.zeros((16, 16, 3), np.uint8)
    images = (plain, plain + np.array([200, 90, 0], np.uint8)) if evidence else (plain,)
    cells = [Cell(images, "NORMAL", "PNEUMONIA 0.98")] * n
    return case_sheet(cells, [f"{k}.png" for k in range(n)])


def test_a_long_note_covers_no_other_and_makes_no_picture_smaller() -> None:
    image = np.zeros((16, 20), np.uint8)
    notes = ["predicted PNEUMONIA (0.945)", "predicted NORMAL (0.086)", "", "0.9"] * 2
    cells = [Cell((image, image), "PNEUMONIA", note) for note in notes]
    figure = case_sheet(cells, notes).draw()
    figure.draw_without_rendering()
    pictures = [axes.get_window_extent() for axes in figure.axes]
    words = [
        text.get_window_extent()
        for text in figure.findobj(Text)
        if text.get_text().startswith(("PNEUMONIA", "predicted", "0.9"))
    ]
    width = pictures[0].width
    assert width > 0.24 * figure.bbox.width
    assert all(one.width == pytest.approx(width) for one in pictures)
    assert len(words) == len(cells) + sum(map(bool, notes))
    assert all(one.width <= width and one.y1 <= figure.bbox.height for one in words)
    boxes = [*pictures, *words]
    assert sum(one.overlaps(other) for one in boxes for other in boxes) == len(boxes)  # itself


def test_the_sheet_shows_label_and_probability_and_keeps_the_colour() -> None:
    figure = sheet(5, evidence=True)

    assert figure.table[1][4] == ("5", "NORMAL", "PNEUMONIA 0.98", "4.png")
    shown = texts(figure.draw())
    assert shown.count("NORMAL") == shown.count("PNEUMONIA 0.98") == 5
    images = [image for picture in pictures_of_page(figure) for image in picture.images]
    assert len(images) == 10
    assert all(image.startswith(b"\xff\xd8") for image in images)
    modes = {Image.open(io.BytesIO(image)).mode for image in images}
    assert modes == {"L", "RGB"}


def test_the_worst_of_each_kind_are_shown() -> None:
    called = np.array([True] * 10 + [False] * 3)
    ranked = np.arange(13)

    assert worst_rows(ranked, called, shown=8) == [0, 1, 2, 3, 4, 10, 11, 12]
    assert worst_rows(ranked[:10], called, shown=8) == list(range(8))
    assert worst_rows(ranked, np.arange(13) % 2 == 0, shown=8) == list(range(8))


def test_no_probability_looks_certain() -> None:
    shown = [probability_text(p) for p in (1.0, 0.9996, 0.9994, 0.5, 0.0006, 0.0004, 0.0)]
    assert shown == [">0.999", ">0.999", "0.999", "0.500", "0.001", "<0.001", "<0.001"]


# --- whatever they are given ---------------------------------------------------------------------

ONES = np.array([1.0])
NANS = np.full(2, NAN)
NONE = np.array([])
UNDEFINED = Estimate(None, 9)
NOTHING = dict.fromkeys(("auc", "accuracy", "sensitivity", "specificity"), UNDEFINED)
FLAT = RocBand(np.linspace(0, 1, 3), np.ones(3), np.full(3, NAN), np.full(3, NAN))


def undefined(n: int) -> Comparison:
    """Return a comparison of n readers, of which the last has no area and none a difference."""
    found = compared(tuple("abcdef"[:n]), ("",) * n)
    numbers = {**found.numbers, found.names[-1]: NOTHING}
    pairs = tuple(replace(pair, differences=NOTHING) for pair in found.pairs)
    curves = dict.fromkeys(found.names, FLAT)
    return replace(found, numbers=numbers, pairs=pairs, roc=curves)


EDGES: dict[str, Callable[[], Figure]] = {
    "pr-without-band": lambda: precision_recall(
        PrecisionRecallBand(np.array([0.5, 1]), np.array([1, 0.5]), NANS, NANS), prevalence=0.5
    ).draw(),
    "reliability-one-bin": lambda: reliability_diagram(
        Reliability(np.array([9.0]), 0.3 * ONES, 0.5 * ONES, 0.2 * ONES, 0.8 * ONES)
    ).draw(),
    "benefit-below-zero": lambda: net_benefit(
        DecisionCurve(np.array([0.1, 0.9]), np.array([-1.0, -9]), NANS, NANS, np.array([-2.0, -5]))
    ).draw(),
    "scores-none": lambda: score_distributions(
        [], [], classes=("A", "B"), threshold=0.5
    ).draw(),
    "scores-many": lambda: score_distributions(
        [0] * 50_000 + [1], [0.01] * 50_000 + [0.99], classes=("A", "B"), threshold=0.5
    ).draw(),
    "forest-undefined": lambda: subgroup_forest(
        (Group("a_very_long_column_name_that_goes_on_and_on", "x" * 60, 3, 3, 1, True, NOTHING),),
        NOTHING, 9,
    ).draw(),
    "robustness-undefined": lambda: robustness_curves(
        [Corrupted("blur", k, float(k), "units", NOTHING, UNDEFINED) for k in range(6)]
    ).draw(),
    "difference-undefined": lambda: differences(undefined(2)).draw(),
    "roc-many": lambda: roc_curves(undefined(6)).draw(),
    "seeds-one": lambda: seed_dots(("a",), ((0.9, NAN, 0.8, 1.0),), (-1,)).draw(),
    "losses-one-epoch": lambda: seed_losses(("a", "b"), ([0.5], [0.5]), (1, 1), 0).draw(),
    "sheet-one": lambda: sheet(1).draw(),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edge_cases_are_drawn(name: str, tmp_path: Path) -> None:
    svg = save(EDGES[name](), tmp_path, name=name)

    assert svg.startswith("<svg")
    assert "nan" not in svg.lower()
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.width > 300


@pytest.mark.parametrize(
    "make",
    [
        lambda: reliability_diagram(Reliability(NONE, NONE, NONE, NONE, NONE)),
        lambda: score_distributions([0, 1], [0.5], classes=("A", "B"), threshold=0.5),
        lambda: case_sheet([], []),
    ],
)
def test_shapes_that_do_not_fit_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(OptionError):
        make()
