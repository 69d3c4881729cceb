"""Metrics of several findings: against scikit-learn and torchmetrics, and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, precision_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import multilabel_auroc, multilabel_specificity

from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation, evaluate_findings
from pneumoscope.evaluation.multilabel.numbers import (
    OF_ALL,
    OF_FINDING,
    FindingNumbers,
    finding_numbers,
)
from pneumoscope.evaluation.multilabel.scores import FindingScores, holds_findings
from pneumoscope.evaluation.multilabel.weighted import FindingTable, statistics
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.question import Question
from pneumoscope.evaluation.several import point
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.findings import FindingRule, policy_of
from pneumoscope.reader.model_file.metadata import OperatingPoint


def made(seed: int, *, n: int = 300, findings: int = 4, masked: float = 0.3) -> FindingScores:
    """Return random scores in which some labels are missing and some probabilities equal."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, findings)) < np.linspace(0.15, 0.5, findings)).astype(np.int8)
    logits = rng.normal(size=(n, findings)) + 1.2 * labels - 0.5
    logits = np.round(logits, 1)
    labels[rng.random((n, findings)) < masked] = -1
    return FindingScores(
        tuple(f"finding {k}" for k in range(findings)),
        labels,
        logits,
        1 / (1 + np.exp(-logits)),
        tuple(f"{row}.png" for row in range(n)),
        tuple(Patient.of(f"P{row // 2}", f"{row}.png") for row in range(n)),
        "val",
    )


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_scikit_learn(seed: int) -> None:
    scores = made(seed, masked=0.1 * seed)
    thresholds = [0.3, 0.5, 0.45, 0.6]
    found = finding_numbers(scores, thresholds, resamples=0)
    for place, (name, threshold) in enumerate(zip(scores.names, thresholds, strict=True)):
        rows = scores.labels[:, place] >= 0
        label, said = scores.labels[rows, place], scores.probabilities[rows, place]
        called = said >= threshold
        own = found.of(name)
        expected = {
            "auc": roc_auc_score(label, said),
            "sensitivity": recall_score(label, called),
            "specificity": recall_score(label, called, pos_label=0),
            "ppv": precision_score(label, called),
            "npv": precision_score(label, called, pos_label=0),
            "accuracy": (label == called).mean(),
            "prevalence": label.mean(),
            "brier": brier_score_loss(label, said),
            "loss": log_loss(label, said),
        }
        for key, value in expected.items():
            assert own[key].value == pytest.approx(value, abs=1e-9), (name, key)
            assert own[key].n <= rows.sum()
        counts = found.counts[place]
        assert counts.labelled + counts.masked == len(scores)
        assert counts.positive == (label == 1).sum()
    areas = [found.of(name)["auc"].value for name in scores.names]
    assert found["macro_auc"].value == pytest.approx(np.mean([a for a in areas if a is not None]))


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_torchmetrics(seed: int) -> None:
    scores = made(seed)
    said, labels = torch.from_numpy(scores.probabilities), torch.from_numpy(scores.labels).long()
    # torchmetrics calls what lies above the threshold, this package what lies on it too
    found = finding_numbers(scores, [0.5 + 1e-9] * 4, resamples=0)
    settings: dict[str, Any] = {"num_labels": 4, "average": None, "ignore_index": -1}
    for key, expected in (
        ("auc", multilabel_auroc(said, labels, **settings)),
        ("specificity", multilabel_specificity(said, labels, **settings)),
    ):
        own = [found.of(name)[key].value for name in scores.names]
        assert own == pytest.approx(expected.tolist(), abs=1e-6)
    macro = multilabel_auroc(said, labels, num_labels=4, average="macro", ignore_index=-1)
    assert found["macro_auc"].value == pytest.approx(float(macro), abs=1e-6)


def test_each_finding_is_what_two_classes_are_on_its_labelled_images() -> None:
    scores = made(7)
    found = finding_numbers(scores, [0.4] * 4, resamples=300, seed=3)
    for name in scores.names:
        two = numbers_of(scores.of(name), threshold=0.4, resamples=300, seed=3, curves=False)
        for key in OF_FINDING:
            assert found.of(name)[key].value == pytest.approx(two[key].value, abs=1e-9), key
            assert found.of(name)[key].n == two[key].n
        area, same = found.of(name)["auc"], two["auc"]
        assert (area.low, area.high) == pytest.approx((same.low, same.high), abs=1e-9)
        assert area.method == same.method


