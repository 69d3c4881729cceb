"""Against values that the R package pROC publishes for 113 real patients; see golden/README.md."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from helpers.made_scores import people
from pneumoscope.evaluation.bootstrap import point
from pneumoscope.evaluation.compare import Contender, compare
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.operating_point import choose, parse_rule
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.weighted import Table, TableOptions
from pneumoscope.runs import rows_of
from pneumoscope.stats.areas import areas

MARKERS = ("s100b", "wfns", "ndka")


@pytest.fixture(scope="module")
def markers() -> dict[str, Scores]:
    """Each marker as the logit of a reader; the order of patients is all that matters here."""
    rows = rows_of(Path(__file__).parent / "golden" / "subarachnoid.csv")
    names = tuple(f"patient-{number}" for number in range(1, len(rows) + 1))
    label = np.array([int(row["poor_outcome"]) for row in rows])
    found = {}
    for marker in MARKERS:
        value = np.array([float(row[marker]) for row in rows])
        found[marker] = Scores(names, people(names), label, value, 1 / (1 + np.exp(-value / 100)))
    return found


def test_the_patients_are_all_there(markers: dict[str, Scores]) -> None:
    assert len(markers["s100b"]) == 113
    assert markers["s100b"].label.sum() == 41


@pytest.mark.parametrize(
    ("marker", "area", "variance"),
    [  # pROC's test-auc.R and test-var.R; s100b: the difference to ndka in test-roc.test.R
        ("s100b", 0.611957994579946 + 0.119410569105691, 0.00266868245717244),
        ("wfns", 0.823678861788618, 0.00146991470882363),
        ("ndka", 0.611957994579946, 0.0031908105493913),
    ],
)
def test_area_and_delongs_interval(
    markers: dict[str, Scores], marker: str, area: float, variance: float
) -> None:
    found = numbers_of(markers[marker], threshold=0.5, resamples=0)["auc"]
    assert found.method == "delong"
    assert found.value == pytest.approx(area, rel=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 / 1.959963984540054 == pytest.approx(variance**0.5)
    assert (found.high + found.low) / 2 == pytest.approx(area)


def test_the_interval_in_the_manual(markers: dict[str, Scores]) -> None:
    # pROC's test-ci.auc.R (ndka), and the example of its manual as it is printed (s100b).
    ndka, s100b = (
        numbers_of(markers[name], threshold=0.5, resamples=0)["auc"] for name in ("ndka", "s100b")
    )
    assert (ndka.low, ndka.high) == pytest.approx((0.501244999271703, 0.722670989888189))
    assert (s100b.text(4), s100b.range_text(4)) == ("0.7314", "0.6301 to 0.8326")


def test_delongs_covariances(markers: dict[str, Scores]) -> None:
    # pROC's test-cov.R
    found = areas(markers["wfns"].label, [markers[name].logit for name in MARKERS])
    assert found is not None
    s100b, wfns, ndka = range(3)
    assert found.covariance[wfns, ndka] == pytest.approx(-0.000532967856762438, rel=1e-10)
    assert found.covariance[ndka, s100b] == pytest.approx(-0.000756164938056579, rel=1e-10)
    assert found.covariance[s100b, wfns] == pytest.approx(0.00119615567376754, rel=1e-10)


@pytest.mark.parametrize(
    ("first", "second", "p", "low", "high"),
    [  # pROC's test-roc.test.R; the first stands in the manual of roc.test as p = 0.02718
        ("wfns", "s100b", 0.0271757822291882, 0.0104061769564846, 0.174214419249478),
        ("wfns", "ndka", 0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
        ("ndka", "s100b", 0.164295175223054, -0.2876917446341914, 0.0488706064228094),
    ],
)
def test_the_paired_test(
    markers: dict[str, Scores], first: str, second: str, p: float, low: float, high: float
) -> None:
    found = compare([Contender(name, markers[name]) for name in (first, second)], resamples=100)
    (pair,) = found.pairs
    assert pair.auc_p == pytest.approx(p, rel=1e-9)
    difference = pair.differences["auc"]
    assert difference.method == "paired delong"
    assert (difference.low, difference.high) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize(
    ("marker", "start", "area"),
    [  # pROC's test-auc.R, partial.auc.focus = "se"
        ("wfns", 0.9, 0.0400999322493225),
        ("ndka", 0.9, 0.0037940379403794),
        ("wfns", 0.0, 0.823678861788618),
        ("ndka", 0.0, 0.611957994579946),
    ],
)
def test_the_partial_area_at_high_sensitivity(
    markers: dict[str, Scores], marker: str, start: float, area: float
) -> None:
    found = point(Table.of(markers[marker], TableOptions(partial_from=start)))
    assert found["partial_auc"] == pytest.approx(area, rel=1e-12)


def test_inner_stretches_of_the_partial_area(markers: dict[str, Scores]) -> None:
    # pROC's test-auc.R: from 0.8 to 0.9, as the difference of two of ours.
    for marker, area in (("wfns", 0.0609953703703703), ("ndka", 0.0242547425474255)):
        from_8, from_9 = (
            float(point(Table.of(markers[marker], TableOptions(partial_from=start)))["partial_auc"])
            for start in (0.8, 0.9)
        )
        assert from_8 - from_9 == pytest.approx(area, rel=1e-9)


def test_the_standardised_partial_area(markers: dict[str, Scores]) -> None:
    # pROC's test-auc.R, partial.auc.correct = TRUE
    found = point(Table.of(markers["wfns"], TableOptions(partial_from=0.9)))
    assert found["partial_auc_standardised"] == pytest.approx(0.68473648552275, rel=1e-12)


@pytest.mark.parametrize(
    ("threshold", "tn", "tp", "fn", "fp", "npv", "ppv"),
    [  # pROC's helper-coords-expected.R, marker s100b
        (0.055, 8, 40, 1, 64, 0.888888888888889, 0.384615384615385),
        (0.135, 42, 28, 13, 30, 0.763636363636364, 0.482758620689655),
        (0.205, 58, 26, 15, 14, 0.794520547945205, 0.65),
        (0.475, 69, 14, 27, 3, 0.71875, 0.823529411764706),
        (0.51, 72, 12, 29, 0, 0.712871287128713, 1.0),
    ],
)
def test_the_table_at_a_threshold(
    markers: dict[str, Scores],
    threshold: float,
    tn: int,
    tp: int,
    fn: int,
    fp: int,
    npv: float,
    ppv: float,
) -> None:
    cut = 1 / (1 + np.exp(-threshold / 100))
    found = numbers_of(markers["s100b"], threshold=cut, resamples=0)
    assert found.confusion == ((tn, fp), (fn, tp))
    assert found["specificity"].value == pytest.approx(tn / 72)
    assert found["sensitivity"].value == pytest.approx(tp / 41)
    assert found["accuracy"].value == pytest.approx((tn + tp) / 113)
    assert found["npv"].value == pytest.approx(npv)
    assert found["ppv"].value == pytest.approx(ppv)


def test_youdens_point(markers: dict[str, Scores]) -> None:
    # The largest sum of sensitivity and specificity in helper-coords-expected.R is 1.4397 at 0.205.
    scores = markers["s100b"]
    chosen = choose(parse_rule("youden"), replace(scores, part="val"))
    logit = 100 * np.log(chosen.threshold / (1 - chosen.threshold))
    assert logit == pytest.approx(0.205, abs=1e-4)
    achieved = chosen.achieved
    total = achieved["sensitivity"]["value"] + achieved["specificity"]["value"]
    assert total == pytest.approx(1.43970189701897)


def test_resampling_agrees_with_delong(markers: dict[str, Scores]) -> None:
    """Two independent ways to one interval; pROC's own default draws 2,000 resamples as well."""
    for marker in MARKERS:
        found = numbers_of(markers[marker], threshold=0.5, resamples=2000, curves=False)["auc"]
        (bootstrap,) = found.also
        assert bootstrap.method == "bootstrap by patient"
        assert (bootstrap.low, bootstrap.high) == pytest.approx((found.low, found.high), abs=0.012)


def test_bands_contain_their_curve(markers: dict[str, Scores]) -> None:
    found = numbers_of(markers["s100b"], threshold=0.5, resamples=500).curves
    assert found is not None
    band = found.roc
    inside = (band.low <= band.sensitivity) & (band.sensitivity <= band.high)
    assert inside.all()
    assert all(a <= b for a, b in pairwise(band.sensitivity))
