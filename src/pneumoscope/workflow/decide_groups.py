"""Fit calibration, threshold and uncertain zone over groups of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, LeakError
from pneumoscope.evaluation.operating_point import parse_rule
from pneumoscope.evaluation.over_groups import calibrate_over, choose_over, pooled, zone_over
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.workflow.decide import Decided, calibrated, no_calibration

if TYPE_CHECKING:
    from pneumoscope.evaluation.calibration import Calibration
    from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.training.recipe import Recipe


def decide_over(groups: Sequence[Scores], recipe: Recipe) -> Decided:
    """Fit the decision by the recipe's rules over groups.

    Decisions that cannot be made are omitted, with a note, as in ``decide_on``.

    Args:
        groups: Uncalibrated scores of each group, by networks trained without it; their
            probabilities are not used.
        recipe: Recipe with ``calibration``, ``operating_point``, ``error_level`` and
            ``group_share``.

    Raises:
        OptionError: An invalid rule.
        LeakError: The scores must not be used for decisions.
    """
    rule = parse_rule(recipe.decision.operating_point)
    share, method = recipe.decision.group_share, recipe.decision.calibration
    notes = []
    line: Calibration | VectorCalibration = no_calibration(groups[0])
    if method != "none":
        try:
            line = calibrate_over(groups, method=method, share=share)
        except LeakError:
            raise
        except DataError as fault:
            notes.append(f"the probabilities are not calibrated: {fault}")
    scores = [calibrated(group, line) for group in groups]
    try:
        point = choose_over(rule, scores, share=share)
    except LeakError:
        raise
    except DataError as fault:
        notes.append(f"the threshold is 0.5: {fault}")
        point = OperatingPoint()
    conformal = None
    if recipe.decision.error_level:
        try:
            zone = zone_over(
                scores, threshold=point.threshold, level=recipe.decision.error_level, share=share
            )
        except LeakError:
            raise
        except DataError as fault:
            notes.append(f"there is no uncertain zone: {fault}")
        else:
            conformal = zone.conformal
            if zone.note:
                notes.append(f"there is no uncertain zone: {zone.note}.")
    return Decided(line, point, conformal, pooled(scores), tuple(notes))
