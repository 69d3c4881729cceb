"""The ROC curve against scikit-learn, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from pneumoscope.stats.roc import area_under_roc, roc

labelled = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-40, 40).map(lambda x: x / 8)), min_size=4, max_size=60
).filter(lambda rows: len({label for label, _ in rows}) == 2)


@given(labelled)
def test_against_scikit_learn(rows: list[tuple[int, float]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    curve = roc(labels, scores)
    assert curve is not None
    assert curve.area == pytest.approx(sk.roc_auc_score(labels, scores))
    fpr, tpr, thresholds = sk.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, fpr)
    np.testing.assert_allclose(curve.sensitivity, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@given(labelled)
def test_the_area_does_not_change_under_monotone_maps(rows: list[tuple[int, float]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    before = area_under_roc(labels, scores)
    assert (
        before == area_under_roc(labels, np.exp(scores)) == area_under_roc(labels, scores * 3 - 7)
    )
    assert before == pytest.approx(1 - (area_under_roc(labels, -scores) or 0))


def test_one_class_alone_has_no_curve() -> None:
    assert roc(np.array([1, 1]), np.array([0.1, 0.9])) is None
    assert area_under_roc(np.array([], int), np.array([])) is None
