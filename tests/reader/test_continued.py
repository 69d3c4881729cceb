"""Finished results are continued: added, completed and replaced files are read."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.files import encoded
from helpers.tiny_model import grey_image, tiny_info, write_tiny
from pneumoscope.cli import main
from pneumoscope.reader.archive.inputs import Unlisted
from pneumoscope.reader.archive.output import FORMATS, Archive
from pneumoscope.reader.archive.summary import RunSummary

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two images and the first half of a third."""
    place = tmp_path / "in"
    place.mkdir()
    for name, mean in (("a.png", 60), ("c.png", 140)):
        (place / name).write_bytes(image(mean))
    (place / "b.png").write_bytes(image(140)[:-100])
    return place


def image(mean: int) -> bytes:
    return encoded(grey_image(mean, side=64, seed=mean))


def run(*words: object) -> int:
    return main(["predict", *map(str, words)])


def table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".json":
        return list(json.loads(path.read_text()))
    from pyarrow import parquet  # noqa: PLC0415 - here alone

    return list(parquet.read_table(path).to_pylist())


def concluded(path: Path) -> dict[str, str]:
    found = table(path)
    names = {Path(row["path"]).name: row["conclusion"] for row in found}
    assert len(names) == len(found)
    return names


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_added_completed_or_replaced_is_read(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured, form: str
) -> None:
    out = tmp_path / f"r.{form}"
    command = [folder, "--model", model, "--out", out]
    assert run(*command) == 3
    assert concluded(out) == {"a.png": "NORMAL", "b.png": "ERROR", "c.png": "PNEUMONIA"}
    capsys.readouterr()
    (folder / "b.png").write_bytes(image(140))
    (folder / "d.png").write_bytes(image(60))
    (folder / "c.png").write_bytes(image(61))
    assert run(*command, "--resume") == 0
    assert "3 read in this run" in capsys.readouterr().err
    assert concluded(out) == {
        "a.png": "NORMAL",
        "b.png": "PNEUMONIA",
        "c.png": "NORMAL",
        "d.png": "NORMAL",
    }
    assert not any(name.startswith("_") for row in table(out) for name in row)
    assert json.loads(out.with_name(out.name + ".summary.json").read_text())["images"] == 4
    whole = out.read_bytes()
    assert run(*command, "--resume") == 0
    assert "nothing to do" in capsys.readouterr().err
    assert out.read_bytes() == whole
    (folder / "a.png").unlink()  # what was read of it holds
    assert run(*command, "--resume") == 0
    assert out.read_bytes() == whole


def test_errors_are_tried_again_where_that_is_asked(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "r.csv"
    command = [folder, "--model", model, "--out", out]
    assert run(*command) == 3
    capsys.readouterr()
    assert run(*command, "--resume") == 3
    assert "nothing to do" in capsys.readouterr().err
    before = (folder / "b.png").stat()
    (folder / "b.png").write_bytes(image(140)[: before.st_size])
    os.utime(folder / "b.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(*command, "--resume", "--retry-errors") == 3
    assert "1 read in this run" in capsys.readouterr().err
    assert concluded(out)["b.png"] == "ERROR"
    assert run(*command, "--retry-errors") == 1
    assert "--retry-errors must be combined with --resume" in capsys.readouterr().err


def test_another_run_and_an_unrelated_file_are_refused(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "r.csv"
    assert run(folder, "--model", model, "--out", out) == 3
    other = write_tiny(tmp_path / "other.onnx", tiny_info(version="2"))
    whole = out.read_bytes()
    for words, says in (
        ([folder, "--model", other], "(model)"),
        ([folder, "--model", model, "--no-gate"], "(gate)"),
        ([folder, "--model", model, "--evidence", tmp_path / "e"], "(evidence)"),
        ([folder / "a.png", "--model", model], "(images)"),
        ([folder, "--model", model, "--format", "jsonl"], "(format)"),
    ):
        assert run(*words, "--out", out, "--resume") == 1
        assert says in capsys.readouterr().err
    assert out.read_bytes() == whole
    out.write_bytes(whole + b"edited")
    assert run(folder, "--model", model, "--out", out, "--resume") == 1
    assert "was modified since it was written" in capsys.readouterr().err
    unrelated = tmp_path / "mine.csv"
    unrelated.write_text("a,b")
    assert run(folder, "--model", model, "--out", unrelated, "--resume") == 1
    assert "not the result of a run that can be continued" in capsys.readouterr().err
    assert unrelated.read_text() == "a,b"


def test_a_folder_that_can_be_listed_again_loses_its_row(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"

    def record(path: str, conclusion: str) -> dict[str, Any]:
        return {"path": path, "conclusion": conclusion, "probability": None, "reasons": []}

    gone = Unlisted("x", "x: cannot be listed")
    with Archive(out, {}) as archive:
        assert list(archive.left([gone])) == [gone]
        archive.add(record("x", "ERROR"))
        archive.finish(RunSummary({}))
    assert [row["path"] for row in table(out)] == ["x"]
    with Archive(out, {}, resume=True) as archive:
        assert archive.done == 0
        assert list(archive.left(["x/a.png"])) == ["x/a.png"]
        archive.add(record("x/a.png", "NORMAL"))
        archive.finish(RunSummary({}))
    assert [row["path"] for row in table(out)] == ["x/a.png"]


def test_a_file_that_is_completed_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    out, path = tmp_path / "r.jsonl", tmp_path / "a.png"
    path.write_bytes(b"half")
    row: dict[str, Any] = {"path": str(path), "conclusion": "ERROR", "probability": None}
    row["reasons"] = []
    with Archive(out, {}) as archive:
        for _ in archive.left([str(path)]):
            path.write_bytes(b"whole file")
            archive.add(row)
        archive.finish(RunSummary({}))
    with Archive(out, {}, resume=True) as archive:
        assert list(archive.left([str(path)])) == [str(path)]


def test_a_killed_continuation_is_continued(model: Path, tmp_path: Path) -> None:
    """Killed at no chosen moment, several times; each file then has one row, of what it is now."""
    folder, out = tmp_path / "in", tmp_path / "r.csv"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03}.png").write_bytes(image(60)[: -100 if number % 3 else None])
    command = [folder, "--model", model, "--out", out]
    assert run(*command) == 3
    for number in range(600):
        (folder / f"{number:03}.png").write_bytes(image(140))
    words = [sys.executable, "-m", "pneumoscope", "predict", *map(str, command), "--resume"]
    for lines in (330, 400, 600):
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        journal = tmp_path / "r.csv.journal"
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > lines:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(concluded(out)) in {300, 600}
    assert run(*command, "--resume") == 0
    assert concluded(out) == {f"{number:03}.png": "PNEUMONIA" for number in range(600)}
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"in", "r.csv", "r.csv.summary.json", "r.csv.resume.gz"}
