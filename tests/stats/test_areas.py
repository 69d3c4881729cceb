"""Areas and their variance against definitions computed pair by pair, and resampling."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.made_scores import make_scores
from pneumoscope.stats.areas import areas, placements


def pair_by_pair(label: np.ndarray, scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return areas and covariance straight from DeLong's equations, with all pairs written out."""
    v10, v01 = [], []
    for score in scores:
        x, y = score[label == 1][:, None], score[label == 0][None, :]
        kernel = (x > y) + 0.5 * (x == y)
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    m, n = len(v10[0]), len(v01[0])
    covariance = np.cov(v10, ddof=1).reshape(len(scores), -1) / m
    covariance = covariance + np.cov(v01, ddof=1).reshape(len(scores), -1) / n
    return np.array([v.mean() for v in v10]), covariance


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-9, 9), st.integers(-9, 9)),
        min_size=5,
        max_size=60,
    ).filter(lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2)
)
def test_delong_against_all_pairs(rows: list[tuple[int, int, int]]) -> None:
    label, first, second = (np.array(column) for column in zip(*rows, strict=True))
    scores = [first.astype(float), second.astype(float)]
    found = areas(label, scores)
    assert found is not None
    expected, covariance = pair_by_pair(label, scores)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-12)
    assert not found.clustered
    alone = areas(label, scores, patient=np.arange(len(label)))
    assert alone is not None
    np.testing.assert_allclose(alone.covariance, covariance, atol=1e-12)


def test_delong_by_hand() -> None:
    # Positives 3, 1; negatives 0, 2: three of four pairs are in order.
    # Placements: V10 = (1, 1/2), V01 = (1, 1/2); variance (1/8)/2 + (1/8)/2 = 1/8.
    found = areas(np.array([1, 1, 0, 0]), [np.array([3.0, 1.0, 0.0, 2.0])])
    assert found is not None
    assert found.values[0] == 0.75
    assert found.covariance[0, 0] == pytest.approx(1 / 8)
    interval = found.interval()
    assert interval.low == pytest.approx(0.75 - NormalDist().inv_cdf(0.975) * math.sqrt(1 / 8))
    assert interval.high == 1.0  # cut


def test_doubled_images_are_no_news_by_patient() -> None:
    scores = make_scores(80, separation=1)
    twice = np.repeat(np.arange(80), 2)
    single = areas(scores.label, [scores.logit])
    doubled = areas(scores.label[twice], [scores.logit[twice]], patient=twice)
    naive = areas(scores.label[twice], [scores.logit[twice]])
    assert single is not None
    assert doubled is not None
    assert naive is not None
    assert doubled.clustered
    assert doubled.values[0] == pytest.approx(single.values[0])
    assert doubled.covariance[0, 0] == pytest.approx(single.covariance[0, 0])
    assert naive.covariance[0, 0] < 0.6 * doubled.covariance[0, 0]


def test_obuchowski_against_resampling_of_patients_with_both_classes() -> None:
    generator = np.random.default_rng(3)
    patient = np.repeat(np.arange(150), 3)
    label = generator.integers(0, 2, 450)
    score = label + generator.normal(size=450) + 1.5 * generator.normal(size=150)[patient]
    found = areas(label, [score], patient=patient)
    assert found is not None
    draws = []
    for _ in range(400):
        rows = np.concatenate(
            [np.arange(3 * p, 3 * p + 3) for p in generator.integers(0, 150, 150)]
        )
        drawn = areas(label[rows], [score[rows]])
        assert drawn is not None
        draws.append(drawn.values[0])
    assert math.sqrt(found.covariance[0, 0]) == pytest.approx(np.std(draws), rel=0.15)


def test_delongs_interval_holds_what_it_promises() -> None:
    generator = np.random.default_rng(0)
    truth = NormalDist().cdf(1 / math.sqrt(2))
    held = 0
    for _ in range(600):
        label = np.repeat([0, 1], 60)
        found = areas(label, [label + generator.normal(size=120)])
        assert found is not None
        interval = found.interval()
        held += interval.low <= truth <= interval.high
    assert 0.92 < held / 600 < 0.98


def test_too_few_images_have_no_variance() -> None:
    assert areas(np.array([1, 0, 0]), [np.arange(3.0)]) is None
    assert areas(np.array([1, 1, 0, 0]), [np.arange(4.0)], patient=np.array([0, 0, 1, 2])) is None


def test_placements_count_ties_half() -> None:
    v10, v01 = placements(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    assert v10.tolist() == [0.25, 0.5]
    assert v01.tolist() == [0.75, 0.0]


def test_the_interval_on_the_logit_scale_lies_inside() -> None:
    label = np.repeat([0, 1], 12)
    found = areas(label, [np.r_[np.arange(12.0), np.arange(12.0) + 9.5], np.arange(24.0)])
    assert found is not None
    interval = found.logit_interval()
    value = found.values[0]
    assert interval is not None
    assert 0 < interval.low < value < interval.high < 1 == found.interval().high
    ends = [math.log(end / (1 - end)) for end in (interval.low, value, interval.high)]
    assert ends[1] - ends[0] == pytest.approx(ends[2] - ends[1])
    error = math.sqrt(found.covariance[0, 0]) / (value * (1 - value))
    assert ends[2] - ends[1] == pytest.approx(NormalDist().inv_cdf(0.975) * error)
    assert found.logit_interval(1) is None  # an area of 1 has no logit
