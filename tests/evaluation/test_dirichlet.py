"""Dirichlet scaling against a general optimiser and Kull's formula, and its benefit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize

from helpers.made_classes import make_class_scores, space_of
from pneumoscope.errors import DataError
from pneumoscope.evaluation.multiclass.calibration import (
    VectorCalibration,
    cross_entropy,
    fit_classes,
    log_softmax,
    softmax,
    vector_scaling,
)
from pneumoscope.evaluation.multiclass.dirichlet import (
    cross_fitted_loss,
    dirichlet_scaling,
    fit_by_cross_fitting,
)
from pneumoscope.evaluation.multiclass.scores import ClassScores


def mixed(n: int, *, seed: int = 0) -> tuple[ClassScores, NDArray[np.float64]]:
    """Return scores whose log probabilities are mixed between classes, and the true ones."""
    rng = np.random.default_rng(seed)
    true = make_class_scores(n, 3, seed=seed, sharp=2.0).probabilities
    number = (rng.random(n)[:, np.newaxis] > true.cumsum(axis=1)).sum(axis=1)
    mix = np.array([[1.0, 0.0, 0.0], [0.0, 1.6, 0.9], [0.0, 0.2, 0.7]])
    bent = np.linalg.solve(mix, np.log(true).T).T
    return ClassScores(space_of(3), number, bent, softmax(bent)), true


def test_the_minimum_is_that_of_a_general_optimiser() -> None:
    own, _ = mixed(200)
    n, penalty = 200, 0.05
    inputs = log_softmax(own.logits)
    off = ~np.eye(3, dtype=bool)

    def loss(values: NDArray[np.float64]) -> float:
        matrix, biases = values[:9].reshape(3, 3), values[9:]
        told = float(cross_entropy(inputs @ matrix.T + biases, own.number).mean())
        # Kull and others, equation of ODIR: mean squares off the diagonal, and of the biases.
        odir = (matrix[off] ** 2).sum() / 6 + (biases**2).sum() / 3
        return told + penalty * float(odir) + float(((np.diag(matrix) - 1) ** 2).sum()) / (2 * n)

    start = np.concatenate([np.eye(3).ravel(), np.zeros(3)])
    wanted = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-8})
    found = dirichlet_scaling(own.logits, own.number, penalty=penalty)
    values = np.concatenate([np.array(found.matrix).ravel(), found.biases])
    assert loss(values) == pytest.approx(wanted.fun, abs=1e-9)
    assert values == pytest.approx(wanted.x, abs=1e-3)


def test_it_mends_what_a_scale_a_class_cannot() -> None:
    own, true = mixed(6000)
    found = fit_by_cross_fitting(own, np.arange(6000), method="dirichlet")
    other = vector_scaling(own.logits, own.number)
    assert found.method == "dirichlet"
    assert found.temperature is None
    assert np.abs(found.apply(own.logits) - true).mean() < 0.02
    assert np.abs(other.apply(own.logits) - true).mean() > 0.03
    assert found.loss_after is not None
    assert other.loss_after is not None
    assert found.loss_after < other.loss_after
    assert VectorCalibration.from_dict(found.to_dict()) == found


def test_auto_takes_what_is_best_on_those_left_out() -> None:
    own, _ = mixed(3000)
    found = fit_by_cross_fitting(own, np.arange(3000), method="auto")
    losses = dict(found.losses)
    assert list(losses) == ["temperature", "vector", "dirichlet"]
    assert found.method == min(losses, key=lambda name: losses[name]) == "dirichlet"
    plain = make_class_scores(3000, 3, seed=3)
    rng = np.random.default_rng(3)
    number = (rng.random(3000)[:, np.newaxis] > plain.probabilities.cumsum(axis=1)).sum(axis=1)
    bent = ClassScores(plain.labels, number, 2.0 * plain.logits, softmax(2.0 * plain.logits))
    chosen = fit_by_cross_fitting(bent, np.arange(3000), method="auto")
    losses = dict(chosen.losses)
    assert losses["temperature"] < losses["dirichlet"] + 1e-3  # more than it needs helps nothing
    assert chosen.loss_after is not None
    assert chosen.loss_before is not None
    assert chosen.loss_after < chosen.loss_before


def test_a_strong_penalty_leaves_the_diagonal_alone() -> None:
    own, _ = mixed(500)
    found = dirichlet_scaling(own.logits, own.number, penalty=1e6)
    matrix = np.array(found.matrix)
    assert np.abs(matrix[~np.eye(3, dtype=bool)]).max() < 1e-3
    assert np.abs(found.biases).max() < 1e-3
    assert np.diag(matrix).min() > 0.1


def test_images_of_a_patient_are_in_one_fold() -> None:
    """Ten copies of each image do not tell the fit about those that are left out."""
    own = make_class_scores(60, 3, seed=5)
    alone = cross_fitted_loss(own.logits, own.number, np.arange(60), vector_scaling)
    rows = np.repeat(np.arange(60), 10)
    copied = own.select(rows)
    apart = cross_fitted_loss(copied.logits, copied.number, rows, vector_scaling)
    mixed_up = cross_fitted_loss(copied.logits, copied.number, np.arange(600), vector_scaling)
    assert mixed_up < min(alone, apart)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_permuting_the_classes_permutes_the_calibration(classes: int, seed: int) -> None:
    own = make_class_scores(80, classes, seed=seed)
    order = np.random.default_rng(seed).permutation(classes)
    one = dirichlet_scaling(own.logits, own.number, penalty=0.1)
    other = dirichlet_scaling(own.logits[:, order], np.argsort(order)[own.number], penalty=0.1)
    assert other.apply(own.logits[:, order]) == pytest.approx(
        one.apply(own.logits)[:, order], abs=1e-6
    )
    assert one.apply(own.logits).sum(axis=1) == pytest.approx(1)
    assert one.loss_after is not None
    assert one.loss_before is not None
    assert one.loss_after <= one.loss_before + 1e-9


def test_too_few_images() -> None:
    with pytest.raises(DataError, match="10 images of each class"):
        fit_by_cross_fitting(make_class_scores(20, 3), np.arange(20), method="auto")


def test_vector_is_what_platt_means() -> None:
    own = make_class_scores(100, 3, seed=2)
    assert fit_classes(own, method="vector") == fit_classes(own, method="platt")
