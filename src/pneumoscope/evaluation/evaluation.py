"""Evaluate a reader on a set of labelled images.

Pages, tables, the model card and the checklists render an ``Evaluation`` without computing
anything. ``metrics.json`` contains the result of ``to_dict`` for each part of the data, and
``from_dict`` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.entries import LeftOut
from pneumoscope.data.relation import TrainingRelation
from pneumoscope.evaluation.baseline import Baseline, majority_baseline, size_baseline
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.curves import Curves
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.fitted import fitted_calibration
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.evaluation.multiclass.numbers import ClassNumbers, class_numbers
from pneumoscope.evaluation.notes import Note, notes_of
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.policy import PolicyResult, evaluate_policy
from pneumoscope.evaluation.question import Images, Question, Reader, Threshold
from pneumoscope.evaluation.robustness import Corrupted
from pneumoscope.evaluation.subgroups import Group, subgroups
from pneumoscope.evaluation.units import aggregated, shared_columns, unit_of_images
from pneumoscope.labels import LabelSpace

if TYPE_CHECKING:
    from pneumoscope.evaluation.scores import Scores

Confusion = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The performance of a reader on a set of labelled images.

    Attributes:
        reader: Name, version and SHA-256 of the model; empty if unknown.
        labels: The classes.
        part: ``train``, ``val``, ``test`` or ``all``; empty if the data have no parts.
        relation: Relation of the images to those of the training.
        question: Settings of the evaluation: level, resamples, seed, unit.
        threshold: The decision threshold and its source.
        n: Number of units: images, studies or patients, depending on ``question.per``.
        images: Number of images.
        patients: Number of patients.
        patients_known: Whether the patient of every image is known.
        confusion: [[true negatives, false positives], [false negatives, true positives]].
        numbers: The metrics by name; ``docs/reference/files.md`` explains them.
        policy: The performance of the decision policy, with uncertain zone and gate, compared with
            the threshold alone; None without a model, or if studies or patients were evaluated.
        calibration: The calibration; None if unknown.
        curves: The arrays for figures; None if not requested.
        groups: The main metrics in subgroups of the images.
        baselines: The performance of rules that do not look at the lungs, on the same images.
        robustness: The main metrics on corrupted images; empty if not requested.
        seen: Number of images that were used in training, or whose patients were.
        has_test: Whether the data of the training have a test set; None if unknown.
        fingerprint: Fingerprint of the data; empty if unknown.
        unreadable: Number of files that could not be read.
        left_out: Excluded rows and files of the data.
        notes: Caveats, the most serious first.
        by_class: The metrics of each class and of all classes, for a reader of more than two;
            everything else then describes the positive group. None for two classes.
    """

    reader: Mapping[str, str]
    labels: LabelSpace
    part: str
    relation: TrainingRelation
    question: Question
    threshold: Threshold
    n: int
    images: int
    patients: int
    patients_known: bool
    confusion: Confusion
    numbers: Mapping[str, Estimate]
    policy: PolicyResult | None = None
    calibration: Calibration | None = None
    curves: Curves | None = None
    groups: tuple[Group, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    robustness: tuple[Corrupted, ...] = ()
    seen: int = 0
    has_test: bool | None = None
    fingerprint: str = ""
    unreadable: int = 0
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[Note, ...] = ()
    by_class: ClassNumbers | None = None

    def __getitem__(self, name: str) -> Estimate:
        return self.numbers[name]

    @property
    def level(self) -> float:
        """The confidence level of every interval."""
        return self.question.level

    @property
    def unit(self) -> str:
        """The unit of evaluation: ``image``, ``study`` or ``patient``."""
        return self.question.per

    @property
    def classes(self) -> tuple[str, str]:
        """Names of the (negative, positive) group of classes."""
        return self.labels.pair

    @property
    def calibration_of_all(self) -> Calibration | VectorCalibration | None:
        """The calibration, of two or more classes."""
        return self.calibration if self.by_class is None else self.by_class.calibration

    def baseline(self, name: str) -> Baseline | None:
        """Return a baseline by name, None if it was not computed."""
        return next((one for one in self.baselines if one.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values, each number under ``value``."""
        question = self.question
        found: dict[str, Any] = {
            "n": {"value": self.n},
            "patients": {"value": self.patients},
            **{name: number.to_dict() for name, number in self.numbers.items()},
            "confusion_matrix": {"value": [list(row) for row in self.confusion], "n": self.n},
            "threshold": self.threshold.to_dict(),
            "resamples": {"value": question.resamples},
            "reader": dict(self.reader),
            "labels": self.labels.to_dict(),
            "part": self.part,
            "relation": str(self.relation),
            "seen": self.seen,
            "has_test": self.has_test,
            "question": question.to_dict(),
            "patients_known": self.patients_known,
            "data_fingerprint": self.fingerprint,
            "calibration": self.calibration and self.calibration.to_dict(),
            "groups": [group.to_dict() for group in self.groups],
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "unreadable": self.unreadable,
            "notes": [note.to_dict() for note in self.notes],
        }
        if question.prevalence is not None:
            found["assumed_prevalence"] = {"value": question.prevalence}
        if self.policy is not None:
            found["policy"] = self.policy.to_dict()
        if self.curves is not None:
            found["curves"] = self.curves.to_dict()
        if self.by_class is not None:
            found["classes"] = self.by_class.to_dict()
        if self.robustness:
            found["robustness"] = [row.to_dict() for row in self.robustness]
        if self.left_out:
            found["left_out"] = [item.to_dict() for item in self.left_out]
        if self.unit != "image":
            found["unit"] = {"value": self.unit, "aggregate": question.aggregate}
            found["images"] = {"value": self.images}
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation written by ``to_dict``; curves have six digits.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        question = Question(**values["question"])
        (tn, fp), (fn, tp) = values["confusion_matrix"]["value"]
        n, calibration, curves = values["n"]["value"], values["calibration"], values.get("curves")
        return cls(
            reader=dict(values["reader"]),
            labels=LabelSpace.of(**values["labels"]),
            part=values["part"],
            relation=TrainingRelation(values["relation"]),
            question=question,
            threshold=Threshold(**values["threshold"]),
            n=n,
            images=n if question.per == "image" else values["images"]["value"],
            patients=values["patients"]["value"],
            patients_known=values["patients_known"],
            confusion=((tn, fp), (fn, tp)),
            numbers={
                name: Estimate.from_dict(number)
                for name, number in values.items()
                if isinstance(number, Mapping) and "method" in number and "value" in number
            },
            policy=PolicyResult.from_dict(values["policy"]) if "policy" in values else None,
            calibration=None if calibration is None else Calibration(**calibration),
            curves=None if curves is None else Curves.from_dict(curves),
            groups=tuple(map(Group.from_dict, values["groups"])),
            baselines=tuple(map(Baseline.from_dict, values["baselines"])),
            robustness=tuple(map(Corrupted.from_dict, values.get("robustness", ()))),
            seen=values["seen"],
            has_test=values["has_test"],
            fingerprint=values["data_fingerprint"],
            unreadable=values["unreadable"],
            left_out=tuple(LeftOut(**item) for item in values.get("left_out", ())),
            notes=tuple(Note(**note) for note in values["notes"]),
            by_class=ClassNumbers.from_dict(values["classes"]) if "classes" in values else None,
        )


def evaluate(
    scores: Scores,
    question: Question | None = None,
    *,
    reader: Reader | None = None,
    images: Images | None = None,
    robustness: tuple[Corrupted, ...] = (),
) -> Evaluation:
    """Evaluate scores.

    Args:
        scores: Scores of labelled images.
        question: Settings of the evaluation; the defaults if None.
        reader: Information about the reader.
        images: Information about the images.
        robustness: The result of ``robustness`` with the same threshold and level.

    Raises:
        DataError: There are no scores, or the requested studies or patients are unknown or have
            contradictory labels.
        OptionError: There are too few resamples.

    Example:
        >>> scores = Scores.load(Path("scores.csv"))  # doctest: +SKIP
        >>> evaluate(scores, Question(threshold=0.4))["sensitivity"]  # doctest: +SKIP
    """
    question, reader, images = question or Question(), reader or Reader(), images or Images()
    evaluated = evaluated_scores(scores, question, images)
    threshold = reader.threshold_for(question)
    found = numbers_of(
        evaluated,
        threshold=threshold.value,
        prevalence=question.prevalence,
        level=question.level,
        resamples=question.resamples,
        seed=question.seed,
        curves=question.curves,
    )
    value = Evaluation(
        reader=reader.to_dict(),
        labels=reader.labels,
        part=images.part,
        relation=images.relation,
        question=question,
        threshold=threshold,
        n=found.n,
        images=len(scores),
        patients=found.patients,
        patients_known=evaluated.patients_known,
        confusion=found.confusion,
        numbers=found.values,
        policy=_policy(evaluated, question, reader),
        calibration=reader.calibration or _fitted(scores),
        curves=found.curves,
        groups=_groups(evaluated, question, threshold.value, _columns(scores, question, images)),
        baselines=_baselines(evaluated, question, images),
        robustness=robustness,
        seen=images.seen,
        has_test=images.has_test,
        fingerprint=images.fingerprint,
        unreadable=images.unreadable,
        left_out=images.left_out,
        by_class=_by_class(evaluated, question, reader),
    )
    return replace(value, notes=notes_of(value))


def evaluated_scores(scores: Scores, question: Question, images: Images) -> Scores:
    """Return the scores that are evaluated: by image, study or patient.

    Raises:
        DataError: The studies or patients are unknown or have contradictory labels.
    """
    if question.per == "image":
        return scores
    unit = unit_of_images(scores, per=question.per, study=images.studies)
    return aggregated(scores, unit, how=question.aggregate)


def _columns(scores: Scores, question: Question, images: Images) -> Mapping[str, Mapping[str, str]]:
    """Return the grouping columns at the unit of evaluation."""
    if question.per == "image":
        return images.columns
    unit = unit_of_images(scores, per=question.per, study=images.studies)
    columns = {name: own for name, own in images.columns.items() if name != "image size"}
    return shared_columns(columns, scores.path, unit)


def _policy(scores: Scores, question: Question, reader: Reader) -> PolicyResult | None:
    """Return the performance of the decision policy; only for single images."""
    policy = reader.policy_for(question)
    if policy is None or question.per != "image":
        return None
    return evaluate_policy(
        policy,
        scores,
        level=question.level,
        resamples=question.resamples,
        seed=question.seed,
    )


def _fitted(scores: Scores) -> Calibration | None:
    """Return the calibration of two classes."""
    return fitted_calibration(scores) if scores.classes is None else None


def _by_class(scores: Scores, question: Question, reader: Reader) -> ClassNumbers | None:
    """Return the metrics of each class, if there are more than two."""
    if scores.classes is None:
        return None
    return class_numbers(
        scores.classes,
        scores.patient_numbers,
        policy=reader.policy_for(question) if question.per == "image" else None,
        calibration=reader.class_calibration,
        level=question.level,
        resamples=question.resamples,
        seed=question.seed,
    )


def _groups(
    scores: Scores,
    question: Question,
    threshold: float,
    columns: Mapping[str, Mapping[str, str]],
) -> tuple[Group, ...]:
    fewer = question.group_resamples
    return subgroups(
        scores,
        threshold=threshold,
        columns=columns,
        level=question.level,
        resamples=question.resamples if fewer is None else fewer,
        seed=question.seed,
    )


def _baselines(scores: Scores, question: Question, images: Images) -> tuple[Baseline, ...]:
    training = images.training[1] if images.training is not None else None
    level, resamples, seed = question.level, question.resamples, question.seed
    naive = majority_baseline(
        scores, trained_on=training, level=level, resamples=resamples, seed=seed
    )
    if not all(images.sizes.get(path, 0) for path in scores.path):
        return (naive,)
    size = size_baseline(
        scores,
        np.array([images.sizes[path] for path in scores.path]),
        training=images.training,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    return naive, size
