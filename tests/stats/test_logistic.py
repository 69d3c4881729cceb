"""Logistic regressions against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from pneumoscope.stats.logistic import fit_line, fit_ridge, log_loss, logistic


def test_the_loss_of_confident_logits_keeps_its_digits() -> None:
    logit = np.array([40.0, -40.0, 800.0])
    assert log_loss(logit, np.array([1, 0, 0])) == pytest.approx(
        [np.exp(-40.0), np.exp(-40.0), 800.0], rel=1e-12
    )
    between = log_loss(np.array([0.3]), np.array([0.25]))
    p = 1 / (1 + np.exp(-0.3))
    assert between[0] == pytest.approx(-0.25 * np.log(p) - 0.75 * np.log(1 - p))


@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
def test_the_ridge_is_that_of_scikit_learn(penalty: float) -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(200, 6))
    label = (x @ [2, -1, 0, 0, 0.5, 0] + generator.normal(size=200) > 0.3).astype(np.int64)
    weights = fit_ridge(x, label, penalty=penalty)
    other = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(x, label)
    assert weights[:-1] == pytest.approx(other.coef_[0], abs=1e-4)
    assert weights[-1] == pytest.approx(other.intercept_[0], abs=1e-4)


def test_the_ridge_survives_classes_that_are_apart_and_columns_that_are_equal() -> None:
    x = np.column_stack([np.repeat([-1e3, 1e3], 50), np.zeros(100), np.ones(100)])
    weights = fit_ridge(x, np.repeat([0, 1], 50))
    assert np.isfinite(weights).all()
    assert weights[0] > 0


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.01, 100))
def test_the_line_is_that_of_scikit_learn(seed: int, centre: float, width: float) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=80)
    label = (x + 2 * generator.normal(size=80) > 0).astype(np.float64)
    label[:4], x[:4] = (0, 1, 0, 1), (1, -1, 1, -1)  # never parted
    slope, intercept = fit_line(centre + width * x, label)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(x[:, None], label)
    assert slope * width == pytest.approx(other.coef_[0, 0], abs=1e-4)
    assert intercept + slope * centre == pytest.approx(other.intercept_[0], abs=1e-4)


def test_a_line_through_targets_between_0_and_1_has_no_gradient_left() -> None:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    target = np.array([0.05, 0.05, 0.95, 0.95])  # parted, as Platt's targets may be
    slope, intercept = fit_line(x, target)
    left = logistic(slope * x + intercept) - target
    assert [left.sum(), left @ x] == pytest.approx([0, 0], abs=1e-9)


def test_targets_that_are_parted_give_a_steep_line_and_no_fault() -> None:
    slope, intercept = fit_line(np.array([-1.0, 1.0]), np.array([0.0, 1.0]))
    assert slope > 10
    assert intercept == pytest.approx(0, abs=1e-3)
