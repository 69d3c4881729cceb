"""Weighted metrics against metrics of repeated rows, and against scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from helpers.made_scores import make_scores, people
from pneumoscope.errors import OptionError
from pneumoscope.evaluation.bootstrap import (
    band,
    draw_counts,
    percentiles,
    point,
    resampled,
)
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.weighted import (
    FALSE_POSITIVE_RATES,
    ODDS_THRESHOLDS,
    RECALLS,
    Table,
    TableOptions,
    statistics,
)

ASK = TableOptions(threshold=0.4, prevalence=0.1)


def repeated(scores: Scores, rows: np.ndarray) -> Scores:
    return scores.select(rows)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), digits=st.sampled_from([None, 0, 1]), n=st.integers(30, 80))
def test_a_weighting_is_the_metric_of_repeated_rows(seed: int, digits: int | None, n: int) -> None:
    scores = make_scores(n, seed=seed, per_patient=2.0, digits=digits)
    table = Table.of(scores, ASK)
    counts = next(draw_counts(table.patients, resamples=3, seed=seed, block=3))
    found = statistics(table, table.weights_of(counts))
    for row in range(3):
        times = counts[row][scores.patient_numbers].astype(int)
        drawn = repeated(scores, np.repeat(np.arange(n), times))
        if len(set(drawn.label.tolist())) < 2:
            assert np.isnan(found["auc"][row])
            continue
        expected = point(Table.of(drawn, ASK))
        skip = {name for name in expected if name.startswith(("bin_", "ece", "squared", "brier_"))}
        for name in set(expected) - skip:  # bins are those of the whole sample
            wanted = pytest.approx(expected[name], rel=1e-6, abs=1e-9, nan_ok=True)
            assert found[name][row] == wanted, name


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), digits=st.sampled_from([None, 1]), n=st.integers(40, 90))
def test_every_metric_against_scikit_learn(seed: int, digits: int | None, n: int) -> None:
    scores = make_scores(n, seed=seed, digits=digits)
    found = point(Table.of(scores, ASK))
    label, probability = scores.label, scores.probability
    called = (probability >= 0.4).astype(int)
    expected = {
        "auc": sk.roc_auc_score(label, probability),
        "average_precision": sk.average_precision_score(label, probability),
        "accuracy": sk.accuracy_score(label, called),
        "balanced_accuracy": sk.balanced_accuracy_score(label, called),
        "sensitivity": sk.recall_score(label, called),
        "specificity": sk.recall_score(label, called, pos_label=0),
        "ppv": sk.precision_score(label, called),
        "npv": sk.precision_score(label, called, pos_label=0),
        "f1": sk.f1_score(label, called),
        "mcc": sk.matthews_corrcoef(label, called),
        "brier": sk.brier_score_loss(label, probability),
        "loss": sk.log_loss(label, probability),
    }
    if called[label == 0].any():
        expected["lr_positive"], expected["lr_negative"] = sk.class_likelihood_ratios(label, called)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True), name


def test_curves_against_scikit_learn() -> None:
    scores = make_scores(200, digits=1)
    found = point(Table.of(scores, ASK))
    rates, sensitivities, _ = sk.roc_curve(scores.label, scores.logit, drop_intermediate=False)
    for rate, sensitivity in zip(FALSE_POSITIVE_RATES, found["roc"], strict=True):
        assert sensitivity == sensitivities[rates <= rate + 1e-12].max()
    precision, recall, _ = sk.precision_recall_curve(scores.label, scores.logit)
    for level, value in zip(RECALLS, found["precision_recall"], strict=True):
        first = np.flatnonzero(recall >= level - 1e-12)[-1]
        assert value == pytest.approx(precision[first])
    for share in (0.9, 0.95):
        reached = sensitivities[rates <= 1 - share + 1e-12].max()
        assert found[f"sensitivity_at_specificity_{share:g}"] == pytest.approx(reached)
        kept = 1 - rates[sensitivities >= share - 1e-12].min()
        assert found[f"specificity_at_sensitivity_{share:g}"] == pytest.approx(kept)


def test_the_partial_area_is_the_part_of_the_whole_one() -> None:
    scores = make_scores(150, digits=1)
    whole = point(Table.of(scores, TableOptions(partial_from=0.0)))
    assert whole["partial_auc"] == pytest.approx(whole["auc"])
    # By hand: the roles of the classes swapped, scikit-learn's partial area at low specificity
    # loss is the standardised area at high sensitivity.
    found = point(Table.of(scores, TableOptions(partial_from=0.8)))
    expected = sk.roc_auc_score(1 - scores.label, -scores.logit, max_fpr=0.2)
    assert found["partial_auc_standardised"] == pytest.approx(expected)


def test_recalibration_against_scikit_learn() -> None:
    scores = make_scores(400, slope=1.7)
    found = point(Table.of(scores, ASK))
    model = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000)
    model.fit(scores.log_odds[:, None], scores.label)
    assert found["calibration_slope"] == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert found["calibration_intercept"] == pytest.approx(model.intercept_[0], abs=1e-4)


def test_scores_that_part_the_classes_have_no_slope() -> None:
    label = np.repeat([0, 1], 20)
    logit = np.where(label == 1, 1.0, -1.0) + np.linspace(-0.1, 0.1, 40)
    names = tuple(map(str, range(40)))
    scores = Scores(names, people(names), label, logit, 1 / (1 + np.exp(-logit)))
    assert np.isnan(point(Table.of(scores, ASK))["calibration_slope"])


def test_the_parts_of_the_brier_score_sum_to_it() -> None:
    found = point(Table.of(make_scores(500), ASK))
    total = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
    assert total + found["brier_within_bins"] == pytest.approx(found["brier"])
    # Where probabilities are equal within bins nothing is left within them.
    scores = make_scores(300)
    logit = np.where(scores.logit > 0, 1.0, -1.0)
    flat = replace(scores, logit=logit, probability=1 / (1 + np.exp(-logit)))
    assert abs(point(Table.of(flat, ASK))["brier_within_bins"]) < 1e-12


def test_the_parts_of_the_brier_score_by_hand() -> None:
    # Two bins: three images at 0.25, one of them positive; two at 0.75, both positive.
    probability = np.array([0.25, 0.25, 0.25, 0.75, 0.75])
    label = np.array([0, 0, 1, 1, 1])
    names = tuple("abcde")
    scores = Scores(
        names, people(names), label, np.log(probability / (1 - probability)), probability
    )
    found = point(Table.of(scores, ASK))
    assert found["brier"] == pytest.approx((2 * 0.25**2 + 0.75**2 + 2 * 0.25**2) / 5)
    reliability = (3 * (0.25 - 1 / 3) ** 2 + 2 * (0.75 - 1) ** 2) / 5
    resolution = (3 * (1 / 3 - 0.6) ** 2 + 2 * (1 - 0.6) ** 2) / 5
    assert found["brier_reliability"] == pytest.approx(reliability)
    assert found["brier_resolution"] == pytest.approx(resolution)
    assert found["brier_uncertainty"] == pytest.approx(0.6 * 0.4)
    assert found["brier_within_bins"] == pytest.approx(0, abs=1e-12)
    assert found["calibration_in_the_large"] == pytest.approx(0.45 - 0.6)


@pytest.mark.parametrize("seed", range(3))
def test_bins_of_the_reliability_diagram_against_scikit_learn(seed: int) -> None:
    scores = make_scores(450, seed=seed)
    found = point(Table.of(scores, ASK))
    shares, said = calibration_curve(
        scores.label, scores.probability, n_bins=ASK.bins, strategy="quantile"
    )
    np.testing.assert_allclose(found["bin_n"], 30)
    np.testing.assert_allclose(found["bin_positive"] / found["bin_n"], shares)
    np.testing.assert_allclose(found["bin_probability"] / found["bin_n"], said)
    # Kumar, Liang and Ma: the squared error of each bin less share (1 - share) / (n - 1).
    unbiased = ((shares - said) ** 2 - shares * (1 - shares) / 29).mean()
    assert found["squared_error"] == pytest.approx(unbiased)


def test_net_benefit_by_hand() -> None:
    names = ("a", "b", "c", "d")
    probability = np.array([0.9, 0.6, 0.3, 0.1])
    label = np.array([1, 0, 1, 0])
    scores = Scores(
        names, people(names), label, np.log(probability / (1 - probability)), probability
    )
    found = point(Table.of(scores, ASK))["net_benefit"]
    at = {round(float(threshold), 2): row for row, threshold in enumerate(ODDS_THRESHOLDS)}
    assert found[at[0.2]] == pytest.approx((2 - 1 * 0.25) / 4)  # a, b and c are treated
    assert found[at[0.5]] == pytest.approx((1 - 1) / 4)
    assert found[at[0.8]] == pytest.approx(1 / 4)


def test_predictive_values_at_another_prevalence_follow_bayes() -> None:
    found = point(Table.of(make_scores(300), ASK))
    se, sp = found["sensitivity"], found["specificity"]
    assert found["ppv_at_prevalence"] == pytest.approx(se * 0.1 / (se * 0.1 + (1 - sp) * 0.9))
    assert found["npv_at_prevalence"] == pytest.approx(sp * 0.9 / (sp * 0.9 + (1 - se) * 0.1))


def test_patients_are_drawn_with_replacement_and_alike() -> None:
    blocks = list(draw_counts(50, resamples=70, seed=1, block=32))
    assert [block.shape for block in blocks] == [(32, 50), (32, 50), (6, 50)]
    counts = np.concatenate(blocks)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.var(axis=0).mean() == pytest.approx(49 / 50, rel=0.15)
    again = np.concatenate(list(draw_counts(50, resamples=70, seed=1, block=32)))
    np.testing.assert_array_equal(counts, again)


def test_the_interval_of_a_mean_is_the_one_that_theory_gives() -> None:
    scores = make_scores(800)
    draws = resampled(Table.of(scores, TableOptions(curves=False)), resamples=2000)
    interval = percentiles(draws["accuracy"])
    assert interval is not None
    share = point(Table.of(scores, TableOptions()))["accuracy"]
    error = math.sqrt(share * (1 - share) / 800)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_patients_with_several_images_widen_intervals() -> None:
    scores = make_scores(600, per_patient=6.0)
    alone = Scores(scores.path, people(scores.path), scores.label, scores.logit, scores.probability)
    widths = []
    for each in (scores, alone):
        interval = percentiles(resampled(Table.of(each, TableOptions()), resamples=400)["auc"])
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[0] > 1.3 * widths[1]


def test_too_few_resamples_and_too_few_that_are_defined() -> None:
    with pytest.raises(OptionError, match="from 100"):
        resampled(Table.of(make_scores(40), ASK), resamples=5)
    draws = np.full(100, np.nan)
    draws[:90] = 1.0
    assert percentiles(draws) is None
    assert percentiles(None) is None
    low, high = band(np.stack([draws, np.arange(100.0)], axis=1))
    assert np.isnan(low[0])
    assert (low[1], high[1]) == pytest.approx((2.475, 96.525))
