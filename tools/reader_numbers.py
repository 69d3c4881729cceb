"""The numbers of the shipped reader's card that are computed from its validation scores alone.

The scores stand in ``docs/reference/reader-card.json``, without names of files or patients, so that
everybody can compute the numbers again; ``tests/reader/test_shipped.py`` does, and fails if the
card or the model file's decision is older than the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pneumoscope.data.patients import Patient
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.policy import evaluate_policy
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.bundle import ModelInfo

SHOWN = ("auc", "balanced_accuracy", "ppv", "npv", "ece", "brier", "calibration_slope")


def scores_to_dict(scores: Scores) -> dict[str, list[float] | list[int]]:
    """Return scores as JSON values without names: patients are numbered."""
    assert scores.refused is not None
    return {
        "label": scores.label.tolist(),
        "patient": scores.patient_numbers.tolist(),
        "logit": scores.logit.tolist(),
        "refused": scores.refused.astype(int).tolist(),
    }


def scores_from_dict(values: Mapping[str, Any], calibration: Calibration) -> Scores:
    """Return the scores that ``scores_to_dict`` wrote, with the probabilities of a calibration."""
    logit = np.array(values["logit"], np.float64)
    return Scores(
        tuple(f"image {row}" for row in range(len(logit))),
        tuple(Patient(f"patient {number}") for number in values["patient"]),
        np.array(values["label"], np.int64),
        logit,
        calibration.apply(logit),
        "val",
        refused=np.array(values["refused"], np.bool_),
    )


def computed(scores: Scores, info: ModelInfo) -> dict[str, Any]:
    """Return what the card says of the decision and of the probabilities, as JSON values."""
    found = numbers_of(scores, threshold=info.operating_point.threshold, curves=False)
    return {
        "policy": evaluate_policy(info.policy(), scores).to_dict(),
        "validation": {name: found[name].to_dict() for name in SHOWN},
    }
