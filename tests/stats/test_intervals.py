"""Intervals and quantiles against SciPy and published tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pneumoscope.errors import OptionError
from pneumoscope.stats.intervals import newcombe_area, normal_quantile, student_quantile, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_newcombes_table(hits: int, n: int, low: float, high: float) -> None:
    interval = wilson(hits, n)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_against_scipy(case: tuple[int, int]) -> None:
    hits, n = case
    interval = wilson(hits, n, level=0.9)
    assert interval is not None
    expected = stats.binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.low <= hits / n <= interval.high


def test_nothing_has_no_interval_and_a_level_must_be_one() -> None:
    assert wilson(0, 0) is None
    with pytest.raises(OptionError, match=r"0\.95"):
        normal_quantile(95)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 8, 30, 101])
@pytest.mark.parametrize("probability", [0.8, 0.975, 0.999])
def test_students_quantile_against_scipy(probability: float, degrees: int) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)


def test_newcombes_interval_where_every_pair_is_in_order() -> None:
    interval = newcombe_area(1.0, 20, 30)
    assert interval is not None
    assert interval.high == 1.0
    assert 0.85 < interval.low < 0.95
    # Its ends are where the observed area is z standard errors away.
    middle = newcombe_area(0.8, 40, 60)
    assert middle is not None
    z, extra = normal_quantile(0.95), 49
    for end in (middle.low, middle.high):
        variance = end * (1 - end) / 2400
        variance *= 1 + extra * (1 - end) / (2 - end) + extra * end / (1 + end)
        assert abs(0.8 - end) == pytest.approx(z * math.sqrt(variance))
    mirrored = newcombe_area(0.2, 40, 60)
    assert mirrored is not None
    assert mirrored.low == pytest.approx(1 - middle.high)
    assert newcombe_area(1.0, 0, 5) is None
