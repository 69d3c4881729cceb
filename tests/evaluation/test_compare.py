"""Paired tests against SciPy and tables, and properties of comparisons."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.made_scores import make_scores
from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.compare import Contender, align, compare
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.paired import holm, mcnemar
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.seeds import seed_groups


def noisy(scores: Scores, amount: float, seed: int = 1) -> Scores:
    logit = scores.logit + amount * np.random.default_rng(seed).normal(size=len(scores))
    return replace(scores, logit=logit, probability=1 / (1 + np.exp(-logit)))


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_against_scipy(first: int, second: int) -> None:
    exact, mid = mcnemar(first, second)
    if first + second:
        assert exact == pytest.approx(stats.binomtest(first, first + second).pvalue)
        chance = stats.binom.pmf(first, first + second, 0.5)
        share = 0.5 if first == second else 1.0
        assert mid == pytest.approx(exact - share * chance)
    assert 0 < mid <= exact <= 1


def test_mcnemar_of_many_images_does_not_overflow() -> None:
    exact, mid = mcnemar(4000, 4200)
    assert mid < exact
    assert exact == pytest.approx(stats.binomtest(4000, 8200).pvalue, rel=1e-6)


def test_holm_by_hand() -> None:
    # 4 · 0.005, 3 · 0.01, 2 · 0.03, then not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_a_reader_against_itself_differs_in_nothing() -> None:
    scores = make_scores(120)
    found = compare([Contender("a", scores), Contender("b", scores)], resamples=200)
    (pair,) = found.pairs
    assert (pair.auc_p, pair.mcnemar_p) == (1.0, 1.0)
    assert all(number.value == 0 for number in pair.differences.values())
    assert pair.differences["accuracy"].low == pair.differences["accuracy"].high == 0
    assert found.disagreements == ()


def test_a_better_reader_is_found_to_be_one() -> None:
    scores = make_scores(400, per_patient=1.5, separation=3)
    worse = noisy(scores, 3.0)
    found = compare([Contender("good", scores), Contender("noisy", worse)], resamples=300)
    (pair,) = found.pairs
    assert pair.auc_p is not None
    assert pair.auc_p < 0.001
    assert pair.mcnemar_mid_p < 0.001
    area = pair.differences["auc"]
    assert area.value is not None
    assert area.low is not None
    assert area.low > 0
    assert area.method == "paired delong by patient"
    (bootstrap,) = area.also
    assert area.low == pytest.approx(bootstrap.low, abs=0.02)
    assert found.n == 400
    assert found.patients == len(set(scores.patient))
    # The images of the disagreements are those that are concluded differently, each of them once.
    differently = (scores.probability >= 0.5) != (worse.probability >= 0.5)
    assert len(found.disagreements) == differently.sum()
    assert pair.only_first_right + pair.only_second_right == differently.sum()
    json.dumps(found.to_dict(), allow_nan=False)


def test_pairing_sees_what_two_intervals_would_hide() -> None:
    scores = make_scores(500, separation=1.5)
    found = compare([Contender("a", scores), Contender("b", noisy(scores, 0.4))], resamples=200)
    (pair,) = found.pairs
    width = pair.differences["auc"]
    alone = found.numbers["a"]["auc"]
    assert width.high is not None
    assert width.low is not None
    assert alone.high is not None
    assert alone.low is not None
    assert width.high - width.low < 0.7 * (alone.high - alone.low)
    assert pair.detectable_auc == pytest.approx(
        (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * (width.high - width.low) / 2 / 1.959964,
        rel=1e-5,
    )


@pytest.mark.parametrize("per_patient", [1.0, 3.0])
def test_the_numbers_have_the_intervals_of_an_evaluation(per_patient: float) -> None:
    scores = make_scores(150, per_patient=per_patient)
    found = compare(
        [Contender("a", scores, 0.4), Contender("b", noisy(scores, 1.0))], level=0.9, resamples=150
    )
    alone = numbers_of(scores, threshold=0.4, level=0.9, resamples=150)
    assert found.level == 0.9
    for name, number in found.numbers["a"].items():
        assert number == alone[name], name
    assert {number.level for number in found.numbers["b"].values()} == {0.9}
    assert alone.curves is not None
    np.testing.assert_array_equal(found.roc["a"].sensitivity, alone.curves.roc.sensitivity)


def test_which_reader_is_better_is_said() -> None:
    scores = make_scores(400, separation=3)
    good, bad = Contender("good", scores), Contender("bad", noisy(scores, 3.0))
    for order in ([good, bad], [bad, good]):
        found = compare(order, resamples=200)
        (pair,) = found.pairs
        assert pair.apart
        text = pair.verdict()
        assert text.startswith("good is better than bad: its AUC is higher by 0.")
        assert "(95% interval 0." in text
        assert text.endswith("; p < 0.0001).")
        assert pair.to_dict()["verdict"] == text
    assert found.verdicts({"good": "A", "bad": "B"})[0].startswith("A is better than B")
    near = Contender("near", noisy(scores, 0.2))
    (pair,) = compare([good, near], level=0.9, resamples=200).pairs
    assert not pair.apart
    assert pair.verdict().startswith(
        "No difference is shown between good and near: the AUC of good minus that of near"
    )
    assert "(90% interval -0." in pair.verdict()
    assert "detectable with a power of 80%" in pair.verdict()
    for pair in compare([good, near, bad], resamples=200).pairs:
        assert "after Holm's correction" in pair.verdict()


def test_one_class_alone_tells_nothing() -> None:
    scores = make_scores(100)
    ill = scores.select(np.flatnonzero(scores.label == 1))
    (pair,) = compare([Contender("a", ill), Contender("b", noisy(ill, 1.0))], resamples=100).pairs
    assert not pair.apart
    assert "all of one class" in pair.verdict()


def test_rows_are_matched_by_path() -> None:
    scores = make_scores(60)
    order = np.random.default_rng(0).permutation(60)
    (first, second), left_out = align([scores, scores.select(order[:50])])
    assert left_out == 10
    assert first.path == second.path
    np.testing.assert_array_equal(first.logit, second.logit)


def test_rows_are_matched_by_content_where_folders_have_other_names() -> None:
    """As those of two classes and of three; copies of a file are matched by name."""
    scores = make_scores(60)
    digests = tuple(f"{max(row, 2):064x}" for row in range(60))  # the first three are one picture
    two = replace(
        scores, path=tuple(f"PNEUMONIA/{row:02}.png" for row in range(60)), sha256=digests
    )
    three = replace(
        scores, path=tuple(f"VIRUS/{row:02}.png" for row in range(60)), sha256=digests
    ).select(np.random.default_rng(0).permutation(60)[:50])
    (first, second), left_out = align([two, three])
    assert (len(first), left_out) == (50, 10)
    assert [path.partition("/")[2] for path in first.path] == [
        path.partition("/")[2] for path in second.path
    ]
    np.testing.assert_array_equal(first.logit, second.logit)
    with pytest.raises(DataError, match="no images in common"):
        align([two, replace(three, sha256=())])


def test_patients_that_one_file_knows_count_for_all() -> None:
    scores = make_scores(40, per_patient=2)
    bare = replace(scores, patient=tuple(Patient(path, known=False) for path in scores.path))
    (first, second), _ = align([bare, scores])
    assert first.patient == second.patient == scores.patient


def test_what_cannot_be_compared() -> None:
    scores = make_scores(40)
    with pytest.raises(OptionError, match="two or more"):
        compare([Contender("a", scores)])
    with pytest.raises(OptionError, match="different names"):
        compare([Contender("a", scores), Contender("a", scores)])
    with pytest.raises(DataError, match="no images in common"):
        align([scores, replace(scores, path=tuple(f"x{p}" for p in scores.path))])
    with pytest.raises(DataError, match="label differs between"):
        align([scores, replace(scores, label=1 - scores.label)])
    with pytest.raises(DataError, match="occurs twice"):
        align([scores, replace(scores, path=("a",) * 40)])


def test_seeds_of_one_recipe_are_taken_together() -> None:
    names = ("a1", "a2", "a3", "b1", "other")
    points = [{"auc": value, "loss": 0.5} for value in (0.90, 0.92, 0.97, 0.5, 0.1)]
    (group,) = seed_groups(names, ("a", "a", "a", "b", ""), points)
    assert group.members == ("a1", "a2", "a3")
    assert group.mean["auc"] == pytest.approx(0.93)
    assert group.deviation["auc"] == pytest.approx(np.std([0.90, 0.92, 0.97], ddof=1))
    assert group.deviation["loss"] == group.detectable["loss"] == 0
    reach = stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4)
    expected = reach * group.deviation["auc"] * math.sqrt(2 / 3)
    assert group.detectable["auc"] == pytest.approx(expected)
