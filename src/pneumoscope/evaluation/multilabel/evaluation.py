"""The evaluation of a reader of several findings as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pneumoscope.data.entries import LeftOut
from pneumoscope.data.relation import TrainingRelation
from pneumoscope.errors import OptionError
from pneumoscope.evaluation.multilabel.numbers import FindingNumbers, finding_numbers
from pneumoscope.evaluation.numbers import SMALL
from pneumoscope.evaluation.question import Images, Question
from pneumoscope.reader.findings import policy_of

if TYPE_CHECKING:
    from pneumoscope.evaluation.multilabel.scores import FindingScores
    from pneumoscope.reader.findings import FindingRule

DEFAULT = 0.5
"""The decision threshold without a model."""


@dataclass(frozen=True, slots=True, eq=False)
class FindingsEvaluation:
    """The performance of a reader of several findings on a set of images.

    Attributes:
        reader: Name, version and SHA-256 of the model; empty if unknown.
        part: ``train``, ``val``, ``test`` or ``all``; empty if the data have no parts.
        relation: Relation of the images to those of the training.
        question: Settings of the evaluation: level, resamples, seed.
        numbers: Metrics of each finding, and over all findings.
        patients_known: Whether the patient of every image is known.
        seen: Number of images that were used in training, or whose patients were.
        has_test: Whether the data of the training have a test set; None if unknown.
        fingerprint: Fingerprint of the data; empty if unknown.
        unreadable: Number of files that could not be read.
        left_out: Excluded rows and files of the data.
        notes: Caveats.
    """

    reader: Mapping[str, str]
    part: str
    relation: TrainingRelation
    question: Question
    numbers: FindingNumbers
    patients_known: bool
    seen: int = 0
    has_test: bool | None = None
    fingerprint: str = ""
    unreadable: int = 0
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values; the metrics are under ``findings``."""
        return {
            "n": {"value": self.numbers.n},
            "patients": {"value": self.numbers.patients},
            "findings": self.numbers.to_dict(),
            "reader": dict(self.reader),
            "part": self.part,
            "relation": str(self.relation),
            "seen": self.seen,
            "has_test": self.has_test,
            "question": self.question.to_dict(),
            "patients_known": self.patients_known,
            "data_fingerprint": self.fingerprint,
            "unreadable": self.unreadable,
            "left_out": [item.to_dict() for item in self.left_out],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FindingsEvaluation:
        """Return the evaluation written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        return cls(
            dict(values["reader"]),
            values["part"],
            TrainingRelation(values["relation"]),
            Question(**values["question"]),
            FindingNumbers.from_dict(values["findings"]),
            values["patients_known"],
            values["seen"],
            values["has_test"],
            values["data_fingerprint"],
            values["unreadable"],
            tuple(LeftOut(**item) for item in values["left_out"]),
            tuple(values["notes"]),
        )


def evaluate_findings(
    scores: FindingScores,
    question: Question | None = None,
    *,
    rules: Sequence[FindingRule] = (),
    reader: Mapping[str, str] | None = None,
    images: Images | None = None,
) -> FindingsEvaluation:
    """Evaluate the scores of several findings.

    Args:
        scores: Scores of images with labels of some findings.
        question: Settings of the evaluation; the defaults if None.
        rules: Decision rules of the findings; if empty, the threshold of each is 0.5.
        reader: Name, version and hash of the reader.
        images: Information about the images.

    Raises:
        DataError: There are no scores.
        OptionError: The settings are only valid for one finding, or there are too few resamples.
    """
    question, images = question or Question(), images or Images()
    for name in ("threshold", "prevalence"):
        if getattr(question, name) is not None:
            raise OptionError(name, must="given with `finding`", was=getattr(question, name))
    if question.per != "image":
        raise OptionError("per", must="image, or given with `finding`", was=question.per)
    numbers = finding_numbers(
        scores,
        [rule.operating_point.threshold for rule in rules] or [DEFAULT] * len(scores.names),
        policies=[policy_of(rule) for rule in rules] or None,
        level=question.level,
        resamples=question.resamples,
        seed=question.seed,
    )
    found = FindingsEvaluation(
        dict(reader or {}),
        images.part or scores.part,
        images.relation,
        question,
        numbers,
        scores.patients_known,
        images.seen,
        images.has_test,
        images.fingerprint,
        images.unreadable,
        images.left_out,
    )
    return replace(found, notes=tuple(_notes(found)))


_RELATIONS = {
    TrainingRelation.TRAINING: "The reader was trained on these images: the results do not apply "
    "to new patients.",
    TrainingRelation.VALIDATION: "These images were also used to choose epoch, calibration and "
    "thresholds, so the results are optimistic.",
}


def _notes(found: FindingsEvaluation) -> list[str]:
    """Return the caveats of an evaluation, the most serious first."""
    notes = [_RELATIONS[found.relation]] if found.relation in _RELATIONS else []
    if found.seen and not notes:
        notes.append(
            f"The reader was trained on {found.seen:,} of these images, or on others of their "
            "patients."
        )
    numbers = found.numbers
    few = [
        name
        for name, counts in zip(numbers.names, numbers.counts, strict=True)
        if min(counts.positive, counts.labelled - counts.positive) < SMALL
    ]
    if few:
        notes.append(
            f"Findings with unreliable metrics, because fewer than {SMALL} labelled images are "
            f"positive or negative: {', '.join(few)}."
        )
    masked = sum(counts.masked for counts in numbers.counts)
    if masked:
        share = masked / (numbers.n * len(numbers.names))
        notes.append(
            f"{share:.0%} of the entries have no label and are left out; if labels are not missing "
            "at random, the labelled images are not representative."
        )
    if not found.patients_known:
        notes.append(
            "The patient of some images is unknown; if patients have several images, the "
            "intervals are too narrow."
        )
    return notes
