"""The typed configuration of a training run, its presets, and its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from pneumoscope.data.layouts import DataOptions, data_options
from pneumoscope.errors import DataError, OptionError, in_range, nearest, one_of
from pneumoscope.images.prepare import InputSpec
from pneumoscope.runs import write_text
from pneumoscope.training.augmentation import AUGMENTATIONS, Augmentation, augmentation_of

Optimizer = Literal["adam", "adamw", "adamax", "adagrad", "sgd"]
Precision = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["constant", "cosine"]
Balance = Literal["none", "weights", "sampling"]
Keep = Literal["best", "last"]
CalibrationMethod = Literal["none", "temperature", "platt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what is learnt from given data.

    Attributes:
        preset: The preset that it began as.
        model: A name of the registry; ``auto`` is the best that is known for the machine.
        model_options: That model's own options.
        weights: What the network begins with: ``none``, ``auto`` (the pretrained weights of its
            name, from this machine or the network), a file or a URL.
        input: What the model takes.
        augmentation: What happens to training images; in files and options also a preset's name.
        probe: Learn a linear head on the frozen network, without gradient steps.
        batch_size: Images a step.
        accumulate: Batches whose gradients are added up for one step of the optimizer.
        optimizer: The rule of the steps.
        learning_rate: Their size.
        layer_decay: What the learning rate is multiplied with from one depth of the network to
            the next towards the input; 1 gives all layers the same.
        schedule: How the learning rate goes: ``constant``, or down to zero along a cosine.
        warmup_epochs: Over so many epochs it first rises from zero.
        head_epochs: In so many first epochs only the head learns, the rest is frozen.
        weight_decay: L2 penalty (decoupled for AdamW), on weights, not on biases and norms.
        clip: Largest norm of the gradient; 0 leaves it.
        label_smoothing: Share of a label that is spread over the classes.
        mixup: Parameter of the beta distribution by which pairs of images are blended; 0 is off.
        cutmix: The same for pasting a rectangle of one image into another.
        balance: ``weights`` in the loss or ``sampling`` give both classes the same say; the
            logits are corrected for it afterwards, so that probabilities keep the data's prior.
        ema: Decay, step by step, of an exponential moving average of the weights, which then is
            validated and kept; 0 is off.
        keep: The epoch whose weights are kept: of the ``best`` validation loss, or the ``last``.
        max_epochs: At most so many passes over the training images.
        patience: Training ends after so many epochs without a lower validation loss.
        precision: ``auto`` is bfloat16 where the processor gains by it, else float32.
        validation: Where validation rows come from; see ``split_catalog``.
        val_fraction: The share of the training part that is taken for validation.
        block: Which block of patient numbers, where ``validation`` is ``block``.
        folds: How many folds, where it is ``kfold``.
        fold: Which of them is for validation, from 0.
        test_fraction: The share that is drawn for test where the data have no test part.
        positive: The class whose probability is wanted; None is PNEUMONIA where it exists.
        patient_regex: What finds the patient in a path; see ``PatientPattern``.
        class_map: Class → its names in the data; empty takes the names as they are.
        uncertain_labels: What uncertain labels of a mapped table count as: ``ignore``,
            ``positive`` or ``negative``; None is ``ignore``.
        columns: Role → column of a CSV table, where its columns have other names.
        layout: The name of a known layout, or the keys of a description; None finds it.
        calibration: From logits to probabilities, fitted on validation rows.
        operating_point: The rule by which the threshold is chosen on validation rows.
        error_level: Of the uncertain zone, fitted on validation rows: the share of each class that
            may be concluded to be the other class at most; ``auto`` chooses it, 0 is a reader
            without a zone.
        gate: Whether the reader refuses images unlike those that it learnt from.
        seed: Of the split, the initial weights, the order, the augmentation and the dropout.
    """

    preset: str = "seed"
    model: str = "seed-cnn"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "none"
    input: InputSpec = field(default_factory=InputSpec)
    augmentation: Augmentation = field(default_factory=Augmentation)
    probe: bool = False
    batch_size: int = 32
    accumulate: int = 1
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    layer_decay: float = 1.0
    schedule: Schedule = "constant"
    warmup_epochs: float = 0.0
    head_epochs: int = 0
    weight_decay: float = 0.0
    clip: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    balance: Balance = "none"
    ema: float = 0.0
    keep: Keep = "best"
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
    class_map: Mapping[str, Sequence[str]] = field(default_factory=dict)
    uncertain_labels: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    layout: str | Mapping[str, Any] | None = None
    calibration: CalibrationMethod = "none"
    operating_point: str = "probability=0.5"
    error_level: float | Literal["auto"] = 0.0
    gate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("--optimizer", self.optimizer, get_args(Optimizer))
        one_of("--precision", self.precision, get_args(Precision))
        one_of("--schedule", self.schedule, get_args(Schedule))
        one_of("--balance", self.balance, get_args(Balance))
        one_of("--keep", self.keep, get_args(Keep))
        one_of("--calibration", self.calibration, get_args(CalibrationMethod))
        if self.error_level != "auto":
            in_range("error_level", self.error_level, low=0, high=0.5)
        for name in (
            "batch_size",
            "accumulate",
            "head_epochs",
            "max_epochs",
            "patience",
            "folds",
            "fold",
            "seed",
        ):
            if not isinstance(getattr(self, name), int):
                raise OptionError(name, must="a whole number", was=getattr(self, name))
        in_range("--batch-size", self.batch_size, low=1, high=65_536)
        in_range("--learning-rate", self.learning_rate, low=1e-9, high=10)
        in_range("--weight-decay", self.weight_decay, low=0, high=10)
        in_range("accumulate", self.accumulate, low=1, high=65_536)
        in_range("--layer-decay", self.layer_decay, low=0.01, high=1)
        in_range("--warmup-epochs", self.warmup_epochs, low=0, high=100_000)
        in_range("--head-epochs", self.head_epochs, low=0, high=100_000)
        in_range("clip", self.clip, low=0, high=1e6)
        in_range("--label-smoothing", self.label_smoothing, low=0, high=0.9)
        in_range("mixup", self.mixup, low=0, high=100)
        in_range("cutmix", self.cutmix, low=0, high=100)
        in_range("--ema", self.ema, low=0, high=0.99999)
        in_range("--epochs", self.max_epochs, low=1, high=100_000)
        in_range("--patience", self.patience, low=1, high=100_000)
        in_range("--seed", self.seed, low=0, high=2**31 - 1)
        if not isinstance(self.block, str):
            raise OptionError("--block", must="low, high or K/N", was=self.block)
        if not isinstance(self.patient_regex, str | None):
            raise OptionError("--patient-regex", must="a text", was=self.patient_regex)
        self.data_options()

    def data_options(self, *, inherited: bool = False) -> DataOptions:
        """Return how the data are read.

        Args:
            inherited: Whether the data may be others than those of the recipe.

        Raises:
            OptionError: A value that cannot be.
        """
        return data_options(
            class_map=self.class_map,
            uncertain_labels=self.uncertain_labels,
            columns=self.columns,
            layout=self.layout,
            inherited=inherited,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return {
            **dataclasses.asdict(self),
            "model_options": dict(self.model_options),
            "class_map": {new: list(names) for new, names in self.class_map.items()},
            "columns": dict(self.columns),
        }

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
        for key in ("input", "model_options", "class_map", "columns"):
            if key in plain and not isinstance(plain[key], Mapping):
                raise OptionError(key, must="keys with values", was=plain[key])
        if "input" in plain:
            plain["input"] = InputSpec.from_dict(plain["input"])
        if "augmentation" in plain:
            plain["augmentation"] = augmentation_of(plain["augmentation"])
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
        augmentation=AUGMENTATIONS["seed"],
        model_options={"dropout": 0.4},
    ),
    "transfer": Recipe(
        preset="transfer",
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
        calibration="temperature",
        operating_point="youden",
        error_level="auto",
        gate=True,
    ),
    "probe": Recipe(
        preset="probe",
        model="auto",
        weights="auto",
        probe=True,
        max_epochs=1,
        patience=1,
        calibration="temperature",
        operating_point="youden",
        error_level="auto",
        gate=True,
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
            ``resize``, which go into ``input``, and ``filters``, ``dropout``, ``batch_norm``,
            which go into ``model_options``.

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
    if "augmentation" in fields:
        fields["augmentation"] = augmentation_of(fields["augmentation"])
    if "resize" in fields:
        fields["input"] = dataclasses.replace(recipe.input, resize=fields.pop("resize"))
        recipe = dataclasses.replace(recipe, input=fields.pop("input"))
    if "image_size" in fields:
        side = fields.pop("image_size")
        fields["input"] = dataclasses.replace(recipe.input, height_px=side, width_px=side)
    return dataclasses.replace(recipe, **fields)
