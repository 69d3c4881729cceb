"""Terms for pages, tables and cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.notes import units
from pneumoscope.report.page import Statement

if TYPE_CHECKING:
    from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.labels import LabelSpace

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


def suffix_of(found: Evaluation) -> str:
    """Return the suffix of file names for a part: ``-test``; empty if unknown."""
    return f"-{found.part}" if found.part else ""


def statement(found: Evaluation, key: str, note: str = "") -> Statement:
    """Return a metric as a line of results."""
    number = found[key]
    name = NAMES.get(key, key.replace("_", " ").capitalize())
    return Statement(name, number.with_range(), number.n, note)


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
