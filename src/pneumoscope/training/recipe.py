"""The configuration of a training run, its presets, and its file.

A recipe has three parts: ``data``, ``learning`` and ``decision``. Files, provenance and options
name fields without the part, since names are unique.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.errors import DataError, OptionError, nearest
from pneumoscope.images.prepare import InputSpec
from pneumoscope.runs import write_text
from pneumoscope.training.augmentation import AUGMENTATIONS, augmentation_of
from pneumoscope.training.parts import DataRecipe, DecisionRecipe, LearningRecipe
from pneumoscope.training.settings import Setting, check_settings, setting, settings_of

_PARTS: Mapping[str, type[Any]] = {
    "data": DataRecipe,
    "learning": LearningRecipe,
    "decision": DecisionRecipe,
}
_OF_INPUT = ("image_size", "resize")
OF_MODEL = ("filters", "dropout", "batch_norm", "pooling")
"""Model options that can be set like fields of the recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings of a training.

    Attributes:
        preset: The preset it is based on.
        data: The images and their preparation.
        learning: The network and its training.
        decision: What is fitted on validation images after training.
        seed: Seed of split, initial weights, order, augmentation and dropout.
    """

    preset: str = setting("seed", "the preset it is based on", flag="")
    data: DataRecipe = field(default_factory=DataRecipe)
    learning: LearningRecipe = field(default_factory=LearningRecipe)
    decision: DecisionRecipe = field(default_factory=DecisionRecipe)
    seed: int = setting(0, "seed of split, weights, order and augmentation", between=(0, 2**31 - 1))

    def __post_init__(self) -> None:
        check_settings(self)

    def value(self, name: str) -> Any:
        """Return the value of a field by name, such as ``image_size``.

        Raises:
            OptionError: The field does not exist.
        """
        if name == "image_size":
            height, width = self.data.input.shape
            return height if height == width else (height, width)
        if name == "resize":
            return self.data.input.resize
        if name in OF_MODEL:
            return self.learning.model_options.get(name)
        part = _part_of(name)
        return getattr(getattr(self, part) if part else self, name)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as a flat dictionary."""
        values = dataclasses.asdict(self)
        flat = {"preset": values["preset"]}
        for part in _PARTS:
            flat |= values[part]
        return {
            **flat,
            "model_options": dict(self.learning.model_options),
            "class_map": {new: list(names) for new, names in self.data.class_map.items()},
            "columns": dict(self.data.columns),
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe written by ``to_dict``.

        Raises:
            OptionError: An unknown key, or an invalid value.
        """
        plain = dict(values)
        for key in ("input", "model_options", "class_map", "columns"):
            if key in plain and not isinstance(plain[key], Mapping):
                raise OptionError(key, must="keys with values", was=plain[key])
        if "input" in plain:
            plain["input"] = InputSpec.from_dict(plain["input"])
        if "augmentation" in plain:
            plain["augmentation"] = augmentation_of(plain["augmentation"])
        return _with(cls(), plain)

    def save(self, path: Path) -> None:
        """Write the recipe as YAML."""
        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from a YAML file.

        Raises:
            DataError: The file cannot be read.
            OptionError: The file contains an unknown key or an invalid value.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            raise DataError(f"{path}: not a readable recipe ({fault}).") from fault
        if not isinstance(values, dict):
            raise DataError(f"{path}: not a recipe; expected keys such as model and batch_size.")
        return cls.from_dict(values)


PRESETS: Mapping[str, Recipe] = {
    "seed": Recipe(
        preset="seed",
        learning=LearningRecipe(augmentation=AUGMENTATIONS["seed"], model_options={"dropout": 0.4}),
    ),
    "transfer": Recipe(
        preset="transfer",
        learning=LearningRecipe(
            model="auto",
            weights="auto",
            augmentation=AUGMENTATIONS["radiograph"],
            optimizer="adamw",
            learning_rate=1e-3,
            weight_decay=0.02,
            schedule="cosine",
            warmup_epochs=0.5,
            head_epochs=1,
            clip=5.0,
            ema=0.995,
            keep="last",
            max_epochs=10,
            patience=10,
        ),
        decision=DecisionRecipe(
            calibration="temperature", operating_point="youden", error_level="auto", gate=True
        ),
    ),
    "probe": Recipe(
        preset="probe",
        learning=LearningRecipe(model="auto", weights="auto", probe=True, max_epochs=1, patience=1),
        decision=DecisionRecipe(
            calibration="temperature", operating_point="youden", error_level="auto", gate=True
        ),
    ),
}
ABOUT: Mapping[str, str] = {
    "seed": "the three-layer network of the student project on which this package is based, "
    "trained from scratch as described in its report",
    "transfer": "fine-tunes a pretrained network: first its last layer, then all layers",
    "probe": "a linear layer on the features of a frozen pretrained network",
}
"""Descriptions of the presets."""


def recipe_of(preset: str, **changes: Any) -> Recipe:
    """Return a preset with some fields changed; see ``change_recipe``.

    Raises:
        OptionError: An unknown preset, or an invalid value.
    """
    if preset not in PRESETS:
        raise OptionError(
            "preset", must="a known preset", was=preset, hint=nearest(preset, PRESETS)
        )
    return change_recipe(PRESETS[preset], **changes)


def change_recipe(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe with some fields changed.

    Args:
        recipe: The recipe to change.
        changes: Fields of the recipe, without their part; also ``image_size`` (the side of a square
            input) and ``resize``, which change ``input``, and ``filters``, ``dropout``,
            ``batch_norm``, ``pooling``, which change ``model_options``.

    Raises:
        OptionError: An unknown field, or an invalid value.
    """
    plain = dict(changes)
    for item in (item for group in settings().values() for item in group):
        if item.name in _OF_INPUT and item.name in plain:
            item.check(plain[item.name])
    options = {name: plain.pop(name) for name in OF_MODEL if name in plain}
    if options:
        plain["model_options"] = {
            **plain.get("model_options", recipe.learning.model_options),
            **{k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
        }
    taken = plain.get("input", recipe.data.input)
    if "resize" in plain:
        taken = dataclasses.replace(taken, resize=plain.pop("resize"))
    if "image_size" in plain:
        side = plain.pop("image_size")
        taken = dataclasses.replace(taken, height_px=side, width_px=side)
    if taken is not recipe.data.input:
        plain["input"] = taken
    if "augmentation" in plain:
        plain["augmentation"] = augmentation_of(plain["augmentation"])
    return _with(recipe, plain)


def settings() -> dict[str, tuple[Setting, ...]]:
    """Return the settings of each part."""
    found = {name: tuple(settings_of(kind)) for name, kind in _PARTS.items()}
    own = [item for item in settings_of(Recipe) if item.name == "seed"]
    return {**found, "learning": (*found["learning"], *own)}


def known_fields() -> list[str]:
    """Return the names of all fields, as used in files."""
    return [
        *(item.name for item in dataclasses.fields(Recipe) if item.name not in _PARTS),
        *(item.name for kind in _PARTS.values() for item in dataclasses.fields(kind)),
    ]


def _part_of(name: str) -> str | None:
    """Return the part that contains a field; None for fields of the recipe itself.

    Raises:
        OptionError: The field does not exist.
    """
    for part, kind in _PARTS.items():
        if name in kind.__dataclass_fields__:
            return part
    if name not in {"preset", "seed"}:
        known = [*known_fields(), *_OF_INPUT, *OF_MODEL]
        raise OptionError("recipe", must="known keys", was=name, hint=nearest(name, known))
    return None


def _with(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return a recipe with new values of some fields, each in its part."""
    by_part: dict[str | None, dict[str, Any]] = {}
    for name, value in values.items():
        by_part.setdefault(_part_of(name), {})[name] = value
    own = by_part.pop(None, {})
    parts = {
        part: dataclasses.replace(getattr(recipe, part), **changed)
        for part, changed in by_part.items()
        if part is not None
    }
    return dataclasses.replace(recipe, **own, **parts)
