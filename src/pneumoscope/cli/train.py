"""``pneumoscope train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cli.arguments import (
    Parser,
    Verbs,
    add_data_options,
    add_verb,
    data_options_of,
    numbers,
)
from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from argparse import Namespace

    from pneumoscope.training.recipe import Recipe
    from pneumoscope.watch import Watcher
    from pneumoscope.workflow.train import Trained

_INTERRUPTED = 130
_CHANGES = (
    "model",
    "weights",
    "probe",
    "augmentation",
    "layer_decay",
    "schedule",
    "warmup_epochs",
    "head_epochs",
    "accumulate",
    "clip",
    "label_smoothing",
    "mixup",
    "cutmix",
    "balance",
    "ema",
    "keep",
    "calibration",
    "operating_point",
    "filters",
    "dropout",
    "batch_norm",
    "max_epochs",
    "patience",
    "batch_size",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "image_size",
    "resize",
    "seed",
    "precision",
    "validation",
    "val_fraction",
    "block",
    "folds",
    "fold",
    "test_fraction",
    "positive",
    "patient_regex",
)


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "train",
        run,
        about="Train a reader from a folder of X-rays: a model file, a log, figures and a report.",
        example="pneumoscope train chest_xray --out runs/first",
    )
    parser.add_argument(
        "data", type=Path, help="split folders, class folders, a CSV, or a public data set"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run folder; it must not exist")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="so many runs, from --seed on, in --out/seed-…"
    )
    _add_recipe(parser)
    _add_learning(parser)
    _add_data(parser)
    add_data_options(parser)
    machine = parser.add_argument_group("machine").add_argument
    machine("--accelerator", default="auto", help="auto, cpu, gpu or mps")
    machine("--devices", default="auto", metavar="N", help="how many")
    machine("--nodes", type=int, default=1, metavar="N", help="how many machines")
    machine("--strategy", default="auto", help="Lightning's strategy, such as ddp")
    machine("--workers", type=int, metavar="N", help="decoding threads")


def _add_recipe(parser: Parser) -> None:
    recipe = parser.add_argument_group("recipe").add_argument
    recipe("--preset", help="the recipe to begin with (default: seed)")
    recipe("--config", type=Path, metavar="FILE", help="a recipe file instead of a preset")
    recipe("--model", help="the network: seed-cnn, timm:NAME, or auto")
    recipe("--weights", help="what it begins with: auto, none, a file or a URL")
    recipe("--probe", action="store_true", default=None, help="fit the last layer alone")
    recipe("--augmentation", help="none, seed, geometric or radiograph")
    recipe("--filters", type=numbers, help="seed-cnn: channels of each block, such as 32,64,64")
    recipe("--dropout", type=float, help="seed-cnn: share of activations dropped")
    recipe("--batch-norm", action="store_true", default=None, help="seed-cnn: in each block")


def _add_learning(parser: Parser) -> None:
    recipe = parser.add_argument_group("how it learns").add_argument
    recipe("--epochs", type=int, dest="max_epochs", metavar="N", help="at most so many")
    recipe("--patience", type=int, metavar="N", help="epochs without a lower validation loss")
    recipe("--batch-size", type=int, metavar="N", help="images a step")
    recipe("--optimizer", help="adam, adamw, adamax, adagrad or sgd")
    recipe("--learning-rate", type=float, metavar="X", help="step size")
    recipe("--layer-decay", type=float, metavar="X", help="factor from a layer to the one before")
    recipe("--schedule", help="of the step size: constant or cosine")
    recipe("--warmup-epochs", type=float, metavar="X", help="over which it rises from zero")
    recipe("--head-epochs", type=int, metavar="N", help="in which only the last layer learns")
    recipe("--accumulate", type=int, metavar="N", help="batches a step of the optimizer")
    recipe("--clip", type=float, metavar="X", help="largest norm of the gradient")
    recipe("--label-smoothing", type=float, metavar="X", help="share of a label that is spread")
    recipe("--mixup", type=float, metavar="A", help="blend pairs of images")
    recipe("--cutmix", type=float, metavar="A", help="paste parts of one image into another")
    recipe("--balance", help="none, weights or sampling: the same say for both classes")
    recipe("--ema", type=float, metavar="X", help="decay of a moving average of the weights")
    recipe("--keep", help="which epoch's weights: best or last")
    recipe("--weight-decay", type=float, metavar="X", help="L2 penalty")
    recipe("--image-size", type=int, metavar="PX", help="side of the square input")
    recipe("--resize", help="how other aspect ratios are brought to it: stretch, pad or crop")
    recipe("--calibration", help="of the probabilities: none, temperature or platt")
    recipe("--operating-point", metavar="RULE", help="such as youden or sensitivity>=0.95")
    recipe("--seed", type=int, metavar="N", help="of split, weights, order and augmentation")
    recipe("--precision", help="auto, float32 or bfloat16")


def _add_data(parser: Parser) -> None:
    data = parser.add_argument_group("data").add_argument
    data("--positive", metavar="CLASS", help="the finding (default: PNEUMONIA)")
    data(
        "--validation",
        metavar="HOW",
        help="grouped: drawn by patient; block: a block of patient numbers; kfold: one of several "
        "folds; folder: the data's own; file: --split-file; auto: folder if large enough, "
        "else grouped",
    )
    data("--val-fraction", type=float, metavar="X", help="share taken for validation")
    data("--block", metavar="WHICH", help="low, high, or K/N: which block (default: low)")
    data("--folds", type=int, metavar="N", help="how many folds (default: 5)")
    data("--fold", type=int, metavar="K", help="the fold for validation, from 0 (default: 0)")
    data(
        "--patient-regex",
        metavar="REGEX",
        help="finds the patient in a path: its first group, or the group named patient",
    )
    data(
        "--test",
        type=float,
        dest="test_fraction",
        metavar="X",
        help="share drawn for test where the data have no test part",
    )
    data("--split-file", type=Path, metavar="FILE", help="read the split from this CSV")


def run(asked: Namespace) -> int:
    """Train, and print what was reached."""
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.training.devices import Placement  # noqa: PLC0415 - torch
    from pneumoscope.training.recipe import Recipe, change_recipe, recipe_of  # noqa: PLC0415
    from pneumoscope.workflow.train import train_reader  # noqa: PLC0415

    changes: dict[str, Any] = {
        name: getattr(asked, name) for name in _CHANGES if getattr(asked, name) is not None
    }
    changes |= data_options_of(asked)
    if asked.preset and asked.config:
        raise OptionError("--config", must="left out where --preset is given", was=asked.config)
    base: Recipe | None = None
    if not asked.resume:
        base = Recipe.load(asked.config) if asked.config else recipe_of(asked.preset or "seed")
        _take_split_file(changes, asked)
    elif changes or asked.preset or asked.config:
        given = sorted({*changes, *(name for name in ("preset", "config") if vars(asked)[name])})
        raise OptionError(
            "--resume", must="given without recipe options, since the run has its own", was=given
        )
    watcher = TerminalWatcher()
    if asked.seeds is not None:
        return _run_seeds(asked, base, changes, watcher)
    trained = train_reader(
        asked.data,
        asked.out,
        recipe=change_recipe(base, **changes) if base else None,
        split_file=asked.split_file,
        placement=Placement(asked.accelerator, asked.devices, asked.nodes, asked.strategy),
        resume=asked.resume,
        workers=asked.workers,
        watcher=watcher,
    )
    if trained is None:
        return 0
    _tell(trained)
    if trained.fitted.interrupted:
        watcher.warn("ended by Ctrl-C; the same command with --resume goes on where it was.")
        return _INTERRUPTED
    return 0


def _run_seeds(
    asked: Namespace, base: Recipe | None, changes: dict[str, Any], watcher: Watcher
) -> int:
    """Train with several seeds, and print how far they lie apart."""
    from pneumoscope.training.devices import Placement  # noqa: PLC0415 - torch
    from pneumoscope.training.recipe import change_recipe  # noqa: PLC0415
    from pneumoscope.workflow.seeds import MAIN, SUMMARY, devices, train_seeds  # noqa: PLC0415

    if base is None:
        raise OptionError("--seeds", must="given without --resume", was=asked.seeds)
    found = train_seeds(
        asked.data,
        asked.out,
        recipe=change_recipe(base, **changes),
        seeds=asked.seeds,
        split_file=asked.split_file,
        placement=Placement(asked.accelerator, asked.devices, asked.nodes, asked.strategy),
        places=devices() if asked.devices == "auto" else (),
        watcher=watcher,
    )
    for part, group in found.groups.items():
        title = {"val": "Validation", "test": "Test"}[part]
        print(f"{title}, {asked.seeds} seeds, mean ± standard deviation (lowest to highest):")
        for name in (name for name in MAIN if name in group.mean):
            lowest, highest = (
                pick(run[name] for run in found.numbers[part]) for pick in (min, max)
            )
            print(
                f"  {name.replace('_', ' '):18} {group.mean[name]:.4f} "
                f"± {group.deviation[name]:.4f}  "
                f"({lowest:.4f} to {highest:.4f})"
            )
    print(f"Kept: {found.kept.root}, chosen by its validation loss")
    print(f"Every number: {asked.out / SUMMARY}")
    return 0


def _take_split_file(changes: dict[str, Any], asked: Namespace) -> None:
    """Let the recipe say that a file decides, where one is given."""
    if asked.split_file is None:
        return
    if changes.setdefault("validation", "file") != "file":
        raise OptionError(
            "--split-file", must="left out where --validation draws the rows", was=asked.split_file
        )


_TOLD = {
    "classes-swapped", "one-class", "no-better-than-chance", "threshold-does-not-fit",
    "calibration-without-end",
}  # fmt: skip


def _tell(trained: Trained) -> None:
    for part, found in trained.evaluations.items():
        name = {"val": "Validation", "test": "Test"}[part]
        print(
            f"{name} ({found.n:,} images): AUC {found['auc'].text()}, sensitivity "
            f"{found['sensitivity'].text()}, specificity {found['specificity'].text()}, accuracy "
            f"{found['accuracy'].text()}, balanced accuracy {found['balanced_accuracy'].text()}"
        )
        for note in found.notes:
            if note.code in _TOLD:
                print(f"  {note.text}")
    print(f"Model:  {trained.run.model}\nReport: {trained.run.report}")
