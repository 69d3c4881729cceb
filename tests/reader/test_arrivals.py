"""Watching folders: new files are read once, when complete; with real processes and files."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.files import dicom_file, encoded
from helpers.tiny_model import grey_image, write_tiny
from pneumoscope.cli import main
from pneumoscope.reader.archive.inputs import Unlisted
from pneumoscope.reader.archive.watch import arrivals, is_whole

Captured = pytest.CaptureFixture[str]
LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "m.onnx")


@contextmanager
def watching(folder: Path, model: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "pneumoscope", "predict", folder, "--model", model, "--watch",
               "--watch-interval", "0.3", *words]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def journal(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    rows = [line for line in lines if "path" in line]
    found = {Path(row["path"]).name: row["conclusion"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_what_arrives_is_read_once_and_when_it_is_whole(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "r.csv"
    folder.mkdir()
    seen = tmp_path / "r.csv.journal"
    png, dicom = (make(grey_image(140, side=64)) for make in (encoded, dicom_file))
    (folder / "first.png").write_bytes(png)
    with watching(folder, model, "--out", out) as process:
        until(lambda: "first.png" in journal(seen))
        with (folder / "slow.dcm").open("wb") as slow:
            for start in range(0, len(dicom), len(dicom) // 8):  # longer than two looks
                slow.write(dicom[start : start + len(dicom) // 8])
                slow.flush()
                assert "slow.dcm" not in journal(seen)
                time.sleep(0.1)
        (tmp_path / "moved").write_bytes(dicom)
        (tmp_path / "moved").rename(folder / "moved.dcm")
        (folder / "below").mkdir()
        (folder / "below" / "deep.png").write_bytes(png)
        (folder / "notes.txt").write_text("no image")
        until(lambda: len(journal(seen)) == 4)
        time.sleep(0.7)  # two more looks
        assert journal(seen) == dict.fromkeys(
            ("first.png", "slow.dcm", "moved.dcm", "deep.png"), "PNEUMONIA"
        )
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "4 images: 4 PNEUMONIA." in told
    assert "1 other file was skipped (1 .txt)" in told
    assert len(out.read_text().splitlines()) == 5
    assert not seen.exists()


def test_a_killed_watch_is_continued(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "r.jsonl"
    folder.mkdir()
    seen = tmp_path / "r.jsonl.journal"
    (folder / "a.png").write_bytes(encoded(grey_image(140, side=64)))
    with watching(folder, model, "--out", out) as process:
        until(lambda: len(journal(seen)) == 1)
        process.kill()
        process.wait()
    (folder / "b.png").write_bytes(encoded(grey_image(60, side=64)))
    with watching(folder, model, "--out", out, "--resume") as process:
        until(lambda: len(journal(seen)) == 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["conclusion"] for row in rows] == ["PNEUMONIA", "NORMAL"]


@pytest.mark.parametrize("form", ["jsonl", "table"])
def test_rows_come_to_standard_output_as_images_arrive(
    model: Path, tmp_path: Path, form: str
) -> None:
    with watching(tmp_path, model, "--format", form) as process:
        assert process.stdout is not None
        if form == "table":
            process.stdout.readline()
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_bytes(encoded(grey_image(140, side=64)))
            line = process.stdout.readline()
            assert name in line
            assert "PNEUMONIA" in line
        (tmp_path / "c.png").write_bytes(b"")  # never whole; it is unchanged, so it is read
        assert "ERROR" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=60)
    assert process.returncode == 3
    assert ("3 images" in rest) == (form == "table")
    assert "Traceback" not in told


def never(_: float) -> bool:
    return False


def test_looks_wait_for_files_to_stand_still(tmp_path: Path) -> None:
    others: Counter[str] = Counter()
    looks = (
        list(look) for look in arrivals([str(tmp_path)], interval=3600, others=others, ended=never)
    )
    growing, old = tmp_path / "growing.dcm", tmp_path / "old.dcm"
    growing.write_bytes(b"1")
    old.write_bytes(b"1")
    os.utime(old, LONG_AGO)
    (tmp_path / "a.txt").touch()
    assert next(looks) == [str(old)]
    growing.write_bytes(b"12")
    assert next(looks) == []
    assert next(looks) == [str(growing)]
    growing.write_bytes(b"123")  # once each
    assert next(looks) == []
    assert next(looks) == []
    assert others == {".txt": 1}


def test_the_end_comes_before_the_next_image(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(encoded(grey_image(140, side=64)))
    asked: list[float] = []

    def ended(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) > 2

    looks = arrivals([str(tmp_path)], interval=9, others=Counter(), ended=ended)
    assert [list(look) for look in looks] == [[str(tmp_path / "a.png"), str(tmp_path / "b.png")]]
    assert asked == [0, 0, 0, 9]


def test_a_folder_that_goes_away_is_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    looks = (
        list(look) for look in arrivals([str(folder)], interval=1, others=Counter(), ended=never)
    )
    assert isinstance(next(looks)[0], Unlisted)
    assert next(looks) == []
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(grey_image(140, side=64)))
    assert next(looks) == [str(folder / "a.png")]


def with_thumbnail() -> bytes:
    pixels = grey_image(100, side=64)
    thumbnail = io.BytesIO()
    Image.fromarray(pixels[:16, :16]).save(thumbnail, "JPEG")
    exif = b"Exif\0\0" + thumbnail.getvalue()
    whole = io.BytesIO()
    Image.fromarray(pixels).save(whole, "JPEG", exif=exif)
    return whole.getvalue()


@pytest.mark.parametrize("make", [with_thumbnail, lambda: encoded(grey_image(9, side=16))])
def test_a_cut_file_is_never_taken_for_whole(make: Callable[[], bytes], tmp_path: Path) -> None:
    whole, path = make(), tmp_path / "a"
    path.write_bytes(whole)
    assert is_whole(str(path))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert not is_whole(str(path))
    path.write_bytes(dicom_file(grey_image(9, side=16)))
    assert not is_whole(str(path))
    assert not is_whole(str(tmp_path))
    assert not is_whole(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{folder}", "--watch-interval", "1"], "--watch-interval must be combined with --watch"),
        (["{folder}", "--watch", "--watch-interval", "0"], "--watch-interval must be from 0.1"),
        (["{folder}", "--watch", "--watch-interval", "nan"], "--watch-interval must be from 0.1"),
        (["{folder}/a.png", "--watch"], "--watch must be used with existing folders"),
        (["--paths-from", "x", "--watch"], "--watch must be used with folders"),
        (["{folder}", "--watch", "--evidence", "{folder}/e"], "--evidence must be outside"),
        (["{folder}", "--watch", "--format", "json"], "table, jsonl or csv with --watch"),
    ],
)
def test_what_makes_no_sense_is_one_message(
    words: list[str], says: str, tmp_path: Path, capsys: Captured, model: Path
) -> None:
    (tmp_path / "a.png").touch()
    given: list[Any] = [word.format(folder=tmp_path) for word in words]
    assert main(["predict", *given, "--model", str(model)]) == 1
    assert says in capsys.readouterr().err
