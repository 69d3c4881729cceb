"""The objects returned for an image."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from pneumoscope.hospital.objects import Made, device_of, is_own, objects_of
from pneumoscope.hospital.source import read_header
from pneumoscope.reader.prediction import ERROR, NOT_ASSESSABLE, UNCERTAIN, Prediction
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]
MADE = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)
CONCLUSIONS = ("NORMAL", "PNEUMONIA", UNCERTAIN, NOT_ASSESSABLE, ERROR)


def objects(content: bytes, reader: Predictor, found: Prediction | None = None) -> list[Made]:
    found = found or reader.predict(content)
    return objects_of(read_header(content), content, found, reader, made=MADE)


def saved(one: Made, folder: Path) -> Path:
    path = folder / f"{one.kind}.dcm"
    one.data.save_as(path, enforce_file_format=True)
    return path


def encoded(one: Made) -> bytes:
    out = io.BytesIO()
    one.data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def items(data: pydicom.Dataset) -> Iterator[tuple[str, Any]]:
    """Yield name and value of all content items of a report."""
    for item in data.get("ContentSequence", []):
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
        yield from items(item)


def test_a_conclusion_becomes_a_report_and_a_picture(
    chest: Chest, reader: Predictor, tmp_path: Path, valid: Callable[[Path], None]
) -> None:
    content = chest(1)
    found = reader.predict(content)
    report, picture = objects(content, reader, found)
    for one in (report, picture):
        valid(saved(one, tmp_path))
    said = dict(items(report.data))
    assert said["Conclusion of the reader"] == found.conclusion
    assert said["Probability"] == pytest.approx(found.probability)
    assert said["Decision threshold of the probability"] == pytest.approx(found.threshold)
    assert said["SHA-256 of the model file"] == reader.sha256
    assert said["Source of Measurement"] == "1.2.840.99.1.1.1"
    assert said["Status of the analysis"] == "Succeeded"
    assert report.data.VerificationFlag == "UNVERIFIED"
    equipment = report.data.ContributingEquipmentSequence[0]
    assert (equipment.Manufacturer, equipment.DeviceUID) == ("pneumoscope", device_of(reader).uid)


@pytest.mark.parametrize(
    ("conclusion", "status", "presence"),
    [
        ("NORMAL", "Succeeded", "Absent"),
        ("PNEUMONIA", "Succeeded", "Present"),
        (UNCERTAIN, "Succeeded", "Indeterminate"),
        (NOT_ASSESSABLE, "Not Attempted", None),
        (ERROR, "Failed", None),
    ],
)
def test_every_conclusion_has_a_report_that_says_so(
    chest: Chest,
    reader: Predictor,
    tmp_path: Path,
    valid: Callable[[Path], None],
    conclusion: str,
    status: str,
    presence: str | None,
) -> None:
    content = chest(1)
    judged = presence is not None
    found = dataclasses.replace(
        reader.predict(content),
        conclusion=conclusion,
        probability=0.5 if judged else None,
        reasons=("a reason",),
        error="it broke" if conclusion == ERROR else "",
    )
    made = objects(content, reader, found)
    assert [one.kind for one in made] == (["report", "picture"] if judged else ["report"])
    valid(saved(made[0], tmp_path))
    said = list(items(made[0].data))
    assert ("Status of the analysis", status) in said
    assert ("Reason", "a reason") in said
    assert (("Reason", "it broke") in said) == (conclusion == ERROR)
    assert dict(said).get("Pneumonia") == presence
    assert ("Finding", "Pneumonia") in said or conclusion != "PNEUMONIA"
    assert ("Finding", "Pneumonia") not in said or conclusion == "PNEUMONIA"


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed")
def test_dcmtk_prints_a_report(chest: Chest, reader: Predictor, tmp_path: Path) -> None:
    report, _ = objects(chest(1), reader)
    done = subprocess.run(
        [str(shutil.which("dsrdump")), "+Pl", saved(report, tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Comprehensive 3D SR Document" in done.stdout
    assert "Verification Flag   : UNVERIFIED" in done.stdout
    assert reader.sha256 in done.stdout
    assert "Research software, not a medical device." in done.stdout


_READ_BY_DCMJS = """
const { data } = require("dcmjs");
const bytes = require("fs").readFileSync(process.argv[1]);
const file = data.DicomMessage.readFile(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const report = data.DicomMetaDictionary.naturalizeDataset(file.dict);
const said = [];
const walk = items => [].concat(items ?? []).forEach(item => {
  const name = [].concat(item.ConceptNameCodeSequence ?? [])[0]?.CodeMeaning;
  const code = [].concat(item.ConceptCodeSequence ?? [])[0]?.CodeMeaning;
  if (name && code) said.push([name, code]);
  walk(item.ContentSequence);
});
walk(report.ContentSequence);
const name = [].concat(report.PatientName)[0];
console.log(JSON.stringify({ flag: report.VerificationFlag, name: name.Alphabetic ?? name, said }));
"""


def test_dcmjs_reads_a_report(chest: Chest, reader: Predictor, tmp_path: Path) -> None:
    """Web viewers read DICOM with it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    root = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True)
    modules = root.stdout.strip()
    if not (Path(modules) / "dcmjs").is_dir():
        pytest.skip("dcmjs (of npm) is not installed")
    content = chest(1, PatientName="Müller", SpecificCharacterSet="ISO_IR 100")
    found = dataclasses.replace(reader.predict(content), conclusion="PNEUMONIA")
    path = saved(objects(content, reader, found)[0], tmp_path)
    done = subprocess.run(
        [node, "-e", _READ_BY_DCMJS, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NODE_PATH": modules},
    )
    read = json.loads(done.stdout)
    assert read["flag"] == "UNVERIFIED"
    assert read["name"] == "Müller"
    assert ["Status of the analysis", "Succeeded"] in read["said"]
    assert ["Finding", "Pneumonia"] in read["said"]


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 144", "Люксембург^Роза"),
        ("ISO_IR 100", "Müller"),
        (None, "Doe^Jane"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_in_any_script_are_kept(
    chest: Chest,
    reader: Predictor,
    tmp_path: Path,
    valid: Callable[[Path], None],
    charset: Any,
    name: str,
) -> None:
    content = chest(1, SpecificCharacterSet=charset, PatientName=name)
    for one in objects(content, reader):
        path = saved(one, tmp_path)
        valid(path)
        back, source = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(content))
        assert back.get_item("PatientName").value == source.get_item("PatientName").value
        assert str(back.PatientName) == name
        assert back.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")
        for keyword in ("PatientID", "StudyInstanceUID", "StudyDate"):
            assert back[keyword].value == source[keyword].value
        assert back.SeriesInstanceUID != "1.2.840.99.1.1"


def test_what_the_character_set_of_the_image_does_not_hold_makes_the_object_utf_8(
    chest: Chest, reader: Predictor, valid: Callable[[Path], None], tmp_path: Path
) -> None:
    content = chest(1, SpecificCharacterSet="ISO_IR 144", PatientName="Люксембург^Роза")
    found = dataclasses.replace(reader.predict(content), reasons=("größer",))
    report = objects(content, reader, found)[0]
    valid(saved(report, tmp_path))
    back = pydicom.dcmread(saved(report, tmp_path))
    assert back.SpecificCharacterSet == "ISO_IR 192"
    assert str(back.PatientName) == "Люксембург^Роза"
    assert ("Reason", "größer") in list(items(back))


def test_the_same_image_gives_the_same_objects(chest: Chest, reader: Predictor) -> None:
    first, again = objects(chest(1), reader), objects(chest(1), reader)
    assert [one.uid for one in first] == [one.uid for one in again]
    assert [encoded(one) for one in first] == [encoded(one) for one in again]
    other = objects(chest(3), reader)
    ungated = objects(chest(1), Predictor(gated=False))
    uids = [one.uid for one in (*first, *other, *ungated)]
    assert len(set(uids)) == len(uids)


def test_the_picture_has_the_size_of_the_image_and_says_what_it_is(
    chest: Chest, reader: Predictor, tmp_path: Path
) -> None:
    _, picture = objects(chest(1), reader)
    back = pydicom.dcmread(saved(picture, tmp_path))
    pixels = back.pixel_array
    assert pixels.shape == (300, 340, 3)
    assert back.BurnedInAnnotation == "YES"
    assert back.ImageType == ["DERIVED", "SECONDARY"]
    assert back.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.840.99.1.1.1"
    assert "not a medical device" in back.SeriesDescription
    plain = np.asarray(Image.fromarray(pixels).convert("L"))
    assert plain[-10:].mean() < 80  # the strip with the notice


def test_own_objects_are_known(chest: Chest, reader: Predictor) -> None:
    assert not is_own(read_header(chest(1)))
    for one in objects(chest(1), reader):
        assert is_own(read_header(encoded(one)))
