"""A record identifies its DICOM image and the processing of its pixels."""

from __future__ import annotations

import csv
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageDraw

from helpers.files import dicom_file, encoded
from helpers.tiny_model import grey_image, tiny_info, write_tiny
from pneumoscope.images.dicom_facts import DicomFacts, Rendering
from pneumoscope.images.radiograph import ImageMeta
from pneumoscope.images.record import DICOM_COLUMNS, DicomRecord, dicom_record
from pneumoscope.reader.evidence_sheet import draw_evidence
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import COLUMNS, record_of, row_of, write_csv, write_parquet

UIDS: dict[str, Any] = {
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.4",
    "SOPInstanceUID": "1.2.3.4.5",
}
SHOWN: dict[str, Any] = {
    "PhotometricInterpretation": "MONOCHROME1",
    "BitsStored": 12,
    "WindowCenter": 2047,
    "WindowWidth": 4093,
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    info = tiny_info(intended={"modality": ["CR", "DX"]})
    return Predictor(write_tiny(tmp_path_factory.mktemp("model") / "m.onnx", info))


def film(**elements: Any) -> bytes:
    pixels = (4095 - grey_image(160, side=200).astype(np.uint16) * 16).astype(np.uint16)
    return dicom_file(pixels, **{**UIDS, **SHOWN, **elements})


def test_a_record_names_the_image_and_what_was_done(predictor: Predictor) -> None:
    found = predictor.predict(film(PatientID="SECRET", PatientBirthDate="20200115"))
    record = record_of(found)
    assert json.loads(json.dumps(record)) == record
    dicom = record["dicom"]
    assert tuple(dicom) == DICOM_COLUMNS
    assert dicom["study_uid"] == "1.2.3"
    assert dicom["series_uid"] == "1.2.3.4"
    assert dicom["sop_instance_uid"] == "1.2.3.4.5"
    assert dicom["transfer_syntax"] == "1.2.840.10008.1.2.1"
    assert dicom["photometric"] == "MONOCHROME1"
    assert dicom["decoder"]
    assert dicom["inverted"] is True
    assert "2047" in dicom["voi"]
    assert "4093" in dicom["voi"]
    for secret in ("SECRET", "Doe", "20200115"):
        assert secret not in json.dumps(record)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - for other processes


def test_a_table_has_a_column_for_each(predictor: Predictor, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    found = [predictor.predict(film()), predictor.predict(encoded(grey_image(160, side=200)))]
    records = [record_of(each) for each in found]
    assert records[1]["dicom"] is None
    out = io.StringIO()
    write_csv(out, records)
    film_row, png_row = csv.DictReader(io.StringIO(out.getvalue()))
    assert tuple(film_row) == COLUMNS
    assert set(DICOM_COLUMNS) <= set(COLUMNS)
    assert film_row["sop_instance_uid"] == "1.2.3.4.5"
    assert film_row["inverted"] == "true"
    assert {png_row[name] for name in DICOM_COLUMNS} == {""}
    write_parquet(tmp_path / "r.parquet", records)
    first, second = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert first["study_uid"] == "1.2.3"
    assert first["inverted"] == "true"
    assert {second[name] for name in DICOM_COLUMNS} == {None}


def test_records_of_before_have_rows_too(predictor: Predictor) -> None:
    record = record_of(predictor.predict(film()))
    del record["dicom"]  # as a journal of an earlier version has it
    assert row_of(record)["study_uid"] is None


def test_a_refused_image_is_named_but_was_not_decoded(predictor: Predictor) -> None:
    (found,) = predictor.predict_many([film(ViewPosition="LL")])
    assert found.conclusion == "NOT_ASSESSABLE"
    assert found.dicom is not None
    assert found.dicom.sop_instance_uid == "1.2.3.4.5"
    assert found.dicom.decoder == found.dicom.voi == ""
    assert found.dicom.inverted is None
    assert row_of(record_of(found))["inverted"] is None


@pytest.mark.parametrize(
    "elements",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"BitsAllocated": 64},
        {"PixelData": b"\0" * 100},
    ],
)
def test_an_image_that_cannot_be_read_is_named_by_its_header(
    predictor: Predictor, elements: dict[str, Any]
) -> None:
    (found,) = predictor.predict_many([film(**elements)])
    assert found.conclusion == "ERROR"
    row = row_of(record_of(found))
    assert row["error"]
    assert row["study_uid"] == "1.2.3"
    assert row["sop_instance_uid"] == "1.2.3.4.5"
    assert not row["decoder"]


@pytest.mark.parametrize(
    ("photometric", "shape", "noted"),
    [
        ("MONOCHROME1", "INVERSE", False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
    ],
)
def test_a_presentation_shape_that_contradicts_is_noted_and_not_followed(
    predictor: Predictor, photometric: str, shape: str, noted: bool
) -> None:
    stated = {"PhotometricInterpretation": photometric}
    plain = predictor.predict(film(**stated))
    found = predictor.predict(film(**stated, PresentationLUTShape=shape))
    assert found.probability == plain.probability
    assert found.dicom is not None
    assert any("PresentationLUTShape" in note for note in found.dicom.notes) == noted


def test_contradictions_are_reasons_and_notes(predictor: Predictor) -> None:
    found = predictor.predict(film(PatientOrientation=["A", "F"], Modality="DR"))
    assert found.conclusion == "PNEUMONIA"
    assert found.dicom is not None
    for word in ("PatientOrientation A/F", "'DR' is not a DICOM term"):
        assert any(word in reason for reason in found.reasons)
        assert any(word in note for note in found.dicom.notes)


def test_notes_of_header_and_pixels_are_joined_once() -> None:
    facts = DicomFacts(notes=("a", "b"), study_uid="1.2")
    rendering = Rendering(decoder="x", modality="slope 2", padding="0", notes=("b", "c"))
    meta = ImageMeta(1, 1, "MONOCHROME2", "DICOM", facts, rendering)
    record = dicom_record(meta)
    assert record is not None
    assert record.notes == ("a", "b", "c")
    assert record.modality_transform == "slope 2"
    assert DicomRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert dicom_record(meta._replace(dicom=None)) is None


def test_the_caption_says_how_pixels_were_shown() -> None:
    record = DicomRecord("", "", "", "", "MONOCHROME2", voi="window 40/400", padding="0")
    assert record.caption() == "DICOM window 40/400, padding 0"
    assert replace(record, inverted=True).caption().endswith(", inverted")
    assert replace(record, voi="", padding="").caption() == ""


@pytest.mark.parametrize("side", [200, 900])
def test_the_evidence_picture_says_it(
    side: int, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    honest = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: tuple[float, float], what: str, **rest: Any) -> None:
        said.append(what)
        honest(self, xy, what, **rest)

    pixels = (4095 - grey_image(160, side=side).astype(np.uint16) * 16).astype(np.uint16)
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_file(pixels, **UIDS, **SHOWN))
    found = predictor.predict(path)
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    draw_evidence(predictor, found, tmp_path / "evidence")
    line = " ".join(said)
    assert "p(PNEUMONIA)" in line
    assert "MONOCHROME1 inverted" in line
    assert "window 2047/4093" in line
