"""Apply the changes named by plans and searches to a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pneumoscope.training.recipe import Recipe, change_recipe

AUGMENTATION = "augmentation."
"""Prefix of the names of its fields."""


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a recipe with changes; ``augmentation.zoom`` changes only that field.

    Raises:
        OptionError: An unknown field, or an invalid value.
    """
    plain = {key: _plain(value) for key, value in changes.items() if "." not in key}
    recipe = change_recipe(recipe, **plain)
    parts = {
        key.removeprefix(AUGMENTATION): value
        for key, value in changes.items()
        if key.startswith(AUGMENTATION)
    }
    if not parts:
        return recipe
    augmentation = dataclasses.replace(recipe.learning.augmentation, **parts)
    return change_recipe(recipe, augmentation=augmentation)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
