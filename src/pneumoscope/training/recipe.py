"""The typed configuration of a training run, its presets, and its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from pneumoscope.errors import DataError, OptionError, nearest
from pneumoscope.images.prepare import InputSpec
from pneumoscope.runs import write_text

Optimizer = Literal["adam", "adamw", "adamax", "adagrad", "sgd"]
Precision = Literal["auto", "float32", "bfloat16"]


def _in_range(name: str, value: float, *, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise OptionError(name, must=f"from {low:g} to {high:g}", was=value)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(
            name, must=f"one of {', '.join(known)}", was=value, hint=nearest(value, known)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes to training images; each is drawn evenly from plus and minus its range.

    Attributes:
        rotation_degrees: Rotation about the centre.
        zoom: Scaling of height and of width, each by itself; 0.1 is from 0.9 to 1.1.
        shift: Translation along each axis, as a share of the side.
        flip: Mirror left and right with probability one half.
    """

    rotation_degrees: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        _in_range("rotation_degrees", self.rotation_degrees, low=0, high=180)
        _in_range("zoom", self.zoom, low=0, high=0.9)
        _in_range("shift", self.shift, low=0, high=0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what is learnt from given data.

    Attributes:
        preset: The preset that it began as.
        model: A name of the registry.
        model_options: That model's own options.
        input: What the model takes.
        augmentation: What happens to training images.
        batch_size: Images a step.
        optimizer: The rule of the steps.
        learning_rate: Their size.
        weight_decay: L2 penalty (decoupled for AdamW).
        max_epochs: At most so many passes over the training images.
        patience: Training ends after so many epochs without a lower validation loss.
        precision: ``auto`` is bfloat16 where the processor computes with it, else float32.
        validation: Where validation rows come from; see ``split_catalog``.
        val_fraction: The share of the training part that is taken for validation.
        block: Which block of patient numbers, where ``validation`` is ``block``.
        folds: How many folds, where it is ``kfold``.
        fold: Which of them is for validation, from 0.
        test_fraction: The share that is drawn for test where the data have no test part.
        positive: The class whose probability is wanted; None is PNEUMONIA where it exists.
        patient_regex: What finds the patient in a path; see ``PatientPattern``.
        seed: Of the split, the initial weights, the order, the augmentation and the dropout.
    """

    preset: str = "seed"
    model: str = "seed-cnn"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    input: InputSpec = field(default_factory=InputSpec)
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch_size: int = 32
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    max_epochs: int = 50
    patience: int = 3
    precision: Precision = "auto"
    validation: str = "auto"
    val_fraction: float = 0.1
    block: str = "low"
    folds: int = 5
    fold: int = 0
    test_fraction: float = 0.0
    positive: str | None = None
    patient_regex: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("--optimizer", self.optimizer, get_args(Optimizer))
        _one_of("--precision", self.precision, get_args(Precision))
        for name in ("batch_size", "max_epochs", "patience", "folds", "fold", "seed"):
            if not isinstance(getattr(self, name), int):
                raise OptionError(name, must="a whole number", was=getattr(self, name))
        if not isinstance(self.block, str):
            raise OptionError("--block", must="low, high or K/N", was=self.block)
        if not isinstance(self.patient_regex, str | None):
            raise OptionError("--patient-regex", must="a text", was=self.patient_regex)
        _in_range("--batch-size", self.batch_size, low=1, high=65_536)
        _in_range("--learning-rate", self.learning_rate, low=1e-9, high=10)
        _in_range("--weight-decay", self.weight_decay, low=0, high=10)
        _in_range("--epochs", self.max_epochs, low=1, high=100_000)
        _in_range("--patience", self.patience, low=1, high=100_000)
        _in_range("--seed", self.seed, low=0, high=2**31 - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return {**dataclasses.asdict(self), "model_options": dict(self.model_options)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe that ``to_dict`` wrote.

        Raises:
            OptionError: An unknown key, or a value that cannot be.
        """
        known = [item.name for item in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise OptionError("recipe", must="known keys", was=key, hint=nearest(key, known))
        plain = dict(values)
        for key in ("input", "augmentation", "model_options"):
            if key in plain and not isinstance(plain[key], Mapping):
                raise OptionError(key, must="keys with values", was=plain[key])
        if "input" in plain:
            plain["input"] = InputSpec.from_dict(plain["input"])
        if "augmentation" in plain:
            plain["augmentation"] = _augmentation(plain["augmentation"])
        return cls(**plain)

    def save(self, path: Path) -> None:
        """Write the recipe as YAML."""
        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Return the recipe of a YAML file.

        Raises:
            DataError: It cannot be read.
            OptionError: It holds an unknown key or a value that cannot be.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            raise DataError(f"{path}: no recipe can be read from it ({fault}).") from fault
        if not isinstance(values, dict):
            raise DataError(f"{path}: no recipe; expected keys such as model and batch_size.")
        return cls.from_dict(values)


PRESETS: Mapping[str, Recipe] = {
    "seed": Recipe(
        preset="seed",
        augmentation=Augmentation(rotation_degrees=20, zoom=0.1, shift=0.1, flip=True),
        model_options={"dropout": 0.4},
    ),
}


def recipe_of(preset: str, **changes: Any) -> Recipe:
    """Return the recipe of a preset with some things changed; see ``change_recipe``.

    Raises:
        OptionError: An unknown preset, or a value that cannot be.
    """
    if preset not in PRESETS:
        raise OptionError(
            "--preset", must="a known preset", was=preset, hint=nearest(preset, PRESETS)
        )
    return change_recipe(PRESETS[preset], **changes)


def change_recipe(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe with some things changed.

    Args:
        recipe: What to begin with.
        changes: Fields of the recipe; besides ``image_size`` (the side of a square input) and
            ``filters``, ``dropout``, ``batch_norm``, which go into ``model_options``.

    Raises:
        OptionError: A value that cannot be.
    """
    fields = dict(changes)
    options = {
        name: fields.pop(name) for name in ("filters", "dropout", "batch_norm") if name in fields
    }
    if options:
        fields["model_options"] = {
            **recipe.model_options,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
        }
    if "image_size" in fields:
        side = fields.pop("image_size")
        fields["input"] = dataclasses.replace(recipe.input, height_px=side, width_px=side)
    return dataclasses.replace(recipe, **fields)


def _augmentation(values: Mapping[str, Any]) -> Augmentation:
    known = [item.name for item in dataclasses.fields(Augmentation)]
    for key in values:
        if key not in known:
            raise OptionError("augmentation", must="known keys", was=key, hint=nearest(key, known))
    return Augmentation(**values)
