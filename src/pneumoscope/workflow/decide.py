"""Fit calibration, threshold and uncertain zone of a trained network on validation images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import DataError, LeakError, one_of
from pneumoscope.evaluation.calibration import METHODS, Calibration, fit_calibration
from pneumoscope.evaluation.conformal import fit_zone
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration, fit_classes, softmax
from pneumoscope.evaluation.multiclass.dirichlet import METHODS as CROSS_FITTED
from pneumoscope.evaluation.multiclass.dirichlet import fit_by_cross_fitting
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.operating_point import choose, parse_rule
from pneumoscope.evaluation.policy import summary
from pneumoscope.evaluation.scores import Scores, check_may_decide
from pneumoscope.reader.drift import histogram
from pneumoscope.reader.model_file.metadata import OperatingPoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.reader.conformal import Conformal
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Decided:
    """The fitted decision of a reader.

    Attributes:
        calibration: The calibration.
        point: The operating point.
        conformal: The rule of the uncertain zone; None without a zone.
        scores: The validation scores that the decision is based on.
        notes: Decisions that could not be made, with reasons.
    """

    calibration: Calibration | VectorCalibration
    point: OperatingPoint
    conformal: Conformal | None
    scores: Scores
    notes: tuple[str, ...] = ()

    def decided_info(self, bare: ModelInfo) -> ModelInfo:
        """Return metadata with the decisions and their performance on the validation images."""
        info = replace(bare, operating_point=self.point, conformal=self.conformal)
        reference = {
            **bare.reference,
            "probability_histogram": histogram(self.scores.probability),
            "policy": summary(info.policy(), self.scores),
        }
        return replace(
            info,
            reference=reference,
            training={**info.training, "calibration": self.calibration.to_dict()},
        )


def decide(
    recipe: Recipe, data: PreparedData, logit: NDArray[np.float64], *, part: str = "val"
) -> Decided:
    """Fit the decision by the recipe's rules on validation images.

    Args:
        recipe: Recipe with ``calibration``, ``operating_point`` and ``error_level``.
        data: The images.
        logit: Logits of the validation rows, in order: float64 [n] for two classes, otherwise [n,
            K].
        part: Name of the part.

    Raises:
        OptionError: An invalid rule.
        LeakError: The part must not be used for decisions.
    """
    return decide_on(raw_scores(data, data.split.rows(part), logit, part=part), recipe)


def raw_scores(
    data: PreparedData, rows: Sequence[int], logit: NDArray[np.float64], *, part: str = "val"
) -> Scores:
    """Return the uncalibrated scores of catalog rows.

    Args:
        data: The images.
        rows: The rows.
        logit: Logit of each row: float64 [n] for two classes, otherwise [n, K].
        part: Name of the part.
    """
    chosen = data.catalog.select(rows)
    several = logit.ndim == 2
    line = np.zeros(len(logit)) if several else logit
    raw = Scores(
        tuple(entry.path for entry in chosen.entries),
        tuple(entry.patient for entry in chosen.entries),
        chosen.labels,
        line,
        Calibration().apply(line),
        part,
        tuple(entry.sha256 for entry in chosen.entries),
    )
    if not several:
        return raw
    number, probabilities = chosen.class_numbers, softmax(logit)
    return raw.with_classes(ClassScores(chosen.label_space, number, logit, probabilities))


def decide_on(raw: Scores, recipe: Recipe) -> Decided:
    """Fit the decision by the recipe's rules on scores.

    Decisions for which there are too few images are omitted, with a note, so that the training is
    not lost.

    Args:
        raw: Scores of validation images, with the logits of the network; their probabilities are
            not used.
        recipe: Recipe with ``calibration``, ``operating_point`` and ``error_level``.

    Raises:
        OptionError: An invalid rule.
        LeakError: The scores must not be used for decisions.
    """
    rule = parse_rule(recipe.decision.operating_point)
    notes = []
    calibration: Calibration | VectorCalibration = no_calibration(raw)
    if recipe.decision.calibration != "none":
        try:
            calibration = fit(raw, method=recipe.decision.calibration)
            if calibration.note:
                notes.append(f"the calibration may be unreliable: {calibration.note}")
        except LeakError:
            raise
        except DataError as fault:
            notes.append(f"the probabilities are not calibrated: {fault}")
    scores = calibrated(raw, calibration)
    try:
        point = choose(rule, scores)
    except LeakError:
        raise
    except DataError as fault:
        notes.append(f"the threshold is 0.5: {fault}")
        point = OperatingPoint()
    conformal = None
    if recipe.decision.error_level:
        try:
            zone = fit_zone(scores, threshold=point.threshold, level=recipe.decision.error_level)
        except LeakError:
            raise
        except DataError as fault:
            notes.append(f"there is no uncertain zone: {fault}")
        else:
            conformal = zone.conformal
            if zone.note:
                notes.append(f"there is no uncertain zone: {zone.note}.")
    return Decided(calibration, point, conformal, scores, tuple(notes))


def no_calibration(raw: Scores) -> Calibration | VectorCalibration:
    """Return the identity calibration."""
    return Calibration() if raw.classes is None else VectorCalibration.none(len(raw.classes.labels))


def fit(raw: Scores, *, method: str) -> Calibration | VectorCalibration:
    """Return the calibration fitted to validation scores by a method.

    Args:
        raw: Scores with the logits of the network.
        method: ``temperature`` or ``platt``; for more than two classes, the latter is vector
            scaling, and ``vector``, ``dirichlet`` and ``auto`` are available as well.

    Raises:
        OptionError: An unknown method.
        LeakError: The scores are of training or test images.
        DataError: A class has too few images, or the scores rank the classes in reverse.
    """
    if raw.classes is None:
        return fit_calibration(raw, method=method)
    check_may_decide(raw, what="a calibration")
    one_of("method", method, (*METHODS, "vector", *CROSS_FITTED))
    if method in CROSS_FITTED:
        return fit_by_cross_fitting(raw.classes, raw.patient_numbers, method=method)
    return fit_classes(raw.classes, method=method)


def calibrated(raw: Scores, calibration: Calibration | VectorCalibration) -> Scores:
    """Return scores with the probabilities of a calibration of the network's logits."""
    if isinstance(calibration, Calibration):
        return replace(raw, probability=calibration.apply(raw.logit))
    assert raw.classes is not None  # noqa: S101 - such a calibration is of several classes
    probabilities = calibration.apply(raw.classes.logits)
    return raw.with_classes(replace(raw.classes, probabilities=probabilities))
