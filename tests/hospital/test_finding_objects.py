"""What is given back for an image by a reader of several findings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from helpers.classes import write_kinds
from helpers.findings import EACH, NAMES, concluded, write_findings
from helpers.pacs import (
    FIND,
    PICTURE,
    PRESENTATION,
    REPORT,
    Archive,
    command,
    images_in,
    node,
    send,
)
from helpers.service import wait_until
from pneumoscope.cli import main, pull
from pneumoscope.hospital.concepts import concept_of, own_concept
from pneumoscope.hospital.identity import NOTICE
from pneumoscope.hospital.objects import Made, device_of, objects_of
from pneumoscope.hospital.pull import Source
from pneumoscope.hospital.reading import answer_to
from pneumoscope.hospital.report import report
from pneumoscope.hospital.source import read_header
from pneumoscope.reader.evidence import evidence_image
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, Prediction
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]
MADE = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)
PRESENCE = {"POSITIVE": "Present", "NEGATIVE": "Absent", "UNCERTAIN": "Indeterminate"}


class Loud(Predictor):
    """A reader whose evidence is never too weak to be outlined; it notes of what it was asked."""

    asked: list[str | None]

    def evidence(self, pixels: NDArray[np.uint8], of: str | None = None) -> NDArray[np.float32]:
        self.asked = [*getattr(self, "asked", []), of]
        return super().evidence(pixels, of) + 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_findings(tmp_path_factory.mktemp("findings") / "m.onnx", NAMES)


@pytest.fixture(scope="module")
def several(model: Path) -> Predictor:
    return Predictor(model)


def objects(content: bytes, several: Predictor, conclusion: str, **options: Any) -> list[Made]:
    found = concluded(several, content, conclusion)
    return objects_of(read_header(content), content, found, several, made=MADE, **options)


def saved(one: Made, folder: Path) -> Path:
    path = folder / f"{one.kind}.dcm"
    one.data.save_as(path, enforce_file_format=True)
    return path


def groups(data: pydicom.Dataset) -> list[dict[str, list[Any]]]:
    """Return the values of each measurement group of a report, by their names."""
    measured = next(
        item for item in data.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    )  # fmt: skip
    found = []
    for group in measured.ContentSequence:
        values: dict[str, list[Any]] = {}
        for name, value in _values(group):
            values.setdefault(name, []).append(value)
        found.append(values)
    return found


def _values(group: pydicom.Dataset) -> Iterator[tuple[str, Any]]:
    for item in group.ContentSequence:
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        match item.ValueType:
            case "TEXT":
                yield name, item.TextValue
            case "CODE":
                yield name, item.ConceptCodeSequence[0].CodeMeaning
            case "NUM":
                yield name, float(item.MeasuredValueSequence[0].NumericValue)
            case "IMAGE":
                yield name, item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            case "UIDREF":
                yield name, item.UID


@pytest.mark.parametrize("conclusion", ["POSITIVE", "UNCERTAIN", "NEGATIVE"])
def test_the_report_has_a_group_for_each_finding(
    conclusion: str,
    chest: Chest,
    several: Predictor,
    tmp_path: Path,
    valid: Callable[[Path], None],
) -> None:
    made = objects(chest(1), several, conclusion)
    assert [one.kind for one in made] == ["report", "picture"]
    whole, *each = groups(made[0].data)
    assert whole["Conclusion of the reader"] == [conclusion]
    assert whole["Status of the analysis"] == ["Succeeded"]
    assert whole["SHA-256 of the model file"] == [several.sha256]
    assert whole["Reason"] == ["a reason"]
    assert not {"Probability", "Finding", "Pneumonia"} & set(whole)
    coded = ("Pleural effusion", "Lung consolidation", NAMES[2])
    for number, (name, meaning, found) in enumerate(zip(NAMES, coded, each, strict=True)):
        said, probability = EACH[conclusion][number]
        assert found["Tracking Identifier"] == [f"pneumoscope {name}"]
        assert found["Conclusion of the reader"] == [said]
        assert found[meaning] == [PRESENCE[said]]
        assert found.get("Finding", []) == ([meaning] if said == "POSITIVE" else [])
        assert found["Probability"] == [pytest.approx(probability)]
        threshold = several.info.findings[number].operating_point.threshold
        assert found["Decision threshold of the probability"] == [pytest.approx(threshold)]
        assert found["Source of Measurement"] == ["1.2.840.99.1.1.1"]
        assert found["Notice"] == [NOTICE]
    tracked = [one["Tracking Unique Identifier"][0] for one in (whole, *each)]
    assert len(set(tracked)) == 1 + len(NAMES)
    for one in made:
        valid(saved(one, tmp_path))


@pytest.mark.parametrize(
    ("conclusion", "status"), [(NOT_ASSESSABLE, "Not Attempted"), (ERROR, "Failed")]
)
def test_without_a_conclusion_nothing_is_said_of_a_finding(
    conclusion: str,
    status: str,
    chest: Chest,
    several: Predictor,
    tmp_path: Path,
    valid: Callable[[Path], None],
) -> None:
    (made,) = objects(chest(1), several, conclusion)
    (whole,) = groups(made.data)
    assert whole["Conclusion of the reader"] == [conclusion]
    assert whole["Status of the analysis"] == [status]
    assert whole["Reason"] == ["a reason", *(["it broke"] if conclusion == ERROR else [])]
    assert not any(name in str(made.data) for name in ("Absent", "Present", "effusion"))
    valid(saved(made, tmp_path))


@pytest.mark.parametrize(
    ("conclusion", "drawn"),
    [("POSITIVE", NAMES[1]), ("UNCERTAIN", NAMES[1]), ("NEGATIVE", NAMES[0])],
)
def test_the_picture_and_the_outline_are_of_the_likeliest_present_finding(
    conclusion: str,
    drawn: str,
    chest: Chest,
    model: Path,
    tmp_path: Path,
    valid: Callable[[Path], None],
) -> None:
    loud, content = Loud(model), chest(1)
    _, picture, presentation = objects(content, loud, conclusion, outline=True)
    assert loud.asked == [drawn, drawn]
    found = concluded(loud, content, conclusion)
    expected = evidence_image(loud, found, content, notice=NOTICE, of=drawn)
    assert (picture.data.pixel_array == np.asarray(expected)).all()
    valid(saved(presentation, tmp_path))
    (annotation,) = presentation.data.GraphicAnnotationSequence
    text = annotation.TextObjectSequence[0].UnformattedTextValue
    said, probability = dict(zip(NAMES, EACH[conclusion], strict=True))[drawn]
    assert text.splitlines()[0] == f"{drawn} {said}, p {probability:.3f}"
    assert text.splitlines()[-1] == NOTICE
    if conclusion == "POSITIVE":
        assert text.splitlines()[1:3] == [
            "1 of 3 POSITIVE, 1 UNCERTAIN", f"{NAMES[2]} UNCERTAIN 0.700"
        ]  # fmt: skip


def test_of_three_classes_the_outline_is_of_the_concluded_one_as_in_the_picture(
    chest: Chest, tmp_path: Path
) -> None:
    kinds, content = Loud(write_kinds(tmp_path / "m.onnx")), chest(1)
    found = replace(
        kinds.predict(content), conclusion="VIRUS", probabilities=(0.1, 0.2, 0.7), probability=0.9
    )
    made = objects_of(read_header(content), content, found, kinds, made=MADE, outline=True)
    assert kinds.asked == ["VIRUS", "VIRUS"]
    text = made[-1].data.GraphicAnnotationSequence[0].TextObjectSequence[0]
    assert text.UnformattedTextValue == f"VIRUS, p(VIRUS) 0.700\n{NOTICE}"


def test_a_reader_of_another_finding_does_not_report_pneumonia(
    chest: Chest, several: Predictor
) -> None:
    header = read_header(chest(1))
    info = several.info.of_finding("Pleural_Effusion")
    found = Prediction("", "Pleural_Effusion", 0.9, 2.0, 0.3)
    document = report(header, found, device_of(several), info=info, made=MADE)
    (said,) = groups(document)
    assert said["Finding"] == ["Pleural effusion"]
    assert said["Pleural effusion"] == ["Present"]
    assert "Pneumonia" not in str(document)


def test_names_have_codes_of_their_own() -> None:
    assert concept_of("PNEUMONIA") == concept_of("pneumonia")
    assert concept_of("Pleural Effusion").value == concept_of("Effusion").value == "60046008"
    names = ("Opacity of the left lung", "Opacity of the right lung", "Größer", "Grüßer", "A", "_")
    codes = [own_concept(name).value for name in names]
    assert len(set(codes)) == len(names)
    assert all(len(code) <= 16 and code.isascii() for code in codes)
    assert own_concept("NOT_ASSESSABLE").value == "NOT_ASSESSABLE"
    assert own_concept("a\\b" + "c" * 99).meaning == "a/b" + "c" * 61


def test_names_in_any_script_are_kept_in_the_report(
    chest: Chest, several: Predictor, tmp_path: Path, valid: Callable[[Path], None]
) -> None:
    content = chest(1, SpecificCharacterSet="ISO_IR 144", PatientName="Люксембург^Роза")
    found = concluded(several, content, "POSITIVE")
    names = ("胸水", "Überblähung\\rechts", "x" * 100)
    renamed = [one._replace(name=name) for one, name in zip(found.findings, names, strict=True)]
    header = read_header(content)
    document = report(
        header,
        replace(found, findings=tuple(renamed)),
        device_of(several),
        info=several.info,
        made=MADE,
    )
    path = saved(Made("report", document), tmp_path)
    valid(path)
    _, *each = groups(pydicom.dcmread(path))
    assert [one["Tracking Identifier"] for one in each] == [[f"pneumoscope {n}"] for n in names]
    assert each[0]["胸水"] == ["Absent"]
    assert each[1]["Finding"] == ["Überblähung/rechts"]
    assert each[2]["x" * 64] == ["Indeterminate"]


def test_a_damaged_image_has_no_threshold(chest: Chest, several: Predictor) -> None:
    answer = answer_to(chest(1, PixelData=b"\0\0"), several, made=MADE)
    assert (answer.record["conclusion"], answer.record["threshold"]) == (ERROR, None)
    (whole,) = groups(pydicom.dcmread(io.BytesIO(answer.objects[0].content)))
    assert whole["Status of the analysis"] == ["Failed"]


def test_the_node_reads_several_findings(
    chest: Chest, model: Path, several: Predictor, tmp_path: Path
) -> None:
    archive = Archive(FIND, PRESENTATION)
    try:
        with node(tmp_path, archive, model=str(model)) as running:
            assert send(running.port, chest(1), chest(2, PixelData=b"\0\0")) == [0, 0]
            wait_until(lambda: len(archive.got) == 3, seconds=60)
            assert "to archive: 3 sent" in command(tmp_path, "queue")
            assert images_in(tmp_path) == {"waiting": 0, "read": 2}
            (read, _) = running.events("read")
            assert running.stop() == 0
    finally:
        archive.stop()
    expected = several.predict(chest(1))
    assert read["conclusion"] == expected.conclusion
    by_study = {(str(one.StudyInstanceUID), str(one.SOPClassUID)): one for one in archive.got}
    assert set(by_study) == {
        ("1.2.840.99.1", REPORT), ("1.2.840.99.1", PICTURE), ("1.2.840.99.2", REPORT)
    }  # fmt: skip
    whole, *each = groups(by_study["1.2.840.99.1", REPORT])
    assert whole["Conclusion of the reader"] == [expected.conclusion]
    for one, said in zip(expected.findings, each, strict=True):
        assert said["Conclusion of the reader"] == [one.conclusion]
        assert said["Probability"] == [pytest.approx(one.probability, abs=1e-5)]
    (failed,) = groups(by_study["1.2.840.99.2", REPORT])
    assert failed["Status of the analysis"] == ["Failed"]


def test_dicom_out_of_several_findings(
    chest: Chest, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.dcm").write_bytes(chest(1))
    out = tmp_path / "objects"
    words = ("predict", tmp_path / "a.dcm", "--model", model, "--dicom-out", out)
    assert main([*map(str, words), "--format", "jsonl"]) == 0
    record = json.loads(capsys.readouterr().out)
    written = {path.name: pydicom.dcmread(path) for path in out.iterdir()}
    assert sorted(one.Modality for one in written.values()) == ["CR", "SR"]
    (document,) = [one for one in written.values() if one.Modality == "SR"]
    whole, *each = groups(document)
    assert whole["Conclusion of the reader"] == [record["conclusion"]]
    assert [one["Conclusion of the reader"][0] for one in each] == [
        one["conclusion"] for one in record["findings"].values()
    ]


class Shelf(Source):
    """An archive of a few images."""

    def __init__(self, *contents: bytes) -> None:
        self._held = {str(read_header(content).SOPInstanceUID): content for content in contents}

    def search(self, level: str, keys: dict[str, str]) -> Iterator[pydicom.Dataset]:  # noqa: ARG002
        for content in self._held.values():
            header = read_header(content)
            asked = {name: uid for name, uid in keys.items() if "UID" in name and uid}
            if all(str(header.get(name)) == uid for name, uid in asked.items()):
                yield header

    def fetch(self, place: Any) -> bytes:
        return self._held[place.instance]


def test_pull_writes_a_column_for_each_finding(
    chest: Chest, model: Path, several: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = chest(1), chest(2)
    monkeypatch.setattr(pull, "_source", lambda _: Shelf(*contents))
    out = tmp_path / "results.csv"
    words = ("pull", "--from", "A@b:1", "--study-date", "20261127", "--model", model, "--out", out)
    assert main([*map(str, words)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [row["study_uid"] for row in rows] == ["1.2.840.99.1", "1.2.840.99.2"]
    for row, content in zip(rows, contents, strict=True):
        found = several.predict(content)
        assert (row["conclusion"], row["probability"]) == (found.conclusion, "")
        for one in found.findings:
            assert row[f"conclusion {one.name}"] == one.conclusion
            assert float(row[f"probability {one.name}"]) == pytest.approx(one.probability, abs=1e-5)
    assert json.loads(out.with_name("results.csv.summary.json").read_text())["images"] == 2
