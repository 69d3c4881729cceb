"""Several seeds: one split, a run each, mean and spread, and the one that validation keeps."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.drawing import drawing
from helpers.warm import WarmChild
from pneumoscope.data.generated import GENERATED, mark_generated
from pneumoscope.errors import OptionError, OutputError
from pneumoscope.report import run_report
from pneumoscope.runs import rows_of
from pneumoscope.training.devices import Placement
from pneumoscope.training.log import read_log
from pneumoscope.training.recipe import Recipe, recipe_of
from pneumoscope.workflow import side_by_side
from pneumoscope.workflow.seeds import Seeds, train_seeds


def tiny() -> Recipe:
    return recipe_of(
        "seed", image_size=32, filters=(4, 8), max_epochs=1, val_fraction=0.2, seed=5,
        error_level=0.2,
    )  # fmt: skip


def check(found: Seeds, out: Path) -> None:
    assert [run.root.name for run in found.runs] == ["seed-5", "seed-6"]
    splits = [[(row["path"], row["split"]) for row in rows_of(run.split)] for run in found.runs]
    assert splits[0] == splits[1]
    losses = [read_log(run.log)[0].val_loss for run in found.runs]
    assert losses[0] != losses[1]
    assert found.kept == found.runs[int(np.argmin(losses))]
    written = json.loads((out / "seeds.json").read_text(encoding="utf-8"))
    assert written["kept"] == found.kept.root.name
    both = [run["loss"] for run in written["parts"]["val"]["runs"].values()]
    assert written["parts"]["val"]["mean"]["loss"] == pytest.approx(np.mean(both))
    assert written["parts"]["val"]["deviation"]["loss"] == pytest.approx(np.std(both, ddof=1))
    assert set(written["parts"]) == {"val", "test"}
    for part, group in written["parts"].items():  # every number, not the main ones alone
        assert {"brier", "f1", "average_precision", "threshold", "set_aside"} <= set(group["mean"])
        metrics = [json.loads(run.metrics.read_text(encoding="utf-8"))[part] for run in found.runs]
        areas = [own["auc"]["value"] for own in metrics]
        assert group["mean"]["auc"] == pytest.approx(np.mean(areas))
        assert not {"n", "patients", "resamples"} & set(group["mean"])
    check_page(found, out)


def check_page(found: Seeds, out: Path) -> None:
    """The page opens with mean and spread, and says which run is kept and why."""
    page = (out / "report.html").read_text(encoding="utf-8")
    assert found.report == out / "report.html"
    kept, group = found.kept.root.name, found.groups["test"]
    assert f"{kept} is kept, because its validation loss is the lowest" in page
    assert "test images were not used" in page
    assert f"{group.mean['auc']:.3f} ± {group.deviation['auc']:.3f}" in page
    assert page.count("<li>", page.index("Before you rely"), page.index("<nav")) == 3 + (
        GENERATED in page
    )
    assert (
        "The grey band is the range that the student report found" in page
    )  # of this very network
    names = {path.name for path in (out / "figures").iterdir()}
    for name in ("seeds-test", "seeds-val", "seeds-losses"):
        assert {f"{name}.png", f"{name}.svg", f"{name}.csv"} <= names
    rows = {row["metric"]: row for row in rows_of(out / "figures" / "seeds-numbers-test.csv")}
    assert float(rows["AUC"]["mean"]) == pytest.approx(group.mean["auc"], abs=5e-5)
    assert float(rows["AUC"][f"kept: {kept}"]) >= float(rows["AUC"]["lowest"])
    assert sum(row["kept"] == "yes" for row in rows_of(out / "figures" / "seeds-runs.csv")) == 1


@pytest.fixture
def undrawn_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pages of the runs come without drawings; that of all seeds has its own."""
    written = run_report.write_run_report

    def write(*given: Any, **named: Any) -> None:
        with drawing(False):
            written(*given, **named)

    monkeypatch.setattr(run_report, "write_run_report", write)


@pytest.mark.usefixtures("drawn", "undrawn_runs")
def test_in_turn(phantoms: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    mark_generated(data)
    found = train_seeds(data, tmp_path / "runs", recipe=tiny(), seeds=2)
    check(found, tmp_path / "runs")
    assert GENERATED in found.report.read_text(encoding="utf-8")


@pytest.mark.usefixtures("drawn")
def test_side_by_side(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In forks; ``test_vary`` has a run in a process that starts from nothing."""
    forks = SimpleNamespace(Popen=WarmChild, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(side_by_side, "subprocess", forks)
    places = [{"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"}]
    out = tmp_path / "runs"
    check(
        train_seeds(
            phantoms, out, recipe=tiny(), seeds=2, places=places, placement=Placement("cpu")
        ),
        out,
    )
    assert not list(out.glob("seed-?.json"))
    assert not list(out.glob("*.log"))


def test_wrong_calls_are_named(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="seeds must be from 2"):
        train_seeds(phantoms, tmp_path / "runs", recipe=tiny(), seeds=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="exists already"):
        train_seeds(phantoms, tmp_path / "full", recipe=tiny(), seeds=2)
