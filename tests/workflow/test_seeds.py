"""Several seeds: one split, a run each, mean and spread, and the one that validation keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pneumoscope.errors import OptionError, OutputError
from pneumoscope.runs import rows_of
from pneumoscope.training.devices import Placement
from pneumoscope.training.log import read_log
from pneumoscope.training.recipe import Recipe, recipe_of
from pneumoscope.workflow.seeds import Seeds, train_seeds


def tiny() -> Recipe:
    return recipe_of("seed", image_size=32, filters=(4, 8), max_epochs=1, val_fraction=0.2, seed=5)


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


def test_in_turn(phantoms: Path, tmp_path: Path) -> None:
    check(train_seeds(phantoms, tmp_path / "runs", recipe=tiny(), seeds=2), tmp_path / "runs")


def test_side_by_side(phantoms: Path, tmp_path: Path) -> None:
    places = [{"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "1"}]
    out = tmp_path / "runs"
    check(
        train_seeds(
            phantoms, out, recipe=tiny(), seeds=2, places=places, placement=Placement("cpu")
        ),
        out,
    )
    assert not list(out.glob("*.yaml"))
    assert not list(out.glob("*.log"))


def test_wrong_calls_are_named(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--seeds"):
        train_seeds(phantoms, tmp_path / "runs", recipe=tiny(), seeds=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="exists already"):
        train_seeds(phantoms, tmp_path / "full", recipe=tiny(), seeds=2)
