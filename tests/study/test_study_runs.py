"""A study: every run finishes once despite kills, the page answers, and test rows are not used."""

from __future__ import annotations

import csv
import json
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from helpers.phantoms import written_once
from helpers.processes import below, command_of, wait_for
from helpers.study import popen_forked, stub_worker
from helpers.warm import Warm, run_warm
from pneumoscope.cli import main
from pneumoscope.data.patients import Patient
from pneumoscope.data.phantom import write_folder
from pneumoscope.errors import LeakError, OutputError
from pneumoscope.evaluation.repeated import contrast
from pneumoscope.runs import rows_of
from pneumoscope.study import workers as working
from pneumoscope.study.board import Board
from pneumoscope.study.conduct import conduct
from pneumoscope.study.folder import Result, StudyFolder
from pneumoscope.study.images import open_split, read_images
from pneumoscope.study.plan import plan_of
from pneumoscope.study.report import write_study_page
from pneumoscope.study.table import table_text
from pneumoscope.training.recipe import recipe_of
from pneumoscope.watch import Watcher

PLAN = """
about: What matters to a tiny network
base: seed
changes: {image_size: 32, filters: [4, 8], max_epochs: 3}
seeds: 2
split: {val_fraction: 0.2, held_out: 0.4}
questions:
  dropout: {ask: "How much dropout?", factor: dropout, values: [0.4, 0.0]}
  validation: {levels: {drawn: {}, block: {validation: block}}}
  depth: {factor: filters, values: {two: [4, 8], too deep: [4, 4, 4, 4, 4, 4]}}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "data"
    return written_once(tmp_path_factory, folder, patients=80, seed=3, size_px=(40, 48))


class Told(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def study(data: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Return a study that nothing disturbed."""
    boards: list[tuple[int, int]] = []

    def show(board: Board) -> None:
        boards.append((len(board.done), len(board.running)))

    out = tmp_path_factory.mktemp("studies") / "whole"
    told = Told()
    folder = conduct(data, out, plan=plan_of(PLAN), show=show, watcher=told)
    assert boards[0] == (0, 1)
    assert boards[-1] == (6, 0)
    assert len([line for line in told.lines if "validation AUC" in line]) == 6
    assert len(told.warnings) == 2
    assert "few enough blocks" in told.warnings[0]
    return folder


def results(folder: StudyFolder) -> dict[str, Result]:
    """Return what each run gave, without what differs from time to time."""
    found = {}
    for run in folder.runs():
        if run.finished:
            result = json.loads(run.result_file.read_text())
            found[run.title()] = Result(**{**result, "seconds": 0, "peak_bytes": 0})
    return found


def events(folder: StudyFolder, kind: str) -> list[str]:
    return [event["run"] for event in folder.journal() if event["event"] == kind]


def test_every_run_is_a_row(study: StudyFolder) -> None:
    write_study_page(study)
    rows = {row["title"]: row for row in rows_of(study.root / "runs.csv")}
    assert len(rows) == 8
    failed = [row for row in rows.values() if row["state"] == "failed"]
    assert [row["title"] for row in failed] == [
        "filters 4-4-4-4-4-4, seed 0", "filters 4-4-4-4-4-4, seed 1",
    ]  # fmt: skip
    assert "few enough blocks" in failed[0]["error"]
    done = rows["base, seed 0"]
    assert done["state"] == "done"
    assert 0 < float(done["held_out_auc"]) < 1
    assert int(done["parameters"]) > 0
    assert not list(study.root.rglob("*.ckpt"))  # only what goes on needs them
    assert "few enough blocks" in table_text(study)


def test_one_split_for_all_and_no_test_row_in_it(study: StudyFolder, data: Path) -> None:
    held = [tuple(row["path"] for row in rows_of(run.held_out)) for run in study.runs()
            if run.finished]  # fmt: skip
    assert len(held) == 6
    assert len(set(held)) == 1
    splits = list(study.splits.glob("*.csv"))
    assert len(splits) == 2  # drawn, and by block
    test = {path.relative_to(data).as_posix() for path in (data / "test").rglob("*.jpeg")}
    assert test
    for place in splits:
        rows = rows_of(place)
        assert not test & {row["path"] for row in rows}
        own = {row["path"] for row in rows if row["split"] == "test"}
        assert own == set(held[0])
        patients = [{row["patient"] for row in rows if row["split"] == part}
                    for part in ("train", "val", "test")]  # fmt: skip
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]


