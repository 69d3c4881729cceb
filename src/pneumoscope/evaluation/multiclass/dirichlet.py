"""Dirichlet scaling, and the choice between methods by their cross-fitted loss.

The logarithms of the probabilities are multiplied by a matrix, and biases are added, before the
softmax: this can correct classes that are mistaken for each other, in contrast to one scale per
class (Kull and others, "Beyond temperature scaling: obtaining well-calibrated multiclass
probabilities with Dirichlet calibration", NeurIPS 2019). Off-diagonal entries and biases are
penalised (their ODIR), with a penalty chosen by cross-fitting over patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.errors import DataError
from pneumoscope.evaluation.multiclass.calibration import (
    VectorCalibration,
    check_enough,
    cross_entropy,
    log_softmax,
    softmax,
    temperature_scaling,
    vector_scaling,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.evaluation.multiclass.scores import ClassScores

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Fit = Callable[[Floats, Integers], VectorCalibration]

METHODS: Final = ("dirichlet", "auto")
"""Methods of calibrating more than two classes that are fitted here."""

PENALTIES: Final = (10.0, 1.0, 0.1, 0.01, 0.001)
"""Candidate penalties, the strongest first, which is preferred in ties."""

_FOLDS = 5
_STEPS = 50
_RIDGE = 1.0  # pulls the diagonal to 1, which ODIR does not penalise
_SMALLEST = 1e-45


def fit_by_cross_fitting(
    scores: ClassScores, patient: Integers, *, method: str
) -> VectorCalibration:
    """Fit a calibration that is selected by its loss on patients left out of the fit.

    Args:
        scores: Scores of validation images; their probabilities are not used.
        patient: Number of each image's patient, [n]; a patient is in one fold.
        method: ``dirichlet``, with a selected penalty; or ``auto``, the best of temperature, vector
            and Dirichlet scaling, the simplest in case of ties.

    Raises:
        DataError: A class has fewer than 10 images, a logit is infinite, or the logits rank the
            classes in reverse.
    """
    check_enough(scores)
    logits, number = scores.logits, scores.number
    fits: dict[tuple[str, float], Fit] = {}
    if method == "auto":
        fits["temperature", 0.0] = temperature_scaling
        fits["vector", 0.0] = vector_scaling
    for penalty in PENALTIES:
        fits["dirichlet", penalty] = _dirichlet(penalty)
    losses = {key: cross_fitted_loss(logits, number, patient, fit) for key, fit in fits.items()}
    best = min(losses, key=lambda key: losses[key])
    compared: dict[str, float] = {}
    for (name, _), loss in losses.items():
        compared[name] = min(loss, compared.get(name, np.inf))
    return replace(fits[best](logits, number), losses=tuple(compared.items()))


def cross_fitted_loss(logits: Floats, number: Integers, patient: Integers, fit: Fit) -> float:
    """Return the mean cross-entropy in nats of images whose patients were left out of the fit.

    Infinite if a fold cannot be fitted.

    Args:
        logits: Logits of each class, [n, K].
        number: True class of each image, [n].
        patient: Number of each image's patient, [n].
        fit: Returns the calibration of logits and classes.
    """
    lost = np.empty(len(number))
    for inside, outside in _folds(patient):
        try:
            line = fit(logits[inside], number[inside])
        except DataError:  # with few images, the logits may seem to rank the classes in reverse
            return float("inf")
        said = line.apply(logits[outside])[np.arange(len(outside)), number[outside]]
        lost[outside] = -np.log(np.maximum(said, _SMALLEST))
    return float(lost.mean())


def _folds(patient: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield the rows of the fit and those left out, by patients in random order."""
    people = np.unique(patient, return_inverse=True)[1]
    count = int(people.max()) + 1
    fold = np.random.default_rng(0).permutation(count) % min(_FOLDS, count)
    for number in range(int(fold.max()) + 1):
        left_out = fold[people] == number
        yield np.flatnonzero(~left_out), np.flatnonzero(left_out)


def _dirichlet(penalty: float) -> Fit:
    return lambda logits, number: dirichlet_scaling(logits, number, penalty=penalty)


def dirichlet_scaling(logits: Floats, number: Integers, *, penalty: float) -> VectorCalibration:
    """Return the matrix and biases that minimise the penalised loss, by Newton's method.

    The loss is the mean cross-entropy, plus ``penalty`` times the mean square of the off-diagonal
    entries, plus the same for the biases. It is convex, so Newton steps with step halving converge
    to its minimum.

    Args:
        logits: Logits of each class, [n, K].
        number: True class of each image, [n].
        penalty: The penalty, above 0.
    """
    n, classes = logits.shape
    inputs = np.concatenate([log_softmax(logits), np.ones((n, 1))], axis=1)
    truth = np.eye(classes)[number]
    # Row k of the values: the weights of class k, its bias last.
    start = np.concatenate([np.eye(classes), np.zeros((classes, 1))], axis=1)
    off = np.ones((classes, classes)) - np.eye(classes)
    weight = np.concatenate(
        [
            n * penalty * 2 * off / (classes * (classes - 1)) + _RIDGE * np.eye(classes),
            np.full((classes, 1), n * penalty * 2 / classes),
        ],
        axis=1,
    )

    def loss(values: Floats) -> float:
        told = cross_entropy(inputs @ values.T, number).sum()
        return float(told + (weight * (values - start) ** 2).sum() / 2)

    values, now = start, loss(start)
    for _ in range(_STEPS):
        said = softmax(inputs @ values.T)
        gradient = (said - truth).T @ inputs + weight * (values - start)
        hessian = _hessian(said, inputs) + np.diag(weight.ravel())
        step = np.linalg.solve(hessian, gradient.ravel()).reshape(values.shape)
        share = 1.0
        while loss(values - share * step) > now and share > 1e-6:
            share /= 2
        values = values - share * step
        before, now = now, loss(values)
        if before - now < 1e-10 * n:
            break
    return VectorCalibration(
        (1.0,) * classes,
        tuple(values[:, -1].tolist()),
        "dirichlet",
        n,
        float(cross_entropy(logits, number).mean()),
        float(cross_entropy(inputs @ values.T, number).mean()),
        matrix=tuple(map(tuple, values[:, :-1].tolist())),
    )


def _hessian(said: Floats, inputs: Floats) -> Floats:
    """Return the second derivatives of the cross-entropy, [K (K + 1), K (K + 1)]."""
    classes, wide = said.shape[1], inputs.shape[1]
    found = np.empty((classes, wide, classes, wide))
    for a in range(classes):
        for b in range(a, classes):
            weights = said[:, a] * ((a == b) - said[:, b])
            block = (inputs * weights[:, np.newaxis]).T @ inputs
            found[a, :, b], found[b, :, a] = block, block
    return found.reshape(classes * wide, classes * wide)
