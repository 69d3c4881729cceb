"""The uncertain zone keeps its error level on new images, in each class."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.made_scores import make_scores, people
from pneumoscope.errors import DataError, LeakError, OptionError
from pneumoscope.evaluation.conformal import (
    CAUGHT,
    LEVELS,
    ROUNDING,
    TWO_GROUPS,
    fit_conformal,
    fit_zone,
)
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import UNCERTAIN_CODE, DecisionPolicy


def scores_of(label: list[int], probability: list[float]) -> Scores:
    names = tuple(map(str, range(len(label))))
    p = np.array(probability, np.float64)
    return Scores(names, people(names), np.array(label), np.log(p / (1 - p)), p, "val")


def policy(zone: Conformal, threshold: float = 0.5) -> DecisionPolicy:
    return DecisionPolicy(TWO_GROUPS, OperatingPoint(threshold=threshold), zone)


def test_quantiles_by_hand() -> None:
    # Nine negatives, 0.05 … 0.45: rank ceil(10 * 0.9) = 9, the largest. One positive is too few.
    scores = scores_of([0] * 9 + [1], [0.05 * i for i in range(1, 10)] + [0.9])
    found = fit_conformal(scores, level=0.1)
    assert found.quantiles == pytest.approx((0.45, 1.0), abs=2 * ROUNDING)
    assert found.n == (9, 1)
    assert fit_conformal(scores, level=0.2).quantiles[0] == pytest.approx(0.40, abs=2 * ROUNDING)
    assert found.sets(np.array([0.2, 0.45, 0.46])).tolist() == [
        [True, True],
        [True, True],
        [False, True],
    ]


def test_the_promise_is_kept_on_new_images_in_each_class() -> None:
    missed = np.zeros((60, 2))
    for seed in range(60):
        zone = fit_conformal(make_scores(80, seed=seed), level=0.2)
        new = make_scores(400, seed=10_000 + seed)
        possible = policy(zone).decide_many(new.probability).possible
        missed[seed] = [1 - possible[new.label == label, label].mean() for label in (0, 1)]
    # On average over validation sets: at most the level, and less by 1 / (n + 1) at most.
    assert (missed.mean(axis=0) < 0.22).all()
    assert (missed.mean(axis=0) > 0.14).all()


def test_a_level_that_the_reader_keeps_anyway_is_refused_with_the_levels_that_mean_something() -> (
    None
):
    scores = make_scores(400, seed=1)
    wrong = (scores.probability >= 0.5) != (scores.label == 1)
    rates = [wrong[scores.label == label].mean() for label in (0, 1)]
    for level in (max(rates) + 0.02, 0.4):
        with pytest.raises(DataError, match="no image would be set aside") as refused:
            fit_zone(scores, threshold=0.5, level=level)
        for rate in rates:
            assert f"{rate:.2%}" in str(refused.value)
        assert f"below {max(rates):.2g}" in str(refused.value)
    with pytest.raises(DataError, match=r"levels below 1 / \(\d+ \+ 1\)"):
        fit_zone(scores, threshold=0.5, level=0.001)
    found = fit_zone(scores, threshold=0.5, level=max(rates) / 2).conformal
    assert found is not None
    code = policy(found).decide_many(scores.probability).code
    decided = code != UNCERTAIN_CODE
    assert 0 < decided.sum() < len(scores)
    assert (code == scores.label)[decided].mean() > 1 - wrong.mean()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_auto_takes_the_largest_level_that_catches_a_third_of_what_is_wrong(
    seed: int, threshold: float
) -> None:
    scores = make_scores(400, seed=seed)
    wrong = (scores.probability >= threshold) != (scores.label == 1)
    found = fit_zone(scores, threshold=threshold).conformal
    assert found is not None
    assert found.level in LEVELS

    def caught(level: float) -> float:
        zone = fit_conformal(scores, level=level)
        code = policy(zone, threshold).decide_many(scores.probability).code
        return float((code[wrong] == UNCERTAIN_CODE).mean())

    assert caught(found.level) >= CAUGHT
    assert all(caught(level) < CAUGHT for level in LEVELS if level > found.level)
    assert min(found.n) + 1 >= 1 / found.level


def test_auto_makes_no_zone_where_none_means_anything() -> None:
    perfect = scores_of([0] * 200 + [1] * 200, [0.1] * 200 + [0.9] * 200)
    found = fit_zone(perfect, threshold=0.5)
    assert found.conformal is None
    assert "all validation images are classified correctly" in found.note
    few = scores_of([0] * 5 + [1] * 5, [0.1, 0.2, 0.3, 0.4, 0.6, 0.9, 0.8, 0.7, 0.6, 0.4])
    found = fit_zone(few, threshold=0.5)
    assert found.conformal is None
    assert "20.00% (negative)" in found.note
    assert "allow levels of 0.17 or higher" in found.note


def test_no_zone_of_a_fitted_level_ever_gives_an_empty_set() -> None:
    # A level far above the error rate, as older model files have it.
    zone = fit_conformal(make_scores(400, seed=3), level=0.45)
    code, possible, said = policy(zone).decide_many(np.linspace(0, 1, 501))
    assert possible.any(axis=1).all()
    assert (code == said).all()


def test_it_survives_its_dict() -> None:
    zone = Conformal(0.1, (0.25, 0.5), (40, 50))
    assert Conformal.from_dict(json.loads(json.dumps(zone.to_dict()))) == zone
    with pytest.raises(KeyError, match="quantiles"):
        Conformal.from_dict({"level": 0.1})


def test_what_it_refuses() -> None:
    with pytest.raises(OptionError, match="error level"):
        fit_conformal(make_scores(50), level=10)
    with pytest.raises(LeakError):
        fit_zone(make_scores(50, part="test"), threshold=0.5)
    with pytest.raises(DataError, match="both classes"):
        fit_zone(scores_of([1, 1], [0.4, 0.5]), threshold=0.5)


def test_the_images_that_a_zone_comes_from_stay_in_it_in_single_precision() -> None:
    for seed in range(20):
        scores = make_scores(400, seed=seed)
        zone = fit_conformal(scores, level=0.02)
        single = scores.probability.astype(np.float32).astype(np.float64)
        np.testing.assert_array_equal(zone.sets(single), zone.sets(scores.probability))
