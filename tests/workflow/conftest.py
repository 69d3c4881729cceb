"""A folder of three classes and a run trained on it, shared by the tests of the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.classes import TINY, by_kind
from helpers.drawing import drawing
from pneumoscope.data.phantom import write_folder
from pneumoscope.training.recipe import recipe_of
from pneumoscope.workflow.train import Trained, train_reader


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kinds")
    small = write_folder(place / "two", patients=120, seed=5, size_px=(40, 44), workers=1)
    return by_kind(small, place / "data")


@pytest.fixture(scope="session")
def kinds_run(kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    recipe = recipe_of("seed", balance="weights", mixup=0.2, label_smoothing=0.1, gate=True, **TINY)
    with drawing():
        found = train_reader(kinds, tmp_path_factory.mktemp("three") / "run", recipe=recipe)
    assert found is not None
    return found
