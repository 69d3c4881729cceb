"""Recipes: presets, changes, files, messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pneumoscope.errors import DataError, OptionError
from pneumoscope.training.recipe import Recipe, recipe_of


def test_the_seed_preset_is_the_reports_recipe() -> None:
    recipe = recipe_of("seed")
    assert (recipe.model, recipe.model_options) == ("seed-cnn", {"dropout": 0.4})
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size) == ("adam", 1e-3, 32)
    assert (recipe.max_epochs, recipe.patience, recipe.val_fraction) == (50, 3, 0.1)
    changes = recipe.augmentation
    assert (changes.rotation_degrees, changes.zoom, changes.shift, changes.flip) == (
        20,
        0.1,
        0.1,
        True,
    )


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    recipe = recipe_of("seed", filters=(8, 8), image_size=64, optimizer="sgd", seed=4)
    recipe.save(tmp_path / "config.yaml")
    loaded = Recipe.load(tmp_path / "config.yaml")
    assert loaded == recipe
    assert loaded.input.shape == (64, 64)
    assert loaded.model_options == {"dropout": 0.4, "filters": [8, 8]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"precision": "float16"}, "--precision must be one of"),
        ({"batch_size": 0}, "--batch-size must be from 1"),
        ({"learning_rate": -1.0}, "--learning-rate"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"max_epochs": 0}, "--epochs"),
        ({"patience": 0}, "--patience"),
        ({"seed": -1}, "--seed"),
        ({"image_size": 2}, "height_px"),
    ],
)
def test_wrong_values(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        recipe_of("seed", **changes)


def test_an_unknown_preset() -> None:
    with pytest.raises(OptionError, match="Did you mean 'seed'"):
        recipe_of("sed")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("batchsize: 3", OptionError, "Did you mean 'batch_size'"),
        ("augmentation: {rotate: 3}", OptionError, "augmentation"),
        ("[1, 2", DataError, "no recipe can be read"),
        ("just words", DataError, "expected keys"),
        ("!!python/object/apply:os.getcwd []", DataError, "no recipe can be read"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(error, match=says):
        Recipe.load(path)
