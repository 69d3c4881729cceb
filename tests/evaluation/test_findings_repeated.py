"""Two recipes for several findings, by means over the findings."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.evaluation.multilabel.repeated import mean_accuracy_contrast, mean_area_contrast
from pneumoscope.evaluation.repeated import Runs, accuracy_contrast, area_contrast
from pneumoscope.stats.roc import area_under_roc


def scores(seed: int, *, findings: int = 3, patients: int = 80) -> tuple[np.ndarray, ...]:
    """Return patients, labels with blanks, and the logits of two runs of each of two recipes."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), random.integers(1, 4, patients))
    ill = random.normal(size=(patients, findings))[patient]
    labels = (ill + random.normal(size=ill.shape) > 0.3).astype(np.int8)
    labels[random.random(labels.shape) < 0.2] = -1
    logits = np.stack([ill * s + random.normal(size=ill.shape) for s in (1.5, 1.4, 0.8, 0.9)])
    return patient, labels, logits


def runs(logits: np.ndarray, labels: np.ndarray) -> tuple[Runs, Runs]:
    right = [(one >= 0) == (labels == 1) for one in logits]
    return Runs(list(logits[:2]), right[:2]), Runs(list(logits[2:]), right[2:])


def test_of_one_finding_it_is_that_of_two_classes() -> None:
    patient, labels, logits = scores(1, findings=1)
    rows = np.flatnonzero(labels[:, 0] >= 0)
    label, own = labels[rows, 0].astype(np.int64), patient[rows]
    first, second = runs(logits, labels)
    two = [
        Runs([one[rows, 0] for one in each.logits], [one[rows, 0] for one in each.right])
        for each in (first, second)
    ]
    several = mean_area_contrast(first, second, labels=labels, patient=patient)
    alone = area_contrast(*two, label=label, patient=own)
    assert several.value == pytest.approx(alone.value, abs=1e-12)
    assert several.seeds == pytest.approx(alone.seeds, abs=1e-12)
    # Its variance has one correction for the number of patients, instead of one for each class.
    assert several.patients == pytest.approx(alone.patients, abs=0.002)
    several = mean_accuracy_contrast(first, second, labels=labels, patient=patient)
    alone = accuracy_contrast(*two, patient=own)
    assert several.value == pytest.approx(alone.value, abs=1e-12)
    assert several.patients == pytest.approx(alone.patients, abs=0.002)


def mean_difference(
    rows: np.ndarray, labels: np.ndarray, logits: np.ndarray
) -> tuple[float, float]:
    """Return the differences in mean AUC and mean accuracy of resampled rows."""
    area, accuracy = [], []
    for place in range(labels.shape[1]):
        own = rows[labels[rows, place] >= 0]
        label = labels[own, place].astype(np.int64)
        areas = [area_under_roc(label, one[own, place]) or 0.0 for one in logits]
        right = [np.mean((one[own, place] >= 0) == (label == 1)) for one in logits]
        area.append(np.mean(areas[:2]) - np.mean(areas[2:]))
        accuracy.append(np.mean(right[:2]) - np.mean(right[2:]))
    return float(np.mean(area)), float(np.mean(accuracy))


def test_the_interval_over_patients_is_that_of_resampled_patients() -> None:
    patient, labels, logits = scores(2)
    first, second = runs(logits, labels)
    found = (
        mean_area_contrast(first, second, labels=labels, patient=patient),
        mean_accuracy_contrast(first, second, labels=labels, patient=patient),
    )
    everything = np.arange(len(patient))
    assert [one.value for one in found] == pytest.approx(
        mean_difference(everything, labels, logits), abs=1e-12
    )
    random = np.random.default_rng(3)
    of = [np.flatnonzero(patient == number) for number in range(patient.max() + 1)]
    drawn = np.array(
        [
            mean_difference(
                np.concatenate([of[number] for number in random.integers(0, len(of), len(of))]),
                labels, logits,
            )
            for _ in range(400)
        ]
    )  # fmt: skip
    for one, spread in zip(found, drawn.std(0, ddof=1), strict=True):
        assert one.patients is not None
        half = (one.patients[1] - one.patients[0]) / 2
        assert half / 1.99 == pytest.approx(spread, rel=0.15)  # Student's quantile of 79 degrees


def test_findings_with_one_kind_of_label_are_left_out() -> None:
    patient, labels, logits = scores(4)
    first, second = runs(logits, labels)
    before = mean_area_contrast(first, second, labels=labels[:, :2], patient=patient)
    labels[:, 2] = np.where(labels[:, 2] == 1, -1, labels[:, 2])
    after = mean_area_contrast(first, second, labels=labels, patient=patient)
    assert after.value == pytest.approx(before.value)
    nothing = mean_area_contrast(first, second, labels=np.full_like(labels, -1), patient=patient)
    assert nothing.value is None
    nothing = mean_accuracy_contrast(
        first, second, labels=np.full_like(labels, -1), patient=patient
    )
    assert nothing.value is None
