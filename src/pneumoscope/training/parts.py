"""The three parts of a recipe: data, learning and decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pneumoscope.data.layouts import DataOptions, data_options
from pneumoscope.errors import OptionError
from pneumoscope.images.prepare import RESIZE, InputSpec
from pneumoscope.training.augmentation import AUGMENTATIONS, Augmentation
from pneumoscope.training.settings import Setting, check_settings, composite, setting

Optimizer = Literal["adam", "adamw", "adamax", "adagrad", "sgd"]
Precision = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["constant", "cosine", "plateau"]
Balance = Literal["none", "weights", "sampling"]
Keep = Literal["best", "last"]
NearCopies = Literal["tie", "ignore"]
CalibrationMethod = Literal["none", "temperature", "platt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """Which images are used, and how they are prepared.

    Attributes:
        input: What the model takes.
        balance: ``weights`` in the loss or ``sampling`` give both classes the same say; the
            logits are corrected for it afterwards, so that probabilities keep the data's prior.
        validation: Where validation rows come from; see ``split_catalog``.
        val_fraction: The share of the training part that is taken for validation.
        block: Which block of patient numbers, where ``validation`` is ``block``.
        groups: What makes a group, where it is ``groups``; see ``new_groups``.
        folds: How many folds, where it is ``kfold``; how many blocks or clusters, where it is
            ``groups``.
        fold: Which of them is for validation, from 0.
        test_fraction: The share that is drawn for test where the data have no test part.
        near_copies: Whether near copies of a picture, moved, rescaled, mirrored or saved anew, stay
            in one part (``tie``), or equal pixels alone (``ignore``).
        positive: The class whose probability is wanted, or several with commas between, or
            ``NAME=CLASS,CLASS``; None is PNEUMONIA where it exists.
        patient_regex: What finds the patient in a path; see ``PatientPattern``.
        class_map: Class → its names in the data; empty takes the names as they are.
        uncertain_labels: What uncertain labels of a mapped table count as: ``ignore``,
            ``positive`` or ``negative``; None is ``ignore``.
        columns: Role → column of a CSV table, where its columns have other names.
        layout: The name of a known layout, or the keys of a description; None finds it.
        findings: The findings that an image may have, several at once, with commas between; ``all``
            takes those that the data name. None for one class an image.
        unlabelled: What findings without a label count as: ``ignore`` or ``negative``; None is
            ``ignore``.
    """

    input: InputSpec = composite(
        InputSpec,
        "what the model takes",
        Setting(
            name="image_size",
            about="side length of the square input in pixels",
            kind=int,
            low=8,
            high=4096,
            metavar="PX",
        ),
        Setting(
            name="resize",
            about="how images of other aspect ratios are fitted to it",
            choices=tuple(RESIZE),
        ),
    )
    balance: Balance = setting("none", "class balancing", choices=get_args(Balance))
    validation: str = setting(
        "auto",
        "where validation images come from. grouped: drawn by patient; block: a block of "
        "patient numbers; kfold: one of several folds; groups: a block, and each group in turn "
        "held out; folder: the data's own validation folder; file: the split file; auto: folder "
        "if large enough, else grouped",
        metavar="HOW",
    )
    val_fraction: float = setting(0.1, "validation share")
    block: str = setting("low", "the block: low, high, or K/N", metavar="WHICH")
    groups: str = setting(
        "auto",
        "what makes a group where groups are held out: series (of patient names), blocks (of "
        "patient numbers), acquisition (clusters of images that were made alike), or a column of "
        "the manifest; auto: a column of sites, else series, else blocks",
        metavar="BY",
    )
    folds: int = setting(5, "number of folds, or of blocks or clusters that are held out")
    fold: int = setting(0, "the validation fold, from 0", metavar="K")
    test_fraction: float = setting(0.0, "test share, if the data have no test part", flag="test")
    near_copies: NearCopies = setting(
        "tie",
        "near copies of an image (shifted, rescaled, mirrored, re-encoded): keep them"
        " in one part, or compare equal pixels only",
        choices=get_args(NearCopies),
    )
    positive: str | None = setting(
        None,
        "the positive class or classes (default: PNEUMONIA if present)",
        metavar="CLASS[,CLASS]",
    )
    patient_regex: str | None = setting(
        None,
        "finds the patient in a path: the first group, or the group named patient",
        metavar="REGEX",
    )
    class_map: Mapping[str, Sequence[str]] = composite(dict, "class and its names in the data")
    uncertain_labels: str | None = setting(None, "what uncertain labels count as", flag="")
    columns: Mapping[str, str] = composite(dict, "role and column of a table")
    layout: str | Mapping[str, Any] | None = composite(lambda: None, "how a table is read")
    findings: str | None = setting(None, "findings of multi-label data", flag="")
    unlabelled: str | None = setting(None, "what findings without a label count as", flag="")

    def __post_init__(self) -> None:
        check_settings(self)
        self.options()
        if self.findings is not None and self.balance == "sampling":
            raise OptionError("balance", must="none or weights with `findings`", was=self.balance)

    def options(self, *, inherited: bool = False) -> DataOptions:
        """Return how the data are to be read.

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
            findings=self.findings,
            unlabelled=self.unlabelled,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRecipe:
    """Which network is trained, and how.

    Attributes:
        model: A name of the registry; ``auto`` is the best that is known for the machine.
        model_options: That model's own options.
        weights: What the network begins with: ``none``, ``auto`` (the pretrained weights of its
            name, from this machine or the network), a file or a URL.
        probe: Learn a linear head on the frozen network, without gradient steps.
        augmentation: What happens to training images; in files and options also a preset's name.
        max_epochs: At most so many passes over the training images.
        patience: Training ends after so many epochs without a lower validation loss.
        keep: The epoch whose weights are kept: of the ``best`` validation loss, or the ``last``.
        batch_size: Images a step.
        accumulate: Batches whose gradients are added up for one step of the optimizer.
        optimizer: The rule of the steps.
        learning_rate: Their size.
        layer_decay: What the learning rate is multiplied with from one depth of the network to
            the next towards the input; 1 gives all layers the same.
        schedule: How the learning rate goes: ``constant``, down to zero along a ``cosine``, or
            lower whenever the validation loss stands on a ``plateau``.
        plateau_patience: After so many epochs without a lower validation loss it is lowered.
        plateau_factor: What it is then multiplied with.
        plateau_minimum: It is not lowered below this.
        warmup_epochs: Over so many epochs it first rises from zero.
        head_epochs: In so many first epochs only the head learns, the rest is frozen.
        weight_decay: L2 penalty (decoupled for AdamW), on weights, not on biases and norms.
        clip: Largest norm of the gradient; 0 leaves it.
        label_smoothing: Share of a label that is spread over the classes.
        mixup: Parameter of the beta distribution by which pairs of images are blended; 0 is off.
        cutmix: The same for pasting a rectangle of one image into another.
        ema: Decay, step by step, of an exponential moving average of the weights, which then is
            validated and kept; 0 is off.
        precision: ``auto`` is bfloat16 where the processor gains by it, else float32.
    """

    model: str = setting("seed-cnn", "the network: seed-cnn, timm:NAME, or auto")
    model_options: Mapping[str, Any] = composite(
        dict,
        "of the network",
        Setting(
            name="filters",
            about="seed-cnn: channels of each block, for example 32,64,64",
            kind=tuple,
            metavar="N,…",
        ),
        Setting(name="dropout", about="seed-cnn: dropout rate", kind=float),
        Setting(name="batch_norm", about="seed-cnn: use batch normalisation", kind=bool),
        Setting(
            name="pooling",
            about="seed-cnn: how each block halves its maps",
            choices=("max", "average", "stride"),
        ),
    )
    weights: str = setting("none", "initial weights: auto, none, a file or a URL")
    probe: bool = setting(False, "train the last layer only")
    augmentation: Augmentation = composite(
        Augmentation,
        "of the training images",
        Setting(
            name="augmentation",
            about="augmentation of training images",
            choices=tuple(AUGMENTATIONS),
        ),
    )
    max_epochs: int = setting(50, "maximum number of epochs", between=(1, 100_000), flag="epochs")
    patience: int = setting(
        3, "early stopping: epochs without a lower validation loss", between=(1, 100_000)
    )
    keep: Keep = setting("best", "the epoch whose weights are kept", choices=get_args(Keep))
    batch_size: int = setting(32, "images per batch", between=(1, 65_536))
    accumulate: int = setting(1, "batches per optimizer step", between=(1, 65_536))
    optimizer: Optimizer = setting("adam", "optimizer", choices=get_args(Optimizer))
    learning_rate: float = setting(1e-3, "learning rate", between=(1e-9, 10))
    layer_decay: float = setting(
        1.0, "factor of the learning rate from each layer to the previous one", between=(0.01, 1)
    )
    schedule: Schedule = setting("constant", "learning rate schedule", choices=get_args(Schedule))
    plateau_patience: int = setting(
        2,
        "plateau schedule: epochs without a lower validation loss before the rate is reduced",
        between=(1, 100_000),
    )
    plateau_factor: float = setting(
        0.5, "plateau schedule: factor of each reduction", between=(1e-6, 0.999)
    )
    plateau_minimum: float = setting(
        1e-6, "plateau schedule: minimum learning rate", between=(0, 10)
    )
    warmup_epochs: float = setting(0.0, "warm-up epochs", between=(0, 100_000))
    head_epochs: int = setting(
        0, "initial epochs that train the last layer only", between=(0, 100_000)
    )
    weight_decay: float = setting(0.0, "weight decay", between=(0, 10))
    clip: float = setting(0.0, "maximum gradient norm; 0 disables clipping", between=(0, 1e6))
    label_smoothing: float = setting(0.0, "label smoothing", between=(0, 0.9))
    mixup: float = setting(0.0, "mixup parameter; 0 disables it", between=(0, 100), metavar="A")
    cutmix: float = setting(0.0, "CutMix parameter; 0 disables it", between=(0, 100), metavar="A")
    ema: float = setting(
        0.0, "decay of the moving average of the weights; 0 disables it", between=(0, 0.99999)
    )
    precision: Precision = setting("auto", "numerical precision", choices=get_args(Precision))

    def __post_init__(self) -> None:
        check_settings(self)
        if self.plateau_minimum > self.learning_rate and self.schedule == "plateau":
            raise OptionError(
                "plateau_minimum",
                must=f"at most the learning rate, {self.learning_rate:g}",
                was=self.plateau_minimum,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecipe:
    """What is fitted on validation images after training.

    Attributes:
        calibration: From logits to probabilities.
        operating_point: The rule by which the threshold is chosen.
        error_level: Of the uncertain zone: the share of each class that may be concluded to be the
            other class at most; ``auto`` chooses it, 0 is a reader without a zone.
        group_share: Of groups that are new in turn, the share in which threshold, calibration and
            zone must keep their promise; 1 is the worst case.
        gate: Whether the reader refuses images unlike those that it learnt from.
    """

    calibration: CalibrationMethod = setting(
        "none", "calibration of the probabilities", choices=get_args(CalibrationMethod)
    )
    operating_point: str = setting(
        "probability=0.5",
        "rule that chooses the threshold, such as youden or sensitivity>=0.95",
        metavar="RULE",
    )
    error_level: float | Literal["auto"] = setting(
        0.0,
        "error level of the uncertain zone: the maximum share of each class classified as the "
        "other; auto selects it, 0 disables the zone",
        between=(0, 0.5),
        words=("auto",),
        metavar="P",
    )
    group_share: float = setting(
        1.0,
        "of groups that are held out, the share in which threshold, calibration and uncertain zone "
        "keep their promise; 1 is the worst case",
        between=(0.01, 1),
        metavar="P",
    )
    gate: bool = setting(False, "refuse images unlike the training images")

    def __post_init__(self) -> None:
        check_settings(self)
