"""What is known of a reader on one set of images: its numbers, and how a page opens with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pneumoscope.evaluation.document import as_json
from pneumoscope.report.page import Statement
from pneumoscope.stats.intervals import wilson

if TYPE_CHECKING:
    from pneumoscope.evaluation.assess import Assessment
    from pneumoscope.evaluation.baseline import Baseline
    from pneumoscope.evaluation.estimate import Estimate
    from pneumoscope.evaluation.robustness import Corrupted
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.evaluation.subgroups import Group
    from pneumoscope.reader.conformal import Conformal

PARTS = {"train": "training", "val": "validation", "test": "test"}
"""What the parts of the data are called in words."""

SUSPICIOUS_SIZE = 0.7
"""From this area under the curve on, the size of the file is named before the reader's numbers."""

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
    "calibration_in_the_large": "Mean probability less share of positives",
}
"""What the numbers are called in words, in the order of tables."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A reader on one set of labelled images.

    Attributes:
        part: ``train``, ``val``, ``test`` or ``all``; empty where that is not known.
        classes: (negative, positive).
        scores: What it said.
        assessment: All numbers, with the arrays for figures.
        groups: The main numbers in groups of the images.
        baselines: What knows nothing of lungs achieves.
        corrupted: The main numbers on images made worse; empty if they were not asked for.
        conformal: The reader's uncertain zone.
        seen: How many of the images the reader was trained on.
        unit: What was judged: ``image``, ``study`` or ``patient``.
    """

    part: str
    classes: tuple[str, str]
    scores: Scores
    assessment: Assessment
    groups: tuple[Group, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    corrupted: tuple[Corrupted, ...] = ()
    conformal: Conformal | None = None
    seen: int = 0
    unit: str = "image"

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON values, as they stand in ``metrics.json``."""
        return as_json(
            self.assessment,
            groups=self.groups,
            baselines=self.baselines,
            corrupted=self.corrupted,
        )

    @property
    def images(self) -> str:
        """What the images, or the studies or patients, are called: ``test images``."""
        return f"{PARTS[self.part]} {self.units}" if self.part in PARTS else self.units

    @property
    def units(self) -> str:
        """What is judged, as a plural: ``images``, ``studies`` or ``patients``."""
        return plural(self.unit)

    @property
    def suffix(self) -> str:
        """What ends the names of files of these images: ``-test``; nothing for no known part."""
        return f"-{self.part}" if self.part else ""

    @property
    def zone(self) -> tuple[float, float] | None:
        """Between which probabilities the reader says that it is uncertain; None: never."""
        if self.conformal is None:
            return None
        edges = sorted((self.conformal.quantiles[0], 1 - self.conformal.quantiles[1]))
        return edges[0], edges[1]


def plural(unit: str) -> str:
    """Return the plural of what is judged.

    >>> plural("study")
    'studies'
    """
    return "studies" if unit == "study" else f"{unit}s"


def with_range(estimate: Estimate, digits: int = 3) -> str:
    """Return a number with its interval: ``0.962 (0.938 to 0.978)``.

    A ratio of 10 or more has two digits less, since nobody reads 21.526.
    """
    if estimate.value is not None and abs(estimate.value) >= 10:
        digits = max(1, digits - 2)
    between = estimate.range_text(digits)
    return f"{estimate.text(digits)} ({between})" if between else estimate.text(digits)


def percent(estimate: Estimate) -> str:
    """Return a share with its interval in percent: ``86.4% (83.5% to 88.9%)``."""
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def answer(item: Judged) -> str:
    """Return what was found, in two sentences, with its intervals and what guessing gives."""
    found = item.assessment
    text = (
        f"Read from the file alone, {percent(found['accuracy'])} of {found.n:,} {item.images} "
        "were concluded rightly"
    )
    naive = next((b for b in item.baselines if b.name == "majority class"), None)
    if naive is not None and naive.accuracy.value is not None:
        text += f"; always naming one class would get {naive.accuracy.value:.1%}"
    area = found["auc"]
    if area.value is None:
        return (
            f"{text}. Only one class is among them, so nothing can be said of telling them apart."
        )
    return (
        f"{text}. The AUC, the chance that a positive image ranks above a negative one, is "
        f"{with_range(area)}."
    )


def headline(item: Judged) -> tuple[Statement, ...]:
    """Return the four numbers of the answer."""
    found = item.assessment
    note = f"at probability ≥ {found.threshold:.3g}"
    return tuple(
        Statement(NAMES[key], with_range(found[key]), found[key].n, "" if key == "auc" else note)
        for key in ("auc", "sensitivity", "specificity", "balanced_accuracy")
    )


def caveats(item: Judged, *, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the three things to know before relying on it, the gravest first.

    Args:
        item: The reader and the images.
        more: What else there is to say, if there is room.

    What always holds comes last, so that there are three.
    """
    found = item.assessment
    notes = []
    if item.seen:
        notes.append(
            f"The reader was trained on {item.seen:,} of these {found.n:,} images, or on others of "
            "their patients: the numbers say nothing about new patients."
        )
    if item.part == "val":
        notes.append(
            "There was no test part: these are validation images, which also decided about the "
            "reader, so the numbers flatter it."
        )
    elif item.part == "test":
        notes.append(
            "The test part comes from the same source as the training images; expect lower numbers "
            "in another hospital, and measure them there."
        )
    size = next((b for b in item.baselines if b.name == "file size"), None)
    if size is not None and (size.auc.value or 0) >= SUSPICIOUS_SIZE:
        notes.append(
            f"The size of the file alone tells the classes apart with AUC {with_range(size.auc)}: "
            "how the images were made goes with the disease, and a reader may have learnt that."
        )
    fewer = min((found["sensitivity"], found["specificity"]), key=lambda one: one.n)
    interval = wilson(0.9 * fewer.n, fewer.n)
    if interval is not None:
        notes.append(
            f"The smaller class has {fewer.n:,} images here: a share of 90% of them would be known "
            f"no better than from {interval.low:.0%} to {interval.high:.0%}."
        )
    if not item.scores.patients_known:
        notes.append(
            "Nothing tells the patient of every image; if patients have several images, the "
            "intervals are too narrow."
        )
    slope = found["calibration_slope"]
    if slope.low is not None and slope.high is not None and not slope.low <= 1 <= slope.high:
        how = "too sure" if slope.high < 1 else "not sure enough"
        notes.append(
            f"Its probabilities are {how} on these images (calibration slope {with_range(slope)}, "
            "1 would be right)."
        )
    notes += more
    if item.part not in PARTS:
        notes.append(
            "The numbers hold for images and patients like these; of other hospitals they say "
            "nothing."
        )
    notes.append("Labels are taken as they are: where they are wrong, so are these numbers.")
    return tuple(notes[:3])
