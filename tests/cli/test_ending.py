"""Early ends of commands: one message on a full disk, and a hint on continuing after SIGTERM."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.drawing import drawing
from helpers.tiny_model import write_tiny
from pneumoscope.cli import main
from pneumoscope.errors import OutputError
from pneumoscope.runs import files_written_whole, written_whole
from pneumoscope.workflow.train import Trained

Captured = pytest.CaptureFixture[str]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="this system has no such signal")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "m.onnx")


def the_message(capsys: Captured) -> str:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (message,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return message


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["--version"],
        ["model", "{model}"],
        ["predict", "{images}", "--model", "{model}"],
        ["predict", "{images}", "--model", "{model}", "--format", "csv"],
        ["predict", "{images}", "--model", "{model}", "--format", "json"],
    ],
)
def test_a_full_standard_output_is_one_message(
    words: list[str], model: Path, phantoms: Path
) -> None:
    command = [word.format(model=model, images=phantoms) for word in words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pneumoscope", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    (message,) = done.stderr.splitlines()
    assert message.startswith("error: standard output cannot be written (No space left on device)")
    assert ("--out FILE, which can be continued with --resume" in message) == (
        words[0] == "predict"
    )


@POSIX
def test_a_closed_standard_output_is_none_to_write_to(model: Path) -> None:
    words = [sys.executable, "-m", "pneumoscope", "model", str(model)]
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


_LIMITED = """
import resource, sys
from pneumoscope.cli import command
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.argv = ["pneumoscope", *sys.argv[1:]]
command()
"""


@POSIX
def test_a_journal_that_cannot_grow_keeps_what_was_read(
    model: Path, phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.csv"
    command = ["predict", str(phantoms), "--model", str(model), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (message,) = done.stderr.splitlines()
    assert "r.csv.journal: cannot be written (File too large)" in message
    assert "images are kept; repeat the command with --resume to continue" in message
    kept = (tmp_path / "r.csv.journal").read_bytes().count(b"\n") - 1
    assert f"{kept} images are kept" in message
    assert main([*command, "--resume"]) == 0
    assert out.read_bytes().count(b"\n") == 1 + len(list(phantoms.rglob("*.jpeg")))


def test_a_result_that_cannot_be_finished_keeps_the_journal(
    model: Path,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    def full(*_: object) -> None:
        raise FULL

    out = tmp_path / "r.csv"
    command = ["predict", str(phantoms), "--model", str(model), "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr("pneumoscope.reader.records.TEXT_WRITERS", {"csv": full})
        assert main(command) == 1
    message = the_message(capsys)
    assert "r.csv: cannot be written (No space left on device)" in message
    assert "--resume to continue" in message
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv.journal"]
    assert main([*command, "--resume"]) == 0
    assert out.read_bytes().count(b"\n") == 1 + len(list(phantoms.rglob("*.jpeg")))


def test_evidence_that_cannot_be_written_keeps_what_was_read(
    model: Path,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise FULL

    out = tmp_path / "r.csv"
    command = [
        "predict",
        str(phantoms / "test"),
        "--model",
        str(model),
        "--evidence",
        str(tmp_path / "e"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.Image.save", full)
        assert main([*command, "--out", str(out)]) == 1
        assert "--resume to continue" in the_message(capsys)
        assert main(command) == 1
        assert "cannot be written (No space left on device)" in the_message(capsys)
    assert not list((tmp_path / "e").glob("*"))
    assert main([*command, "--out", str(out), "--resume"]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "{images}", "--out", "{out}"],
        ["evaluate", "{run}", "{images}", "--report", "{out}"],
        ["compare", "{run}", "{val}", "--report", "{out}"],
        ["export", "{run}", "--out", "{out}/m.onnx"],
        ["evaluate", "{run}", "{images}", "--scores", "{out}/s.csv"],
    ],
)
def test_a_full_disk_is_one_message_and_leaves_no_part(
    words: list[str],
    trained: Trained,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    """The last write of each command is refused, and then each one before it."""
    run, out = trained.run, tmp_path / "out"
    command = [
        word.format(run=run.root, val=run.scores("test"), images=phantoms, out=out)
        for word in words
    ]
    before = files_in(run.root)

    def full(*_: object, **__: object) -> None:
        raise FULL

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("onnx.save", full)
    monkeypatch.setattr("onnx.save_model", full)
    assert main(command) == 1
    message = the_message(capsys)
    assert "cannot be written (No space left on device)" in message
    assert not files_in(out) if out.exists() else True
    assert files_in(run.root) == before


def test_an_inspection_that_fails_keeps_the_one_before(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    out = tmp_path / "out"
    command = ["inspect", str(phantoms), "--out", str(out)]
    assert main(command) == 0
    before = files_in(out)

    def full(*_: object, **__: object) -> None:
        raise FULL

    with drawing(), monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)  # of the figures, after the first files
        assert main([*command, "--seed", "1"]) == 1
    assert "out: cannot be written (No space left on device)" in the_message(capsys)
    assert files_in(out) == before


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "{test}", "--resamples", "100"],
        ["compare", "{run}", "{test}", "--resamples", "100"],
    ],
)
def test_a_report_that_cannot_be_replaced_stays(
    words: list[str],
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    out, test = tmp_path / "out", trained.run.scores("test")
    command = [
        *(word.format(run=trained.run.root, test=test) for word in words),
        "--report",
        str(out),
    ]
    assert main(command) == 0
    before = files_in(out)
    real, written = Path.write_text, 0

    def filling(self: Path, *args: object, **options: object) -> int:
        nonlocal written
        written += 1
        if written > 3:
            raise FULL
        return real(self, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", filling)  # tables of figures, and the page
        assert main([*command, "--level", "0.8"]) == 1
    assert "out: cannot be written (No space left on device)" in the_message(capsys)
    assert files_in(out) == before


def test_a_fault_of_reading_is_not_told_as_one_of_writing(tmp_path: Path) -> None:
    gone = tmp_path / "gone.csv"
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "out.csv"):
        gone.read_text()
    with pytest.raises(FileNotFoundError), files_written_whole(tmp_path / "out"):
        gone.read_text()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError), written_whole(tmp_path / "out.csv"):
        raise FULL
    with pytest.raises(OutputError), files_written_whole(tmp_path / "out") as folder:
        (folder / "gone" / "a.txt").write_text("its folder is not there")


def test_what_no_part_of_the_program_named_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def refuses(_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "place.csv")

    monkeypatch.setattr("pneumoscope.cli.selftest.run", refuses)
    assert main(["selftest"]) == 1
    assert the_message(capsys) == "error: place.csv: Permission denied."


_TERMINATED = """
import os, signal, sys
from pneumoscope.cli import command, {verb}
def run(asked):
    os.kill(os.getpid(), signal.SIGTERM)
{verb}.run = run
sys.argv = ["pneumoscope", *sys.argv[1:]]
command()
"""


@POSIX
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["inspect", "x"], "no result was written; repeat the command to start again."),
        (["evaluate", "x"], "no result was written; repeat the command to start again."),
        (
            ["export", "x", "--out", "y"],
            "no result was written; repeat the command to start again.",
        ),
        (
            ["download", "kermany", "--to", "x"],
            "the downloaded part is kept; repeat the command to continue",
        ),
        (["predict", "x"], "with --out FILE can be continued with --resume"),
        (["demo"], "nothing is kept; repeat the command"),
        (["train", "x", "--out", "y"], "no epoch was completed, so nothing is kept"),
        (["train", "x", "--out", "run"], "repeat the command with --resume to continue."),
    ],
)
def test_sigterm_says_how_to_go_on(words: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").touch()
    done = subprocess.run(
        [sys.executable, "-c", _TERMINATED.format(verb=words[0]), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 143
    (message,) = done.stderr.splitlines()
    assert message.startswith("ended by SIGTERM: ")
    assert says in message


@POSIX
def test_sigterm_ends_a_long_run_that_goes_on_later(
    model: Path, phantoms: Path, tmp_path: Path
) -> None:
    images = [str(path) for path in sorted(phantoms.rglob("*.jpeg"))] * 30
    listed, out = tmp_path / "list.txt", tmp_path / "r.jsonl"
    listed.write_text("\n".join(images))
    command = [sys.executable, "-m", "pneumoscope", "predict", "--paths-from", str(listed)]
    command += ["--model", str(model), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    journal, deadline = tmp_path / "r.jsonl.journal", time.monotonic() + 60
    while not journal.exists() or journal.stat().st_size < 5000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    kept, ended = said.splitlines()
    assert "repeat the command with --resume to continue" in kept
    assert ended == "ended by SIGTERM"
    done = subprocess.run([*command, "--resume"], capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().count(b"\n") == len(images)
