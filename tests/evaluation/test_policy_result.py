"""A policy at its threshold and as deployed, counted by hand and by patient."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.made_scores import make_scores, people
from pneumoscope.errors import DataError
from pneumoscope.evaluation.conformal import TWO_GROUPS, fit_conformal
from pneumoscope.evaluation.policy import evaluate_policy, summary
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy


def by_hand() -> Scores:
    label = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    p = np.array([0.1, 0.45, 0.8, 0.2, 0.9, 0.8, 0.55, 0.3, 0.05, 0.95])
    refused = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 1], bool)
    names = tuple(map(str, range(10)))
    return Scores(names, people(names), label, np.log(p / (1 - p)), p, "val", refused=refused)


def policy(zone: Conformal | None, threshold: float = 0.5) -> DecisionPolicy:
    return DecisionPolicy(TWO_GROUPS, OperatingPoint("youden", threshold), zone)


def test_both_sides_by_hand() -> None:
    found = evaluate_policy(policy(Conformal(0.2, (0.6, 0.6))), by_hand(), resamples=0)
    values = {
        name: getattr(side, name).value
        for side in (found.at_threshold, found.deployed)
        for name in side.__slots__
        if (side is found.deployed) or name == "accuracy"
    }
    assert found.at_threshold.sensitivity.value == pytest.approx(4 / 6)
    assert found.at_threshold.specificity.value == pytest.approx(3 / 4)
    assert found.at_threshold.accuracy.value == pytest.approx(7 / 10)
    # Uncertain from 0.4 to 0.6: one negative (0.45) and one positive (0.55); two are refused.
    expected = {
        "set_aside": 4 / 10,
        "uncertain": 2 / 10,
        "uncertain_negative": 1 / 4,
        "uncertain_positive": 1 / 6,
        "refused": 2 / 10,
        "refused_negative": 1 / 4,
        "refused_positive": 1 / 6,
        "sensitivity": 2 / 4,
        "specificity": 1 / 2,
        "accuracy": 3 / 6,
        "error": 3 / 6,
        "detected": 2 / 6,
        "missed": 2 / 6,
        "false_alarms": 1 / 4,
    }
    assert values == pytest.approx(expected)
    assert found.deployed.sensitivity.n == 4
    assert (found.error_level, found.rule, found.gate_known) == (0.2, "youden", True)
    assert found.zone == pytest.approx((0.4, 0.6))
    told = json.loads(json.dumps(found.to_dict()))
    assert told["deployed"]["set_aside"]["value"] == 0.4
    assert told["at_threshold"]["sensitivity"]["n"] == 6


def test_without_zone_and_gate_both_sides_are_the_same() -> None:
    scores = replace(by_hand(), refused=None)
    found = evaluate_policy(policy(None), scores, resamples=0)
    assert found.deployed.sensitivity == found.at_threshold.sensitivity
    assert found.deployed.specificity == found.at_threshold.specificity
    assert found.deployed.set_aside.value == 0
    assert found.deployed.refused.value is None
    assert (found.gate_known, found.zone, found.error_level) == (False, None, None)


def test_intervals_count_patients() -> None:
    scores = make_scores(120, per_patient=3)
    zone = fit_conformal(scores, level=0.1)
    found = evaluate_policy(policy(zone), scores, resamples=200)
    assert found.patients < found.n
    assert found.deployed.uncertain.method == "bootstrap by patient"
    assert found.at_threshold.sensitivity.method == "bootstrap by patient"
    again = evaluate_policy(policy(zone), scores, resamples=200)
    assert again == found


def test_a_model_file_keeps_a_summary() -> None:
    zone = policy(Conformal(0.2, (0.6, 0.6)))
    kept = summary(zone, by_hand())
    assert json.loads(json.dumps(kept)) == kept
    assert kept["set_aside"]["value"] == 0.4
    assert kept["error"]["n"] == 6
    assert (kept["part"], kept["n"]) == ("val", 10)
    assert "refused" not in summary(zone, replace(by_hand(), refused=None))


def test_nothing_to_measure() -> None:
    with pytest.raises(DataError, match="no images"):
        evaluate_policy(policy(None), by_hand().select(np.zeros(10, bool)))
