"""Random effects against a published example and against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.stats.intervals import student_quantile
from pneumoscope.stats.random_effects import random_effects


def test_the_numbers_are_those_of_the_formulas() -> None:
    # By hand: three groups of equal error e have tau² = s² - e², and the mean is the plain one.
    value, error = np.array([0.2, 0.5, 1.1]), 0.2
    found = random_effects(value.tolist(), [error] * 3)
    assert found.mean == pytest.approx(value.mean())
    assert found.tau**2 == pytest.approx(value.var(ddof=1) - error**2)
    half = student_quantile(0.975, 2) * value.std(ddof=1) / np.sqrt(3)
    assert found.high - found.mean == pytest.approx(half)
    far = student_quantile(0.975, 1) * np.sqrt(found.tau**2 + value.var(ddof=1) / 3)
    assert found.new_high is not None
    assert found.new_high - found.mean == pytest.approx(far)


def test_groups_that_are_alike_have_no_spread_and_a_mean_by_precision() -> None:
    found = random_effects([1.0, 1.0, 2.0], [0.5, 0.5, 1.0])
    weight = np.array([4, 4, 1])
    assert found.tau == 0
    assert found.mean == pytest.approx(weight @ [1, 1, 2] / weight.sum())
    # Never narrower than the plain interval with Student's quantile.
    assert found.high - found.mean == pytest.approx(
        student_quantile(0.975, 2) / np.sqrt(weight.sum())
    )


def test_the_prediction_interval_holds_a_new_group() -> None:
    generator = np.random.default_rng(0)
    held, mean_held = [], []
    for _ in range(400):
        truth = generator.normal(1.0, 0.5, size=9)
        seen = truth + generator.normal(0, 0.2, size=9)
        found = random_effects(seen[:8].tolist(), [0.2] * 8)
        assert found.new_low is not None
        assert found.new_high is not None
        held.append(found.new_low <= truth[8] <= found.new_high)
        mean_held.append(found.low <= 1.0 <= found.high)
    assert 0.91 < np.mean(held) < 0.99
    assert 0.92 < np.mean(mean_held) < 0.99


def test_two_groups_predict_nothing_and_one_is_refused() -> None:
    found = random_effects([0.0, 1.0], [0.1, 0.1])
    assert found.new_low is None
    assert found.new_high is None
    with pytest.raises(ValueError, match="1 groups"):
        random_effects([0.0], [0.1])
    with pytest.raises(ValueError, match="errors"):
        random_effects([0.0, 1.0], [0.1, 0.0])
