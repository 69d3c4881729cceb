"""Bootstrap intervals by patient, of all metrics at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import OptionError
from pneumoscope.evaluation.weighted import Table, statistics
from pneumoscope.stats.intervals import LEVEL, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOOTSTRAP = "bootstrap by patient"
RESAMPLES = 2000
DEFINED = 0.95
"""An interval is given if the metric is defined in at least this share of the resamples."""

_CELLS = 2**18  # weights per block: a few arrays of this size fit into a CPU cache


def draw_counts(
    patients: int, *, resamples: int, seed: int, block: int
) -> Iterator[NDArray[np.float64]]:
    """Yield blocks [b, patients] of the number of times each patient is drawn.

    The same arguments give the same draws, so that two readers of the same images are resampled in
    the same way.
    """
    generator = np.random.default_rng(seed)
    for begin in range(0, resamples, block):
        rows = min(block, resamples - begin)
        drawn = generator.integers(0, patients, (rows, patients))
        drawn += (np.arange(rows) * patients)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=rows * patients)
        yield counts.reshape(rows, patients).astype(np.float64)


def block_size(n: int) -> int:
    """Return the number of resamples of n rows that are computed at once."""
    return max(1, _CELLS // max(n, 1))


def point(table: Table) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of the original scores: numbers as 0-dimensional arrays."""
    found = statistics(table, np.ones((1, len(table.patient))))
    return {name: values[0] for name, values in found.items()}


def resampled(
    table: Table, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of resamples by patient, [resamples, ...] each; NaN if undefined.

    Raises:
        OptionError: Fewer than 100 resamples, which are too few for a 95 % interval.
    """
    if resamples < 100:
        raise OptionError("resamples", must="a whole number from 100", was=resamples)
    full = point(table)
    start = float(full["calibration_slope"]), float(full["calibration_intercept"])
    if all(map(math.isfinite, start)):
        table = replace(table, start=start)
    blocks: list[dict[str, NDArray[np.float64]]] = [
        statistics(table, table.weights_of(counts))
        for counts in draw_counts(
            table.patients,
            resamples=resamples,
            seed=seed,
            block=block_size(len(table.patient)),
        )
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def percentiles(
    draws: NDArray[np.float64] | None, *, level: float = LEVEL, method: str = BOOTSTRAP
) -> Interval | None:
    """Return the percentile interval of draws [R]; None if too few are defined.

    A ratio whose denominator is zero in a resample is infinite, which counts as a value; the upper
    end of its interval may be infinite. NaN means undefined.
    """
    if draws is None:
        return None
    there = draws[~np.isnan(draws)]
    if not len(there) or len(there) < DEFINED * len(draws):
        return None
    ends = [(1 - level) / 2, (1 + level) / 2]
    if np.isfinite(there).all():
        low, high = np.quantile(there, ends)
    else:  # no interpolation between a number and infinity
        low, high = np.quantile(there, ends, method="higher")
    return Interval(float(low), float(high), method, level) if np.isfinite(low) else None


def band(
    draws: NDArray[np.float64], *, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pointwise lower and upper percentile of curves [R, g]; NaN if undefined."""
    low = np.full(draws.shape[1], np.nan)
    high = low.copy()
    there = np.isfinite(draws).mean(axis=0) >= DEFINED
    if there.any():
        tails = np.nanquantile(draws[:, there], [(1 - level) / 2, (1 + level) / 2], axis=0)
        low[there], high[there] = tails
    return low, high
