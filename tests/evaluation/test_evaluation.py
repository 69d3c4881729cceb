"""The evaluation value: it can be read back from JSON, and unknown values are None."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from helpers.made_scores import make_scores
from pneumoscope.data.entries import LeftOut
from pneumoscope.data.relation import TrainingRelation
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.calibration import Calibration, fit_temperature
from pneumoscope.evaluation.conformal import fit_conformal
from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.fitted import fitted_calibration
from pneumoscope.evaluation.question import Images, Question, Reader
from pneumoscope.evaluation.scores import Scores
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import DecisionPolicy

LABELS = LabelSpace.of(("NORMAL", "PNEUMONIA"))
QUICK = Question(resamples=200)


def reader_at(threshold: float = 0.5, conformal: Conformal | None = None) -> Reader:
    point = OperatingPoint("youden", threshold)
    return Reader("tiny", LABELS, policy=DecisionPolicy(LABELS, point, conformal))


def codes(found: Evaluation) -> list[str]:
    return [note.code for note in found.notes]


def text_of(found: Evaluation, code: str) -> str:
    return next(note.text for note in found.notes if note.code == code)


def shifted(scores: Scores, by: float) -> Scores:
    logit = scores.logit + by
    return replace(scores, logit=logit, probability=1 / (1 + np.exp(-logit)))


def test_it_reads_back_from_json() -> None:
    scores = make_scores(200, per_patient=2)
    reader = replace(
        reader_at(0.4, fit_conformal(scores, level=0.2)),
        version="2",
        sha256="ab" * 32,
        calibration=Calibration(0.5, 0.1, "platt", 200, 0.6, 0.5),
    )
    scores = replace(scores, refused=np.arange(200) % 40 == 0)
    images = Images(
        "test", TrainingRelation.TEST, 3, True, "cd" * 32,
        columns={"sex": {path: "FM"[row % 2] for row, path in enumerate(scores.path)}},
        sizes={path: 1000 + row for row, path in enumerate(scores.path)},
        unreadable=2, left_out=(LeftOut("label", 4, "Mass 4"),),
    )  # fmt: skip
    question = Question(prevalence=0.1, level=0.9, resamples=200, group_resamples=100, seed=3)
    found = evaluate(scores, question, reader=reader, images=images)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    again = Evaluation.from_dict(values)
    assert json.loads(json.dumps(again.to_dict())) == values
    assert again.question == question
    assert again.labels == LABELS
    assert again.relation is TrainingRelation.TEST
    assert dict(again.numbers) == dict(found.numbers)
    assert again.groups == found.groups
    assert again.baselines == found.baselines
    assert again.notes == found.notes
    assert again.calibration == reader.calibration
    assert values["assumed_prevalence"]["value"] == 0.1
    assert values["threshold"] == {"value": 0.4, "source": "model", "rule": "youden"}
    assert again.policy == found.policy
    assert values["policy"]["deployed"]["refused"]["value"] == 0.025
    assert values["policy"]["at_threshold"]["accuracy"] == values["accuracy"]
    for curve, columns in values["curves"].items():
        assert len({len(column) for column in columns.values()}) == 1, curve
    assert sum(values["curves"]["reliability"]["n"]) == 200


def test_patients_read_back_too() -> None:
    scores = make_scores(120, per_patient=3)
    found = evaluate(scores, replace(QUICK, per="patient", aggregate="max"))
    values = json.loads(json.dumps(found.to_dict()))
    assert values["unit"] == {"value": "patient", "aggregate": "max"}
    again = Evaluation.from_dict(values)
    assert (again.unit, again.n, again.images) == ("patient", found.patients, 120)
    assert json.loads(json.dumps(again.to_dict())) == values


def test_the_same_question_has_the_same_answer() -> None:
    scores = make_scores(120)
    assert evaluate(scores, QUICK).to_dict() == evaluate(scores, QUICK).to_dict()


def test_whose_threshold_it_is() -> None:
    scores, reader = make_scores(60), reader_at(0.3)
    fast = Question(resamples=0, curves=False)
    for question, known, value, source, rule in (
        (fast, reader, 0.3, "model", "youden"),
        (replace(fast, threshold=0.8), reader, 0.8, "given", ""),
        (fast, Reader(), 0.5, "default", ""),
    ):
        found = evaluate(scores, question, reader=known).threshold
        assert (found.value, found.source, found.rule) == (value, source, rule)


def test_every_interval_is_at_the_level_that_was_asked() -> None:
    scores = make_scores(200, per_patient=2)
    images = Images(sizes={path: 1000 + row for row, path in enumerate(scores.path)})
    reader = reader_at(0.5, fit_conformal(scores, level=0.2))
    found = evaluate(scores, Question(level=0.9, resamples=200), reader=reader, images=images)
    levels = set(_levels(found.to_dict()))
    assert levels == {0.9, None}  # None: no interval
    assert "a 90% interval of" in text_of(found, "smaller-class")


def _levels(values: object) -> Iterator[object]:
    """Yield the level of every interval, at any depth."""
    if isinstance(values, dict):
        if "method" in values and "low" in values:
            yield values["level"]
        for value in values.values():
            yield from _levels(value)
    elif isinstance(values, list):
        for value in values:
            yield from _levels(value)


def test_what_is_a_what_if() -> None:
    assert not Question().what_if
    assert not Question(resamples=100, seed=3).what_if
    for changes in ({"threshold": 0.5}, {"prevalence": 0.1}, {"level": 0.9}, {"per": "patient"}):
        assert replace(Question(), **changes).what_if, changes


def test_what_it_refuses() -> None:
    for changes in ({"threshold": 2}, {"prevalence": 1}, {"level": 95}, {"per": "lung"}):
        with pytest.raises(OptionError):
            replace(Question(), **changes)
    with pytest.raises(DataError, match="no images"):
        evaluate(make_scores(30).select([]))


# --- what to know before relying on it -----------------------------------------------------------


def test_a_network_that_names_one_class_for_everything_is_the_first_note() -> None:
    scores = make_scores(400, separation=0.0)
    found = evaluate(shifted(scores, 9.0), QUICK, reader=reader_at())
    assert codes(found)[0] == "one-class"
    assert found.notes[0].grave
    assert "to one class: 400 of 400 (100%) are classified as PNEUMONIA" in found.notes[0].text
    found = evaluate(
        shifted(scores, -9.0), QUICK, reader=reader_at(),
        images=Images("val", TrainingRelation.VALIDATION, seen=3),
    )  # fmt: skip
    assert codes(found)[:3] == ["one-class", "seen-in-training", "validation-images"]
    assert "are classified as NORMAL" in found.notes[0].text
    assert codes(evaluate(scores, QUICK))[0] == "no-better-than-chance"


def test_an_area_below_one_half_asks_whether_the_classes_are_swapped() -> None:
    scores = make_scores(300)
    upside_down = replace(scores, label=1 - scores.label)
    found = evaluate(upside_down, QUICK, reader=Reader("tiny", LABELS))
    assert found["auc"].high is not None
    assert found["auc"].high < 0.5
    assert codes(found)[0] == "classes-swapped"
    assert "Are the classes swapped?" in found.notes[0].text
    assert "classes-swapped" not in codes(evaluate(scores, QUICK))


def test_a_reader_that_calls_nearly_everything_positive_is_told_how_to_mend_it() -> None:
    scores = shifted(make_scores(300, separation=3.0), 4.0)
    found = evaluate(scores, QUICK, reader=reader_at())
    assert found["auc"].value is not None
    assert found["auc"].value > 0.9
    assert codes(found)[0] == "threshold-does-not-fit"
    said = found.notes[0].text
    assert "of the images as PNEUMONIA" in said
    assert "pneumoscope recalibrate" in said
    missed = evaluate(shifted(scores, -8.0), QUICK, reader=reader_at())
    assert "of the images as NORMAL" in text_of(missed, "threshold-does-not-fit")
    given = evaluate(scores, replace(QUICK, threshold=0.2), reader=reader_at())
    assert "It was set for this evaluation." in text_of(given, "threshold-does-not-fit")
    assert "threshold-does-not-fit" not in codes(evaluate(make_scores(300), QUICK))


@pytest.mark.parametrize(
    ("relation", "has_test", "code", "says", "never"),
    [
        (
            TrainingRelation.VALIDATION,
            True,
            "validation-images",
            "test set is more informative",
            "was no",
        ),
        (TrainingRelation.VALIDATION, False, "validation-images", "There was no test set", "more"),
        (TrainingRelation.VALIDATION, None, "validation-images", "used to choose", "test set"),
        (TrainingRelation.TEST, True, "same-source", "comes from the same source", "validation"),
        (TrainingRelation.OTHER, None, "other-hospitals", "similar images", "same source"),
        (TrainingRelation.TRAINING, True, "training-images", "trained on", "same source"),
    ],
)
def test_what_is_said_of_the_images_follows_from_their_relation(
    relation: TrainingRelation, has_test: bool | None, code: str, says: str, never: str
) -> None:
    for part in ("val", "test", "all", ""):  # whatever the part is called
        images = Images(part, relation, has_test=has_test)
        found = evaluate(make_scores(100), Question(resamples=0), images=images)
        assert says in text_of(found, code)
        assert not any(never in note.text for note in found.notes)


def test_the_relation_of_a_model_file_is_not_made_up() -> None:
    reader = replace(reader_at(), sha256="ab" * 32)
    found = evaluate(make_scores(100), QUICK, reader=reader, images=Images("test"))
    assert "It is unknown whether" in text_of(found, "relation-unknown")
    assert "same-source" not in codes(found)


def test_a_calibration_at_its_limit_is_told() -> None:
    scores = make_scores(80, separation=12.0)  # parted without a mistake
    line = fit_temperature(scores)
    assert line.scale == pytest.approx(100)
    found = evaluate(
        replace(scores, probability=line.apply(scores.logit)), QUICK,
        reader=replace(reader_at(), calibration=line),
    )  # fmt: skip
    assert "limit of 100" in text_of(found, "calibration-without-end")
    plain = evaluate(make_scores(80), QUICK, reader=Reader(calibration=Calibration()))
    assert "calibration-without-end" not in codes(plain)


def test_calibration_is_what_the_probabilities_tell() -> None:
    scores = make_scores(300)
    found = fitted_calibration(scores)
    assert found == Calibration()
    for line, method in ((Calibration(0.4), "temperature"), (Calibration(1.3, -0.7), "platt")):
        told = fitted_calibration(replace(scores, probability=line.apply(scores.logit)))
        assert told is not None
        assert told.method == method
        assert (told.scale, told.bias) == pytest.approx((line.scale, line.bias), abs=2e-3)
    ranks = scores.logit.argsort().argsort() / len(scores)
    assert fitted_calibration(replace(scores, probability=ranks)) is None  # no line
