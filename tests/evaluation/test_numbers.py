"""The combined metrics: methods of intervals, groups, baselines, and the JSON form."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from helpers.made_scores import make_scores, people
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.baseline import majority_baseline, size_baseline
from pneumoscope.evaluation.conformal import fit_conformal
from pneumoscope.evaluation.ece import bins_of, calibration_errors, folded_mean
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.evaluation import evaluate
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.question import Question, Reader
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.subgroups import own_columns, size_tertiles, subgroups
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy
from pneumoscope.stats.intervals import Interval


def perfect(n: int = 40, images: int = 1) -> Scores:
    label = np.arange(n) // images % 2
    logit = np.where(label == 1, 2.0, -2.0) + np.linspace(0, 1, n)
    return Scores(
        tuple(map(str, range(n))),
        people(str(row // images) for row in range(n)),
        label,
        logit,
        1 / (1 + np.exp(-logit)),
    )


def scores_of(labels: list[int], logits: list[float]) -> Scores:
    logit = np.array(logits, np.float64)
    names = tuple(str(i) for i in range(len(labels)))
    return Scores(names, people(names), np.array(labels), logit, 1 / (1 + np.exp(-logit)))


def test_a_case_by_hand() -> None:
    scores = scores_of([0, 0, 0, 1, 1], [-2, -1, 1, 0, 3])
    found = numbers_of(scores, threshold=0.5, resamples=0)
    assert found.confusion == ((2, 1), (0, 2))
    assert found["accuracy"].value == pytest.approx(4 / 5)
    assert (found["sensitivity"].value, found["sensitivity"].n) == (1, 2)
    assert found["specificity"].value == pytest.approx(2 / 3)
    assert found["specificity"].n == 3
    assert found["balanced_accuracy"].value == pytest.approx(5 / 6)
    assert found["auc"].value == pytest.approx(5 / 6)  # one of six pairs is the wrong way round


def test_extreme_logits_do_not_overflow() -> None:
    scores = scores_of([0, 1], [-700.0, -700.0])
    assert numbers_of(scores, threshold=0.5, resamples=0)["loss"].value == pytest.approx(350)


def test_the_upper_end_of_a_ratio_that_is_infinite_in_some_resamples_is_infinity() -> None:
    label = np.repeat([0, 1], [120, 40])
    logit = np.where(label == 1, 2.0, -2.0)
    logit[:3] = 2.0  # three false alarms: one resample in twenty has none
    found = numbers_of(scores_of(label.tolist(), logit.tolist()), threshold=0.5, resamples=2000)
    ratio = found["lr_positive"]
    assert ratio.value == pytest.approx(40)
    assert ratio.low is not None
    assert 15 < ratio.low < 40
    assert ratio.high == math.inf
    assert ratio.with_range() == f"40.0 ({ratio.low:.1f} to infinity)"
    values = json.loads(json.dumps(ratio.to_dict(), allow_nan=False))
    assert values["high"] is None
    assert Estimate.from_dict(values) == ratio


def test_which_interval_stands_first() -> None:
    alone = numbers_of(make_scores(150), threshold=0.5, resamples=100)
    assert (alone["auc"].method, alone["sensitivity"].method) == ("delong", "wilson")
    assert alone["sensitivity"].also[0].method == "bootstrap by patient"
    several = numbers_of(make_scores(150, per_patient=3), threshold=0.5, resamples=100)
    assert several["auc"].method == "delong by patient (obuchowski)"
    assert several["sensitivity"].method == "bootstrap by patient"
    assert several["sensitivity"].also[0].method == "wilson"
    closed = numbers_of(make_scores(150, per_patient=3), threshold=0.5, resamples=0)
    assert closed["sensitivity"].method == "wilson, n = patients"
    assert closed["f1"].low is None


def test_perfect_scores_still_have_honest_intervals() -> None:
    found = numbers_of(perfect(60, images=3), threshold=0.5, resamples=200)
    assert found["sensitivity"].value == 1
    assert found["sensitivity"].method == "wilson, n = patients"
    assert found["sensitivity"].low == pytest.approx(0.7225, abs=1e-4)  # 10 of 10 patients
    assert found["auc"].method == "newcombe, n = patients"
    assert found["auc"].low is not None
    assert found["auc"].low < 0.97
    assert found["calibration_slope"].value is None
    assert found["lr_positive"].value is None  # no false alarms


def test_a_class_alone_leaves_numbers_undefined_and_nothing_breaks() -> None:
    scores = make_scores(60)
    ill = scores.select(scores.label == 1)
    found = numbers_of(ill, threshold=0.5, resamples=100)
    for name in ("auc", "specificity", "npv", "average_precision", "calibration_slope", "mcc"):
        if name != "npv":
            assert found[name].value is None, name
    assert found["sensitivity"].value is not None
    json.dumps(evaluate(ill, Question(resamples=100)).to_dict(), allow_nan=False)


@pytest.mark.parametrize("per_patient", [1.0, 2.5])
def test_every_number_has_an_interval_a_method_and_n(per_patient: float) -> None:
    scores = make_scores(300, per_patient=per_patient)
    zone = fit_conformal(scores, level=0.2)
    question = Question(prevalence=0.1, resamples=300)
    labels = LabelSpace.of(("negative", "positive"))
    reader = Reader(policy=DecisionPolicy(labels, OperatingPoint(), zone))
    found = evaluate(scores, question, reader=reader)
    assert found.policy is not None
    deployed = found.policy.deployed
    told = ("set_aside", "uncertain_negative", "uncertain_positive", "error", "missed")
    every = {**found.numbers, **{name: getattr(deployed, name) for name in told}}
    assert len(every) >= 36
    for name, number in every.items():
        assert number.value is not None, name
        assert number.low is not None, name
        assert number.high is not None, name
        assert number.low <= number.value <= number.high, name
        assert number.method, name
        assert 0 < number.n <= 300, name
        assert number.level == 0.95, name
    assert found.curves is not None
    for band in (found.curves.roc, found.curves.precision_recall, found.curves.decision):
        assert np.isfinite(band.low).mean() > 0.9


def test_what_it_refuses() -> None:
    with pytest.raises(OptionError, match="prevalence must be"):
        Question(prevalence=10)
    with pytest.raises(DataError, match="no images"):
        numbers_of(make_scores(30).select([]), threshold=0.5)


def test_an_estimate_without_a_number_has_no_interval() -> None:
    nothing = Estimate.of(float("nan"), 3, Interval(0.1, 0.2, "x"))
    assert (nothing.value, nothing.low, nothing.text()) == (None, None, "not defined")
    assert Estimate.of(0.5, 3, None, Interval(0.1, 0.9, "x")).range_text(2) == "0.10 to 0.90"


def test_bins_are_of_equal_mass_and_keep_equal_values_together() -> None:
    assert np.bincount(bins_of(np.linspace(0, 1, 150), 15)).tolist() == [10] * 15
    tied = bins_of(np.repeat([0.1, 0.9], [70, 80]), 15)
    assert len(set(tied[:70].tolist())) == len(set(tied[70:].tolist())) == 1


def test_the_noise_of_calibration_is_taken_out() -> None:
    generator = np.random.default_rng(0)
    said = np.tile(np.linspace(0.05, 0.95, 15), (3000, 1))
    count = np.full(said.shape, 40.0)
    for shift in (0.0, 0.04):  # the truth: right, or off by 0.04 everywhere
        observed = generator.binomial(40, np.clip(said + shift, 0, 1)) / 40
        found = calibration_errors(count, observed, said)
        assert found["squared_error"].mean() == pytest.approx(shift**2, abs=2e-4)
        plain = np.abs(observed - said).mean(1)  # bins of equal mass
        assert abs(found["ece"].mean() - shift) < abs(plain.mean() - shift)


def test_intervals_of_the_parts_of_the_brier_score_lie_around_what_is_seen() -> None:
    names = ("brier_reliability", "brier_resolution")
    found = [
        numbers_of(
            make_scores(300, seed=seed, slope=1.6), threshold=0.5, resamples=200, curves=False
        )
        for seed in range(80)
    ]
    for name in names:
        seen = np.array([one[name].value for one in found])
        ends = np.array([(one[name].low, one[name].high) for one in found], np.float64)
        held = (ends[:, 0] <= seen.mean()) & (seen.mean() <= ends[:, 1])
        assert held.mean() > 0.9, name
        assert (ends[:, 0] <= seen).mean() > 0.95, name
        assert (seen <= ends[:, 1]).mean() > 0.95, name


def test_the_folded_mean_against_drawn_numbers() -> None:
    draws = np.random.default_rng(0).normal(0.3, 0.5, 400_000)
    found = folded_mean(np.array([0.3, -0.3, 0.3]), np.array([0.5, 0.5, 0.0]))
    assert found[0] == found[1] == pytest.approx(np.abs(draws).mean(), abs=2e-3)
    assert found[2] == 0.3


def test_etiologies_are_judged_against_all_negatives() -> None:
    scores = make_scores(90)
    patients = [
        (f"bacteria-person{row}" if row % 3 else f"virus-person{row}") if label else f"IM-{row}"
        for row, label in enumerate(scores.label)
    ]
    named = replace(scores, patient=people(patients))
    groups = {(g.column, g.value): g for g in subgroups(named, threshold=0.5, resamples=0)}
    assert set(groups) == {("etiology", "bacteria"), ("etiology", "virus")}
    bacteria = groups["etiology", "bacteria"]
    assert bacteria.n - bacteria.positives == int((scores.label == 0).sum())
    chosen = np.array([p.startswith(("bacteria", "IM")) for p in patients])
    expected = numbers_of(named.select(chosen), threshold=0.5, resamples=0)
    assert bacteria.numbers["auc"].value == expected["auc"].value
    assert bacteria.numbers["sensitivity"].n == expected["sensitivity"].n
    assert groups["etiology", "virus"].small


def test_etiology_is_read_from_file_names_too() -> None:
    scores = make_scores(4)
    names = ("a/person1_bacteria_2.jpeg", "VIRUS-12-1.jpeg", "IM-1-1.jpeg", "antivirus.png")
    named = replace(scores, path=names, label=np.array([1, 1, 0, 1]))
    assert own_columns(named)["etiology"] == {names[0]: "bacteria", names[1]: "virus"}


def test_columns_of_a_manifest_are_groups() -> None:
    scores = make_scores(100, per_patient=2)
    site = {path: "AB"[row % 2] for row, path in enumerate(scores.path[:80])}
    number = {path: path for path in scores.path}  # an identifier is no grouping
    found = subgroups(
        scores, threshold=0.5, columns={"site": site, "number": number}, resamples=100
    )
    assert {group.column for group in found} == {"images per patient", "site"}
    assert sum(group.n for group in found if group.column == "site") == 80
    json.dumps([group.to_dict() for group in found], allow_nan=False)


def test_thirds_of_the_sizes() -> None:
    paths = [str(row) for row in range(9)]
    found = size_tertiles(paths, np.arange(1, 10) * 1_000_000)
    assert sorted(found.values()) == sorted(3 * sorted(set(found.values())))
    assert size_tertiles(paths, np.full(9, 224 * 224)) == {}


def test_the_majority() -> None:
    scores = replace(make_scores(4), label=np.array([1, 1, 1, 0]))
    assert majority_baseline(scores).accuracy.value == 0.75
    other = majority_baseline(scores, trained_on=np.array([0, 0, 1]))
    assert other.accuracy.value == 0.25
    assert other.fitted_on == "training images"
    assert other.auc.value == 0.5


def test_baselines_count_patients_too() -> None:
    scores = make_scores(90, per_patient=3)
    for found in (
        majority_baseline(scores, resamples=200),
        size_baseline(scores, np.arange(90), resamples=200),
    ):
        assert found.accuracy.method == "bootstrap by patient", found.name


def test_bins_of_the_reliability_diagram_count_patients() -> None:
    widths = []
    scores = make_scores(600, per_patient=6)
    for each in (scores, replace(scores, patient=people(scores.path))):
        found = numbers_of(each, threshold=0.5, resamples=200).curves
        assert found is not None
        bins = found.reliability
        assert ((bins.low <= bins.observed) & (bins.observed <= bins.high)).all()
        widths.append(float(np.mean(bins.high - bins.low)))
    assert widths[0] > 1.1 * widths[1]


def test_the_size_of_the_file_is_fitted_elsewhere() -> None:
    scores = make_scores(200)
    size = np.where(scores.label == 1, 50_000, 500_000) + np.arange(200)
    own = size_baseline(scores, size)
    assert own.accuracy.value == own.auc.value == 1.0
    assert "five folds" in own.fitted_on
    known = size_baseline(scores, size, training=(size[:20], 1 - scores.label[:20]))
    assert known.accuracy.value == known.auc.value == 0.0  # it learnt the reverse
    noise = np.random.default_rng(0).integers(1, 10**6, 200)
    blind = size_baseline(scores, noise)
    assert blind.accuracy.value is not None
    assert abs(blind.accuracy.value - 0.5) < 0.15
