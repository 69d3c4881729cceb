"""The logistic function, and logistic regression by Newton's method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 200
_SMALLEST_STEP = 1e-10
_ENOUGH = 1e-13  # relative decrease of the loss below which the iteration stops


def logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), without overflow.

    >>> logistic(np.array([-1000.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    value: NDArray[np.float64] = 0.5 * (1 + np.tanh(x / 2))
    return value


def group_log_odds(logits: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the log odds of a group of classes, [n].

    Args:
        logits: Logits or log probabilities of the classes, [n, K].
        inside: Whether each class belongs to the group, [K]; neither all nor none do.
    """
    found: NDArray[np.float64] = np.logaddexp.reduce(logits[:, inside], axis=1)
    found -= np.logaddexp.reduce(logits[:, ~inside], axis=1)
    return found


def log_loss(
    logit: NDArray[np.float64], target: NDArray[np.float64] | NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the cross-entropy in nats of each finite logit, [n], under targets in [0, 1], [n].

    >>> log_loss(np.array([0.0, 1000.0]), np.array([1, 1])).round(3).tolist()
    [0.693, 0.0]
    """
    # Not ``logaddexp(0, logit) - target * logit``, which loses all digits of confident logits. The
    # logarithm is common to both classes, and takes most of the time.
    positive = np.asarray(target, np.float64)
    loss: NDArray[np.float64] = np.log1p(np.exp(-np.abs(logit)))
    loss += positive * np.maximum(-logit, 0) + (1 - positive) * np.maximum(logit, 0)
    return loss


def fit_line(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of targets in [0, 1] on x, [n].

    If targets of 0 and 1 are separated by x, the slope is unbounded; a steep one is returned.
    """
    centre, width = float(x.mean()), float(x.std()) or 1.0
    design = np.column_stack([(x - centre) / width, np.ones_like(x)])
    start = np.array([0.0, math.log((target.sum() + 0.5) / ((1 - target).sum() + 0.5))])
    line = _newton(design, target, ridge=np.zeros(2), start=start)
    return float(line[0] / width), float(line[1] - line[0] * centre / width)


def fit_ridge(
    features: NDArray[np.float64], label: NDArray[np.int64], *, penalty: float = 1.0
) -> NDArray[np.float64]:
    """Fit a ridge logistic regression; return weights [columns + 1], the intercept last.

    Minimises the summed log-loss plus ``penalty / 2`` times the squared weights without the
    intercept (scikit-learn's ``C`` is ``1 / penalty``).

    Args:
        features: [n, columns].
        label: 0 or 1, [n].
        penalty: Above 0, so that the minimum exists for separable classes as well.
    """
    design = np.column_stack([features, np.ones(len(features))])
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 0.0
    return _newton(design, label.astype(np.float64), ridge=ridge, start=np.zeros(design.shape[1]))


def _newton(
    design: NDArray[np.float64],
    target: NDArray[np.float64],
    *,
    ridge: NDArray[np.float64],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the weights that minimise the penalised cross-entropy.

    A Newton step is halved until it no longer increases the loss.
    """

    def loss_of(weights: NDArray[np.float64]) -> float:
        return float(log_loss(design @ weights, target).sum()) + float(ridge @ weights**2) / 2

    weights, loss = start, loss_of(start)
    for _ in range(_STEPS):
        fitted = logistic(design @ weights)
        gradient = design.T @ (fitted - target) + ridge * weights
        curvature = (design * (fitted * (1 - fitted))[:, np.newaxis]).T @ design
        step = np.linalg.solve(curvature + np.diag(ridge + 1e-12), gradient)
        size = 1.0
        while size > _SMALLEST_STEP:
            tried = weights - size * step
            if (tried_loss := loss_of(tried)) <= loss:
                break
            size /= 2
        else:
            break  # as low as floating point allows
        weights, loss = tried, tried_loss
        if float(gradient @ step) <= _ENOUGH * (1 + abs(loss)):
            break
    return weights
