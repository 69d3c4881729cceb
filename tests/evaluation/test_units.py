"""Scores of images → scores of studies and patients."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.made_scores import people
from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.units import aggregated, shared_columns, unit_of_images


def scores(labels: tuple[int, ...] = (1, 1, 0, 0, 1), *, known: bool = True) -> Scores:
    probability = np.array([0.2, 0.8, 0.1, 0.3, 0.9])
    return Scores(
        ("a", "b", "c", "d", "e"),
        tuple(Patient(name, known=known) for name in ("ppqqp" if known else "abcde")),
        np.array(labels),
        np.log(probability / (1 - probability)),
        probability,
        "test",
    )


def test_the_mean_and_the_maximum_of_probabilities() -> None:
    unit = ("s", "s", "t", "t", "u")
    mean = aggregated(scores(), unit)
    assert mean.path == ("s", "t", "u")
    assert mean.patient == people("pqp")
    assert mean.label.tolist() == [1, 0, 1]
    assert mean.probability.tolist() == pytest.approx([0.5, 0.2, 0.9])
    assert (1 / (1 + np.exp(-mean.logit))).tolist() == pytest.approx(mean.probability.tolist())
    assert aggregated(scores(), unit, how="max").probability.tolist() == [0.8, 0.3, 0.9]
    with pytest.raises(OptionError, match="Did you mean 'mean'"):
        aggregated(scores(), unit, how="men")


def test_each_image_alone_is_what_it_was() -> None:
    same = aggregated(scores(), scores().path)
    assert same.probability.tolist() == scores().probability.tolist()
    assert same.logit.tolist() == pytest.approx(scores().logit.tolist())


def test_intervals_count_patients() -> None:
    many = Scores(
        tuple(map(str, range(80))),
        people(f"p{row // 4}" for row in range(80)),
        np.arange(80) // 4 % 2,
        np.zeros(80),
        np.random.default_rng(0).random(80),
    )
    found = numbers_of(
        aggregated(many, [f"s{row // 2}" for row in range(80)]), threshold=0.5, resamples=100
    )
    assert (found.n, found.patients) == (40, 20)


def test_units_of_images() -> None:
    study = {"a": "1", "b": "1", "c": "1", "d": "2", "e": "2"}
    assert unit_of_images(scores(), per="study", study=study) == ("p/1", "p/1", "q/1", "q/2", "p/2")
    assert unit_of_images(scores(), per="patient") == ("p", "p", "q", "q", "p")
    unknown = unit_of_images(scores(known=False), per="study", study=study)
    assert unknown == ("1", "1", "1", "2", "2")
    assert aggregated(scores((1, 1, 1, 0, 0), known=False), unknown).patient == (
        Patient("1", known=False),
        Patient("2", known=False),
    )
    with pytest.raises(DataError, match="study of 5 of 5 images, such as a"):
        unit_of_images(scores(), per="study")
    with pytest.raises(DataError, match="the patient of some images is unknown"):
        unit_of_images(scores(known=False), per="patient")
    with pytest.raises(OptionError, match="Did you mean 'study'"):
        unit_of_images(scores(), per="studi")


def test_contradictory_labels_are_listed() -> None:
    with pytest.raises(DataError, match=r"1 of 2 have images of both classes") as caught:
        aggregated(scores((1, 0, 0, 0, 1)), ("p", "p", "q", "q", "p"))
    assert "p: a (1), b (0), e (1)" in str(caught.value)


def test_columns_of_units() -> None:
    columns = {"sex": {"a": "F", "b": "F", "c": "M", "d": "F", "e": "M"}}
    found = shared_columns(columns, scores().path, ("s", "s", "t", "t", "u"))
    assert found == {"sex": {"s": "F", "t": "several", "u": "M"}}
