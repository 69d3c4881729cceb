"""Recover the calibration between the logits and probabilities of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.evaluation.calibration import Calibration

if TYPE_CHECKING:
    from pneumoscope.evaluation.scores import Scores

_ALIKE = 2e-3  # relative error of the logit: probabilities are written in single precision
_TOLD = (0.01, 0.99)  # beyond this, probabilities have lost digits of the logit
_ENOUGH = 3


def fitted_calibration(scores: Scores) -> Calibration | None:
    """Return the line between logits and calibrated logits, None if there is none.

    The calibration is derived from the scores themselves, regardless of the recipe.
    """
    usable = (scores.probability > _TOLD[0]) & (scores.probability < _TOLD[1])
    x, probability = scores.logit[usable], scores.probability[usable]
    if len(np.unique(x)) < _ENOUGH or not np.isfinite(x).all():
        return None
    y = np.log(probability) - np.log1p(-probability)
    scale, bias = (float(number) for number in np.polyfit(x, y, 1))
    if np.abs(scale * x + bias - y).max() > _ALIKE or scale <= 0:
        return None
    if abs(bias) > _ALIKE:
        return Calibration(scale, bias, "platt")
    return (
        Calibration() if np.abs(x - y).max() <= _ALIKE else Calibration(scale, 0.0, "temperature")
    )
