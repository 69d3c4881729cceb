"""The little statistics that an audit needs: an interval, an area with its interval, a probe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Z = 1.959963984540054  # of a two-sided 95 % interval
_STEPS = 50
_SMALL_STEP = 1e-8


@dataclass(frozen=True, slots=True)
class Area:
    """An area under the ROC curve with its 95 % interval.

    Attributes:
        value: The area, 0 to 1.
        low: Lower end.
        high: Upper end.
        n: Images that it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    def text(self) -> str:
        """Return it for people."""
        return f"{self.value:.2f} ({self.low:.2f}-{self.high:.2f})"


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n (Wilson, JASA 22, 1927); (0, 1) for none.

    >>> [round(end, 2) for end in wilson(0.9, 16)]
    [0.67, 0.98]
    """
    if n == 0:
        return 0.0, 1.0
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def area(label: NDArray[np.int64], score: NDArray[np.float64], groups: NDArray[np.int64]) -> Area:
    """Return the area under the ROC curve and an interval that counts patients, not images.

    The area is the Mann-Whitney statistic, ties counted half. Its variance sums the influence of
    each image by group before squaring (Obuchowski, Biometrics 53, 1997), so that thirty films of
    one patient weigh as one. The interval is symmetric on the logit scale and stays inside 0..1.

    Args:
        label: 0 or 1, [n]; both occur.
        score: Higher for 1, [n].
        groups: The patient of each image as a number from 0, [n].
    """
    positive = label == 1
    m, n = int(positive.sum()), int((~positive).sum())
    above = _share_below(score[positive], score[~positive])  # of negatives, for each positive
    below = 1 - _share_below(score[~positive], score[positive])  # of positives, for each negative
    value = float(above.mean())
    influence = np.empty(len(label))
    influence[positive] = (above - value) / m
    influence[~positive] = (below - value) / n
    by_group = np.bincount(groups, weights=influence)
    clusters = len(np.unique(groups))
    spread = math.sqrt(float((by_group**2).sum()) * clusters / max(1, clusters - 1))
    if not 0 < value < 1:
        # Nothing varies, so nothing can be said of the spread: the rule of three, by patient.
        margin = min(
            1.0, 3 / max(1, min(_clusters(groups[positive]), _clusters(groups[~positive])))
        )
        return Area(value, max(0.0, value - margin), min(1.0, value + margin), m + n)
    logit = math.log(value / (1 - value))
    half = _Z * spread / (value * (1 - value))
    return Area(value, _sigmoid(logit - half), _sigmoid(logit + half), m + n)


def fit_logistic(
    features: NDArray[np.float64], label: NDArray[np.int64], *, penalty: float = 1.0
) -> NDArray[np.float64]:
    """Return the weights of a ridge logistic regression, [columns + 1]; the last is the intercept.

    Minimises the summed log-loss plus ``penalty / 2`` times the squared weights, the intercept
    free (scikit-learn's ``C`` is ``1 / penalty``). Newton's method on a convex function: a step is
    halved until it no longer makes things worse.
    """
    x = np.column_stack([features, np.ones(len(features))])
    ridge = np.full(x.shape[1], penalty)
    ridge[-1] = 0.0
    weights = np.zeros(x.shape[1])
    loss = _loss(x, label, weights, ridge)
    for _ in range(_STEPS):
        p = _sigmoids(x @ weights)
        gradient = x.T @ (p - label) + ridge * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > _SMALL_STEP:
            tried = weights - size * step
            new = _loss(x, label, tried, ridge)
            if new <= loss:
                break
            size /= 2
        else:
            break
        done = loss - new < 1e-10 * (1 + abs(loss))
        weights, loss = tried, new
        if done:
            break
    return weights


def folds_of(
    label: NDArray[np.int64], groups: NDArray[np.int64], *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each image, [n]: whole groups, both classes spread as evenly as they go.

    Groups are dealt out in a drawn order, those that hold a positive image apart from the others.
    """
    generator = np.random.default_rng(seed)
    names, inverse = np.unique(groups, return_inverse=True)
    has_positive = np.bincount(inverse, weights=label == 1) > 0
    fold = np.empty(len(names), np.int64)
    for kind in (False, True):
        members = generator.permutation(np.flatnonzero(has_positive == kind))
        fold[members] = np.arange(len(members)) % folds
    return fold[inverse]


def _share_below(of: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each value the share of ``among`` that lies below it, ties counted half."""
    ordered = np.sort(among)
    left, right = np.searchsorted(ordered, of, "left"), np.searchsorted(ordered, of, "right")
    return np.asarray((left + right) / (2 * len(among)))


def _clusters(groups: NDArray[np.int64]) -> int:
    return len(np.unique(groups))


def _loss(
    x: NDArray[np.float64],
    label: NDArray[np.int64],
    weights: NDArray[np.float64],
    ridge: NDArray[np.float64],
) -> float:
    z = x @ weights
    return float(
        np.logaddexp(0, np.where(label == 1, -z, z)).sum() + (ridge * weights**2).sum() / 2
    )


def _sigmoids(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0
