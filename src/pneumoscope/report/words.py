"""Terms for pages, tables and cards, and the opening of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.decision import sets_aside
from pneumoscope.evaluation.notes import units
from pneumoscope.report.page import Statement

if TYPE_CHECKING:
    from pneumoscope.evaluation.evaluation import Evaluation
    from pneumoscope.evaluation.multiclass.calibration import VectorCalibration

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

SHOWN_CAVEATS = 3
"""So many are shown, and all grave ones."""

_ALWAYS = {"other-hospitals", "labels"}  # notes that hold of any evaluation


def images_of(found: Evaluation) -> str:
    """Return the term for the images, or the studies or patients: ``test images``."""
    return f"{PARTS[found.part]} {units(found)}" if found.part in PARTS else units(found)


def suffix_of(found: Evaluation) -> str:
    """Return the suffix of file names for a part: ``-test``; empty if unknown."""
    return f"-{found.part}" if found.part else ""


def answer(found: Evaluation) -> str:
    """Return the result in a few sentences, with intervals and baselines."""
    deployed = found.policy.deployed if found.policy is not None and sets_aside(found) else None
    if deployed is None:
        text = (
            f"Based on the image alone, {found['accuracy'].percent()} of {found.n:,} "
            f"{images_of(found)} were classified correctly"
        )
    else:
        text = (
            f"Based on the image alone, {deployed.set_aside.percent()} of {found.n:,} "
            f"{images_of(found)} were set aside, and {deployed.accuracy.percent()} of the "
            "others were classified correctly. Without setting any aside, the accuracy is "
            f"{found['accuracy'].percent()}"
        )
    naive = found.baseline("majority class")
    if naive is not None and naive.accuracy.value is not None:
        text += f"; always predicting the majority class gives {naive.accuracy.value:.1%}"
    area = found["auc"]
    if area.value is None:
        return f"{text}. All are of one class, so discrimination cannot be evaluated."
    return (
        f"{text}. The AUC, the probability that a positive image ranks above a negative one, is "
        f"{area.with_range()}."
    )


def statement(found: Evaluation, key: str, note: str = "") -> Statement:
    """Return a metric as a line of results."""
    number = found[key]
    name = NAMES.get(key, key.replace("_", " ").capitalize())
    return Statement(name, number.with_range(), number.n, note)


def headline(found: Evaluation) -> tuple[Statement, ...]:
    """Return the four main metrics, of the decision as deployed if images are set aside.

    ``decision_rows`` has those of the threshold alone beside them.
    """
    note = f"at probability ≥ {found.threshold.value:.3g}"
    if found.policy is None or not sets_aside(found):
        rates = ("sensitivity", "specificity", "balanced_accuracy")
        return (statement(found, "auc"), *(statement(found, key, note) for key in rates))
    now, alone = found.policy.deployed, found.policy.at_threshold
    rows = (("sensitivity", now.sensitivity, alone.sensitivity),
            ("specificity", now.specificity, alone.specificity))  # fmt: skip
    return (
        statement(found, "auc"),
        *(
            Statement(
                f"{NAMES[key]}, as deployed", value.with_range(), value.n,
                f"on all images, {note}: {other.with_range()}",
            )
            for key, value, other in rows
        ),
        Statement("Set aside", now.set_aside.with_range(), now.set_aside.n),
    )  # fmt: skip


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


def caveats(found: Evaluation, *, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the most severe caveats: three, or all severe ones.

    Args:
        found: The evaluation.
        more: What else there is to say, if there is room; what always holds comes after it.
    """
    special = [note for note in found.notes if note.code not in _ALWAYS]
    always = [note.text for note in found.notes if note.code in _ALWAYS]
    grave = [note.text for note in special if note.grave]
    rest = [note.text for note in special if not note.grave]
    shown = [*grave, *rest, *more, *always]
    return tuple(shown[: max(SHOWN_CAVEATS, len(grave))])
