"""Reading an image, including images that end the process."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pydicom
import pytest

from pneumoscope.hospital.reading import NOT_READ, Wanted, answer_apart, answer_to
from pneumoscope.reader.prediction import Prediction
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]
MADE = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)


class Crashing(Predictor):
    """A reader whose decoder crashes."""

    def predict(self, source: object) -> Prediction:  # noqa: ARG002
        os.abort()

    def __reduce__(self) -> Any:
        return Crashing, ()


class Hanging(Predictor):
    """A reader whose decoder hangs."""

    def predict(self, source: object) -> Prediction:  # noqa: ARG002
        time.sleep(600)
        raise AssertionError

    def __reduce__(self) -> Any:
        return Hanging, ()


def test_a_process_of_its_own_gives_the_same_answer(chest: Chest, reader: Predictor) -> None:
    here = answer_to(chest(1), reader, made=MADE, wanted=Wanted(institution="Clinic"))
    apart = answer_apart(chest(1), reader, made=MADE, wanted=Wanted(institution="Clinic"))
    assert [one.kind for one in here.objects] == ["report", "picture"]
    assert apart.objects == here.objects
    report = pydicom.dcmread(io.BytesIO(here.objects[0].content))
    assert report.InstitutionName == "Clinic"


def test_a_decoder_that_crashes_becomes_a_report_of_failure(chest: Chest) -> None:
    answer = answer_apart(chest(1), Crashing(), made=MADE)
    assert answer.record["conclusion"] == "ERROR"
    assert "died (exit code -6)" in answer.record["error"]
    assert [one.kind for one in answer.objects] == ["report"]


def test_a_decoder_that_hangs_becomes_a_report_of_failure(chest: Chest) -> None:
    answer = answer_apart(chest(1), Hanging(), made=MADE, seconds=0.5)
    assert "longer than" in answer.record["error"]
    assert [one.kind for one in answer.objects] == ["report"]


def test_the_record_names_the_image_whatever_became_of_it(chest: Chest, reader: Predictor) -> None:
    for content in (chest(1), chest(1, PixelData=b"\0\0"), chest(6)):
        found = answer_to(content, reader, made=MADE).record["dicom"]
        assert found["sop_instance_uid"].startswith("1.2.840.99.")
        assert found["study_uid"] in found["series_uid"]


@pytest.mark.parametrize(
    "elements",
    [
        {"Manufacturer": "pneumoscope"},
        {"ImageType": ["DERIVED", "SECONDARY"]},
        {"ImageType": ["DERIVED", "SECONDARY", "OTHER"]},
    ],
)
def test_what_software_made_is_not_read(
    chest: Chest, reader: Predictor, elements: dict[str, Any]
) -> None:
    answer = answer_to(chest(1, **elements), reader, made=MADE)
    assert (answer.record["conclusion"], answer.objects) == (NOT_READ, ())


def test_an_image_for_processing_is_answered_as_not_assessable(
    chest: Chest, reader: Predictor
) -> None:
    content = chest(
        1,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1.1",
        Modality="DX",
        PresentationIntentType="FOR PROCESSING",
    )
    answer = answer_to(content, reader, made=MADE)
    assert answer.record["conclusion"] == "NOT_ASSESSABLE"
    assert "FOR PRESENTATION" in answer.record["reasons"][0]
    assert [one.kind for one in answer.objects] == ["report"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about what is wrong
@pytest.mark.parametrize(
    "elements",
    [
        {"StudyDate": "yesterday", "StudyTime": "noon"},
        {"PatientBirthDate": "1.1.1970", "PatientSex": "unknown"},
        {"PatientName": None, "PatientID": None, "StudyID": None, "StudyDate": None},
        {"PatientName": "A" * 200, "PatientID": "9" * 100, "StudyDescription": "x" * 500},
        {"PatientName": "Only"},
        {"SpecificCharacterSet": "ISO_IR 999"},
        {"Modality": None, "Manufacturer": None},
        {"PatientAge": "old", "PatientWeight": None},
        {"StudyInstanceUID": "not a uid"},
        {"AccessionNumber": "1\\2"},
    ],
)
def test_a_malformed_header_does_not_keep_the_answer_back(
    chest: Chest, reader: Predictor, elements: dict[str, Any]
) -> None:
    answer = answer_to(chest(1, **elements), reader, made=MADE)
    assert [one.kind for one in answer.objects] == ["report", "picture"]
    for one in answer.objects:
        back = pydicom.dcmread(io.BytesIO(one.content))
        assert back.StudyInstanceUID == elements.get("StudyInstanceUID", "1.2.840.99.1")
