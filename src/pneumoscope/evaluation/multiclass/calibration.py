"""Calibration of several classes: temperature, vector and Dirichlet scaling.

Each logit is multiplied by a scale, and a bias is added, before the softmax. Temperature scaling
has one scale for all classes and no biases; vector scaling has a scale and a bias per class (Guo
and others, "On calibration of modern neural networks", ICML 2017). Dirichlet scaling multiplies the
logarithms of the probabilities by a matrix (``dirichlet`` fits it).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.calibration import SCALES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multiclass.scores import ClassScores

_ENOUGH = 10
_STEPS = 50
_PENALTY = 1.0  # a penalty with the weight of one image pulls scales to 1 and biases to 0

_WRONG_WAY = (
    "in these scores, the logits of the true classes are not higher than the others, so "
    "calibration cannot help; check that the scores are from this model."
)


@dataclass(frozen=True, slots=True)
class VectorCalibration:
    """Scales and biases of the logits, and the data they were fitted on.

    Attributes:
        scales: Scale of each class, above 0.
        biases: Bias of each class.
        method: ``none``, ``temperature``, ``vector`` or ``dirichlet``.
        n: Number of images it was fitted on.
        loss_before: Mean cross-entropy on these images in nats, without calibration.
        loss_after: The same, with calibration.
        note: Doubts about the fit; empty if there are none.
        matrix: Matrix of Dirichlet scaling, [K][K], which multiplies log probabilities and replaces
            the scales (which are 1); empty for the other methods.
        losses: Cross-fitted loss of each compared method, if several were.
    """

    scales: tuple[float, ...]
    biases: tuple[float, ...]
    method: str = "none"
    n: int = 0
    loss_before: float | None = None
    loss_after: float | None = None
    note: str = ""
    matrix: tuple[tuple[float, ...], ...] = ()
    losses: tuple[tuple[str, float], ...] = ()

    @classmethod
    def none(cls, classes: int) -> VectorCalibration:
        """Return the identity calibration."""
        return cls((1.0,) * classes, (0.0,) * classes)

    @property
    def temperature(self) -> float | None:
        """1 / scale if all classes share one; otherwise None."""
        alike = len(set(self.scales)) == 1 and not self.matrix
        return 1 / self.scales[0] if alike else None

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of logits, both [n, K]."""
        line = np.asarray(logits, np.float64)
        if self.matrix:
            line = log_softmax(line) @ np.array(self.matrix).T
        return softmax(line * np.array(self.scales) + np.array(self.biases))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; ``matrix`` and ``losses`` only if there are any."""
        found = {**asdict(self), "scales": list(self.scales), "biases": list(self.biases)}
        del found["matrix"], found["losses"]
        if self.matrix:
            found["matrix"] = [list(row) for row in self.matrix]
        if self.losses:
            found["losses"] = dict(self.losses)
        return found

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VectorCalibration:
        """Return the calibration written by ``to_dict``.

        Raises:
            KeyError, TypeError: A field is missing or has the wrong type.
        """
        told = {**values, "scales": tuple(values["scales"]), "biases": tuple(values["biases"])}
        told["matrix"] = tuple(map(tuple, values.get("matrix", ())))
        told["losses"] = tuple(dict(values.get("losses", ())).items())
        return cls(**told)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities [n, K] of logits [n, K]."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return found


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log probabilities [n, K] of logits [n, K]."""
    found: NDArray[np.float64] = logits - np.logaddexp.reduce(logits, axis=1)[:, np.newaxis]
    return found


