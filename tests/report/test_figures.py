"""What figures compute, that they draw whatever they are given, and what `save` leaves behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pneumoscope.errors import DataError, OptionError, OutputError
from pneumoscope.report import (
    Drawing,
    augmentation_sheet,
    class_counts,
    confusion_matrix,
    learning_curves,
    roc_curve,
    save,
)
from pneumoscope.report.figures.roc import roc_of
from pneumoscope.report.figures.training import class_counts_of

NAMES = ("NORMAL", "PNEUMONIA")
NAN = float("nan")


def curves(**columns: list[float]) -> Drawing:
    full: dict[str, Any] = {
        name: [0.5, 0.4, 0.3] for name in ("loss", "val_loss", "accuracy", "val_accuracy")
    }
    full |= columns
    return learning_curves(range(1, len(full["loss"]) + 1), **full)


def matrix(*rows: list[int]) -> Drawing:
    return confusion_matrix(rows, NAMES)


def sheet(n: int, versions: int, *, height: int = 24, width: int = 24) -> Drawing:
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (n, height, width), dtype=np.uint8)
    return augmentation_sheet(originals, originals[:, None].repeat(versions, 1), ("NORMAL",) * n)


def texts(figure: Figure) -> set[str]:
    found = figure.findobj(Text)
    return {artist.get_text() for artist in found if isinstance(artist, Text)}


# --- the ROC curve -----------------------------------------------------------------------------


def test_roc_of_a_case_worked_by_hand() -> None:
    # 0.8: P; 0.4: P and N, a tie, which is one slanted step; 0.1: N.
    roc = roc_of([1, 0, 1, 0], [0.8, 0.4, 0.4, 0.1])

    assert roc.thresholds.tolist() == [np.inf, 0.8, 0.4, 0.1]
    assert roc.false_positive_rate.tolist() == [0, 0, 0.5, 1]
    assert roc.sensitivity.tolist() == [0, 0.5, 1, 1]
    assert roc.area == 3.5 / 4  # of 4 pairs 3 are right and one is a tie
    drawn = roc_curve(roc, threshold=0.4)
    assert drawn.summary.endswith("at probability ≥ 0.4, sensitivity 1.000, specificity 0.500")
    assert drawn.table[1][2] == ("0.4", "0.5", "1")


@pytest.mark.parametrize(
    ("probabilities", "auc"),
    [([0.1, 0.2, 0.8, 0.9], 1.0), ([0.9, 0.8, 0.2, 0.1], 0.0), ([0.5] * 4, 0.5)],
)
def test_roc_of_perfect_reversed_and_constant_readers(
    probabilities: list[float], auc: float
) -> None:
    assert roc_of([0, 0, 1, 1], probabilities).area == auc


@pytest.mark.parametrize("levels", [2, 7, 10**9])
@pytest.mark.parametrize("seed", range(4))
def test_roc_agrees_with_scikit_learn_and_with_counting_pairs(seed: int, levels: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 200)]
    scores = np.round(rng.random(202) * levels) / levels

    roc = roc_of(labels, scores)

    gap = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    assert roc.area == pytest.approx(((gap > 0) + 0.5 * (gap == 0)).mean(), abs=1e-12)
    assert roc.area == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    area = (
        np.sum(np.diff(roc.false_positive_rate) * (roc.sensitivity[1:] + roc.sensitivity[:-1])) / 2
    )
    assert roc.area == pytest.approx(area, abs=1e-12)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc.false_positive_rate, fpr)
    np.testing.assert_allclose(roc.sensitivity, tpr)
    np.testing.assert_allclose(roc.thresholds, thresholds)


def test_roc_does_not_depend_on_order_or_on_a_rising_map() -> None:
    rng = np.random.default_rng(1)
    labels, scores = np.r_[0, 1, rng.integers(0, 2, 60)], rng.integers(0, 9, 62) / 9
    order = rng.permutation(62)

    roc, again = (
        roc_of(labels, scores),
        roc_of(labels[order], scores[order] ** 3),
    )

    assert roc.area == again.area
    assert roc.sensitivity.tolist() == again.sensitivity.tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_the_operating_point_lies_on_the_curve(threshold: float) -> None:
    rng = np.random.default_rng(2)
    labels, scores = np.r_[0, 1, rng.integers(0, 2, 50)], rng.integers(0, 11, 52) / 10

    drawn = roc_curve(roc_of(labels, scores), threshold=threshold)

    found = (scores >= threshold)[labels == 1].mean()
    spared = (scores < threshold)[labels == 0].mean()
    told = f"sensitivity {found:.3f}, specificity {spared:.3f}"
    assert drawn.summary.endswith(f"at probability ≥ {threshold:.3g}, {told}")


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], []])
def test_roc_of_one_class_says_what_is_missing(labels: list[int]) -> None:
    with pytest.raises(DataError, match=r"both classes.*Evaluate on a set that has both"):
        roc_of(labels, [0.5] * len(labels))


def test_roc_refuses_what_is_no_score() -> None:
    with pytest.raises(DataError, match="1 of 2 probabilities"):
        roc_of([0, 1], [0.1, NAN])
    with pytest.raises(OptionError, match=r"labels must be 0 or 1, got \[2\]"):
        roc_of([0, 2], [0.1, 0.2])
    with pytest.raises(OptionError, match="probabilities must be"):
        roc_of([0, 1], [0.1])


def test_a_long_roc_curve_stays_small_on_the_page(tmp_path: Path) -> None:
    labels = np.r_[np.zeros(20_000, int), np.ones(20_000, int)]
    perfect = roc_of(labels, np.linspace(0, 1, 40_000))

    assert perfect.thresholds.size == 40_001
    assert len(save(roc_curve(perfect).draw(), tmp_path, name="roc")) < 20_000


# --- the other figures -------------------------------------------------------------------------


def test_class_counts_are_counted_and_written_on_the_bars() -> None:
    counts = class_counts_of(
        ["train"] * 3 + ["val"], ["NORMAL", "PNEUMONIA", "PNEUMONIA", "NORMAL"]
    )

    assert [row[2] for row in counts.table[1]] == ["1", "2", "1", "0"]
    assert counts.table[1][1] == ("train", "PNEUMONIA", "2")
    assert counts.summary == "train: 1 NORMAL, 2 PNEUMONIA; val: 1 NORMAL, 0 PNEUMONIA"
    big = class_counts(("train", "val"), NAMES, np.array([[1341, 3875], [8, 8]]))
    assert {"1,341", "3,875", "8", "26%", "(b) val", "16 images"} <= texts(big.draw())


def test_a_small_split_is_as_tall_as_a_large_one() -> None:
    big = class_counts(("train", "val"), NAMES, np.array([[1341, 3875], [8, 8]]))

    train, val = big.draw().axes
    assert val.get_ylim()[1] == pytest.approx(8 / 3875 * train.get_ylim()[1])


def test_the_confusion_matrix_has_truth_in_rows() -> None:
    found = matrix([2, 1], [0, 1])

    assert found.table[1][1] == ("NORMAL", "PNEUMONIA", "1", "0.333333")
    assert {"66.7%", "33.3%", "100.0%", "0.0%"} <= texts(found.draw())


def test_the_best_epoch_has_the_lowest_validation_loss_unless_told() -> None:
    assert "epoch 1 was kept;" in curves(val_loss=[0.4, NAN, 0.4]).summary
    assert "epoch 3 was kept;" in curves(val_loss=[NAN, float("inf"), 0.9]).summary
    assert "no best epoch" in curves(val_loss=[NAN] * 3).summary
    halves = [0.5, 0.5]
    told = learning_curves(
        [1, 2], loss=halves, val_loss=halves, accuracy=halves, val_accuracy=halves, best_epoch=2
    )
    assert "epoch 2 was kept;" in told.summary
    assert "epoch 2: validation 0.500" in texts(told.draw())


def test_learning_curves_name_their_lines_and_keep_gaps_in_the_table() -> None:
    gaps = curves(val_loss=[0.4, NAN, 0.3])

    assert {"training", "validation"} <= texts(gaps.draw())
    assert gaps.table[1][1] == ("2", "0.4", "0.4", "nan", "0.4")


def test_the_sheet_says_how_far_each_version_is() -> None:
    originals = np.full((1, 2, 2), 100, np.uint8)
    augmented = np.stack([originals, originals - 60], axis=1)

    rows = augmentation_sheet(originals, augmented, ("NORMAL",)).table[1]

    assert rows == (("1", "NORMAL", "1", "0.00"), ("1", "NORMAL", "2", "60.00"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: class_counts(("train",), (), np.zeros((1, 0), int)),
        lambda: class_counts(("train",), NAMES, np.zeros((2, 2), int)),
        lambda: class_counts_of(["train"], []),
        lambda: confusion_matrix(np.zeros((2, 3), int), NAMES),
        lambda: augmentation_sheet(
            np.zeros((1, 4, 4), np.uint8), np.zeros((1, 2, 4, 5), np.uint8), ("NORMAL",)
        ),
        lambda: augmentation_sheet(
            np.zeros((1, 4, 4), np.uint8), np.zeros((1, 0, 4, 4), np.uint8), ("NORMAL",)
        ),
        lambda: augmentation_sheet(
            np.zeros((1, 4, 4), np.uint8), np.zeros((1, 1, 4, 4), np.uint8), ()
        ),
        lambda: curves(loss=[0.1]),
        lambda: curves(loss=[], val_loss=[], accuracy=[], val_accuracy=[]),
        lambda: learning_curves(
            [1, 2], loss=[1, 1], val_loss=[1, 1], accuracy=[1, 1], val_accuracy=[1, 1], best_epoch=9
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(OptionError):
        make()


EDGES: dict[str, Callable[[], Figure]] = {
    "counts-none": lambda: class_counts(("val",), NAMES, np.zeros((1, 2), int)).draw(),
    "counts-many": lambda: class_counts(
        tuple("abcdefg"),
        ("NORMAL", "BACTERIAL PNEUMONIA", "VIRAL PNEUMONIA"),
        np.eye(7, 3, dtype=int),
    ).draw(),
    "curves-one-epoch": lambda: curves(
        loss=[0.5], val_loss=[0.4], accuracy=[0.8], val_accuracy=[0.7]
    ).draw(),
    "curves-unmeasured": lambda: curves(
        loss=[NAN] * 3, val_loss=[NAN] * 3, accuracy=[NAN] * 3, val_accuracy=[NAN] * 3
    ).draw(),
    "curves-gaps": lambda: curves(val_loss=[NAN, 0.3, NAN], loss=[0.4, float("inf"), NAN]).draw(),
    "curves-flat": lambda: curves(loss=[0.0] * 3, val_loss=[0.0] * 3).draw(),
    "curves-long": lambda: curves(
        **{
            k: list(np.linspace(1, 0, 200))
            for k in ("loss", "val_loss", "accuracy", "val_accuracy")
        }
    ).draw(),
    "matrix-empty-row": lambda: matrix([0, 0], [1, 9]).draw(),
    "matrix-one-class": lambda: confusion_matrix(np.array([[3]]), ("NORMAL",)).draw(),
    "matrix-five": lambda: confusion_matrix(np.eye(5, dtype=int), tuple("abcde")).draw(),
    "sheet-one": lambda: sheet(1, 1).draw(),
    "sheet-tall": lambda: sheet(2, 3, height=40, width=20).draw(),
    "roc-two-images": lambda: roc_curve(roc_of([0, 1], [0.3, 0.3]), threshold=0.9).draw(),
    "roc-all-called": lambda: roc_curve(roc_of([0, 1], [0.3, 0.6]), threshold=0.0).draw(),
}


@pytest.mark.parametrize("name", EDGES)
def test_edge_cases_are_drawn(name: str, tmp_path: Path) -> None:
    svg = save(EDGES[name](), tmp_path, name=name)

    assert svg.startswith("<svg")
    assert "nan" not in svg.lower()
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.width > 300


# --- saving ------------------------------------------------------------------------------------


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first = save(curves().draw(), tmp_path / "a", name="curves")
    second = save(curves().draw(), tmp_path / "b", name="curves")

    assert first == second
    for name in ("curves.svg", "curves.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a" / "curves.svg").read_bytes()


def test_a_setting_of_the_user_neither_shows_nor_is_changed(tmp_path: Path) -> None:
    plain = save(matrix([5, 1], [2, 9]).draw(), tmp_path, name="matrix")
    with mpl.rc_context({"font.size": 30.0, "svg.fonttype": "path"}):
        assert save(matrix([5, 1], [2, 9]).draw(), tmp_path, name="matrix") == plain
        assert mpl.rcParams["font.size"] == 30.0


def test_ids_of_two_figures_in_one_page_do_not_clash(tmp_path: Path) -> None:
    pages = [
        save(matrix([5, 1], [2, 9]).draw(), tmp_path, name="matrix"),
        save(matrix([5, 1], [2, 8]).draw(), tmp_path, name="matrix"),
        save(matrix([5, 1], [2, 9]).draw(), tmp_path, name="again"),
    ]

    ids = [re.findall(r'\bid="([^"]+)"', page) for page in pages]
    for page, own in zip(pages, ids, strict=True):
        assert own
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', page)) == set(own)
    everything = [one for own in ids for one in own]
    assert len(everything) == len(set(everything))


def test_an_inlined_figure_carries_nothing_that_reaches_outside_itself(tmp_path: Path) -> None:
    svg = save(sheet(2, 2).draw(), tmp_path, name="sheet")

    assert "http" not in svg
    assert "<style" not in svg  # it would hold for the whole page
    assert "xlink" not in svg
    assert svg.count("data:image/png;base64,") == 6


def test_an_inlined_figure_leaves_its_colours_to_the_page(tmp_path: Path) -> None:
    svg = save(matrix([5, 1], [2, 9]).draw(), tmp_path, name="matrix")

    assert "var(--figure-blue, #0072b2)" in svg
    assert "var(--figure-ink, #1f2328)" in svg
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {
        f"var(--figure-{name}, {colour})"
        for name, colour in (
            ("ink", "#1f2328"),
            ("muted", "#59636e"),
            ("rule", "#d1d5da"),
            ("blue", "#0072b2"),
            ("vermillion", "#d55e00"),
        )
    } | {"none"}
    alone = (tmp_path / "matrix.svg").read_text(encoding="utf-8")
    assert "var(" not in alone  # viewers other than browsers do not know it


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b$c$ & d', 'id="x" url(#y)'])
def test_names_in_a_figure_are_text(name: str, tmp_path: Path) -> None:
    figure = confusion_matrix(np.eye(2, dtype=int), (name, "PNEUMONIA")).draw()
    svg = save(figure, tmp_path, name="matrix")

    assert "<script" not in svg
    shown = [element.text for element in ElementTree.fromstring(svg).iter("text")]  # noqa: S314
    assert name in shown


def test_no_partial_files_are_left(tmp_path: Path) -> None:
    save(Figure((1, 1)), tmp_path / "new" / "folder", name="curves")

    left = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert left == ["curves.png", "curves.svg"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match=r"curves\.svg: cannot be written"):
        save(Figure((1, 1)), tmp_path / "file", name="curves")


@pytest.mark.parametrize("name", ["", "../roc", "a b", "roc.svg", "1"])
def test_names_that_are_no_file_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="name must be"):
        save(Figure((1, 1)), tmp_path, name=name)


def test_importing_the_room_loads_neither_matplotlib_nor_jinja() -> None:
    code = (
        "import sys; from pneumoscope.report import confusion_matrix, render, save; "
        "heavy = {'matplotlib', 'jinja2', 'torch', 'PIL'} & set(sys.modules); "
        "confusion_matrix([[1, 0], [0, 1]], 'ab').draw(); "
        "print(sorted(heavy), 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[] True False"
