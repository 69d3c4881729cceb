"""Tolerance limits against the binomial distribution, and in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.stats.tolerance import tolerance_limit


@pytest.mark.parametrize(
    ("n", "above"),
    # The largest value until two may lie above: 0.99 ** n + n * 0.01 * 0.99 ** (n - 1) <= 0.05.
    [(1, 0), (298, 0), (299, 0), (472, 0), (473, 1), (522, 1), (5000, 38), (100_000, 948)],
)
def test_so_many_values_lie_above_it(n: int, above: int) -> None:
    values = np.random.default_rng(0).permutation(n).astype(np.float64)
    assert tolerance_limit(values, share=0.99) == n - 1 - above


@pytest.mark.parametrize("n", [299, 522])
def test_most_of_the_population_stays_below_it(n: int) -> None:
    """In 95 of 100 samples at least; the quantile of the sample does so in about half."""
    rng = np.random.default_rng(1)
    samples = rng.random((2000, n))
    limits = np.array([tolerance_limit(one, share=0.99) for one in samples])
    assert (limits >= 0.99).mean() >= 0.94
    assert (np.quantile(samples, 0.99, axis=1) >= 0.99).mean() < 0.6