def test_test_rows_are_refused(study: StudyFolder, data: Path) -> None:
    from pneumoscope.data.catalog import read_catalog  # noqa: PLC0415

    whole = read_catalog(data)
    place = min(study.splits.glob("*.csv"))
    with pytest.raises(LeakError, match="test images would be used"):
        open_split(whole, recipe_of("seed", image_size=32).data.input, place)
    own = read_images(data, recipe_of("seed"), watcher=Watcher())
    assert len(own) < len(whole)
    assert {entry.split for entry in own.entries} == {"train"}


@pytest.mark.usefixtures("drawn")
def test_the_page_answers_each_question_with_an_interval(study: StudyFolder) -> None:
    found = write_study_page(study)
    assert found.failed == 2
    assert len(found.sentences) == 3
    assert "How much dropout? 0 against 0.4: AUC " in found.sentences[0]
    assert "no significant difference with two seeds and" in found.sentences[0]
    assert "Not answered" in found.sentences[2]
    assert "few enough blocks" in found.sentences[2]
    page = found.place.read_text(encoding="utf-8")
    for sentence in found.sentences:
        assert sentence in page
    assert "Validation and held-out results" in page
    assert "Training" in page
    names = {path.name for path in study.figures.iterdir()}
    assert {"forest.csv", "forest.svg", "curves-dropout.csv", "validation-validation.csv"} <= names
    assert {"runs.csv", "answers.csv"} <= {path.name for path in study.root.iterdir()}
    rows = {(row["question"], row["level"]): row for row in rows_of(study.root / "answers.csv")}
    dropout = rows["dropout", "0"]
    assert float(dropout["auc_low"]) < float(dropout["auc_difference"]) < float(dropout["auc_high"])