def cross_entropy(logits: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the negative logarithm of the true class's probability, [n], in nats."""
    found: NDArray[np.float64] = np.logaddexp.reduce(logits, axis=1)
    found -= logits[np.arange(len(logits)), number]
    return found


def fit_classes(scores: ClassScores, *, method: str = "temperature") -> VectorCalibration:
    """Fit the calibration that minimises the cross-entropy on validation scores.

    Args:
        scores: Scores of validation images; their probabilities are not used.
        method: ``temperature``, or ``vector``, for which ``platt`` is another name.

    Raises:
        DataError: A class has fewer than 10 images, a logit is infinite, or the logits rank the
            classes in reverse.
    """
    check_enough(scores)
    fit = vector_scaling if method in {"platt", "vector"} else temperature_scaling
    return fit(scores.logits, scores.number)


def check_enough(scores: ClassScores) -> None:
    """Check that a calibration can be fitted.

    Raises:
        DataError: A class has fewer than 10 images, or a logit is infinite.
    """
    counts = np.bincount(scores.number, minlength=len(scores.labels))
    if counts.min() < _ENOUGH:
        held = ", ".join(f"{n} {name}" for n, name in zip(counts, scores.labels.names, strict=True))
        raise DataError(
            f"calibration needs at least {_ENOUGH} images of each class; there are {held}."
        )
    if not np.isfinite(scores.logits).all():
        raise DataError("calibration needs finite logits; some are infinite.")


def temperature_scaling(
    logits: NDArray[np.float64], number: NDArray[np.int64]
) -> VectorCalibration:
    """Return the one scale that minimises the loss, which is convex in it.

    Args:
        logits: Logits of each class, [n, K].
        number: True class of each image, [n].

    Raises:
        DataError: The logits rank the classes in reverse.
    """
    own = logits[np.arange(len(logits)), number]

    def slope(scale: float) -> float:
        return float(((softmax(scale * logits) * logits).sum(axis=1) - own).mean())

    low, high = SCALES
    if slope(low) >= 0:
        raise DataError(_WRONG_WAY)
    note = ""
    if slope(high) <= 0:
        low = high
        note = (
            f"the logits of these {len(number)} images separate the classes completely, so the "
            f"temperature is not determined; it was set to {1 / high:g}, and the probabilities "
            "are nearly 0 or 1. Use more images."
        )
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    classes = logits.shape[1]
    scale = math.sqrt(low * high)
    found = _described(np.full(classes, scale), np.zeros(classes), "temperature", logits, number)
    return replace(found, note=note)


def vector_scaling(logits: NDArray[np.float64], number: NDArray[np.int64]) -> VectorCalibration:
    """Return the scales and biases that minimise the loss, by Newton's method.

    The loss is convex, so Newton steps with step halving converge to its minimum.

    Args:
        logits: Logits of each class, [n, K].
        number: True class of each image, [n].

    Raises:
        DataError: The logits rank the classes in reverse.
    """
    n, classes = logits.shape
    truth = np.eye(classes)[number]
    start = np.concatenate([np.ones(classes), np.zeros(classes)])

    def loss(values: NDArray[np.float64]) -> float:
        scales, biases = values[:classes], values[classes:]
        told = cross_entropy(logits * scales + biases, number).sum()
        return float(told + _PENALTY / 2 * ((values - start) ** 2).sum())

    values, now = start, loss(start)
    for _ in range(_STEPS):
        said = softmax(logits * values[:classes] + values[classes:])
        left = said - truth
        gradient = np.concatenate([(left * logits).sum(axis=0), left.sum(axis=0)])
        gradient += _PENALTY * (values - start)
        pulled = np.concatenate([said * logits, said], axis=1)
        hessian = -(pulled.T @ pulled) + _PENALTY * np.eye(2 * classes)
        for a, first in enumerate((logits, np.ones_like(logits))):
            for b, second in enumerate((logits, np.ones_like(logits))):
                block = hessian[a * classes : (a + 1) * classes, b * classes : (b + 1) * classes]
                block[np.diag_indices(classes)] += (said * first * second).sum(axis=0)
        step, share = np.linalg.solve(hessian, gradient), 1.0
        while loss(values - share * step) > now and share > 1e-6:
            share /= 2
        values = values - share * step
        before, now = now, loss(values)
        if before - now < 1e-10 * n:
            break
    if values[:classes].min() <= 0:
        raise DataError(_WRONG_WAY)
    return _described(values[:classes], values[classes:], "vector", logits, number)


def _described(
    scales: NDArray[np.float64],
    biases: NDArray[np.float64],
    method: str,
    logits: NDArray[np.float64],
    number: NDArray[np.int64],
) -> VectorCalibration:
    before, after = (
        float(cross_entropy(line, number).mean()) for line in (logits, logits * scales + biases)
    )
    return VectorCalibration(
        tuple(scales.tolist()), tuple(biases.tolist()), method, len(number), before, after
    )
