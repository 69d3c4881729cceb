"""One field varied: a run a value, none done twice, the placement kept, one split."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.warm import Warm, WarmChild, run_warm
from pneumoscope.errors import OptionError, OutputError, PneumoscopeError
from pneumoscope.runs import RunFolder, rows_of
from pneumoscope.training.devices import Placement
from pneumoscope.training.recipe import Recipe, change_recipe, recipe_of
from pneumoscope.watch import Watcher
from pneumoscope.workflow import side_by_side
from pneumoscope.workflow import vary as varying
from pneumoscope.workflow.side_by_side import Job
from pneumoscope.workflow.vary import BASE, vary


def tiny() -> Recipe:
    return recipe_of("seed", image_size=32, filters=(4, 8), max_epochs=1, val_fraction=0.2)


class Told(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def rates(data: Path, out: Path, *values: float, **more: Any) -> tuple[RunFolder, ...]:
    options = {"recipe": tiny(), "resume": True, **more}
    return vary(data, out, field="learning_rate", values=values, **options)


def written(run: RunFolder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in run.root.iterdir()}


def test_runs_that_are_there_are_not_done_again(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "rates"
    (first,) = rates(phantoms, out, 1e-3)
    assert Recipe.load(out / BASE) == tiny()
    before = written(first)
    told = Told()
    runs = rates(phantoms, out, 1e-3, 1e-2, watcher=told)
    assert [run.root.name for run in runs] == ["learning_rate-0.001", "learning_rate-0.01"]
    assert "learning_rate-0.001 (1 of 2) exists already" in told.lines
    assert written(first) == before
    assert [Recipe.load(run.config).learning.learning_rate for run in runs] == [1e-3, 1e-2]
    splits = [[(row["path"], row["split"]) for row in rows_of(run.split)] for run in runs]
    assert splits[0] == splits[1]

    # What is another recipe, other data or another version is refused, and what was done stays.
    with pytest.raises(OutputError, match="runs of another recipe"):
        rates(phantoms, out, 1e-3, recipe=change_recipe(tiny(), batch_size=8))
    facts = json.loads(first.provenance.read_text())
    for what, changed in (
        ("data", {**facts, "data_fingerprint": "other"}),
        ("version", {**facts, "packages": {"pneumoscope": "0.0.1"}}),
    ):
        first.provenance.write_text(json.dumps(changed))
        with pytest.raises(OutputError, match=f"differs in its {what}"):
            rates(phantoms, out, 1e-3)
    first.provenance.write_text(json.dumps(facts))

    # One that was ended before its report was written goes on: its epochs are not learnt again.
    first.report.unlink()
    log = first.log.read_text()
    rates(phantoms, out, 1e-3)
    assert first.report.is_file()
    assert first.log.read_text() == log
    with pytest.raises(OutputError, match="exists already"):
        rates(phantoms, out, 1e-3, resume=False)


def test_wrong_calls_are_named(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'learning_rate'"):
        vary(phantoms, tmp_path / "a", recipe=tiny(), field="learningrate", values=[1])
    with pytest.raises(OptionError, match="one or more different values"):
        rates(phantoms, tmp_path / "a", 1e-3, 0.001)
    with pytest.raises(OptionError, match="learning_rate must be from"):
        rates(phantoms, tmp_path / "a", -1)
    assert not (tmp_path / "a").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="no runs to resume"):
        rates(phantoms, tmp_path / "full", 1e-3)


class Jobs(list[Job]):
    """Takes the runs in place of training them."""

    def __call__(self, jobs: list[Job], *, places: Any, watcher: Watcher) -> None:
        del watcher
        self.extend(jobs)
        self.places = places


def test_the_first_run_and_the_placement_go_where_the_others_go(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Jobs()
    monkeypatch.setattr(varying, "train_side_by_side", taken)
    places = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    placement = Placement("cpu", strategy="ddp")
    rates(
        phantoms, tmp_path / "a", 1e-3, 1e-2, placement=placement, places=places, workers=3
    )  # fmt: skip
    assert [job.out.name for job in taken] == ["learning_rate-0.001", "learning_rate-0.01"]
    for job in taken:
        assert job.placement == Placement("cpu", "1", strategy="ddp")
        assert job.workers == 3
        assert job.to_dict()["placement"]["strategy"] == "ddp"
    taken.clear()
    rates(phantoms, tmp_path / "b", 1e-3, placement=Placement("cpu", "2"))
    assert [job.placement.devices for job in taken] == ["2"]  # Lightning starts this job twice
    assert list(taken.places) == [{}]


def test_a_field_that_divides_the_images_gives_each_run_its_own_split(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Jobs()
    monkeypatch.setattr(varying, "train_side_by_side", taken)
    recipe = change_recipe(tiny(), validation="kfold", folds=3)
    runs = vary(
        phantoms, tmp_path / "folds", recipe=recipe, field="fold", values=range(3),
        placement=Placement("cpu", "2"),
    )  # fmt: skip
    assert [run.root.name for run in runs] == ["fold-0", "fold-1", "fold-2"]
    assert [(job.recipe.data.fold, job.split_file) for job in taken] == [
        (0, None), (1, None), (2, None)
    ]  # fmt: skip
    assert not (tmp_path / "folds" / "split.csv").exists()


def test_a_run_that_fails_side_by_side_keeps_its_log(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that fails has a new process, the other one a fork."""

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes] | WarmChild:
        new = "learning_rate-0.001" in command[-1]
        return subprocess.Popen(command, **options) if new else WarmChild(command, **options)

    forks = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(side_by_side, "subprocess", forks)
    out = tmp_path / "runs"
    places = [{"OMP_NUM_THREADS": "1"}] * 2
    blocked = out / "learning_rate-0.001"
    blocked.mkdir(parents=True)
    tiny().save(out / BASE)
    (blocked / "in-the-way").touch()
    with pytest.raises(PneumoscopeError, match=r"training failed .*exists already"):
        rates(phantoms, out, 1e-3, 1e-2, places=places, placement=Placement("cpu"))
    assert "exists already" in (out / "learning_rate-0.001.log").read_text()
    assert (out / "learning_rate-0.01" / "report.html").is_file()  # the other one went on


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
def test_seeds_that_sigterm_ended_go_on(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    command = ("pneumoscope", "train", phantoms, "--out", out, "--seeds", "2")
    recipe = ["--image-size", "32", "--filters", "4,8", "--epochs", "2", "--val-fraction", "0.2"]
    process = Warm(*command, *recipe)
    until = time.monotonic() + 240
    while not (out / "seed-0" / "checkpoints" / "last.ckpt").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert said.splitlines()[-1].startswith("ended by SIGTERM: ")
    assert "repeat the command with --resume to continue" in said.splitlines()[-1]
    assert "Traceback" not in said
    epochs = (out / "seed-0" / "log.csv").read_text().splitlines()
    status, _, said = run_warm(*command, "--resume")
    assert status == 0, said
    assert (out / "seeds.json").is_file()
    assert (out / "seed-0" / "log.csv").read_text().splitlines()[: len(epochs)] == epochs
    assert (out / "seed-1" / "report.html").is_file()