def test_the_numbers_are_those_of_the_scores(study: StudyFolder) -> None:
    """By hand, from the files: the difference by seed, and its mean."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    def area(title: str) -> float:
        (run,) = (each for each in study.runs() if each.title() == title)
        rows = rows_of(run.held_out)
        return float(
            roc_auc_score([int(r["label"]) for r in rows], [float(r["logit"]) for r in rows])
        )

    each = [area(f"dropout 0, seed {k}") - area(f"base, seed {k}") for k in (0, 1)]
    write_study_page(study)
    rows = {(row["question"], row["level"]): row for row in rows_of(study.root / "answers.csv")}
    assert float(rows["dropout", "0"]["auc_difference"]) == pytest.approx(np.mean(each))
    forest = {row["level"]: row for row in rows_of(study.figures / "forest.csv")}
    seeds = [float(value) for value in forest["0 against 0.4"]["seeds"].split()]
    assert seeds == pytest.approx(each, abs=1e-5)


def test_nothing_is_done_twice(
    study: StudyFolder, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_: object, **__: object) -> None:
        raise AssertionError("a run was begun again")

    monkeypatch.setattr(working, "Worker", begin)
    before = {path: path.stat().st_mtime_ns for path in study.root.glob("runs/*/*")}
    told = Told()
    conduct(data, study.root, plan=plan_of(PLAN), watcher=told)
    assert told.lines == ["6 of 8 runs exist already"]
    assert told.warnings == ["2 runs failed already; repeat them with `retry`."]
    assert {path: path.stat().st_mtime_ns for path in study.root.glob("runs/*/*")} == before
    # Of a plan that asks less, with other words, the runs are there too.
    less = plan_of(
        PLAN.split("  depth", maxsplit=1)[0].replace("How much dropout", "What of dropout")
    )
    conduct(data, study.root, plan=less, watcher=told)
    assert told.lines[-1] == "6 of 6 runs exist already"
    conduct(data, study.root, plan=plan_of(PLAN), watcher=told)


def test_another_study_is_refused(study: StudyFolder, data: Path, tmp_path: Path) -> None:
    other = plan_of(PLAN.replace("held_out: 0.4", "held_out: 0.3"))
    with pytest.raises(OutputError, match="a different split of the images"):
        conduct(data, study.root, plan=other)
    others = write_folder(tmp_path / "data", patients=40, seed=4, size_px=(40, 48), workers=1)
    with pytest.raises(OutputError, match="other images"):
        conduct(others, study.root, plan=plan_of(PLAN))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="is not a study"):
        conduct(data, tmp_path / "full", plan=plan_of(PLAN))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_killed_study_goes_on_to_the_same_numbers(
    study: StudyFolder, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.split("  validation", maxsplit=1)[0])
    out = StudyFolder(tmp_path / "killed")
    words = ["study", str(data), "--plan", str(tmp_path / "plan.yaml"), "--out", str(out.root)]
    forked = {"pneumoscope.study.workers.subprocess.Popen": popen_forked}
    for done in (1, 2):  # killed twice, in the midst of a run
        process = Warm("pneumoscope", *words, values=forked)
        wait_for(
            lambda done=done: len(events(out, "finished")) >= done  # type: ignore[misc]
            and any(run.state == "begun" for run in out.runs()),
            seconds=120, what="a run in the midst",
        )  # fmt: skip
        workers = below(process.pid)
        process.kill()
        process.communicate()
        end = partial(_ended, workers)
        wait_for(end, seconds=30, what="the end of the workers")
    with (out.root / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "cut sho')  # as a crash may leave it
    code, _, errors = run_warm("pneumoscope", *words, values=forked)
    assert code == 0, errors
    wanted = {k: v for k, v in results(study).items() if k.startswith(("base", "dropout"))}
    assert results(out) == wanted
    finished = events(out, "finished")
    assert len(finished) == len(set(finished))


def _ended(pids: list[int]) -> bool:
    return not any(map(command_of, pids))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "WORKER", stub_worker(pause=0.3))


def test_a_worker_that_is_killed_is_a_row(data: Path, tmp_path: Path, stub: None) -> None:
    """As the system kills it where memory runs out: the others go on, and it can be retried."""
    plan = plan_of(PLAN.split("  validation", maxsplit=1)[0].replace("seeds: 2", "seeds: 1"))
    others = below(os.getpid())  # services of other tests
    killed: list[int] = []

    def show(board: Board) -> None:
        if board.running and not killed and not board.done:
            killed.extend(set(below(os.getpid())) - set(others))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    told = Told()
    folder = conduct(data, tmp_path / "out", plan=plan, show=show, watcher=told)
    states = sorted(run.state for run in folder.runs())
    assert states == ["done", "failed"]
    assert "signal 9" in told.warnings[0]
    assert "memory ran out" in told.warnings[0]
    conduct(data, folder.root, plan=plan, retry=True, watcher=told)
    assert {run.state for run in folder.runs()} == {"done"}


@pytest.mark.parametrize(("memory", "at_once"), [(0, 1), (2**40, 3)])
def test_jobs_run_at_once_as_far_as_memory_allows(
    data: Path,
    tmp_path: Path,
    stub: None,
    monkeypatch: pytest.MonkeyPatch,
    memory: int,
    at_once: int,
) -> None:
    plan = plan_of(PLAN.split("  validation", maxsplit=1)[0])
    told = Told()
    monkeypatch.setattr(working, "available_bytes", lambda: memory)
    most = 0

    def show(board: Board) -> None:
        nonlocal most
        most = max(most, len(board.running))

    folder = conduct(data, tmp_path / "out", plan=plan, jobs=3, show=show, watcher=told)
    assert most == at_once
    assert ("memory is sufficient for 1 of 3 parallel runs." in told.warnings) == (at_once == 1)
    assert len(events(folder, "finished")) == 4


def test_show_and_a_line_a_run_in_a_pipe(
    study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "show", str(study.root)]) == 0
    said = capsys.readouterr().out
    assert "How much dropout?" in said
    assert f"Page: {study.page}" in said
    assert "few enough blocks" in said
    assert main(["study", "show"]) == 2
    assert main(["study", "show", "/nowhere"]) == 1


def test_the_interval_takes_in_patients_and_seeds() -> None:
    """Against hand-worked values: with no spread of seeds it is that of the patients."""
    flat = contrast(np.array([0.02, 0.02, 0.02]), 0.01**2, patients=10_000_000)
    assert flat.low == pytest.approx(0.02 - 1.96 * 0.01, abs=1e-5)
    assert flat.patients == pytest.approx((flat.low, flat.high))
    # Patients without any spread: Student's interval of three seeds, t(0.975, 2) = 4.3027.
    seeds = np.array([0.01, 0.02, 0.03])
    known = contrast(seeds, 0.0, patients=1000)
    assert known.degrees == 2
    half = 4.30265 * 0.01 / np.sqrt(3)
    assert (known.low, known.high) == pytest.approx((0.02 - half, 0.02 + half), abs=1e-6)
    assert known.p == pytest.approx(0.0742, abs=1e-3)  # t = 3.464 on 2 degrees of freedom
    one = contrast(np.array([0.02]), 0.01**2, patients=500)
    assert one.patients == pytest.approx((one.low, one.high))


def test_the_intervals_hold_what_they_promise() -> None:
    """Of made-up recipes without any difference, about 95 % of the intervals hold zero."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        patients, seeds = generator.normal(0, 0.01), generator.normal(0, 0.01, 3)
        found = contrast(patients + seeds, 0.01**2, patients=400)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0 <= found.high
    assert 0.93 <= inside / 1000 <= 0.995


def test_names_of_patients_are_read_back(study: StudyFolder) -> None:
    run = next(run for run in study.runs() if run.finished)
    with run.held_out.open(newline="") as file:
        row = next(csv.DictReader(file))
    assert Patient(row["patient"]).known
