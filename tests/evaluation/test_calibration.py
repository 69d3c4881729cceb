"""Temperature and Platt scaling against SciPy's optimiser, and what they must not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from helpers.made_scores import make_scores, people
from pneumoscope.errors import DataError, LeakError, OptionError
from pneumoscope.evaluation.calibration import (
    SCALES,
    fit_calibration,
    fit_platt,
    fit_temperature,
)
from pneumoscope.evaluation.scores import Scores
from pneumoscope.stats.roc import area_under_roc


def loss(scores: Scores, scale: float, bias: float = 0.0) -> float:
    line = scale * scores.logit + bias
    return float(np.mean(np.logaddexp(0, line) - scores.label * line))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), slope=st.sampled_from([0.3, 1.0, 4.0]))
def test_the_temperature_is_the_one_with_the_lowest_loss(seed: int, slope: float) -> None:
    scores = make_scores(200, seed=seed, slope=slope)
    found = fit_temperature(scores)
    best = optimize.minimize_scalar(
        lambda scale: loss(scores, scale), bounds=SCALES, method="bounded"
    )
    assert loss(scores, found.scale) <= best.fun + 1e-9
    assert found.loss_after == pytest.approx(loss(scores, found.scale))
    assert found.loss_before == pytest.approx(loss(scores, 1.0))
    assert loss(scores, found.scale) <= loss(scores, 1.0)
    assert found.temperature == pytest.approx(1 / found.scale)
    assert found.bias == 0


def test_platts_line_is_the_one_with_the_lowest_loss_of_his_targets() -> None:
    scores = make_scores(300, slope=2.0)
    found = fit_platt(scores)
    n1 = int(scores.label.sum())
    n0 = 300 - n1
    target = np.where(scores.label == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def own(line: np.ndarray) -> float:
        x = line[0] * scores.logit + line[1]
        return float(np.sum(np.logaddexp(0, x) - target * x))

    best = optimize.minimize(own, np.array([1.0, 0.0]), tol=1e-12)
    assert (found.scale, found.bias) == pytest.approx(tuple(best.x), abs=1e-3)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(["temperature", "platt"]))
def test_calibration_rises_and_keeps_the_area(seed: int, method: str) -> None:
    scores = make_scores(120, seed=seed, slope=3.0)
    found = fit_calibration(scores, method=method)
    grid = np.linspace(-30, 30, 1001)
    assert (np.diff(found.apply(grid)) >= 0).all()
    assert ((found.apply(grid) >= 0) & (found.apply(grid) <= 1)).all()
    before = area_under_roc(scores.label, scores.logit)
    assert area_under_roc(scores.label, found.scale * scores.logit + found.bias) == before


def test_what_was_distorted_is_found_again() -> None:
    generator = np.random.default_rng(1)
    logit = generator.normal(size=60_000) * 2
    label = (generator.random(60_000) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    names = ("",) * 60_000
    hot = Scores(
        names, people(names), label, 2.5 * logit - 1, 1 / (1 + np.exp(-(2.5 * logit - 1))), "val"
    )
    found = fit_platt(hot)
    assert found.scale == pytest.approx(0.4, rel=0.03)
    assert found.bias == pytest.approx(0.4, abs=0.03)


def test_parted_classes_give_a_finite_line() -> None:
    label = np.repeat([0, 1], 30)
    logit = np.where(label == 1, 2.0, -2.0)
    names = tuple(map(str, range(60)))
    scores = Scores(names, people(names), label, logit, 1 / (1 + np.exp(-logit)), "val")
    found = fit_temperature(scores)
    assert found.scale == pytest.approx(SCALES[1], rel=0.01)
    assert "separate the classes" in found.note
    assert fit_temperature(make_scores(100)).note == ""
    platt = fit_platt(scores)
    assert platt.apply(np.array([2.0]))[0] == pytest.approx(31 / 32)
    assert platt.apply(np.array([-2.0]))[0] == pytest.approx(1 / 32)


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt])
@pytest.mark.parametrize("part", ["train", "test", "all", "mixed"])
def test_other_parts_calibrate_nothing(fit: object, part: str) -> None:
    assert callable(fit)
    with pytest.raises(LeakError, match=part):
        fit(make_scores(100, part=part))
    fit(make_scores(100, part=""))  # a site's own images


def test_scores_that_point_the_wrong_way_and_too_few() -> None:
    scores = make_scores(200, separation=-2)
    for fit in (fit_temperature, fit_platt):
        with pytest.raises(DataError, match="label 1 is the positive class"):
            fit(scores)
    with pytest.raises(DataError, match="10 images of each class"):
        fit_temperature(make_scores(12))
    with pytest.raises(OptionError, match="Did you mean 'platt'"):
        fit_calibration(scores, method="plat")
