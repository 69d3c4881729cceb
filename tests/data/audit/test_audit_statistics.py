"""The interval, the area and the folds, against other implementations and worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pneumoscope.data.audit.statistics import area, folds_of, wilson


def test_wilson_by_hand() -> None:
    assert wilson(0.9, 16) == pytest.approx((0.6695, 0.9756), abs=2e-4)
    assert wilson(0.0, 0) == (0.0, 1.0)
    low, high = wilson(1.0, 10)
    assert low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)
    assert high == pytest.approx(1.0)


@given(st.integers(0, 10_000), st.integers(10, 80))
@settings(max_examples=60, deadline=None)
def test_the_area_is_that_of_scikit_learn(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    label = np.concatenate([[0, 1], generator.integers(0, 2, n)])
    score = generator.integers(0, 12, n + 2).astype(np.float64)  # with ties
    found = area(label, score, np.arange(n + 2))
    assert found.value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n == n + 2


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    truth = 0.7602499  # of two normal distributions one apart: Phi(1 / sqrt 2)
    label = np.repeat([0, 1], 40)
    hits = 0
    for _ in range(400):
        found = area(label, generator.normal(label, 1.0), np.arange(80))
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_thirty_films_of_one_patient_weigh_as_one() -> None:
    generator = np.random.default_rng(1)
    label = np.repeat([0, 1], 30)
    score = generator.normal(label, 1.0)
    once = area(label, score, np.arange(60))
    often = area(np.repeat(label, 30), np.repeat(score, 30), np.repeat(np.arange(60), 30))
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-6)
    naive = area(np.repeat(label, 30), np.repeat(score, 30), np.arange(1800))
    assert naive.high - naive.low < 0.4 * (once.high - once.low)


def test_a_perfect_score_still_has_an_interval() -> None:
    found = area(np.repeat([0, 1], 20), np.arange(40.0), np.arange(40))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 3 / 20)


def test_folds_keep_groups_whole_and_spread_the_classes() -> None:
    generator = np.random.default_rng(3)
    groups = generator.integers(0, 60, 300)
    label = (groups < 15).astype(np.int64)
    fold = folds_of(label, groups, folds=5, seed=0)
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1
    positive = [len(np.unique(groups[(fold == k) & (label == 1)])) for k in range(5)]
    assert max(positive) - min(positive) <= 1
