"""``pneumoscope train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoscope.cli.terminal import INTERRUPTED, TerminalWatcher
from pneumoscope.errors import OptionError

_RECIPE = "Recipe"
_DATA = "Data"
_MACHINE = "Machine"


def train(
    data: Annotated[Path, typer.Argument(help="Split folders, class folders, or a CSV manifest.")],
    out: Annotated[Path, typer.Option(help="The run folder; it must not exist.")],
    preset: Annotated[
        str | None,
        typer.Option(help="The recipe to begin with. (default: seed)", rich_help_panel=_RECIPE),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A recipe file instead of a preset.", rich_help_panel=_RECIPE),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network.", rich_help_panel=_RECIPE)] = None,
    filters: Annotated[
        str | None,
        typer.Option(
            help="seed-cnn: output channels of each block, such as 32,64,64.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="seed-cnn: share of activations dropped.", rich_help_panel=_RECIPE),
    ] = None,
    batch_norm: Annotated[
        bool | None,
        typer.Option(
            "--batch-norm/--no-batch-norm",
            help="seed-cnn: normalise each block.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="At most so many.", rich_help_panel=_RECIPE)
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without a lower validation loss.", rich_help_panel=_RECIPE),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step.", rich_help_panel=_RECIPE)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="adam, adamw, adamax, adagrad or sgd.", rich_help_panel=_RECIPE),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Step size.", rich_help_panel=_RECIPE)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="L2 penalty.", rich_help_panel=_RECIPE)
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the square input in pixels.", rich_help_panel=_RECIPE),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of split, weights, order, augmentation.", rich_help_panel=_RECIPE),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=_RECIPE)
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(
            help="The class that is the finding. (default: PNEUMONIA)", rich_help_panel=_DATA
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            help="grouped: drawn by patient; folder: the data's own; auto: own if large.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    val_fraction: Annotated[
        float | None, typer.Option(help="Share drawn for validation.", rich_help_panel=_DATA)
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            help="Share drawn for test where the data have no test part.", rich_help_panel=_DATA
        ),
    ] = None,
    split_file: Annotated[
        Path | None, typer.Option(help="Read the split from this CSV.", rich_help_panel=_DATA)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    accelerator: Annotated[
        str, typer.Option(help="auto, cpu, gpu or mps.", rich_help_panel=_MACHINE)
    ] = "auto",
    devices: Annotated[str, typer.Option(help="How many.", rich_help_panel=_MACHINE)] = "auto",
    nodes: Annotated[int, typer.Option(help="How many machines.", rich_help_panel=_MACHINE)] = 1,
    strategy: Annotated[
        str, typer.Option(help="Lightning's strategy, such as ddp.", rich_help_panel=_MACHINE)
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Decoding threads.", rich_help_panel=_MACHINE)
    ] = None,
) -> None:
    """Train a reader from a folder of X-rays: a model file, a log, figures and a report.

    Example: pneumoscope train chest_xray --out runs/first
    """
    from pneumoscope.training.fit import Placement  # noqa: PLC0415 - torch
    from pneumoscope.training.recipe import Recipe, change_recipe, recipe_of  # noqa: PLC0415
    from pneumoscope.workflow.train import train_reader  # noqa: PLC0415

    changes: dict[str, Any] = {
        "model": model,
        "max_epochs": epochs,
        "patience": patience,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "seed": seed,
        "precision": precision,
        "validation": validation,
        "val_fraction": val_fraction,
        "test_fraction": test,
        "image_size": image_size,
        "filters": numbers(filters),
        "dropout": dropout,
        "batch_norm": batch_norm,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if preset and config:
        raise OptionError("--config", must="left out where --preset is given", was=str(config))
    if resume and (changes or preset or config):
        given = sorted({*changes, *(["preset"] if preset else []), *(["config"] if config else [])})
        raise OptionError(
            "--resume", must="given without recipe options, since the run has its own", was=given
        )
    base = Recipe.load(config) if config else None
    if base is None and not resume:
        base = recipe_of(preset or "seed")
    watcher = TerminalWatcher()
    trained = train_reader(
        data,
        out,
        recipe=change_recipe(base, **changes) if base else None,
        positive=positive,
        split_file=split_file,
        placement=Placement(accelerator, devices, nodes, strategy),
        resume=resume,
        workers=workers,
        watcher=watcher,
    )
    if trained is None:
        return
    for part, metrics in trained.metrics.items():
        name = {"val": "Validation", "test": "Test"}[part]
        typer.echo(
            f"{name} ({metrics.n:,} images): AUC {metrics.auc.text()}, sensitivity "
            f"{metrics.sensitivity.text()}, specificity {metrics.specificity.text()}, accuracy "
            f"{metrics.accuracy.text()}, balanced accuracy {metrics.balanced_accuracy.text()}"
        )
    typer.echo(f"Model:  {trained.run.model}\nReport: {trained.run.report}")
    if trained.fitted.interrupted:
        watcher.warn("ended by Ctrl-C; the same command with --resume goes on where it was.")
        raise typer.Exit(INTERRUPTED)


def numbers(text: str | None) -> tuple[int, ...] | None:
    """Return what ``32,64,64`` stands for; None for None."""
    if text is None:
        return None
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError as fault:
        raise OptionError(
            "--filters", must="whole numbers with commas between them", was=text
        ) from fault
