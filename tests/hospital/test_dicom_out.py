"""``predict --dicom-out``: the objects of the node, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from PIL import Image

from pneumoscope.cli import main
from pneumoscope.hospital.objects import device_of
from pneumoscope.reader.predictor import Predictor

Chest = Callable[..., bytes]


def predict(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict[str, str]]]:
    code = main(["predict", *map(str, words), "--format", "jsonl"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_folder_gives_the_objects_of_each_image(
    chest: Chest,
    reader: Predictor,
    tmp_path: Path,
    valid: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    images, out = tmp_path / "images", tmp_path / "objects"
    images.mkdir()
    for number in (1, 2, 6):
        (images / f"{number}.dcm").write_bytes(chest(number))
    (images / "torn.dcm").write_bytes(chest(3, PixelData=b"\0\0"))
    Image.new("L", (300, 300)).save(images / "plain.png")
    code, records = predict(capsys, images, "--dicom-out", out)
    assert code == 3
    notes = {Path(one["path"]).name: one["reasons"] for one in records}
    assert "no DICOM objects" in notes["plain.png"][-1]
    assert "no DICOM objects" not in str([notes[name] for name in notes if name != "plain.png"])
    written = sorted(out.iterdir())
    kinds = sorted(pydicom.dcmread(path).Modality for path in written)
    assert kinds == ["CR", "CR", "SR", "SR", "SR", "SR"]
    for path in written:
        valid(path)
        assert str(tmp_path).encode() not in path.read_bytes()
    expected = device_of(reader).instance_uid("1.2.840.99.1.1.1", "report")
    assert out / f"{expected}.dcm" in written

    before = {path: path.read_bytes() for path in written}
    predict(capsys, images, "--dicom-out", out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_own_objects_give_no_more_objects(
    chest: Chest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.dcm").write_bytes(chest(1))
    predict(capsys, tmp_path / "a.dcm", "--dicom-out", tmp_path / "objects")
    predict(capsys, tmp_path / "objects", "--dicom-out", tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_a_place_that_cannot_be_written_is_named(
    chest: Chest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.dcm").write_bytes(chest(1))
    assert main(["predict", str(tmp_path / "a.dcm"), "--dicom-out", str(tmp_path / "a.dcm")]) == 1
    assert "a.dcm: cannot be written" in capsys.readouterr().err


def test_a_watched_folder_is_not_written_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "objects"
    assert main(["predict", str(tmp_path), "--watch", "--dicom-out", str(out)]) == 1
    assert "--dicom-out" in capsys.readouterr().err
