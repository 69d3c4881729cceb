"""Rules, and the thresholds that they choose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.made_scores import people
from pneumoscope.errors import DataError, LeakError, OptionError
from pneumoscope.evaluation.operating_point import FORMS, Rule, choose, parse_rule
from pneumoscope.evaluation.scores import Scores


def scores_of(label: list[int], probability: list[float], part: str = "val") -> Scores:
    names = tuple(map(str, range(len(label))))
    p = np.array(probability, np.float64)
    with np.errstate(divide="ignore"):
        return Scores(names, people(names), np.array(label), np.log(p) - np.log1p(-p), p, part)


both_classes = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda x: x / 20)), min_size=2, max_size=50
).filter(lambda rows: len({label for label, _ in rows}) == 2)


@pytest.mark.parametrize("text", FORMS)
def test_rules_read_as_they_are_written(text: str) -> None:
    assert str(parse_rule(text)) == text
    assert parse_rule(text.upper().replace("=", " = ").replace("> =", ">=")) == parse_rule(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yuden", "Did you mean 'youden'?"),
        ("sensitivity>=95", "from 0 to 1"),
        ("sensitivity=0.95", "like one of"),
        ("cost fn=0 fp=1", "above 0"),
        ("probability=nan", "like one of"),
        ("", "like one of"),
    ],
)
def test_other_texts_are_refused(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says.replace("?", r"\?")):
        parse_rule(text)


@given(
    both_classes,
    st.integers(0, 20).map(lambda x: x / 20),
    st.sampled_from(["sensitivity", "specificity"]),
)
def test_a_point_meets_its_promise_and_gives_away_nothing(
    rows: list[tuple[int, float]], share: float, kind: str
) -> None:
    label, probability = zip(*rows, strict=True)
    scores = scores_of(list(label), list(probability))
    other = "specificity" if kind == "sensitivity" else "sensitivity"
    try:
        point = choose(Rule(kind, share), scores)
    except DataError:
        worst = [p for positive, p in rows if not positive]
        assert kind == "specificity"
        assert worst.count(1.0) / len(worst) > 1 - share
        return
    assert point.achieved[kind]["value"] >= share - 1e-9
    assert 0 <= point.threshold <= 1
    for threshold in np.arange(0, 21) / 20:  # no other threshold keeps the promise and does better
        called = scores.probability >= threshold
        rates = {
            "sensitivity": called[scores.label == 1].mean(),
            "specificity": (~called)[scores.label == 0].mean(),
        }
        if rates[kind] >= share - 1e-9:
            assert rates[other] <= point.achieved[other]["value"] + 1e-9


@given(both_classes, st.integers(1, 5), st.integers(1, 5))
def test_youden_and_cost_are_the_best_there_is(
    rows: list[tuple[int, float]], fn: int, fp: int
) -> None:
    label, probability = zip(*rows, strict=True)
    scores = scores_of(list(label), list(probability))
    youden = choose(parse_rule("youden"), scores).achieved
    cheapest = choose(Rule("cost", fn=fn, fp=fp), scores)

    def cost(threshold: float) -> float:
        called = scores.probability >= threshold
        missed, alarms = (~called & (scores.label == 1)).sum(), (called & (scores.label == 0)).sum()
        return float(fn * missed + fp * alarms)

    for threshold in np.arange(0, 21) / 20:
        called = scores.probability >= threshold
        gain = called[scores.label == 1].mean() - called[scores.label == 0].mean()
        assert gain <= youden["sensitivity"]["value"] + youden["specificity"]["value"] - 1 + 1e-9
        assert cost(cheapest.threshold) <= cost(float(threshold)) + 1e-9


def test_the_threshold_stands_in_the_middle_of_the_gap() -> None:
    scores = scores_of([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9])
    assert choose(parse_rule("youden"), scores).threshold == pytest.approx(0.5)
    assert choose(parse_rule("sensitivity>=0.5"), scores).threshold == pytest.approx(0.8)
    assert choose(parse_rule("sensitivity>=1"), scores).threshold == pytest.approx(0.5)
    assert choose(parse_rule("specificity>=0.5"), scores).threshold == pytest.approx(0.2)


def test_ties_go_to_the_higher_sensitivity() -> None:
    # At 0.8 and at 0.4 sensitivity + specificity are equal.
    scores = scores_of([1, 0, 1, 0], [0.9, 0.7, 0.5, 0.3])
    assert choose(parse_rule("youden"), scores).achieved["sensitivity"]["value"] == 1.0
    assert choose(parse_rule("cost fn=1 fp=1"), scores).achieved["sensitivity"]["value"] == 1.0


def test_a_point_between_neighbours_that_nothing_lies_between() -> None:
    low = 0.5
    high = np.nextafter(low, 1)
    point = choose(parse_rule("youden"), scores_of([0, 1], [low, high]))
    assert low < point.threshold <= high


def test_what_a_point_tells() -> None:
    point = choose(parse_rule("probability=0.4"), scores_of([0, 1, 1], [0.3, 0.4, 0.2]), model="ab")
    assert (point.rule, point.threshold, point.model) == ("probability=0.4", 0.4, "ab")
    assert point.achieved["part"] == "val"
    assert point.achieved["sensitivity"]["value"] == 0.5
    assert point.achieved["sensitivity"]["n"] == 2
    assert point.achieved["sensitivity"]["low"] == pytest.approx(0.0945, abs=1e-4)


@pytest.mark.parametrize("part", ["train", "test", "all", "mixed"])
def test_other_parts_decide_nothing(part: str) -> None:
    with pytest.raises(LeakError, match="validation"):
        choose(parse_rule("youden"), scores_of([0, 1], [0.1, 0.9], part))


def test_a_class_alone_and_no_scores_decide_nothing() -> None:
    with pytest.raises(DataError, match="both classes"):
        choose(parse_rule("youden"), scores_of([1, 1], [0.1, 0.9]))
    with pytest.raises(DataError, match="there are none"):
        choose(parse_rule("youden"), scores_of([], []))


def test_a_specificity_that_no_threshold_reaches() -> None:
    with pytest.raises(DataError, match="cannot be reached"):
        choose(parse_rule("specificity>=1"), scores_of([0, 1], [1.0, 1.0]))
