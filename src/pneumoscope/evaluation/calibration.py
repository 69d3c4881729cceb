"""Calibration: temperature and Platt scaling, fitted on validation scores.

Both map the network's logit to the logit of the probability by a straight line, ``scale * logit +
bias``. Temperature scaling (Guo and others, ICML 2017) has no bias, and its scale is 1 / T; Platt
scaling (Platt, 1999) has both. The line is increasing, so the order of images, and with it the area
under the ROC curve, does not change.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError, OptionError, nearest
from pneumoscope.evaluation.scores import check_may_decide
from pneumoscope.stats.logistic import fit_line, log_loss, logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.scores import Scores

METHODS = ("temperature", "platt")
SCALES = (0.01, 100.0)
"""Limits of the scale, which would be unbounded if the logits separate the classes."""

_ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Calibration:
    """The line from logit to calibrated logit, and the data it was fitted on.

    Attributes:
        scale: Slope of the line, above 0.
        bias: Intercept of the line.
        method: ``none``, ``temperature`` or ``platt``.
        n: Number of images it was fitted on.
        loss_before: Mean cross-entropy on these images in nats, without calibration.
        loss_after: The same, with calibration.
        note: Doubts about the fit; empty if there are none.
    """

    scale: float = 1.0
    bias: float = 0.0
    method: str = "none"
    n: int = 0
    loss_before: float | None = None
    loss_after: float | None = None
    note: str = ""

    @property
    def temperature(self) -> float:
        """1 / scale: above 1 if the network was overconfident."""
        return 1 / self.scale

    def apply(self, logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of logits."""
        line = self.scale * np.asarray(logit, np.float64) + self.bias
        probability: NDArray[np.float64] = 0.5 * (1 + np.tanh(line / 2))
        return probability

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def fit_calibration(scores: Scores, *, method: str = "temperature") -> Calibration:
    """Fit a calibration by name to validation scores.

    Raises:
        OptionError: An unknown method.
        LeakError: The scores are of training or test images.
        DataError: A class has fewer than 10 images, or the scores rank the classes in reverse.
    """
    match method:
        case "temperature":
            return fit_temperature(scores)
        case "platt":
            return fit_platt(scores)
        case _:
            raise OptionError(
                "method",
                must=f"one of {', '.join(METHODS)}",
                was=method,
                hint=nearest(method, METHODS),
            )


def fit_temperature(scores: Scores) -> Calibration:
    """Fit the scale of the logits that minimises the cross-entropy on validation scores.

    The loss is convex in the scale, so the zero of its derivative is found by bisection.

    Raises:
        LeakError: The scores are of training or test images.
        DataError: A class has fewer than 10 images, or the scores rank the classes in reverse.
    """
    logit, label = _checked(scores)

    def slope(scale: float) -> float:
        return float(np.mean((logistic(scale * logit) - label) * logit))

    low, high = SCALES
    if slope(low) >= 0:
        raise DataError(_WRONG_WAY)
    note = ""
    if slope(high) <= 0:
        low = high
        note = (
            f"the logits of these {len(label)} images separate the classes completely, so the "
            f"temperature is not determined; it was set to {1 / high:g}, and the probabilities "
            "are nearly 0 or 1. Use more images, or platt."
        )
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    found = described(math.sqrt(low * high), 0.0, "temperature", logit, label)
    return replace(found, note=note)


def fit_platt(scores: Scores) -> Calibration:
    """Fit scale and bias of the logits that minimise the cross-entropy on validation scores.

    The targets are Platt's, (N+ + 1) / (N+ + 2) and 1 / (N- + 2), so that the line is finite even
    if the logits separate the classes. Fitted by Newton's method with step halving (Lin, Lin and
    Weng, Machine Learning 68, 2007).

    Raises:
        LeakError: The scores are of training or test images.
        DataError: A class has fewer than 10 images, or the scores rank the classes in reverse.
    """
    logit, label = _checked(scores)
    positives = label.sum()
    negatives = len(label) - positives
    target = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scale, bias = fit_line(logit, target)
    if not scale > 0:
        raise DataError(_WRONG_WAY)
    return described(scale, bias, "platt", logit, label)


_WRONG_WAY = (
    "in these scores, images with higher logits are not more often positive, so calibration "
    "cannot help; check that label 1 is the positive class and that the scores are from this "
    "model."
)


def _checked(scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_may_decide(scores, what="a calibration")
    counts = np.bincount(scores.label, minlength=2)
    if counts.min() < _ENOUGH:
        raise DataError(
            f"calibration needs at least {_ENOUGH} images of each class; there are {counts[0]} "
            f"negative and {counts[1]} positive images."
        )
    if not np.isfinite(scores.logit).all():
        raise DataError("calibration needs finite logits; some are infinite.")
    return scores.logit, scores.label.astype(np.float64)


def described(
    scale: float,
    bias: float,
    method: str,
    logit: NDArray[np.float64],
    label: NDArray[np.float64],
) -> Calibration:
    """Return a line with its losses before and after on the images that it was fitted on."""
    before, after = (float(log_loss(x, label).mean()) for x in (logit, scale * logit + bias))
    return Calibration(scale, bias, method, len(label), before, after)
