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
    """The images and their preparation.

    Attributes:
        input: The input of the model.
        balance: Whether ``weights`` in the loss or ``sampling`` balance the classes; the logits are
            corrected afterwards, so that probabilities keep the prior of the data.
        validation: The source of validation images; see ``split_catalog``.
        val_fraction: The share of the training set used for validation.
        block: The block of patient numbers used for validation, if ``validation`` is ``block``.
        groups: The kind of groups, if ``validation`` is ``groups``; see ``new_groups``.
        folds: The number of folds, if ``validation`` is ``kfold``, or of blocks or clusters, if it
            is ``groups``.
        fold: The fold used for validation, from 0.
        test_fraction: The share drawn for testing if the data have no test set.
        near_copies: Whether near copies of an image (shifted, rescaled, mirrored or re-encoded)
            stay in one set (``tie``), or only images with equal pixels (``ignore``).
        positive: The positive class, or several separated by commas, or ``NAME=CLASS,CLASS``; None
            is PNEUMONIA if present.
        patient_regex: Regular expression that extracts the patient from a path; see
            ``PatientPattern``.
        class_map: Class → its names in the data; if empty, names are used unchanged.
        uncertain_labels: How uncertain labels of a mapped table count: ``ignore``, ``positive`` or
            ``negative``; None is ``ignore``.
        columns: Role → column of a CSV table whose columns have other names.
        layout: The name of a known layout, or the keys of a layout file; None detects it.
        findings: The findings of multi-label data, separated by commas; ``all`` takes those of the
            data. None for one class per image.
        unlabelled: How findings without a label count: ``ignore`` or ``negative``; None is
            ``ignore``.
    """

    input: InputSpec = composite(
        InputSpec,
        "the input of the model",
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
            about="how images that are not square are fitted to the square input",
            choices=tuple(RESIZE),
        ),
    )
    balance: Balance = setting("none", "class balancing", choices=get_args(Balance))
    validation: str = setting(
        "auto",
        "where validation images come from. grouped: a random sample of patients; block: patients "
        "with consecutive numbers; kfold: one of several folds; groups: a block, and in addition "
        "each group is held out in turn; folder: the validation folder of the data set; file: the "
        "split file; auto: folder if large enough, else grouped",
        metavar="HOW",
    )
    val_fraction: float = setting(
        0.1, "share of the images of each class for validation; patients are not divided"
    )
    block: str = setting(
        "low",
        "patients of the block: low (the lowest numbers), high (the highest), or K/N (the K-th of "
        "N blocks)",
        metavar="WHICH",
    )
    groups: str = setting(
        "auto",
        "the groups to hold out: series (patient IDs with the same prefix), blocks (of patient "
        "numbers), acquisition (clusters of similarly acquired images), or a column of the "
        "manifest; auto: a column of sites, else series, else blocks",
        metavar="BY",
    )
    folds: int = setting(5, "number of folds, or of blocks or clusters that are held out")
    fold: int = setting(0, "the validation fold, from 0", metavar="K")
    test_fraction: float = setting(
        0.0,
        "share of the images of each class for testing, if the data have no test set; patients are "
        "not divided",
        flag="test",
    )
    near_copies: NearCopies = setting(
        "tie",
        "whether near-duplicates of an image (shifted, rescaled, mirrored, re-encoded) are kept in "
        "one set (tie), or only images with equal pixels (ignore)",
        choices=get_args(NearCopies),
    )
    positive: str | None = setting(
        None,
        "the positive class or classes (default: PNEUMONIA if present)",
        metavar="CLASS[,CLASS]",
    )
    patient_regex: str | None = setting(
        None,
        "regular expression whose first group, or the group named patient, is the patient's ID in "
        "a path",
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
        """Return the options for reading the data.

        Args:
            inherited: Whether the data may differ from those of the recipe.

        Raises:
            OptionError: An invalid value.
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
    """The network and its training.

    Attributes:
        model: A name of the registry; ``auto`` is the best known network for the machine.
        model_options: Options of that network.
        weights: The initial weights: ``none``, ``auto`` (the pretrained weights of the network,
            from this machine or downloaded), a file or a URL.
        probe: Whether only a linear head is fitted on the frozen network, without gradient steps.
        augmentation: Augmentation of training images; in files and options also the name of a
            preset.
        max_epochs: Maximum number of epochs.
        patience: Early stopping: epochs without a lower validation loss before training ends.
        keep: The epoch whose weights are kept: that of the ``best`` validation loss, or the
            ``last``.
        batch_size: Images per batch.
        accumulate: Batches whose gradients are accumulated for one optimizer step.
        optimizer: The optimizer.
        learning_rate: The learning rate.
        layer_decay: Factor of the learning rate from each layer to the previous one, towards the
            input; 1 uses the same rate for all layers.
        schedule: Learning rate schedule: ``constant``, decreasing to zero along a ``cosine``, or
            reduced when the validation loss reaches a ``plateau``.
        plateau_patience: Plateau schedule: epochs without a lower validation loss before the rate
            is reduced.
        plateau_factor: Plateau schedule: factor of each reduction.
        plateau_minimum: Plateau schedule: minimum learning rate.
        warmup_epochs: Epochs over which the learning rate first rises from zero.
        head_epochs: Initial epochs that train only the last layer.
        weight_decay: L2 penalty (decoupled for AdamW), on weights, not on biases and norms.
        clip: Maximum norm of the gradient; 0 disables clipping.
        label_smoothing: Share of a label that is distributed over the classes.
        mixup: Parameter of the beta distribution used to blend pairs of images; 0 disables it.
        cutmix: The same for pasting a rectangle of one image into another.
        hidden: Copies of images with hidden lung fields that are added to each batch, as a share of
            it, with the same target for all classes; see ``add_hidden``.
        focus: Weight of the evidence outside the lung fields in the loss (the mean of its absolute
            value, in logits), for networks with evidence maps. The fields are two ellipses where
            the lungs of a frontal radiograph lie.
        distil: Number of folds in which teachers are trained, whose probabilities soften the labels
            of the images that they were not trained on; 0 for none. See ``soft_targets``.
        distil_weight: Share of the teachers in the targets; the rest is that of the labels.
        teachers: The networks of the teachers, separated by commas; one that is named twice is
            trained with two seeds. Empty for the network of the recipe.
        ema: Decay per step of an exponential moving average of the weights, which is then
            validated and kept; 0 disables it.
        precision: Numerical precision; ``auto`` is bfloat16 on processors that it makes faster,
            otherwise float32.
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
        1.0,
        "factor by which the learning rate is multiplied from each layer to the one before it, "
        "towards the input",
        between=(0.01, 1),
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
    hidden: float = setting(
        0.0,
        "number of copies with masked lung fields that are added to each batch, as a share of it; "
        "their target is the same for every class, so that the network does not learn from other "
        "regions",
        between=(0, 1),
    )
    focus: float = setting(
        0.0, "weight of the evidence outside the lung fields in the loss", between=(0, 100)
    )
    distil: int = setting(
        0,
        "train on labels softened by the probabilities of teacher networks, which are cross-fitted "
        "in this number of folds; 0 disables it",
        between=(0, 20),
        metavar="FOLDS",
    )
    distil_weight: float = setting(
        0.5, "weight of the teachers' probabilities against the labels", between=(0, 1)
    )
    teachers: str = setting(
        "", "networks of the teachers (default: the network itself)", metavar="NETWORK[,…]"
    )
    ema: float = setting(
        0.0, "decay of the moving average of the weights; 0 disables it", between=(0, 0.99999)
    )
    precision: Precision = setting("auto", "numerical precision", choices=get_args(Precision))

    def __post_init__(self) -> None:
        check_settings(self)
        if self.distil == 1 or (self.distil and self.probe):
            must = "0 for a linear probe" if self.probe else "0, or at least 2 folds"
            raise OptionError("distil", must=must, was=self.distil)
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
        calibration: Method of calibrating the probabilities.
        operating_point: The rule that chooses the decision threshold.
        error_level: Error level of the uncertain zone: the maximum share of each class classified
            as the other; ``auto`` selects it, 0 disables the zone.
        group_share: The share of the held-out groups that threshold, calibration and uncertain
            zone must suit: 1 requires all groups; 0.9 leaves out the worst ones, at most a tenth.
        gate: Whether the reader refuses images unlike the training images.
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
        "error level of the uncertain zone: the maximum share of each class that is classified as "
        "the other; auto chooses it from the scores, 0 disables the zone",
        between=(0, 0.5),
        words=("auto",),
        metavar="P",
    )
    group_share: float = setting(
        1.0,
        "share of the held-out groups that threshold, calibration and uncertain zone must suit: "
        "1 requires all groups, so the worst one decides; 0.9 leaves out the worst groups, at most "
        "a tenth of all",
        between=(0.01, 1),
        metavar="P",
    )
    gate: bool = setting(False, "reject images unlike the training images")

    def __post_init__(self) -> None:
        check_settings(self)
