"""The whole corpus of hostile files through the real command, with the included reader."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.hostile import NOISE, hostile_files
from helpers.tiny_model import write_tiny

_LIMIT_MB = 300

# One healthy image first, as an idle reader has it behind itself; then all others. What the
# process ever took shows at each point; ru_maxrss would count the memory of its parent too.
# On one core, since the bound is that of each file, and every core reads one of its own.
_IN_ONE_PROCESS = """
import os, pathlib, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pneumoscope.cli import main
def most():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
main(["predict", sys.argv[1], "--out", sys.argv[3] + ".idle.jsonl"])
idle = most()
code = main(["predict", "--paths-from", sys.argv[2], "--out", sys.argv[3]])
print(code, most() - idle)
"""


def _command(*words: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "pneumoscope", "predict", *map(str, words)],
        input=given,
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux shows it")
def test_every_hostile_file_is_one_row_in_order_and_in_little_memory(tmp_path: Path) -> None:
    paths = hostile_files(tmp_path / "corpus")
    unlistable = [path for path in paths if "\n" in path.name]  # a list has one path a line
    paths = [path for path in paths if path not in unlistable]
    assert len(unlistable) == 1
    assert len(paths) > 180
    healthy = tmp_path / "healthy.png"
    Image.fromarray(NOISE).save(healthy)
    listed, out = tmp_path / "list.txt", tmp_path / "rows.jsonl"
    listed.write_text("".join(f"{path}\n" for path in paths))
    done = subprocess.run(
        [sys.executable, "-c", _IN_ONE_PROCESS, str(healthy), str(listed), str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    code, more = done.stdout.split()
    assert int(code) == 3, done.stderr
    assert float(more) < _LIMIT_MB
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    for row in rows:
        if row["conclusion"] == "ERROR":
            assert row["path"] in row["error"], row
            assert row["probability"] is None
            assert row["error"].endswith((".", ")")), row
        else:
            assert row["error"] == ""
            assert row["conclusion"] in {"NORMAL", "PNEUMONIA", "UNCERTAIN", "NOT_ASSESSABLE"}
            assert bool(row["reasons"]) == (row["conclusion"] in {"UNCERTAIN", "NOT_ASSESSABLE"})
    cut = [row for row in rows if "/cut-" in row["path"]]
    assert len(cut) > 130
    assert {row["conclusion"] for row in cut} == {"ERROR"}
    assert "Traceback" not in done.stderr


def _parquet(content: bytes) -> list[dict[str, Any]]:
    from pyarrow import parquet  # noqa: PLC0415 - here alone

    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


_READERS: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {
    "csv": lambda content: list(csv.DictReader(io.StringIO(content.decode(), newline=""))),
    "json": json.loads,
    "jsonl": lambda content: [json.loads(line) for line in content.splitlines()],
    "parquet": _parquet,
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return paths that a table may stumble over: all of them are images."""
    folder = tmp_path_factory.mktemp("named")
    names = ["two\nlines.png", "cr\rlf\r\n.png", 'quo"te,;.png', "胸部-🫁.png", "=1+1.png"]
    raw = [os.fsencode(name) for name in names] + [b"latin-\xe4.png", b"n" * 251 + b".png"]
    paths = []
    for each in raw:
        path = os.fsdecode(os.path.join(os.fsencode(folder), each))  # noqa: PTH118 - bytes
        try:
            Image.fromarray(NOISE).save(path)
        except OSError:  # a system that cannot have such a name
            continue
        paths.append(path)
    assert len(paths) >= 5
    return paths


@pytest.mark.parametrize("form", sorted(_READERS))
def test_odd_names_come_through_every_format(named: list[str], tmp_path: Path, form: str) -> None:
    model = write_tiny(tmp_path / "m.onnx")
    out = tmp_path / f"rows.{form}"
    done = _command(*named, "--model", model, "--out", out)
    assert done.returncode == 0, done.stderr
    # Bytes that are no UTF-8 are written as such where the format has a way, else escaped.
    escaped = [name.encode("utf-8", "backslashreplace").decode() for name in named]
    expected = named if form.startswith("json") else escaped
    rows = _READERS[form](out.read_bytes())
    assert [row["path"] for row in rows] == expected
    if form != "parquet":
        done = _command(*named, "--model", model, "--format", form)
        assert done.returncode == 0, done.stderr
        assert [row["path"] for row in _READERS[form](done.stdout)] == expected


def test_a_table_has_a_line_each_whatever_the_terminal_can_show(
    named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny(tmp_path / "m.onnx")
    for encoding in ("ascii", "latin-1", "utf-8"):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        done = _command(*named, "--model", model)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.decode(encoding).splitlines()) == len(named) + 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_and_a_name_that_is_too_long_block_nothing(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "m.onnx")
    os.mkfifo(tmp_path / "pipe.png")
    for path, says in ((tmp_path / "pipe.png", b"not a regular file"), ("n" * 5000, b"too long")):
        done = _command(path, "--model", model)
        assert done.returncode == 3, done.stderr
        assert says in done.stdout
        assert done.stderr == b""
