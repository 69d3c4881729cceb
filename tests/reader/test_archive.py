"""Long runs into one file: killed, continued, damaged; no image is lost or repeated."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.tiny_model import grey_image, write_tiny
from pneumoscope.cli import main
from pneumoscope.errors import OptionError, OutputError
from pneumoscope.reader.archive import inputs
from pneumoscope.reader.archive.inputs import Unlisted, iterate_images
from pneumoscope.reader.archive.output import Archive
from pneumoscope.reader.archive.summary import RunSummary
from pneumoscope.reader.predictor import Predictor

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 60 images, two of which cannot be read."""
    place = tmp_path_factory.mktemp("archive")
    for i in range(58):
        part = place / f"part{i % 3}"
        part.mkdir(exist_ok=True)
        Image.fromarray(grey_image(60 + i, side=64, seed=i)).save(part / f"{i:03}.png")
    (place / "part0" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (place / "part2" / "text.jpeg").write_text("no image")
    return place


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def expected_paths(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.*"))]


def run(*words: object) -> int:
    return main(["predict", *map(str, words)])


def test_every_format_holds_every_image(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - here alone

    for name in ("r.csv", "r.jsonl", "r.json", "r.parquet"):
        assert run(folder, "--model", model, "--out", tmp_path / name) == 3
    found = [
        rows(tmp_path / "r.csv"),
        [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()],
        json.loads((tmp_path / "r.json").read_text()),
        parquet.read_table(tmp_path / "r.parquet").to_pylist(),
    ]
    for table in found:
        assert [row["path"] for row in table] == expected_paths(folder)
        assert sum(row["conclusion"] == "ERROR" for row in table) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name for stem in ("r.csv", "r.jsonl", "r.json", "r.parquet")
        for name in (stem, f"{stem}.summary.json", f"{stem}.resume.gz")
    )  # fmt: skip
    summary = json.loads((tmp_path / "r.csv.summary.json").read_text())
    assert summary["images"] == 60
    assert summary["conclusions"]["ERROR"] == 2
    assert "60 images" in capsys.readouterr().err


def test_a_killed_run_is_continued(folder: Path, model: Path, tmp_path: Path) -> None:
    """Killed with SIGKILL while it writes, several times, at no chosen moment."""
    many = tmp_path / "many"
    many.mkdir()
    for copy in range(20):
        (many / f"copy{copy:02}").symlink_to(_copied(folder, tmp_path / f"f{copy}"))
    out = tmp_path / "r.csv"
    journal = tmp_path / "r.csv.journal"
    command = [sys.executable, "-m", "pneumoscope", "predict", str(many), "--out", str(out),
               "--model", str(model)]  # fmt: skip
    for attempt in range(3):
        process = subprocess.Popen(
            [*command, *(["--resume"] if attempt else [])], stderr=subprocess.DEVNULL
        )
        before = _lines(journal)
        deadline = time.monotonic() + 120
        while _lines(journal) < before + 30 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if out.exists():
            break
    assert not out.exists() or attempt
    done = subprocess.run([*command, "--resume"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert [row["path"] for row in rows(out)] == [str(path) for path in _walked(many)]
    assert not journal.exists()


def _copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.rglob("*.png"):
        os.link(path, to / path.name)
    return to


def _walked(folder: Path) -> list[Path]:
    return [path for part in sorted(folder.iterdir()) for path in sorted(part.iterdir())]


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_torn_line_and_a_torn_beginning_are_mended(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    what = {"model": "m"}
    out = tmp_path / "r.jsonl"
    records: list[dict[str, Any]] = [
        {"path": str(i), "conclusion": "NORMAL", "probability": 0.5, "reasons": []}
               for i in range(5)]  # fmt: skip
    with Archive(out, what) as archive:
        for record in records[:3]:
            archive.add(record)
    journal = tmp_path / "r.jsonl.journal"
    whole = journal.read_bytes()
    for cut in range(1, len(whole)):
        journal.write_bytes(whole[:cut])
        with Archive(out, what, resume=True) as archive:
            left = list(archive.left([record["path"] for record in records]))
            assert archive.done == 5 - len(left) == max(0, whole[:cut].count(b"\n") - 1)
            for path in left:
                archive.add(records[int(path)])
            archive.finish(RunSummary({}))
        assert [json.loads(line) for line in out.read_text().splitlines()] == records
        out.unlink()


def test_an_image_that_is_named_twice_has_two_rows_also_when_continued(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    a, b = expected_paths(folder)[:2]
    given = [a, b, a, a, b]
    whole = tmp_path / "whole.jsonl"
    assert run(*given, "--model", model, "--out", whole) == 0
    records = [json.loads(line) for line in whole.read_text().splitlines()]
    assert [record["path"] for record in records] == given
    what = {"model": "m"}
    for cut in range(6):
        out = tmp_path / f"{cut}.jsonl"
        with Archive(out, what) as archive:
            for record in records[:cut]:
                archive.add(record)
        with Archive(out, what, resume=True) as archive:
            assert list(archive.left(given)) == given[cut:]


def test_a_complete_run_ends_as_it_did_when_it_is_repeated(
    folder: Path, model: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "r.csv"
    command = [folder, "--model", model, "--out", out, "--resume"]
    assert run(*command) == 3
    before = out.read_bytes()
    assert run(*command) == 3
    assert run(*command, "--fail-on", "error") == 4
    assert "nothing to do" in capsys.readouterr().err
    assert out.read_bytes() == before
    (tmp_path / "r.csv.summary.json").write_text("torn")  # it is for people
    assert run(*command) == 3


def test_what_was_half_written_when_a_run_was_killed_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "r[1].csv"
    with Archive(out, {}) as archive:
        archive.add({"path": "x", "conclusion": "NORMAL", "probability": 0.1, "reasons": []})
    torn, other = tmp_path / ".r[1].csv.0123abcd.part", tmp_path / ".r1.csv.0123abcd.part"
    torn.touch()
    other.touch()
    with Archive(out, {}, resume=True):
        assert not torn.exists()
        assert other.exists()


def test_ctrl_c_says_how_to_go_on(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    honest = Archive.add

    def add(self: Archive, record: dict[str, Any]) -> None:
        if self.done == 7:
            raise KeyboardInterrupt
        honest(self, record)

    command = [folder, "--model", model, "--out", tmp_path / "r.csv"]
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "add", add)
        assert run(*command) == 130
    assert "7 images are kept; repeat the command with --resume" in capsys.readouterr().err
    assert run(*command, "--resume") == 3
    assert [row["path"] for row in rows(tmp_path / "r.csv")] == expected_paths(folder)


def test_what_is_in_the_way_is_named(folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    with Archive(out, {"model": "a", "gate": True}) as archive:
        with pytest.raises(OutputError, match="another process"):
            Archive(out, {"model": "a", "gate": True}, resume=True)
        archive.add({"path": "x", "conclusion": "NORMAL"})
    with pytest.raises(OutputError, match="continue it with `resume`"):
        Archive(out, {"model": "a", "gate": True})
    with pytest.raises(OutputError, match=r"other settings \(model"):
        Archive(out, {"model": "b", "gate": True}, resume=True)
    out.with_name("r.csv.journal").unlink()
    out.write_text("")
    with pytest.raises(OutputError, match="exists already"):
        Archive(out, {})
    with pytest.raises(OutputError, match="not the result of a run"):
        Archive(out, {}, resume=True)
    out.with_name("r.csv.resume.gz").write_bytes(b"torn")
    with pytest.raises(OutputError, match=r"resume\.gz: damaged"):
        Archive(out, {}, resume=True)
    with pytest.raises(OptionError, match=r"\.parquet"):
        Archive(tmp_path / "r.xlsx", {})
    with pytest.raises(OutputError, match="cannot be written"):
        Archive(out / "below" / "r.csv", {})


def test_a_missing_pyarrow_names_the_extra(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(folder, "--model", model, "--out", tmp_path / "r.parquet") == 1
    assert "[parquet]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_listed_is_a_row(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a damaged network file system; root may read all, so the fault is made here."""
    honest = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith("part1"):
            raise OSError(5, "Input/output error")
        return honest(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        assert run(folder, "--model", model, "--out", tmp_path / "r.csv") == 3
    (row,) = [row for row in rows(tmp_path / "r.csv") if row["path"].endswith("part1")]
    assert row["conclusion"] == "ERROR"
    assert "cannot be listed (Input/output error)" in row["error"]
    read = {path for path in expected_paths(folder) if "part1" not in path}
    assert {row["path"] for row in rows(tmp_path / "r.csv")} == read | {row["path"]}


def test_files_that_vanish_or_cannot_be_read_are_rows(folder: Path, model: Path) -> None:
    given = ["gone.png", *expected_paths(folder)[:3], str(folder), "\0.png"]
    found = list(Predictor(model).predict_many([*given, Unlisted("x", "x: cannot be listed")]))
    assert [row.path for row in found] == [*given, "x"]
    errors = {row.path for row in found if row.conclusion == "ERROR"}
    assert errors >= {"gone.png", str(folder), "\0.png", "x"}


def test_a_damaged_file_system_gives_rows_and_ends_nothing(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read errors in the middle of files, files and folders that vanish under the listing."""
    place = tmp_path / "images"
    for i in range(3):
        shutil.copytree(folder / "part0", place / f"part{i}")
    honest_open, honest_scandir = os.open, os.scandir
    said: list[str] = []

    def opened(path: Any, *rest: Any, **named: Any) -> int:
        name = os.fspath(path)
        if isinstance(name, str) and name.startswith(str(place)):
            said.append(name)
            if len(said) % 5 == 0:
                raise OSError(errno.EIO, "Input/output error")
            if len(said) % 7 == 0:
                os.unlink(name)  # noqa: PTH108 - what Path would do opens nothing
        return honest_open(path, *rest, **named)

    def scandir(path: Any) -> Any:
        if str(path).endswith("part2"):
            shutil.rmtree(place / "part2")
        return honest_scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        patch.setattr(os, "scandir", scandir)
        assert run(place, "--model", model, "--out", tmp_path / "r.csv") == 3
    found = rows(tmp_path / "r.csv")
    names = sorted(path.name for path in (folder / "part0").iterdir())
    listed = [str(place / part / name) for part in ("part0", "part1") for name in names]
    assert [row["path"] for row in found] == [*listed, str(place / "part2")]
    errors = [row["error"] for row in found if row["conclusion"] == "ERROR"]
    assert sum("Input/output error" in error for error in errors) >= 5
    assert sum("No such file" in error for error in errors) >= 3


def test_large_folders_are_sorted_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i * 7919 % 100:02}\n.png" for i in range(100)] + ["é.png", "z/a.png", "z.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = list(iterate_images([str(tmp_path)]))
    assert expected == [str(tmp_path / name) for name in sorted(names[:-2])[:100]] + [
        str(tmp_path / "z" / "a.png"), str(tmp_path / "z.png"), str(tmp_path / "é.png")
    ]  # fmt: skip
    monkeypatch.setattr(inputs, "_RUN", 7)
    assert list(iterate_images([str(tmp_path)])) == expected
