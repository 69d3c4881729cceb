"""Terms for pages, tables and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.decision import decision_text, sets_aside
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
from pneumoscope.evaluation.notes import units
from pneumoscope.labels import LabelSpace
from pneumoscope.report.page import Statement


class Numbers(Protocol):
    """Metrics by name: those of an evaluation, of a class, of a finding or of a group."""

    def __getitem__(self, name: str, /) -> Estimate:
        """Return the metric with this name."""


PARTS = {"train": "training", "val": "validation", "test": "test"}
"""What the parts of the data are called in words."""

NAMES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "partial_auc": "Partial AUC, sensitivity from 0.9",
    "partial_auc_standardised": "Partial AUC, standardised",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "ppv_at_prevalence": "PPV at the assumed prevalence",
    "npv_at_prevalence": "NPV at the assumed prevalence",
    "lr_positive": "LR+",
    "lr_negative": "LR-",
    "f1": "F1",
    "mcc": "MCC",
    "prevalence": "Share of positive images",
    "loss": "Loss (cross-entropy, nats)",
    "brier": "Brier score",
    "brier_reliability": "Brier score: reliability",
    "brier_resolution": "Brier score: resolution",
    "brier_uncertainty": "Brier score: uncertainty",
    "brier_within_bins": "Brier score: within bins",
    "ece": "Calibration error",
    "rms_calibration_error": "Calibration error, root mean square",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "calibration_in_the_large": "Mean probability minus share of positives",
}
"""What the numbers are called in words, in the order of tables."""

CLASS_NAMES = {
    "accuracy": "Accuracy, most probable class",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auc": "Macro AUC",
    "top_2": "True class among the two most probable",
    "kappa": "Cohen's kappa",
    "macro_ppv": "Macro PPV",
    "macro_f1": "Macro F1",
    "loss": "Loss (cross-entropy, nats)",
    "brier": "Brier score, sum over classes",
    "classwise_ece": "Calibration error, mean of classes",
    "confidence_ece": "Calibration error of the confidence",
}
"""The same of the metrics over all classes."""

FINDINGS_NAMES = {
    "macro_auc": "Mean AUC",
    "macro_sensitivity": "Mean sensitivity",
    "macro_specificity": "Mean specificity",
    "macro_ece": "Mean calibration error",
}
"""The same of the means over several findings."""

_GROUP_CHARACTERS = 24


def images_of(found: Evaluation | FindingsEvaluation) -> str:
    """Return the term for the images, or the studies or patients: ``test images``."""
    what = units(found) if isinstance(found, Evaluation) else "images"
    return f"{PARTS[found.part]} {what}" if found.part in PARTS else what


def short_pair(labels: LabelSpace) -> tuple[str, str]:
    """Return the names of the (negative, positive) group, short enough for a figure.

    >>> from pneumoscope.labels import LabelSpace
    >>> short_pair(LabelSpace.of(["NORMAL", "OPACITY", "COVID-19", "TUBERCULOSIS"], ["NORMAL"]))
    ('any of 3 classes', 'NORMAL')
    """
    negative, positive = (
        name
        if len(names) == 1 or len(name) <= _GROUP_CHARACTERS
        else f"any of {len(names)} classes"
        for name, names in zip(labels.pair, (labels.negative, labels.positive), strict=True)
    )
    return negative, positive


def facts_of(found: Evaluation) -> dict[str, object]:
    """Return what texts about an evaluation are filled in with."""
    return {
        "found": found,
        "images": images_of(found),
        "units": units(found),
        "aside": sets_aside(found),
        "decision": decision_text(found),
        "pair": short_pair(found.labels),
    }


def name_of(key: str, names: Mapping[str, str] = NAMES) -> str:
    """Return what a number is called."""
    return names.get(key, key.replace("_", " ").capitalize())


def statements(
    numbers: Numbers, notes: Mapping[str, str], names: Mapping[str, str] = NAMES
) -> tuple[Statement, ...]:
    """Return metrics as lines of results.

    Args:
        numbers: The metrics.
        notes: Which of them, with the condition under which each holds.
        names: What they are called.
    """
    return tuple(
        Statement(name_of(key, names), numbers[key].with_range(), numbers[key].n, note)
        for key, note in notes.items()
    )


def ranges(numbers: Numbers, keys: Iterable[str]) -> tuple[str, ...]:
    """Return metrics with their intervals, as cells of a table."""
    return tuple(numbers[key].with_range() for key in keys)


def calibration_words(line: Calibration | VectorCalibration | None) -> str:
    """Describe the calibration."""
    if line is None:
        return "not known"
    if line.method == "none":
        return "none"
    if line.temperature is not None and line.method == "temperature":
        return f"temperature {line.temperature:.4g}"
    if not isinstance(line, Calibration):
        what = "a matrix and a bias" if line.matrix else "a scale and a bias"
        return f"{line.method} scaling, {what} for each class"
    return f"{line.method}, scale {line.scale:.4g} and bias {line.bias:+.4g}"
