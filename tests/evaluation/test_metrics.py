"""Numbers against scikit-learn, a case worked by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from helpers.made_scores import people
from pneumoscope.errors import DataError
from pneumoscope.evaluation.metrics import area_under_roc, measure
from pneumoscope.evaluation.scores import Scores


def scores_of(labels: list[int], logits: list[float]) -> Scores:
    logit = np.array(logits, np.float64)
    names = tuple(str(i) for i in range(len(labels)))
    return Scores(names, people(names), np.array(labels), logit, 1 / (1 + np.exp(-logit)))


labelled = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-40, 40).map(lambda x: x / 8)), min_size=4, max_size=60
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def test_a_case_by_hand() -> None:
    found = measure(scores_of([0, 0, 0, 1, 1], [-2, -1, 1, 0, 3]), threshold=0.5)
    assert found.confusion == ((2, 1), (0, 2))
    assert found.accuracy.value == pytest.approx(4 / 5)
    assert (found.sensitivity.value, found.sensitivity.n) == (1, 2)
    assert found.specificity.value == pytest.approx(2 / 3)
    assert found.specificity.n == 3
    assert found.balanced_accuracy.value == pytest.approx(5 / 6)
    assert found.auc.value == pytest.approx(5 / 6)  # one of six pairs is the wrong way round


@given(labelled)
def test_against_scikit_learn(rows: list[tuple[int, float]]) -> None:
    labels, logits = [r[0] for r in rows], [r[1] for r in rows]
    scores = scores_of(labels, logits)
    found = measure(scores, threshold=0.5)
    called = (scores.probability >= 0.5).astype(int)
    assert found.auc.value == pytest.approx(sk.roc_auc_score(labels, logits))
    assert found.accuracy.value == pytest.approx(sk.accuracy_score(labels, called))
    assert found.balanced_accuracy.value == pytest.approx(
        sk.balanced_accuracy_score(labels, called)
    )
    assert found.sensitivity.value == pytest.approx(sk.recall_score(labels, called))
    assert found.specificity.value == pytest.approx(sk.recall_score(labels, called, pos_label=0))
    assert found.loss.value == pytest.approx(sk.log_loss(labels, scores.probability), rel=1e-9)
    assert np.array(found.confusion).tolist() == sk.confusion_matrix(labels, called).tolist()


@given(labelled)
def test_the_area_does_not_change_under_monotone_maps(rows: list[tuple[int, float]]) -> None:
    labels, logits = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    before = area_under_roc(labels, logits)
    assert (
        before == area_under_roc(labels, np.exp(logits)) == area_under_roc(labels, logits * 3 - 7)
    )
    assert before == pytest.approx(1 - (area_under_roc(labels, -logits) or 0))


def test_one_class_alone_leaves_some_numbers_undefined() -> None:
    found = measure(scores_of([1, 1], [1, -1]), threshold=0.5)
    assert found.auc.value is found.specificity.value is found.balanced_accuracy.value is None
    assert found.specificity.n == 0
    assert found.sensitivity.value == 0.5
    assert found.auc.text() == "not defined"


def test_extreme_logits_do_not_overflow() -> None:
    found = measure(scores_of([0, 1], [-700.0, -700.0]), threshold=0.5)
    assert found.loss.value == pytest.approx(350)


def test_no_scores_are_an_error() -> None:
    with pytest.raises(DataError, match="no images"):
        measure(scores_of([], []), threshold=0.5)


def test_the_json_form() -> None:
    found = measure(scores_of([0, 1], [-1, 1]), threshold=0.5).to_dict()
    assert {"n", "loss", "accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity",
            "confusion_matrix"} <= set(found)  # fmt: skip
    assert all("value" in number for number in found.values())
    assert found["confusion_matrix"]["value"] == [[1, 0], [0, 1]]
