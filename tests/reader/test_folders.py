"""Nothing in a folder is skipped silently: each file is a row, or is counted."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import UID

from helpers.files import dicom_file, encoded
from helpers.tiny_model import grey_image, write_tiny
from pneumoscope.cli import main
from pneumoscope.errors import DataError, ImageError
from pneumoscope.images.read import read_bytes
from pneumoscope.reader.archive.dicomdir import images_of
from pneumoscope.reader.archive.inputs import (
    Unlisted,
    images_below,
    iterate_images,
    others_text,
)
from pneumoscope.reader.archive.output import Archive

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "in"
    (place / ".git").mkdir(parents=True)
    (place / ".git" / "a.png").write_bytes(b"")
    pixels = grey_image(140, side=64)
    for name, content in {
        "a.png": encoded(pixels),
        "b.webp": encoded(pixels, "WEBP"),
        "c.BMP": encoded(pixels, "BMP"),
        "d.gif": encoded(pixels, "GIF"),
        "e.jp2": encoded(pixels, "JPEG2000"),
        "empty.dcm": b"",
        "IM1": dicom_file(pixels),
        "IM2": b"",
        "IM3": dicom_file(pixels)[:100],
        "1.2.840.7": b"",
        "named.txt": encoded(pixels),
        "notes.txt": b"no image",
        "more.TXT": b"",
        "table.csv": b"a,b",
        "README": b"no image",
        "DICOMDIR": b"",
        ".hidden.png": b"",
        "._a.png": b"",
    }.items():
        (place / name).write_bytes(content)
    return place


def names(given: list[str], others: Counter[str] | None = None) -> list[str]:
    return [Path(str(path)).name for path in iterate_images(given, others=others)]


def test_what_is_or_is_called_an_image_is_a_row_and_the_rest_is_counted(folder: Path) -> None:
    others: Counter[str] = Counter()
    found = names([str(folder)], others)
    assert found == [
        *("1.2.840.7", "IM1", "IM2", "IM3", "a.png", "b.webp", "c.BMP", "d.gif", "e.jp2"),
        *("empty.dcm", "named.txt"),
    ]
    assert others == {
        ".txt": 2,
        ".csv": 1,
        "no file extension": 1,
        "DICOMDIR": 1,
        "hidden": 2,
        "hidden folder": 1,
    }
    files = sum(path.is_file() for path in folder.iterdir())
    assert len(found) + others.total() == files + 1  # the hidden folder


def test_the_journal_of_an_output_in_the_folder_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    out = tmp_path / "results.csv"
    others: Counter[str] = Counter()
    with Archive(out, {}) as archive:
        assert archive.journal.parent == tmp_path
        assert archive.journal.exists()
        assert list(images_below(str(tmp_path), others=others)) == []
    assert others == {".txt": 1}


def test_a_file_that_cannot_be_opened_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "IM1").write_bytes(dicom_file(grey_image(100, side=64)))
    (tmp_path / "a.txt").touch()
    honest = Path.open

    def refuse(self: Path, *_: object, **__: object) -> object:
        if self.name in {"IM1", "a.txt"}:
            raise PermissionError(13, "Permission denied")
        return honest(self)

    monkeypatch.setattr(Path, "open", refuse)
    others: Counter[str] = Counter()
    assert names([str(tmp_path)], others) == ["IM1"]
    assert others == {".txt": 1}


def test_the_summaries_say_what_was_skipped(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    says = "8 other files were skipped (2 .txt, 2 hidden, "
    assert main(["predict", str(folder), "--model", str(model)]) == 3
    assert says in capsys.readouterr().out
    assert main(["predict", str(folder), "--model", str(model), "--format", "jsonl"]) == 3
    said = capsys.readouterr()
    assert says in said.err
    assert all(json.loads(line)["path"] for line in said.out.splitlines())
    out = tmp_path / "r.csv"
    assert main(["predict", str(folder), "--model", str(model), "--out", str(out)]) == 3
    assert says in capsys.readouterr().err
    summary = json.loads((tmp_path / "r.csv.summary.json").read_text())
    assert summary["other_files"][".txt"] == 2
    assert sum(summary["other_files"].values()) == 8


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no images in this folder .*skipped \(1 \.txt\)"):
        iterate_images([str(tmp_path)])


def test_kinds_are_few_whatever_files_are_called(tmp_path: Path) -> None:
    for number in range(150):
        (tmp_path / f"a.x{number}").write_text("no image")
    (tmp_path / "a.png").touch()
    others: Counter[str] = Counter()
    assert names([str(tmp_path)], others) == ["a.png"]
    assert others.total() == 150
    assert len(others) <= 101
    assert len(others_text(others)) < 200
    assert others_text(Counter()) == ""


def test_a_dicomdir_stands_for_the_images_that_it_lists(
    model: Path, tmp_path: Path, capsys: Captured
) -> None:
    disc = disc_of(tmp_path, 2)
    listed = names([str(disc / "DICOMDIR")])
    assert len(listed) == 2
    assert main(["predict", str(disc / "DICOMDIR"), "--model", str(model), "--format", "csv"]) == 0
    assert capsys.readouterr().out.count("PNEUMONIA") == 2
    others: Counter[str] = Counter()
    assert sorted(names([str(disc)], others)) == sorted(listed)
    assert others == {"DICOMDIR": 1}
    next(path for path in disc.rglob("*") if path.name == listed[0]).unlink()
    assert names([str(disc / "DICOMDIR")]) == listed  # a row that says that it is missing


def disc_of(folder: Path, images: int) -> Path:
    files = FileSet()
    for number in range(images):
        path = folder / f"{number}.dcm"
        path.write_bytes(dicom_file(grey_image(140, side=64, seed=number)))
        data_set = dcmread(path)
        data_set.SOPInstanceUID = UID(f"1.2.{number}")
        data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.3", "1.4"
        data_set.StudyDate, data_set.StudyTime, data_set.StudyID = "20260101", "120000", "1"
        data_set.AccessionNumber, data_set.SeriesNumber = "", 1
        data_set.InstanceNumber = number
        files.add(data_set)
    files.write(folder / "disc")
    with warnings.catch_warnings(action="ignore"):  # it leaves its temporary folder to the end
        del files
        gc.collect()
    return folder / "disc"


def test_a_dicomdir_leads_nowhere_else_and_a_damaged_one_is_a_row(tmp_path: Path) -> None:
    disc = disc_of(tmp_path, 1)
    table = dcmread(disc / "DICOMDIR")
    image = next(r for r in table.DirectoryRecordSequence if r.DirectoryRecordType == "IMAGE")
    with warnings.catch_warnings(action="ignore"):  # pydicom's, of the value
        image.ReferencedFileID = ["..", "0.DCM"]
        table.save_as(disc / "DICOMDIR")
    others: Counter[str] = Counter()
    assert list(images_of(str(disc / "DICOMDIR"), others=others)) == []
    assert others == {"record of DICOMDIR pointing outside its folder": 1}
    (disc / "DICOMDIR").write_bytes(b"no such thing")
    (found,) = iterate_images([str(disc / "DICOMDIR")])
    assert isinstance(found, Unlisted)
    assert "not a readable DICOMDIR" in found.reason


def test_folders_in_a_list_leak_no_descriptor(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ImageError, match="not a regular file"):
        read_bytes(tmp_path)
    image = tmp_path / "a.png"
    image.write_bytes(encoded(grey_image(140, side=64)))
    os.mkfifo(tmp_path / "pipe")
    lines = [str(tmp_path)] * 1000 + [str(tmp_path / "pipe")] * 100 + [str(image)] * 3
    (tmp_path / "list").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "pneumoscope", "predict", "--paths-from", str(tmp_path / "list"),
         "--model", str(model), "--format", "jsonl"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["conclusion"] for row in found] == ["ERROR"] * 1100 + ["PNEUMONIA"] * 3
    assert all("not a regular file" in row["error"] for row in found[:1100])
