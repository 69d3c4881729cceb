"""Many workers give the same result as one machine, even if some of them die."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from helpers.cluster import (
    DEADLY,
    ONCE,
    DyingReader,
    FaultyReader,
    HarmedReader,
    rows,
)
from helpers.processes import below, command_of, kill, wait_for
from pneumoscope.cli import main
from pneumoscope.cli.predict_cluster import _Shown
from pneumoscope.cli.terminal import TerminalWatcher
from pneumoscope.cluster.process_engine import ProcessEngine
from pneumoscope.cluster.run import Outcome, read_archive
from pneumoscope.cluster.shards import Shard
from pneumoscope.cluster.supervise import Progress
from pneumoscope.cluster.work import Job, ShardReader
from pneumoscope.errors import EngineError, ModelFileError, OutputError
from pneumoscope.reader.predictor import Predictor
from pneumoscope.workflow.train import Trained

SUMMARY = "_summary.json"


@pytest.fixture
def archive(phantoms: Path, tmp_path: Path) -> Path:
    """Return a folder with 21 images, one that is none, and a note."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number, image in enumerate(sorted(phantoms.rglob("*.jpeg"))[:21]):
        shutil.copy(image, folder / f"{number:02d}.jpeg")
    (folder / "05b.png").write_bytes(b"no image at all")
    (folder / "notes.md").write_text("read me")
    return folder


