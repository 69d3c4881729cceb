"""Logistic regressions on features, with the penalty chosen by cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold

from pneumoscope.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTIES = np.logspace(-5, 0, 6)
"""Candidate inverse strengths of the L2 penalty, on standardised features."""

_FOLDS = 5


def fit_findings(
    features: NDArray[np.float32],
    labels: NDArray[np.int8],
    groups: NDArray[np.int64],
    *,
    seed: int,
    balanced: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights [F, features] and biases [F], each finding fitted on its labelled images.

    Args:
        features: Features of the images, [n, features].
        labels: 1, 0, or -1 without a label; [n, F].
        groups: Images of one group stay in one fold, [n].
        seed: Seed of the folds.
        balanced: As for ``fit_logistic``.

    Raises:
        DataError: There are too few patients with or without a finding.
    """
    found = []
    for own in labels.T:
        rows = own >= 0
        found.append(
            fit_logistic(
                features[rows],
                own[rows].astype(np.int64),
                groups[rows],
                seed=seed,
                balanced=balanced,
            )
        )
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


def fit_logistic(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    seed: int,
    balanced: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights [k, features] and biases [k] of a logistic regression on the raw features.

    For two classes, there is one logit, of the second against the first; for more, one per class.
    """
    classes = range(int(labels.max()) + 1)
    smallest = min(len(set(groups[labels == label].tolist())) for label in classes)
    folds = min(_FOLDS, smallest)
    if folds < 2:
        raise DataError(
            "the penalty of a linear probe is chosen by cross-validation, which needs at least two "
            f"patients of each class in the training set; the smallest class has {smallest}."
        )
    mean, scale = features.mean(0, np.float64), features.std(0, np.float64)
    scale[scale < 1e-9] = 1.0
    standard = ((features - mean) / scale).astype(np.float32)
    splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    search = LogisticRegressionCV(
        Cs=PENALTIES,
        cv=list(splits.split(features, labels, groups)),
        scoring="neg_log_loss",
        max_iter=500,
        tol=1e-3,
        class_weight=None if balanced == "none" else "balanced",
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )
    search.fit(standard, labels)
    weights = search.coef_.astype(np.float64) / scale
    bias = search.intercept_ - weights @ mean
    if balanced != "none":  # back to the prior of the data
        shares = np.bincount(labels) / len(labels)
        bias = bias + (np.log(shares) if len(shares) > 2 else np.log(shares[1:] / shares[:1]))
    return weights, bias
