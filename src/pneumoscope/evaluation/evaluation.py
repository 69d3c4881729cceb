"""Evaluate a reader on a set of labelled images.

Pages, tables, the model card and the checklists render an ``Evaluation``; none of them computes.
``metrics.json`` holds ``to_dict`` of one for each part of the data, and ``from_dict`` reads it.
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
        reader: Name, version and SHA-256 of what was evaluated; empty where not known.
        labels: The classes.
        part: ``train``, ``val``, ``test`` or ``all``; empty where the data know no parts.
        relation: How the images stand to those that the reader learnt from.
        question: What was asked: level, resamples, seed, unit.
        threshold: From which probability on an image is called positive, and who said so.
        n: What was judged: images, studies or patients, as ``question.per`` says.
        images: How many images they have.
        patients: How many patients.
        patients_known: Whether the data tell the patient of every image.
        confusion: [[true negatives, false positives], [false negatives, true positives]].
        numbers: Each number under its name; ``docs/reference/files.md`` explains them.
        policy: What the reader's whole decision achieves, with its uncertain zone and its gate,
            beside the threshold alone; None where there is no model, or where studies or patients
            were judged.
        calibration: What lies between logits and probabilities; None where nothing tells.
        curves: The arrays for figures; None if they were not asked for.
        groups: The main numbers in groups of the images.
        baselines: What knows nothing of lungs achieves on the same images.
        robustness: The main numbers on images made worse; empty if they were not asked for.
        seen: How many of the images, or others of their patients, the reader was trained on.
        has_test: Whether the reader's own data have a test part; None where nothing tells.
        fingerprint: Of the data that the images are of; empty where not known.
        unreadable: How many files could not be read.
        left_out: Rows and files of the data that were not taken.
        notes: What to know before relying on it, the gravest first.
        by_class: The numbers of each class and of all together, where a reader knows more than two;
            everything else then is of the positive group. None for two classes.
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
        """What lies between logits and probabilities, of two classes or of more."""
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
            KeyError, TypeError, ValueError: Something is missing or cannot be.
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
        scores: What the reader said of labelled images.
        question: What is asked; the defaults if None.
        reader: What is known of the reader.
        images: What is known of the images.
        robustness: What ``robustness`` gave at the same threshold and level.

    Raises:
        DataError: There are no scores, or studies or patients were asked for that are not known,
            or that have no one label.
        OptionError: There are too few resamples.

    Example:
        >>> scores = Scores.load(Path("scores.csv"))  # doctest: +SKIP
        >>> evaluate(scores, Question(threshold=0.4))["sensitivity"]  # doctest: +SKIP
    """
    question, reader, images = question or Question(), reader or Reader(), images or Images()
    judged = judged_scores(scores, question, images)
    threshold = reader.threshold_for(question)
    found = numbers_of(
        judged,
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
        patients_known=judged.patients_known,
        confusion=found.confusion,
        numbers=found.values,
        policy=_policy(judged, question, reader),
        calibration=reader.calibration or _fitted(scores),
        curves=found.curves,
        groups=_groups(judged, question, threshold.value, _columns(scores, question, images)),
        baselines=_baselines(judged, question, images),
        robustness=robustness,
        seen=images.seen,
        has_test=images.has_test,
        fingerprint=images.fingerprint,
        unreadable=images.unreadable,
        left_out=images.left_out,
        by_class=_by_class(judged, question, reader),
    )
    return replace(value, notes=notes_of(value))


def judged_scores(scores: Scores, question: Question, images: Images) -> Scores:
    """Return the scores that are evaluated: by image, study or patient.

    Raises:
        DataError: The studies or patients are not known, or have no one label.
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
    """Return the performance of the whole decision; only for single images."""
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
    """Return the line between logits and probabilities of two classes."""
    return fitted_calibration(scores) if scores.classes is None else None


def _by_class(scores: Scores, question: Question, reader: Reader) -> ClassNumbers | None:
    """Return the numbers of each class, where there are more than two."""
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
    taught = images.training[1] if images.training is not None else None
    level, resamples, seed = question.level, question.resamples, question.seed
    naive = majority_baseline(
        scores, trained_on=taught, level=level, resamples=resamples, seed=seed
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
