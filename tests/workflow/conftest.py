"""A folder of three classes and a run trained on it, shared by the tests of the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.classes import TINY, by_kind
from helpers.once import made_once
from helpers.phantoms import written_once
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow.train import Trained, train_reader


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> Path:
        two = folder / "two"
        small = written_once(tmp_path_factory, two, patients=120, seed=5, size_px=(40, 44))
        return by_kind(small, folder / "data")

    return made_once("kinds", tmp_path_factory, make)


@pytest.fixture(scope="session")
def kinds_run(kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    def make(folder: Path) -> Trained:
        recipe = recipe_of(
            "seed", balance="weights", mixup=0.2, label_smoothing=0.1, gate=True, **TINY
        )
        found = train_reader(kinds, folder / "run", recipe=recipe)
        assert found is not None
        return found

    return made_once("kinds-run", tmp_path_factory, make)
