"""Corruptions have the stated effect, and use the common pixel path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.data.catalog import read_catalog
from pneumoscope.errors import OptionError
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.robustness import CORRUPTIONS, drawn_rows, robustness
from pneumoscope.evaluation.scoring import score
from pneumoscope.reader.predictor import Predictor
from pneumoscope.workflow.train import Trained

SHAPE = (32, 32)


def picture() -> np.ndarray:
    rows, columns = np.mgrid[0:200, 0:240]
    slope = 40 + 0.5 * rows + 0.3 * columns
    waves: np.ndarray = slope + 20 * np.sin(rows / 2) * np.cos(columns / 3)
    return waves.astype(np.uint8)


def corrupted(name: str, strength: int) -> np.ndarray:
    corruption = CORRUPTIONS[name]
    amount = corruption.amounts[strength - 1]
    return corruption.apply(picture(), amount, SHAPE, np.random.default_rng(0))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_stronger_than_the_one_before(name: str) -> None:
    before = picture()
    harm = []
    for strength in range(1, 6):
        worse = corrupted(name, strength)
        assert worse.dtype == np.uint8
        assert worse.ndim == 2
        np.testing.assert_array_equal(worse, corrupted(name, strength))
        if worse.shape == before.shape:
            harm.append(np.abs(worse.astype(float) - before).mean())
        else:
            harm.append(before.size / worse.size)
    assert harm == sorted(harm)
    assert harm[0] > 0
    np.testing.assert_array_equal(picture(), before)  # nothing is changed in place


def test_amounts_are_what_they_are_called() -> None:
    before = picture().astype(float)
    assert corrupted("brighter", 2).mean() == pytest.approx(before.mean() + 20, abs=0.5)
    assert corrupted("darker", 1).mean() == pytest.approx(before.mean() - 10, abs=0.5)
    assert corrupted("less contrast", 2).std() == pytest.approx(0.7 * before.std(), rel=0.02)
    assert (corrupted("noise", 3) - before).std() == pytest.approx(12, rel=0.05)
    assert corrupted("crop", 5).shape == (200 - 2 * 24, 240 - 2 * 28)
    assert corrupted("downscaling", 2).shape == (16, 16)
    assert CORRUPTIONS["gamma"].apply(
        np.array([[0, 64, 255]], np.uint8), 2.0, SHAPE, np.random.default_rng(0)
    ).tolist() == [[0, 16, 255]]


def test_images_are_drawn_so_that_classes_keep_their_shares() -> None:
    label = np.repeat([0, 1], [300, 700])
    rows = drawn_rows(label, limit=100, seed=1)
    assert len(set(rows)) == 100
    assert label[rows].sum() == 70
    assert rows == drawn_rows(label, limit=100, seed=1) != drawn_rows(label, limit=100, seed=2)
    assert drawn_rows(label, limit=None, seed=0) == list(range(1000))
    with pytest.raises(OptionError, match="limit must be"):
        drawn_rows(label, limit=3, seed=0)


def test_the_first_row_is_the_reader_on_the_images_as_they_are(
    trained: Trained, phantoms: Path
) -> None:
    predictor = Predictor(trained.run.root, gated=False)
    catalog = read_catalog(phantoms / "test", classes=predictor.info.classes)
    seen: list[tuple[int, int]] = []
    found = robustness(
        predictor,
        catalog,
        names=("darker", "JPEG"),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [(row.corruption, row.strength) for row in found] == [
        ("none", 0),
        *((name, strength) for name in ("darker", "JPEG") for strength in range(1, 6)),
    ]
    scores, _ = score(predictor, catalog)
    threshold = predictor.info.operating_point.threshold
    expected = numbers_of(scores, threshold=threshold, resamples=0)
    assert found[0].numbers["auc"].value == expected["auc"].value
    assert found[0].numbers["accuracy"].value == expected["accuracy"].value
    assert found[0].changed.value == 0
    assert seen[-1] == (len(catalog), len(catalog))
    assert found == robustness(predictor, catalog, names=("darker", "JPEG"))
    json.dumps([row.to_dict() for row in found], allow_nan=False)
    with pytest.raises(OptionError, match="corruption"):
        robustness(predictor, catalog, names=("fog",))
