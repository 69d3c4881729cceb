"""Invalid input: one message with a solution, the exit code, and no files left behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.tiny_model import write_tiny
from pneumoscope.cli import main
from pneumoscope.errors import in_words

Captured = pytest.CaptureFixture[str]


def _refused(words: list[str], capsys: Captured) -> str:
    assert main(words) == 1
    captured = capsys.readouterr()
    (message,) = re.findall(r"^error: (.*)", captured.err, re.MULTILINE)
    assert captured.out == ""
    return str(message)


TABLES = {
    "gone": (None, "No such file or directory"),
    "folder": (..., "Is a directory"),
    "semicolons": (b"path;label;split\na.png;0;val\n", "commas"),
    "latin-1": ("path,label,split\nä.png,0,val\n".encode("latin-1"), "not UTF-8"),
    "other columns": (b"a,b\n1,2\n", "no column"),
}


@pytest.mark.parametrize("name", sorted(TABLES))
@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "{}"],
        ["compare", "{}", "other.csv"],
        ["recalibrate", "{model}", "{}", "--out", "new.onnx"],
        ["inspect", "{images}", "--split-file", "{}", "--out", "new"],
        ["inspect", "{images}", "--scores", "{}", "--out", "new"],
        ["train", "{images}", "--split-file", "{}", "--out", "new"],
        ["train", "{}", "--out", "new"],
    ],
)
def test_a_table_that_cannot_be_read_is_one_message(
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    command: list[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    content, says = TABLES[name]
    table = tmp_path / "table.csv"
    if isinstance(content, bytes):
        table.write_bytes(content)
    elif content is ...:
        table.mkdir()
    model = write_tiny(tmp_path / "m.onnx")
    before = sorted(tmp_path.iterdir())
    words = [word.format("table.csv", model=model, images=phantoms) for word in command]
    message = _refused(words, capsys)
    assert "table.csv" in message
    if command[0] != "train" or "--split-file" in command:
        assert says in message or name == "folder"  # it may be a run
    assert "Error(" not in message  # no exception is shown as Python shows it
    assert sorted(tmp_path.iterdir()) == before


def test_a_table_may_begin_with_a_mark_and_not_be_empty(tmp_path: Path, capsys: Captured) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("label,probability\n" + "0,0.2\n1,0.9\n" * 10, encoding="utf-8-sig")
    assert main(["evaluate", str(table)]) == 0
    capsys.readouterr()
    table.write_bytes(b"")
    assert "contains no scores; expected columns: path" in _refused(
        ["evaluate", str(table)], capsys
    )


def test_what_is_not_there_is_called_so(tmp_path: Path, capsys: Captured) -> None:
    gone = str(tmp_path / "gone.onnx")
    assert "no such model file" in _refused(["model", gone], capsys)
    assert "no such run folder" in _refused(["compare", gone, gone], capsys)
    assert in_words(ValueError("because")) == "because"


def test_a_fault_while_the_self_test_runs_ends_the_process_in_peace(tmp_path: Path) -> None:
    """ONNX Runtime's threads abort a process that ends while a graph runs."""
    (tmp_path / "empty").mkdir()
    for words in (["evaluate", "shipped", "empty"], ["predict", "x", "--fail-on", "nothing"]):
        done = subprocess.run(
            [sys.executable, "-m", "pneumoscope", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("error: ")
        assert "terminate" not in done.stderr


_INTERRUPTED = """
import os, signal, sys
from pneumoscope.cli import command, selftest
def run(_):
    try:
        {does}
    except KeyboardInterrupt:
        raise ImportError("import failed") from None  # as numpy's compiled part does
selftest.run = run
sys.argv = ["pneumoscope", "selftest"]
command()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signal")
def test_ctrl_c_in_a_compiled_package_is_ctrl_c() -> None:
    def ended(does: str) -> subprocess.CompletedProcess[str]:
        code = _INTERRUPTED.format(does=does)
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )

    interrupted = ended("os.kill(os.getpid(), signal.SIGINT)")
    assert (interrupted.returncode, interrupted.stderr) == (130, "interrupted\n")
    broken = ended("raise RuntimeError('a fault of our own')")
    assert broken.returncode == 1
    assert broken.stderr.endswith("RuntimeError: a fault of our own\n")


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signal")
def test_ctrl_c_ends_in_one_line_and_the_run_goes_on_later(phantoms: Path, tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "m.onnx")
    images = [str(path) for path in sorted(phantoms.rglob("*.jpeg"))] * 30
    listed, out = tmp_path / "list.txt", tmp_path / "r.jsonl"
    listed.write_text("\n".join(images))
    command = [sys.executable, "-m", "pneumoscope", "predict", "--paths-from", str(listed)]
    command += ["--model", str(model), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "r.jsonl.journal"
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.stat().st_size < 5000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    kept, ended = said.splitlines()
    assert "repeat the command with --resume to continue" in kept
    assert ended == "interrupted"
    assert not out.exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().count(b"\n") == len(images)


@pytest.mark.parametrize("option", [["--filters", "3"], ["--batch-norm"], ["--image-size", "96"]])
def test_options_of_networks_are_not_ignored_where_a_file_is_shown(
    tmp_path: Path, capsys: Captured, option: list[str]
) -> None:
    message = _refused(["model", str(write_tiny(tmp_path / "m.onnx")), *option], capsys)
    assert option[0] in message
    assert "with a network" in message