def _read(
    archive: Path,
    out: Path,
    *,
    make: type[ShardReader] = ShardReader,
    resume: bool = False,
    retry_errors: bool = False,
    workers: int = 2,
    predictor: Predictor | None = None,
) -> Outcome:
    return read_archive(
        [str(archive)],
        out,
        predictor=predictor or Predictor(),
        engine=partial(ProcessEngine, workers=workers, make=make),
        shard_size=4,
        resume=resume,
        retry_errors=retry_errors,
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_hold_the_rows_of_one_machine(
    workers: int, archive: Path, tmp_path: Path, trained: Trained
) -> None:
    """Of a network with dense layers, whose sums depend on the images beside one."""
    one, many = tmp_path / "one.parquet", tmp_path / "many"
    model = ["--model", str(trained.run.root)]
    assert main(["predict", str(archive), "--out", str(one), *model]) == 3
    command = ["predict", str(archive), "--out", str(many), "--engine", "processes", *model]
    assert main([*command, "--workers", str(workers), "--shard-size", "4"]) == 3
    assert rows(many) == rows(one)
    assert len(list(many.glob("part-*.parquet"))) == 6
    summary = one.with_name("one.parquet.summary.json")
    assert json.loads((many / SUMMARY).read_text()) == json.loads(summary.read_text())
    assert json.loads(summary.read_text())["other_files"] == {".md": 1}


def test_a_finished_run_is_left_as_it_is(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    _read(archive, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    (archive / "new.png").write_bytes(b"")
    outcome = _read(archive, out, resume=True)
    assert (outcome.read, outcome.tally.images) == (0, 22)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")} == before
    with pytest.raises(OutputError, match="`resume`"):
        _read(archive, out)


def test_a_run_with_other_options_is_not_continued(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _read(archive, out)
    with pytest.raises(OutputError, match=r"gate\)"):
        _read(archive, out, resume=True, predictor=Predictor(gated=False))
    with pytest.raises(OutputError, match=r"archive\)"):
        _read(archive.parent, out, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match="not the result of such a run"):
        _read(archive, tmp_path / "other", resume=True)


def test_a_worker_that_is_killed_loses_and_repeats_nothing(archive: Path, tmp_path: Path) -> None:
    (archive / "03.jpeg").rename(archive / f"03{ONCE}.jpeg")
    outcome = _read(archive, tmp_path / "out", make=HarmedReader)
    assert (outcome.deaths, outcome.given_up, outcome.read) == (1, 0, 22)
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == sorted(row["path"] for row in found)
    assert sum(row["conclusion"] == "ERROR" for row in found) == 1


def test_a_shard_that_kills_three_workers_becomes_rows_and_can_be_tried_again(
    archive: Path, tmp_path: Path
) -> None:
    (archive / "13.jpeg").rename(archive / f"13{DEADLY}.jpeg")
    out = tmp_path / "out"
    outcome = _read(archive, out, make=HarmedReader)
    assert (outcome.deaths, outcome.given_up, outcome.tally.images) == (3, 1, 22)
    lost = [row for row in rows(out) if "3 workers ended" in (row["error"] or "")]
    assert [Path(row["path"]).name for row in lost] == [
        *("10.jpeg", "11.jpeg", "12.jpeg", f"13{DEADLY}.jpeg")
    ]
    assert "SIGKILL" in lost[0]["error"]
    healed = _read(archive, out, resume=True, retry_errors=True)
    assert healed.read == 8  # with the shard of the file that is no image
    one = tmp_path / "one.parquet"
    main(["predict", str(archive), "--out", str(one)])
    assert rows(out) == rows(one)


def test_workers_that_do_not_start_end_the_run(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"ended while starting .*SIGKILL"):
        _read(archive, tmp_path / "out", make=DyingReader)


def test_a_fault_that_is_no_images_ends_the_run(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="RuntimeError: no room in memory"):
        _read(archive, tmp_path / "out", make=FaultyReader)
    assert _read(archive, tmp_path / "out", resume=True).tally.images == 22


def test_a_worker_with_another_version_or_model_reads_nothing() -> None:
    job = Job.of(Predictor())
    other = {name: getattr(job, name) for name in Job.__slots__}
    with pytest.raises(EngineError, match=r"pneumoscope .* started with 0\.0\.0"):
        ShardReader(Job(**{**other, "version": "0.0.0"}))
    with pytest.raises(ModelFileError, match="the included reader of a worker differs"):
        ShardReader(Job(**{**other, "sha256": "0" * 64}))


def test_two_runs_do_not_write_into_one_folder(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from functools import partial\n"
        "from helpers.cluster import SlowReader\n"
        "from pneumoscope.cluster.process_engine import ProcessEngine\n"
        "from pneumoscope.cluster.run import read_archive\n"
        "from pneumoscope.reader.predictor import Predictor\n"
        "if __name__ == '__main__':\n"
        "    engine = partial(ProcessEngine, workers=1, make=SlowReader)\n"
        f"    read_archive([{str(archive)!r}], Path({str(out)!r}), predictor=Predictor(),\n"
        "        engine=engine, shard_size=2)\n"
    )
    script = tmp_path / "slow.py"
    script.write_text(f"import sys; sys.path[:0] = {sys.path!r}\n{code}")
    first = subprocess.Popen([sys.executable, str(script)])
    try:
        wait_for(lambda: list(out.glob("part-*")), seconds=60, what="a part")
        with pytest.raises(OutputError, match="another process is writing"):
            _read_size_2(archive, out)
        workers = below(first.pid)
        kill(first.pid)
        first.wait()
        there = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
        wait_for(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers),
            seconds=20,
            what="the end of the workers",
        )
    finally:
        kill(first.pid)
        first.wait()
    assert len(there) < 12
    (out / ".part-0000011.parquet.0123abcd.part").write_bytes(b"torn")
    outcome = _read_size_2(archive, out)
    assert outcome.read == 22 - sum(2 - (name == "part-0000000.parquet") for name in there)
    assert [path.name for path in out.glob(".*.part")] == []
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert there.items() <= after.items()
    one = tmp_path / "one.parquet"
    main(["predict", str(archive), "--out", str(one)])
    assert rows(out) == rows(one)


def test_progress_and_failures_are_shown_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumoscope.cli.predict_cluster._EVERY_SECONDS", -1.0)
    written = io.StringIO()
    watcher = TerminalWatcher()
    watcher.console = Console(file=written, force_terminal=True, width=150)
    with watcher.progress("Reading") as bar:
        shown = _Shown(watcher, bar)
        for _ in range(2):  # about once a second, even if nothing happened
            shown.update(Progress(images=1000, unreadable=7, deaths=2), 4000)
        watcher.console.print("the bar is drawn anew")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    assert re.search(r"Reading \(7 unreadable, 2 workers ended\).*1000/4000", text)
    line = "1,000 of 4,000 images found so far; 7 unreadable, 2 workers ended"
    assert text.count(line) == 2


def test_a_bar_that_hears_the_same_number_again_keeps_its_rate() -> None:
    written = io.StringIO()
    watcher = TerminalWatcher()
    watcher.console = Console(file=written, force_terminal=True, width=150)
    with watcher.progress("Reading") as bar:
        bar(10, 4000)
        time.sleep(0.05)
        for _ in range(3):
            bar(20, 4000)
        time.sleep(0.2)
    assert "images/s" in written.getvalue()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_asked_to_end_says_how_to_go_on_and_leaves_no_worker(
    sent: signal.Signals, code: int, archive: Path, tmp_path: Path
) -> None:
    images = sorted(str(path) for path in archive.glob("*.jpeg"))
    listed, out = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("\n".join(images * 100))
    words = ["predict", str(listed), "--out", str(out), "--engine", "processes", "--workers", "1"]
    command = [sys.executable, "-m", "pneumoscope", *words, "--shard-size", "10"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(out.glob("part-*")), seconds=60, what="a part")
        workers = below(process.pid)
        process.send_signal(sent)
        _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert "repeat the command with --resume to continue" in told
    assert workers
    wait_for(  # multiprocessing's own helper ends a moment later
        lambda: not any(command_of(pid) for pid in workers), seconds=20, what="the end of all"
    )
    assert len(list(out.glob("part-*"))) < 210


def _read_size_2(archive: Path, out: Path) -> Outcome:
    engine = partial(ProcessEngine, workers=1)
    return read_archive(
        [str(archive)], out, predictor=Predictor(), engine=engine, shard_size=2, resume=True
    )


def test_the_shard_function_needs_no_engine(archive: Path) -> None:
    reader = ShardReader(Job.of(Predictor()))
    part = reader.read(Shard(0, (str(archive / "00.jpeg"), str(archive / "05b.png"))))
    assert (part.images, part.unreadable) == (2, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "processes"], "--engine must be combined with --out FOLDER"),
        (["--engine", "ray", "--out", "a.parquet"], "--out must be a folder"),
        (["--engine", "processes", "--out", "o", "--address", "auto"], "--address must be"),
        (["--engine", "processes", "--out", "o", "--evidence", "p"], "without --evidence"),
        (["--engine", "processes", "--out", "o", "--format", "csv"], "--format must be parquet"),
        (["--engine", "processes", "--out", "o", "--workers", "0"], "--workers must be from 1"),
        (["--engine", "processes", "--out", "o", "--shard-size", "3"], "--shard-size must be an"),
        (["--workers", "2"], "--workers must be combined with --engine"),
        (["--shard-size", "2"], "--shard-size must be combined with --engine"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    words: list[str],
    message: str,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(archive), *words]) == 1
    assert message in capsys.readouterr().err
    assert not Path("o").exists()