def test_a_case_worked_by_hand() -> None:
    """Six images of four patients; of A one label is missing, of B three, of C all.

    A: labelled (1, .9), (0, .2), (1, .4), (0, .6), (0, .1). Of the 6 pairs of a positive and a
    negative image 5 are in order: AUC 5/6. From 0.5 on .9 and .6 are called: sensitivity 1/2,
    specificity 2/3, PPV 1/2, NPV 2/3. Brier (.01 + .04 + .36 + .36 + .01) / 5 = .156.
    B: (1, .7), (1, .3), (0, .3): the equal pair counts half, AUC 3/4; sensitivity 1/2,
    specificity 1. Mean AUC (5/6 + 3/4) / 2 = 19/24; C has none and is left out.
    """
    scores = FindingScores(
        ("A", "B", "C"),
        np.array(
            [[1, 1, -1], [0, -1, -1], [1, 1, -1], [0, 0, -1], [0, -1, -1], [-1, -1, -1]], np.int8
        ),
        np.zeros((6, 3)),
        np.array([[0.9, 0.7, 0.5], [0.2, 0.9, 0.5], [0.4, 0.3, 0.5], [0.6, 0.3, 0.5],
                  [0.1, 0.1, 0.5], [0.8, 0.8, 0.5]]),
        tuple("abcdef"),
        tuple(Patient.of(name, name) for name in ("P", "P", "Q", "R", "R", "S")),
    )  # fmt: skip
    found = finding_numbers(scores, [0.5] * 3, resamples=200)
    a, b, c = (found.of(name) for name in "ABC")
    values = {key: a[key].value for key in ("auc", "sensitivity", "specificity", "ppv", "npv")}
    assert values == pytest.approx(
        {"auc": 5 / 6, "sensitivity": 1 / 2, "specificity": 2 / 3, "ppv": 1 / 2, "npv": 2 / 3}
    )
    assert a["brier"].value == pytest.approx(0.156)
    assert (b["auc"].value, b["sensitivity"].value, b["specificity"].value) == (0.75, 0.5, 1.0)
    assert b["sensitivity"].n == 2
    assert {key: one.value for key, one in c.items()} == dict.fromkeys(OF_FINDING)
    assert found["macro_auc"].value == pytest.approx(19 / 24)
    assert [counts.to_dict() for counts in found.counts] == [
        {"labelled": 5, "positive": 2, "masked": 1},
        {"labelled": 3, "positive": 2, "masked": 3},
        {"labelled": 0, "positive": 0, "masked": 6},
    ]
    assert (found.n, found.patients) == (6, 4)


def test_masked_entries_change_no_number() -> None:
    scores = made(11)
    rng = np.random.default_rng(0)
    other = np.where(scores.labels < 0, rng.random(scores.labels.shape), scores.probabilities)
    changed = FindingScores(
        scores.names, scores.labels, scores.logits, other, scores.path, scores.patient, "val"
    )
    one, two = (finding_numbers(each, [0.5] * 4, resamples=200) for each in (scores, changed))
    assert one.to_dict() == two.to_dict()


def test_a_resample_is_the_metric_of_repeated_images() -> None:
    scores = made(3, n=40)
    patient = scores.patient_numbers
    counts = np.random.default_rng(5).integers(0, 3, (1, int(patient.max()) + 1)).astype(float)
    weighted = statistics(FindingTable.of(scores, [0.5] * 4), counts)
    rows = np.repeat(np.arange(len(scores)), counts[0, patient].astype(int))
    repeated = point(statistics, FindingTable.of(scores.select(rows), [0.5] * 4))
    for key in ("auc", "sensitivity", "specificity", "ppv", "brier", "loss", "macro_auc"):
        assert weighted[key][0] == pytest.approx(repeated[key]), key


def test_uncertain_and_right_are_of_the_policy() -> None:
    scores = made(2)
    rule = FindingRule(OperatingPoint("probability=0.5", 0.5), Conformal(0.2, (0.6, 0.7)))
    found = finding_numbers(scores, [0.5] * 4, policies=[policy_of(rule)] * 4, resamples=200)
    name = scores.names[1]
    own = scores.of(name)
    code = policy_of(rule).decide_many(own.probability).code
    assert found.of(name)["uncertain"].value == pytest.approx((code == -1).mean())
    assert 0 < (code == -1).mean() < 1
    assert found.of(name)["right"].value == pytest.approx((code == own.label)[code >= 0].mean())


