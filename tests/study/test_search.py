"""Searches: only validation rows are used, kills lose nothing, and optimism is reported."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers.phantoms import written_once
from helpers.processes import wait_for
from helpers.study import learn
from helpers.warm import Warm, run_warm
from pneumoscope.cli import main
from pneumoscope.errors import LeakError, OptionError, OutputError
from pneumoscope.runs import rows_of
from pneumoscope.study import learn as learning
from pneumoscope.study.folder import Result, StudyFolder, StudyRun
from pneumoscope.study.hunt import Hunt
from pneumoscope.study.images import StudyImages
from pneumoscope.study.plan import plan_of
from pneumoscope.study.report import write_study_page
from pneumoscope.study.search import search
from pneumoscope.study.storage import open_storage
from pneumoscope.study.trials import check_decides
from pneumoscope.training.log import Epoch, write_log
from pneumoscope.training.recipe import Recipe
from pneumoscope.watch import Watcher

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

PLAN = """
base: seed
changes: {image_size: 32, filters: [4, 8], max_epochs: 4}
seeds: 2
split: {val_fraction: 0.2, held_out: 0.4}
search:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  dropout: {low: 0.0, high: 0.6}
  filters: [[4], [4, 8], [8, 8]]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "data"
    return written_once(tmp_path_factory, folder, patients=80, seed=3, size_px=(40, 48))


class Told(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "learn", learn)


def found_in(folder: StudyFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder.root / "search.json").read_text())
    return found


