"""Prediction sets of several classes against those of MAPIE, on random cases."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from helpers.made_classes import as_scores, make_class_scores
from pneumoscope.evaluation.conformal import fit_conformal

classification = pytest.importorskip(
    "mapie.classification", reason="MAPIE is not installed (pip install mapie)"
)


class Said(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose inputs are the probabilities that it gives."""

    def __init__(self, classes: int = 3) -> None:
        self.classes = classes

    def fit(self, _x: NDArray[np.float64], _y: NDArray[np.int64]) -> Said:
        return self

    @property
    def classes_(self) -> NDArray[np.int64]:
        return np.arange(self.classes)

    @property
    def n_features_in_(self) -> int:
        return self.classes

    def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        likeliest: NDArray[np.int64] = np.argmax(x, axis=1).astype(np.int64)
        return likeliest


@pytest.mark.filterwarnings("ignore:.*conformalization dataset has less labels")
@pytest.mark.parametrize("classes", [3, 4, 6])
@pytest.mark.parametrize("level", [0.05, 0.1, 0.25])
def test_the_sets_are_those_of_mapie_class_by_class(classes: int, level: float) -> None:
    """MAPIE's least ambiguous sets, calibrated on the images of one class, hold that class as ours.

    Its own sets are marginal: one quantile for all classes. Class-conditional ones are those of a
    calibration on each class alone.
    """
    own = make_class_scores(120 * classes, classes, seed=classes)
    new = make_class_scores(200, classes, seed=50 + classes).probabilities
    ours = fit_conformal(as_scores(own), level=level).sets(new)
    for k in range(classes):
        rows = own.number == k
        theirs = classification.SplitConformalClassifier(
            Said(classes).fit(new, own.number), confidence_level=1 - level,
            conformity_score="lac", prefit=True,
        )  # fmt: skip
        theirs.conformalize(own.probabilities[rows], own.number[rows])
        _, sets = theirs.predict_set(new)
        np.testing.assert_array_equal(ours[:, k], sets[:, k, 0], err_msg=f"class {k}")
