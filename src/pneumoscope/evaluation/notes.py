"""Caveats of an evaluation, the most severe first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pneumoscope.data.relation import TrainingRelation
from pneumoscope.evaluation.calibration import SCALES
from pneumoscope.evaluation.estimate import level_text
from pneumoscope.stats.intervals import wilson

if TYPE_CHECKING:
    from pneumoscope.evaluation.evaluation import Evaluation

SUSPICIOUS_SIZE = 0.7
"""AUC of the file size from which it is mentioned as a caveat."""

_NEARLY_ALL = 0.98
"""Share of images from which a reader counts as predicting the same class for all."""

_LIMIT_SLACK = 1 - 1e-6


@dataclass(frozen=True, slots=True)
class Note:
    """A caveat of an evaluation.

    Attributes:
        code: A fixed identifier; ``docs/reference/files.md`` lists them.
        text: The caveat in words.
        grave: Whether the metrics are misleading without it.
    """

    code: str
    text: str
    grave: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def notes_of(found: Evaluation) -> tuple[Note, ...]:
    """Return the caveats of an evaluation, the most severe first."""
    return tuple(
        note
        for notes in (
            _conclusions(found),
            _learnt_from(found),
            _decided_by(found),
            _calibration(found),
            _file_size(found),
            _how_many(found),
            _probabilities(found),
            _elsewhere(found),
        )
        for note in notes
    )


def _conclusions(found: Evaluation) -> Iterator[Note]:
    """Yield caveats about discrimination and the decision threshold."""
    area = found["auc"]
    negative, positive = found.classes
    if area.value is None:
        return
    if area.high is not None and area.high < 0.5:
        yield Note(
            "classes-swapped",
            f"The AUC is {area.with_range()}, below 0.5: images of {negative} rank above those of "
            f"{positive}. Are the classes swapped?",
            grave=True,
        )
    elif area.low is not None and area.low <= 0.5:
        yield _no_better_than_chance(found)
    else:
        yield from _threshold(found)


def _no_better_than_chance(found: Evaluation) -> Note:
    area = found["auc"].with_range()
    named = _named_for_everything(found)
    if named is None:
        text = (
            f"It may not distinguish the classes at all: the interval of its AUC, {area}, "
            "includes 0.5."
        )
        return Note("no-better-than-chance", text, grave=True)
    name, most = named
    return Note(
        "one-class",
        f"The reader assigns nearly all {units(found)} to one class: {_share(most, found.n)} "
        f"are classified as {name}, and its AUC is {area}. It has not learned to "
        "distinguish the classes; more epochs, another learning rate or pretrained weights may "
        "help.",
        grave=True,
    )


def _threshold(found: Evaluation) -> Iterator[Note]:
    """Yield a caveat if one class is mostly misclassified although the ranking is good."""
    (tn, fp), (fn, tp) = found.confusion
    negative, positive = found.classes
    named = _named_for_everything(found)
    for key, name, called, wrong, other in (
        ("specificity", positive, fp + tp, fp, negative),
        ("sensitivity", negative, fn + tn, fn, positive),
    ):
        right = found[key]
        mostly_wrong = right.high is not None and right.high < 0.5
        if mostly_wrong or (named is not None and named[0] == name):
            yield Note(
                "threshold-does-not-fit",
                f"It classifies {_share(called, found.n)} of the {units(found)} as {name}, "
                f"including {_share(wrong, right.n)} of the {other} ones: the threshold "
                f"{found.threshold.value:.3g} does not fit these images, although it ranks them "
                f"better than chance. {_WAY_OUT[found.threshold.source]}",
                grave=True,
            )


_WAY_OUT = {
    "model": "Fit calibration and threshold to your own images with pneumoscope recalibrate.",
    "default": "It is a default: set another threshold, or recalibrate the model.",
    "given": "It was set for this evaluation.",
}


def _named_for_everything(found: Evaluation) -> tuple[str, int] | None:
    """Return the class predicted for nearly all images, and its share; None otherwise."""
    (tn, fp), (fn, tp) = found.confusion
    called = fp + tp
    name, most = max(
        zip(found.classes, (found.n - called, called), strict=True), key=lambda x: x[1]
    )
    rarer = min(tn + fp, fn + tp)
    return (name, most) if most >= _NEARLY_ALL * found.n and rarer > found.n - most else None


def _learnt_from(found: Evaluation) -> Iterator[Note]:
    if found.relation is TrainingRelation.TRAINING:
        yield Note(
            "training-images",
            "The reader was trained on these images: the results do not apply to new patients.",
            grave=True,
        )
    elif found.seen:
        yield Note(
            "seen-in-training",
            f"The reader was trained on {found.seen:,} of these {found.images:,} images, or on "
            "others of their patients: the results do not apply to new patients.",
            grave=True,
        )
    elif found.relation is TrainingRelation.OVERLAP:
        yield Note(
            "seen-in-training",
            "The reader was trained on some of these images: the results do not apply to new "
            "patients.",
            grave=True,
        )
    elif found.relation is TrainingRelation.SAME_NAMES:
        yield Note(
            "names-of-training-images",
            "Most of these images have the names of training images: if they are the same "
            "images in another size or format, the results do not apply to new patients.",
            grave=True,
        )


def _decided_by(found: Evaluation) -> Iterator[Note]:
    """Yield caveats about images used in training or for decisions."""
    if found.relation is TrainingRelation.VALIDATION:
        text = (
            "These are validation images, which were also used to choose epoch, calibration "
            "and threshold, so the results are optimistic."
        )
        if found.has_test is False:
            text += " There was no test set."
        elif found.has_test:
            text += " Its test set is more informative."
        yield Note("validation-images", text, grave=True)
    elif found.relation is TrainingRelation.TEST:
        yield Note(
            "same-source",
            "The test set comes from the same source as the training images; expect lower "
            "performance in another hospital, and evaluate there.",
        )
    elif found.relation is TrainingRelation.UNKNOWN and found.reader.get("sha256"):
        yield Note(
            "relation-unknown",
            "It is unknown whether the reader was trained on some of these images.",
        )


def _calibration(found: Evaluation) -> Iterator[Note]:
    line = found.calibration
    low, high = SCALES[0] / _LIMIT_SLACK, SCALES[1] * _LIMIT_SLACK
    if line is not None and line.method != "none" and not low < line.scale < high:
        yield Note(
            "calibration-without-end",
            f"The calibration did not converge: its scale is at the limit of {line.scale:g}, "
            "because the classes were separated perfectly, or not at all, on the images it was "
            "fitted on. Probabilities are nearly 0 or 1 and carry no more information than the "
            "conclusion.",
            grave=True,
        )


def _file_size(found: Evaluation) -> Iterator[Note]:
    size = found.baseline("file size")
    if size is not None and (size.auc.value or 0) >= SUSPICIOUS_SIZE:
        yield Note(
            "file-size",
            f"The file size alone distinguishes the classes with AUC {size.auc.with_range()}: "
            "the acquisition of the images is associated with the disease, and the reader may "
            "have learned this.",
            grave=True,
        )


def _how_many(found: Evaluation) -> Iterator[Note]:
    positive = found["sensitivity"].n <= found["specificity"].n
    fewer = found["sensitivity" if positive else "specificity"]
    interval = wilson(0.9 * fewer.n, fewer.n, level=found.level)
    if interval is not None:
        yield Note(
            "smaller-class",
            f"The smaller class, {found.classes[int(positive)]}, has only {fewer.n:,} "
            f"{units(found)}: a {'sensitivity' if positive else 'specificity'} of 90% would have a "
            f"{level_text(found.level)} interval of {interval.low:.0%} to {interval.high:.0%}.",
        )
    if not found.patients_known:
        yield Note(
            "patients-unknown",
            "The patient of some images is unknown; if patients have several images, the "
            "intervals are too narrow.",
        )


def _probabilities(found: Evaluation) -> Iterator[Note]:
    slope = found["calibration_slope"]
    if slope.low is not None and slope.high is not None and not slope.low <= 1 <= slope.high:
        how = "overconfident" if slope.high < 1 else "underconfident"
        yield Note(
            "calibration-slope",
            f"Its probabilities are {how} on these images (calibration slope "
            f"{slope.with_range()}; ideal: 1).",
        )


def _elsewhere(found: Evaluation) -> Iterator[Note]:
    if found.relation in {TrainingRelation.OTHER, TrainingRelation.UNKNOWN}:
        yield Note(
            "other-hospitals",
            "The results apply to similar images and patients, not to other hospitals.",
        )
    yield Note("labels", "Labels are used as given: errors in the labels affect the results.")


def units(found: Evaluation) -> str:
    """Return the unit of evaluation as a plural: ``images``, ``studies`` or ``patients``."""
    return "studies" if found.unit == "study" else f"{found.unit}s"


def _share(part: int, of: int) -> str:
    return f"{part:,} of {of:,} ({part / of:.0%})" if of else "none"