def hunt(**more: object) -> Hunt:
    options = {"number": "val_auc", "trials": 12, "confirm": 0, **more}
    return Hunt(**options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("drawn")
def test_a_seeded_search_finds_and_prunes(data: Path, tmp_path: Path, stub: None) -> None:
    plan, told = plan_of(PLAN), Told()
    first = search(data, tmp_path / "a", plan=plan, hunt=hunt(trials=14), watcher=told)
    found = found_in(first)
    states = [trial["state"] for trial in found["trials"]]
    assert len(states) == 14
    assert states.count("pruned") >= 2
    assert abs(found["best"]["changes"]["dropout"] - 0.3) < 0.15
    assert set(found["importance"]) == {"learning_rate", "dropout", "filters"}
    assert any("ended early" in line for line in told.lines)
    again = search(data, tmp_path / "b", plan=plan, hunt=hunt(trials=4))
    chosen = [[trial["changes"] for trial in found_in(one)["trials"]] for one in (first, again)]
    assert chosen[0][:4] == chosen[1]
    other = search(data, tmp_path / "c", plan=plan, hunt=hunt(trials=2, seed=1))
    assert [t["changes"] for t in found_in(other)["trials"]] != chosen[0][:2]
    # What is enough is not searched again.
    search(data, first.root, plan=plan, hunt=hunt(trials=14))
    assert len(found_in(first)["trials"]) == 14
    page = write_study_page(first).place.read_text(encoding="utf-8")
    assert "Of 14 trials" in page
    assert "PED-ANOVA" in page
    assert {"trials.csv", "importance.csv"} <= {path.name for path in first.figures.iterdir()}


@pytest.mark.parametrize("pruning", ["hyperband", "halving", "none"])
def test_other_pruning_and_a_grid(data: Path, tmp_path: Path, stub: None, pruning: str) -> None:
    space = "search: {dropout: [0.0, 0.3, 0.6], optimizer: [adam, adamax]}\n"
    plan = plan_of(PLAN.split("search:", maxsplit=1)[0] + space)
    options = hunt(pruning=pruning, sampler="grid", trials=6, number="val_loss")
    found = found_in(search(data, tmp_path / "a", plan=plan, hunt=options))
    assert len({json.dumps(trial["changes"]) for trial in found["trials"]}) == 6
    assert found["best"]["changes"]["dropout"] == 0.3
    if pruning == "none":
        assert {trial["state"] for trial in found["trials"]} == {"complete"}
    with pytest.raises(OptionError, match="tpe or random if a field has a range"):
        search(data, tmp_path / "b", plan=plan_of(PLAN), hunt=options)


def test_time_ends_it(data: Path, tmp_path: Path, stub: None) -> None:
    folder = search(data, tmp_path / "a", plan=plan_of(PLAN), hunt=hunt(seconds=0.01))
    found = found_in(folder)
    assert len(found["trials"]) <= 1
    assert "No trial of the search finished" in write_study_page(folder).sentences[0]


def test_nothing_but_validation_rows_decides(data: Path, tmp_path: Path) -> None:
    for number in ("test_auc", "held_out_auc"):
        with pytest.raises(LeakError, match="only uses validation images"):
            hunt(number=number)
        code = main(["study", str(data), "--out", str(tmp_path / "a"), "--optimise", number])
        assert code == 1
    with pytest.raises(OptionError, match="Did you mean 'val_auc'"):
        hunt(number="val_auk")
    assert not (tmp_path / "a").exists()


def test_a_search_that_could_reach_test_rows_raises(
    data: Path, tmp_path: Path, stub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A split with held-out or test rows among those that decide is refused in each trial."""
    seen = []
    made = StudyImages.split

    def leaking(self: StudyImages, recipe: object) -> object:
        split = made(self, recipe)  # type: ignore[arg-type]
        parts = list(split.parts)
        parts[split.rows("test")[0]] = "val"
        changed = type(split)(tuple(parts))
        with pytest.raises(LeakError, match="they must not be used for decisions"):
            check_decides(self, changed)
        seen.append(changed)
        return changed

    monkeypatch.setattr(StudyImages, "split", leaking)
    folder = search(data, tmp_path / "a", plan=plan_of(PLAN), hunt=hunt(trials=1, seconds=3))
    assert seen
    failed = [run.error() for run in folder.runs()]
    assert failed
    assert all("must not be used for decisions" in error for error in failed)


def test_a_failing_trial_is_a_row(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(run: StudyRun, *rest: object, **more: object) -> Result:
        if Recipe.load(run.files.config).value("filters") == [8, 8]:
            raise RuntimeError("out of memory")
        return learn(run, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(learning, "learn", sometimes)
    folder = search(data, tmp_path / "a", plan=plan_of(PLAN), hunt=hunt(trials=8))
    states = [trial["state"] for trial in found_in(folder)["trials"]]
    assert "fail" in states
    assert states.count("complete") + states.count("pruned") == 8
    assert any("out of memory" in run.error() for run in folder.runs())


def test_a_trial_that_was_killed_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Ends the process as a kill would: nothing is told to the storage."""

    def killed(run: StudyRun, *rest: object, **more: object) -> Result:
        rows = [Epoch(1, 0.5, 0.7, 0.5, 0.5, 0.5, 0.1, 10.0, 0.001)]
        write_log(run.files.log, rows)
        raise Killed

    def silent(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(learning, "learn", killed)
        context.setattr("optuna.study._optimize._tell_with_warning", silent)
        with pytest.raises(Killed):
            search(data, tmp_path / "a", plan=plan_of(PLAN), hunt=hunt(trials=2))
    monkeypatch.setattr(learning, "learn", learn)
    told = Told()
    folder = search(data, tmp_path / "a", plan=plan_of(PLAN), hunt=hunt(trials=2), watcher=told)
    trials = found_in(folder)["trials"]
    assert "Trial 0 was killed and is continued" in told.lines
    assert [trial["state"] for trial in trials] == ["fail", "complete", "complete"]
    assert trials[0]["changes"] == trials[1]["changes"]
    assert trials[0]["run"] == trials[1]["run"]  # the same folder, from its second epoch on


def test_sqlite_takes_one_writer(data: Path, tmp_path: Path, stub: None) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    opened = partial(open_storage, default=tmp_path / "journal", heartbeat_seconds=60)
    said = r"another process is using it.*locks its whole"
    with opened(url), pytest.raises(OutputError, match=said):
        search(data, tmp_path / "b", plan=plan_of(PLAN), hunt=hunt(storage=url))
    said = "Optuna's authors advise against it"
    with pytest.raises(OptionError, match=said), opened(url, jobs=2):
        pass
    with pytest.raises(OptionError, match="postgresql://"), opened("mysql://me:word@host/db"):
        pass
    folder = search(data, tmp_path / "a", plan=plan_of(PLAN), hunt=hunt(trials=2, storage=url))
    assert len(found_in(folder)["trials"]) == 2


def test_the_best_is_learnt_again_and_its_luck_told(data: Path, tmp_path: Path) -> None:
    """With real trainings: new seeds, held-out patients, an interval, and the optimism."""
    (tmp_path / "plan.yaml").write_text(PLAN.replace("max_epochs: 4", "max_epochs: 1"))
    out = StudyFolder(tmp_path / "out")
    words = [
        "study", str(data), "--plan", str(tmp_path / "plan.yaml"), "--out", str(out.root),
        "--optimise", "val_auc", "--trials", "3", "--confirm", "2",
    ]  # fmt: skip
    process = Warm("pneumoscope", *words)
    wait_for(lambda: [r for r in out.runs() if r.finished], seconds=150, what="a trial")
    process.kill()
    process.communicate()
    code, said, errors = run_warm("pneumoscope", *words)  # a fork of what has trained cannot train
    assert code == 0, errors
    assert "Is the best recipe of the search better than the base?" in said
    assert "With 2 new seeds, the same recipe reaches" in said
    assert "selection optimism" in said
    rows = rows_of(out.root / "runs.csv")
    again = [row for row in rows if row["title"].startswith("base, seed")]
    assert [row["seed"] for row in again] == ["1000", "1001"]
    assert {row["state"] for row in again} == {"done"}
    (answer,) = rows_of(out.root / "answers.csv")
    assert float(answer["auc_low"]) < float(answer["auc_high"])
    done = [event["run"] for event in out.journal() if event["event"] == "finished"]
    assert len(done) == len(set(done))
