"""Expected calibration error over bins of equal mass, corrected for its bias."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bins_of(probability: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each probability, from 0; bins have equal size, ties share a bin.

    If many probabilities are equal, some bins are empty.
    """
    rising = np.sort(probability)
    edges = rising[[len(rising) * number // bins for number in range(1, bins)]]
    return np.searchsorted(edges, probability, side="right")


def calibration_errors(
    count: NDArray[np.float64],
    observed: NDArray[np.float64],
    probability: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return expected and mean squared calibration errors, [b] each.

    Even with correct probabilities, the share of positive images in a bin of n images differs from
    the mean probability, by noise of variance share (1 - share) / n. This bias is subtracted, after
    Kumar, Liang and Ma (NeurIPS 2019): exactly from the squared error; from the absolute error to
    first order, assuming normal noise, with the mean of a folded normal variable instead of their
    simulation.

    A resample contains the noise of the sample and the same amount of its own. For intervals, there
    are therefore versions with twice the noise subtracted (``…_twice``), which have the same bias
    as the value of the sample.

    Args:
        count: Images of each bin, [b, bins].
        observed: Share of positive images in it.
        probability: Mean probability in it.

    Returns:
        ``ece`` (not below 0), ``ece_twice``, ``squared_error`` and
        ``squared_error_twice`` (below 0 if noise alone explains more than the observed error).
    """
    share = count / count.sum(axis=1, keepdims=True)
    difference = np.abs(observed - probability)
    variance = observed * (1 - observed)
    plain = (share * difference).sum(axis=1)
    squared = (share * difference**2).sum(axis=1)
    exact = (share * variance / np.maximum(count - 1, 1)).sum(axis=1)
    found = {}
    for name, times in (("", 1), ("_twice", 2)):
        noise = np.sqrt(times * variance / np.maximum(count, 1))
        expected = (share * folded_mean(difference, noise)).sum(axis=1)
        found[f"ece{name}"] = 2 * plain - expected
        found[f"squared_error{name}"] = squared - times * exact
    found["ece"] = np.maximum(0.0, found["ece"])
    return found


def folded_mean(mean: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the absolute value of a normal variable."""
    wide = np.maximum(spread, 1e-300)
    ratio = np.minimum(np.abs(mean) / wide, 40)
    found: NDArray[np.float64] = np.where(
        spread > 0,
        wide * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2)
        + np.abs(mean) * _erf(ratio / math.sqrt(2)),
        np.abs(mean),
    )
    return found


_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _erf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = _ERF(x)
    return found
