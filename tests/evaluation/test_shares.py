"""Intervals of shares by patient: against the metric of repeated rows, and SciPy's bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from helpers.made_scores import make_scores
from pneumoscope.evaluation.bootstrap import draw_counts, resampled
from pneumoscope.evaluation.shares import share, share_draws
from pneumoscope.evaluation.weighted import Table, TableOptions


def test_draws_are_those_of_the_metrics() -> None:
    scores = make_scores(150, per_patient=2.0)
    draws = resampled(Table.of(scores, TableOptions(curves=False)), resamples=120, seed=7)
    called, positive = scores.probability >= 0.5, scores.label == 1
    patient = scores.patient_numbers
    own = share_draws(called, positive, patient, resamples=120, seed=7)
    assert own is not None
    np.testing.assert_allclose(own, draws["sensitivity"])
    assert share_draws(called, positive, patient, resamples=0) is None


def test_a_draw_is_the_share_of_rows_that_are_really_repeated() -> None:
    scores = make_scores(80, per_patient=3.0)
    patient, hits = scores.patient_numbers, scores.logit > 0
    of = scores.label == 1
    counts = next(draw_counts(int(patient.max()) + 1, resamples=5, seed=2, block=5))
    found = share_draws(hits, of, patient, resamples=5, seed=2)
    assert found is not None
    for row in range(5):
        rows = np.repeat(np.arange(80), counts[row][patient].astype(int))
        assert found[row] == pytest.approx((hits & of)[rows].sum() / of[rows].sum())


def test_the_interval_against_scipy() -> None:
    scores = make_scores(240, per_patient=3.0)
    patient = scores.patient_numbers
    right = (scores.probability >= 0.5) == (scores.label == 1)
    everything = np.ones(240, bool)
    draws = share_draws(right, everything, patient, resamples=4000, seed=1)
    found = share(right, everything, patient, draws=draws)
    hits, images = (np.bincount(patient, mask) for mask in (right, everything))
    there = images > 0
    expected = stats.bootstrap(
        (hits[there], images[there]),
        lambda hit, n, axis: hit.sum(axis) / n.sum(axis),
        paired=True, n_resamples=4000, method="percentile", rng=3,
    ).confidence_interval  # fmt: skip
    assert found.method == "bootstrap by patient"
    assert (found.low, found.high) == pytest.approx(expected, abs=0.006)


def test_which_interval_stands_first() -> None:
    hits, of = np.array([True, True, False, True]), np.ones(4, bool)
    assert share(hits, of, np.arange(4)).method == "wilson"
    paired = share(hits, of, np.array([0, 0, 1, 1]))
    assert (paired.method, paired.also[0].method) == ("wilson, n = patients", "wilson")
    assert paired.low is not None
    assert paired.also[0].low > paired.low
    # All hits: resampling has no width, which is not certainty.
    sure = share(of, of, np.array([0, 0, 1, 1]), draws=np.ones(100))
    assert sure.method == "wilson, n = patients"
    nothing = share(hits, ~of, np.arange(4))
    assert (nothing.value, nothing.n) == (None, 0)
