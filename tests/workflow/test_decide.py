"""What validation scores decide, and what is left out with a note."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.made_scores import make_scores
from pneumoscope.errors import LeakError
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.training.recipe import change_recipe, recipe_of
from pneumoscope.workflow.decide import decide_on

RULES = recipe_of("transfer")


def test_a_preset_decides_calibration_threshold_and_a_zone_that_means_something() -> None:
    scores = make_scores(400, seed=2, slope=2)
    found = decide_on(scores, RULES)
    assert found.notes == ()
    assert isinstance(found.calibration, Calibration)
    assert found.calibration.method == "temperature"
    assert found.calibration.scale == pytest.approx(1, abs=0.2)
    assert found.conformal is not None
    assert found.point.rule == "youden"
    np.testing.assert_array_equal(found.scores.probability, found.calibration.apply(scores.logit))


def test_a_level_that_means_nothing_costs_the_zone_and_not_the_training() -> None:
    found = decide_on(make_scores(400, seed=2), change_recipe(RULES, error_level=0.45))
    assert found.conformal is None
    assert len(found.notes) == 1
    assert "no image would be set aside" in found.notes[0]
    none = decide_on(make_scores(400, seed=2), change_recipe(RULES, error_level=0.0))
    assert (none.conformal, none.notes) == (None, ())


def test_logits_that_part_the_classes_are_noted() -> None:
    scores = make_scores(60)
    apart = replace(scores, logit=np.where(scores.label == 1, 3.0, -3.0) + scores.logit / 100)
    found = decide_on(apart, RULES)
    assert "the calibration may be unreliable" in found.notes[0]
    assert "there is no uncertain zone" in found.notes[1]


def test_test_images_decide_nothing() -> None:
    with pytest.raises(LeakError):
        decide_on(make_scores(100, part="test"), RULES)
