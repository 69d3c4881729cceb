"""The uncertain zone keeps its promise on new images, in each class."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.made_scores import make_scores, people
from pneumoscope.errors import DataError, LeakError, OptionError
from pneumoscope.evaluation.conformal import coverage, fit_conformal
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.conformal import Conformal


def scores_of(label: list[int], probability: list[float]) -> Scores:
    names = tuple(map(str, range(len(label))))
    p = np.array(probability, np.float64)
    return Scores(names, people(names), np.array(label), np.log(p / (1 - p)), p, "val")


def test_quantiles_by_hand() -> None:
    # Nine negatives, 0.05 … 0.45: rank ceil(10 * 0.9) = 9, the largest. One positive is too few.
    scores = scores_of([0] * 9 + [1], [0.05 * i for i in range(1, 10)] + [0.9])
    found = fit_conformal(scores, level=0.1)
    assert found.quantiles == pytest.approx((0.45, 1.0))
    assert found.n == (9, 1)
    assert fit_conformal(scores, level=0.2).quantiles[0] == pytest.approx(0.40)
    assert found.sets(np.array([0.2, 0.45, 0.46])).tolist() == [
        [True, True],
        [True, True],
        [False, True],
    ]
    assert found.uncertain(np.array([0.2, 0.46])).tolist() == [True, False]


def test_the_promise_is_kept_on_new_images_in_each_class() -> None:
    missed = np.zeros((60, 2))
    for seed in range(60):
        zone = fit_conformal(make_scores(80, seed=seed), level=0.2)
        new = make_scores(400, seed=10_000 + seed)
        found = coverage(zone, new)
        assert found.coverage_negative.value is not None
        assert found.coverage_positive.value is not None
        missed[seed] = 1 - found.coverage_negative.value, 1 - found.coverage_positive.value
    # On average over validation sets: at most the level, and less by 1 / (n + 1) at most.
    assert (missed.mean(axis=0) < 0.22).all()
    assert (missed.mean(axis=0) > 0.14).all()


def test_coverage_counts_what_it_says() -> None:
    zone = Conformal(0.1, (0.6, 0.6), (10, 10))  # both from 0.4 to 0.6, else one
    found = coverage(zone, scores_of([0, 0, 1, 1], [0.1, 0.5, 0.9, 0.2]))
    assert found.set_aside.value == 0.25
    assert found.coverage.value == 0.75
    assert (found.coverage_negative.value, found.coverage_positive.value) == (1.0, 0.5)
    assert found.accuracy_of_the_rest.value == pytest.approx(2 / 3)
    assert found.accuracy_of_the_rest.n == 3
    assert json.loads(json.dumps(found.to_dict()))["set_aside"]["n"] == 4


def test_coverage_counts_patients() -> None:
    scores = make_scores(120, per_patient=3)
    zone = fit_conformal(scores, level=0.2)
    found = coverage(zone, scores, resamples=200)
    assert found.set_aside.method == "bootstrap by patient"
    assert found.set_aside.also[0].method == "wilson"
    alone = coverage(zone, make_scores(120), resamples=200)
    assert alone.set_aside.method == "wilson"


def test_a_gap_is_uncertain_too() -> None:
    zone = Conformal(0.4, (0.3, 0.3), (10, 10))  # nothing is credible between 0.3 and 0.7
    assert zone.uncertain(np.array([0.2, 0.5, 0.8])).tolist() == [False, True, False]


def test_it_survives_its_dict() -> None:
    zone = Conformal(0.1, (0.25, 0.5), (40, 50))
    assert Conformal.from_dict(json.loads(json.dumps(zone.to_dict()))) == zone
    with pytest.raises(KeyError, match="quantiles"):
        Conformal.from_dict({"level": 0.1})


def test_what_it_refuses() -> None:
    with pytest.raises(OptionError, match="error level"):
        fit_conformal(make_scores(50), level=10)
    with pytest.raises(LeakError):
        fit_conformal(make_scores(50, part="test"))
    with pytest.raises(DataError, match="both classes"):
        fit_conformal(scores_of([1, 1], [0.4, 0.5]))
    with pytest.raises(DataError, match="no images"):
        coverage(Conformal(0.1, (0.5, 0.5), (9, 9)), scores_of([], []))
