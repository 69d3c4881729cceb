"""What validation images decide of a finished network: calibration, threshold, uncertain zone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, LeakError
from pneumoscope.evaluation.calibration import Calibration, fit_calibration
from pneumoscope.evaluation.conformal import fit_zone
from pneumoscope.evaluation.operating_point import choose, parse_rule
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.model_file.metadata import OperatingPoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.reader.conformal import Conformal
    from pneumoscope.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Decided:
    """What a reader needs beyond its network.

    Attributes:
        calibration: From logits to probabilities.
        point: From which probability on an image is called positive.
        conformal: When an image is set aside; None for a reader that always concludes.
        scores: The validation scores that all of it rests on.
        notes: What could not be decided, and why.
    """

    calibration: Calibration
    point: OperatingPoint
    conformal: Conformal | None
    scores: Scores
    notes: tuple[str, ...] = ()


def decide(
    recipe: Recipe, data: PreparedData, logit: NDArray[np.float64], *, part: str = "val"
) -> Decided:
    """Return what the recipe's rules choose on validation images.

    Args:
        recipe: ``calibration``, ``operating_point`` and ``error_level`` say how.
        data: The images.
        logit: What the network said of the validation rows, in their order; float64 [n].
        part: Which part they are.

    Raises:
        OptionError: A rule that cannot be read.
        LeakError: The part must not decide anything.
    """
    chosen = data.catalog.select(data.split.rows(part))
    raw = Scores(
        tuple(entry.path for entry in chosen.entries),
        tuple(entry.patient for entry in chosen.entries),
        chosen.labels,
        logit,
        Calibration().apply(logit),
        part,
        tuple(entry.sha256 for entry in chosen.entries),
    )
    return decide_on(raw, recipe)


def decide_on(raw: Scores, recipe: Recipe) -> Decided:
    """Return what the recipe's rules choose on scores.

    What too few images cannot decide is left out, with a note, since a training must not be lost
    for it.

    Args:
        raw: Of validation images, with the network's own logits; their probabilities are not used.
        recipe: ``calibration``, ``operating_point`` and ``error_level`` say how.

    Raises:
        OptionError: A rule that cannot be read.
        LeakError: The scores must not decide anything.
    """
    rule = parse_rule(recipe.decision.operating_point)
    raw = replace(raw, probability=Calibration().apply(raw.logit))
    notes = []
    calibration = Calibration()
    if recipe.decision.calibration != "none":
        try:
            calibration = fit_calibration(raw, method=recipe.decision.calibration)
            if calibration.note:
                notes.append(f"the calibration is doubtful: {calibration.note}")
        except LeakError:
            raise
        except DataError as fault:
            notes.append(f"the probabilities are not calibrated: {fault}")
    scores = replace(raw, probability=calibration.apply(raw.logit))
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
