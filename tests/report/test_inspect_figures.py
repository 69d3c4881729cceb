"""The figures of an audit hold the numbers that they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from pneumoscope.data.audit.shortcuts import Clue
from pneumoscope.data.audit.statistics import Area
from pneumoscope.errors import OptionError
from pneumoscope.report import save
from pneumoscope.report.figures.audit import clue_areas, distributions_of, images_per_patient
from pneumoscope.report.figures.pictures import mean_images, picture_sheet


def test_images_per_patient() -> None:
    figure = images_per_patient({3: 2, 1: 40})
    assert figure.table == (("images", "patients"), (("1", "40"), ("3", "2")))
    assert figure.summary == "42 patients, 2 of them with several images, up to 3"
    bars = figure.draw().axes[0].patches
    assert [bar.get_height() for bar in bars if isinstance(bar, Rectangle)] == [40, 2]
    with pytest.raises(OptionError, match="at least one"):
        images_per_patient({})


def test_distributions_are_shares_of_a_class() -> None:
    values = np.array([1.0, 1.0, 2.0, 9.0])
    figure = distributions_of({"x": values}, ["a", "a", "a", "b"])
    rows = figure.table[1]
    share = {label: [float(row[4]) for row in rows if row[1] == label] for label in "ab"}
    assert [sum(own) for own in share.values()] == pytest.approx([1, 1], abs=1e-5)
    assert share["a"][0] == pytest.approx(2 / 3, abs=1e-5)
    assert share["b"][-1] == 1
    assert (rows[0][2], rows[-1][3]) == ("1", "9")
    same = distributions_of({"x": np.full(3, 7.0)}, ["a"] * 3, logarithmic=("x",))
    assert sum(float(row[4]) for row in same.table[1]) == pytest.approx(1)
    assert len(rows) == 2 * 40


def test_logarithmic_scales_are_told_in_plain_numbers() -> None:
    sizes = np.array([51_000.0, 90_000.0, 420_000.0])
    figure = distributions_of({"bytes": sizes}, ["a", "a", "b"], logarithmic=("bytes",))
    drawn = figure.draw()
    drawn.draw_without_rendering()
    (axes,) = drawn.axes
    assert axes.get_xscale() == "log"
    told = [text.get_text() for text in axes.get_xticklabels(which="both")]
    assert told == ["70,000", "300,000"]


def test_the_difference_of_means_is_shown_with_its_sign() -> None:
    effect = np.zeros((16, 16))
    effect[8, 8] = 0.5
    figure = mean_images(("a", "b"), np.full((2, 16, 16), 100.0), effect, (3, 4))
    shown = figure.draw().axes[2].images[0].get_array()
    assert shown is not None
    assert float(shown[0, 0]) == 127.5
    assert float(shown[8, 8]) == pytest.approx(191.25)
    (_, (outside, middle)) = figure.table
    assert float(outside[3]) == 0
    assert float(middle[3]) == pytest.approx(0.5 / 144, rel=1e-4)


def test_clues_show_their_interval() -> None:
    figure = clue_areas(
        (
            Clue("file size", "file", Area(0.9, 0.85, 0.94, 9), {}),
            Clue("mode", "file", Area(0.5, 0.5, 0.5, 9), {}),
        )
    )
    assert figure.table[1][0] == ("file size", "file", "0.9", "0.85", "0.94")
    lines = [np.asarray(line.get_xdata()).tolist() for line in figure.draw().axes[0].lines]
    assert [0.85, 0.94] in lines


def test_a_sheet_needs_a_title_for_each_picture(tmp_path: Path) -> None:
    pictures = np.zeros((3, 8, 8), np.uint8)
    sheet = picture_sheet(pictures, ("a", "b", "a"), ("1", "2", "3"), "copies", columns=2)
    assert sheet.summary == "3 images: a, b"
    assert sum(len(axes.images) for axes in sheet.draw().axes) == 3
    assert save(sheet.draw(), tmp_path, name="sheet").startswith("<svg")
    with pytest.raises(OptionError, match="3 texts, one per picture"):
        picture_sheet(pictures, ("a",), ("1", "2", "3"), "copies")
    with pytest.raises(OptionError, match="at least one"):
        picture_sheet(pictures[:0], (), (), "copies")