def test_scores_round_trip_and_are_recognised(tmp_path: Path) -> None:
    scores, place = made(5), tmp_path / "scores.csv"
    scores.save(place)
    assert holds_findings(place)
    again = FindingScores.load(place)
    assert again.names == scores.names
    for name in ("labels", "logits", "probabilities"):
        assert np.array_equal(getattr(again, name), getattr(scores, name))
    assert (again.path, again.patient, again.part) == (scores.path, scores.patient, "val")
    assert len(again.of("finding 2")) == (scores.labels[:, 2] >= 0).sum()
    with pytest.raises(OptionError, match="finding 9"):
        again.of("finding 9")
    (tmp_path / "two.csv").write_text("path,label,probability\na,1,0.5\n")
    assert not holds_findings(tmp_path / "two.csv")


def test_scores_of_other_software_need_no_logits(tmp_path: Path) -> None:
    place = tmp_path / "theirs.csv"
    place.write_text("label A,probability A,label B,probability B\n1,0.8,,0.3\n0,0.1,1.0,0.6\n")
    scores = FindingScores.load(place)
    assert scores.labels.tolist() == [[1, -1], [0, 1]]
    assert scores.logits[0, 0] == pytest.approx(np.log(4))
    place.write_text("label A,probability A\n2,0.8\n")
    with pytest.raises(DataError, match="'2'"):
        FindingScores.load(place)
    place.write_text("label A\n1\n")
    with pytest.raises(DataError, match="probability A"):
        FindingScores.load(place)


def test_an_evaluation_round_trips_and_refuses_what_is_of_one_finding() -> None:
    scores = made(1, n=60)
    found = evaluate_findings(scores, Question(resamples=100))
    assert FindingsEvaluation.from_dict(found.to_dict()).to_dict() == found.to_dict()
    numbers = FindingNumbers.from_dict(found.numbers.to_dict())
    assert numbers.to_dict() == found.numbers.to_dict()
    assert set(numbers.values) == set(OF_ALL)
    assert any("no label" in note for note in found.notes)
    for question in (Question(threshold=0.4), Question(prevalence=0.1), Question(per="patient")):
        with pytest.raises(OptionError, match="finding"):
            evaluate_findings(scores, question)


LOOSE = settings(deadline=None, max_examples=25)


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000))
def test_permuting_the_findings_permutes_the_numbers(findings: int, seed: int) -> None:
    scores = made(seed, n=120, findings=findings)
    order = np.random.default_rng(seed).permutation(findings)
    moved = replace(
        scores,
        names=tuple(scores.names[k] for k in order),
        labels=scores.labels[:, order],
        logits=scores.logits[:, order],
        probabilities=scores.probabilities[:, order],
    )
    thresholds = np.linspace(0.3, 0.6, findings)
    one = finding_numbers(scores, thresholds.tolist(), resamples=0)
    other = finding_numbers(moved, thresholds[order].tolist(), resamples=0)
    for name in scores.names:
        for key in OF_FINDING:
            assert one.of(name)[key].value == pytest.approx(other.of(name)[key].value, nan_ok=True)
    for key in OF_ALL:
        assert one[key].value == pytest.approx(other[key].value, nan_ok=True)


@LOOSE
@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.2, 4))
def test_the_areas_do_not_change_by_a_monotone_map(findings: int, seed: int, power: float) -> None:
    scores = made(seed, n=80, findings=findings)
    bent = replace(scores, probabilities=scores.probabilities**power)
    half = [0.5] * findings
    one, other = (finding_numbers(each, half, resamples=0) for each in (scores, bent))
    for name in scores.names:
        assert one.of(name)["auc"].value == pytest.approx(other.of(name)["auc"].value, nan_ok=True)
    assert one["macro_auc"].value == pytest.approx(other["macro_auc"].value, nan_ok=True)


def test_the_mean_calibration_error_has_an_interval() -> None:
    found = finding_numbers(made(3), [0.5] * 4, resamples=200)["macro_ece"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high
