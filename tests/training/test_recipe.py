"""Recipes: presets, changes, files, messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pneumoscope.errors import DataError, OptionError
from pneumoscope.training.recipe import (
    Recipe,
    change_recipe,
    known_fields,
    recipe_of,
    settings,
)


def test_the_seed_preset_is_the_reports_recipe() -> None:
    recipe = recipe_of("seed")
    assert (recipe.learning.model, recipe.learning.model_options) == ("seed-cnn", {"dropout": 0.4})
    assert (
        recipe.learning.optimizer,
        recipe.learning.learning_rate,
        recipe.learning.batch_size,
    ) == ("adam", 1e-3, 32)
    assert (recipe.learning.max_epochs, recipe.learning.patience, recipe.data.val_fraction) == (
        50,
        3,
        0.1,
    )
    changes = recipe.learning.augmentation
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
    assert loaded.data.input.shape == (64, 64)
    assert loaded.learning.model_options == {"dropout": 0.4, "filters": [8, 8]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"batch_size": 0}, "batch_size must be from 1"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"patience": 0}, "patience"),
        ({"seed": -1}, "seed"),
        ({"image_size": 2}, "image_size must be from 8"),
        ({"image_size": 64.0}, "image_size must be a whole number"),
        ({"batch_size": 8.0}, "batch_size must be a whole number"),
        ({"error_level": "automatic"}, "error_level must be from 0 to 0.5"),
        ({"gate": "yes"}, "gate must be true or false"),
        ({"model": 3}, "model must be a string"),
        ({"val_fraction": "a tenth"}, "val_fraction must be a number"),
        ({"batchsize": 8}, "Did you mean 'batch_size'"),
        ({"schedule": "plateau", "plateau_minimum": 0.1}, "at most the learning rate"),
    ],
)
def test_wrong_values(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        recipe_of("seed", **changes)


def test_each_field_stands_in_one_part_and_files_name_none() -> None:
    recipe = recipe_of("transfer", batch_size=8, fold=2, gate=False, seed=3)
    assert (recipe.learning.batch_size, recipe.data.fold, recipe.decision.gate) == (8, 2, False)
    flat = recipe.to_dict()
    assert list(flat) == [*known_fields()[:1], *known_fields()[2:], "seed"]
    assert (flat["batch_size"], flat["fold"], flat["gate"], flat["seed"]) == (8, 2, False, 3)
    assert Recipe.from_dict(flat) == recipe
    assert not {"data", "learning", "decision"} & set(flat)


def test_a_file_from_before_a_field_was_there_still_loads(tmp_path: Path) -> None:
    recipe = recipe_of("seed", optimizer="sgd")
    old = {key: value for key, value in recipe.to_dict().items() if "plateau" not in key}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    assert Recipe.load(tmp_path / "config.yaml") == recipe


def test_every_setting_has_a_value_and_what_is_said_of_it() -> None:
    recipe = recipe_of("seed")
    items = [item for group in settings().values() for item in group]
    assert len({item.name for item in items}) == len(items)
    for item in items:
        value = recipe.value(item.name)
        assert item.about
        if value is not None and item.name != "augmentation" and item.kind is not dict:
            assert change_recipe(recipe, **{item.name: value}) == recipe


def test_an_unknown_preset() -> None:
    with pytest.raises(OptionError, match="Did you mean 'seed'"):
        recipe_of("sed")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("batchsize: 3", OptionError, "Did you mean 'batch_size'"),
        ("augmentation: {rotate: 3}", OptionError, "augmentation"),
        ("[1, 2", DataError, "not a readable recipe"),
        ("just words", DataError, "expected keys"),
        ("!!python/object/apply:os.getcwd []", DataError, "not a readable recipe"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(error, match=says):
        Recipe.load(path)
