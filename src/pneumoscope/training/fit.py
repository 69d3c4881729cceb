"""Train the network of a recipe with Lightning."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn

from pneumoscope.data.prepared import PreparedData
from pneumoscope.errors import OptionError, PneumoscopeError
from pneumoscope.models.registry import Classifier
from pneumoscope.runs import RunFolder
from pneumoscope.training.allocator import keep_large_blocks
from pneumoscope.training.callbacks import (
    EndOnInterrupt,
    EpochLog,
    Interrupted,
    SameData,
    StepProgress,
    weight_average,
)
from pneumoscope.training.checkpoints import WholeCheckpoints, epochs_in
from pneumoscope.training.datamodule import SplitData
from pneumoscope.training.devices import (
    Placement,
    best_device,
    check_here,
    computes_in_bfloat16,
)
from pneumoscope.training.distillation import soft_targets
from pneumoscope.training.findings_task import findings_task
from pneumoscope.training.fitted import Fitted, kept_epoch, with_weights
from pneumoscope.training.log import Epoch, read_log
from pneumoscope.training.network import network_of
from pneumoscope.training.recipe import Recipe
from pneumoscope.training.task import ClassificationTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REFUSALS = (
    MisconfigurationException,
    ImportError,  # raised for a strategy whose package is not installed
    RuntimeError,
    TypeError,
    ValueError,
)
"""The exceptions that Lightning raises for an impossible placement."""


class NothingLearntError(PneumoscopeError):
    """Training ended before the first epoch was complete."""


class LostProcessError(PneumoscopeError):
    """Another process of a training ended, so that training cannot continue."""


def fit(
    recipe: Recipe,
    data: PreparedData,
    *,
    folder: RunFolder,
    placement: Placement | None = None,
    resume: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Train, and return the classifier of the selected epoch.

    Writes ``log.csv`` and ``checkpoints/`` (best and last) into the run folder. Ctrl-C ends
    training after the current batch and keeps the results so far.

    Args:
        recipe: The recipe.
        data: The images; ``train`` rows are for training, ``val`` rows choose the epoch.
        folder: Folder of the log and the checkpoints.
        placement: Devices and processes; chosen automatically if None.
        resume: Whether to continue at the last checkpoint of the folder, if there is one.
        on_epoch: Called with each epoch's row.
        on_step: Called as ``on_step(done, total)`` after each batch.

    Raises:
        OptionError: The recipe names an unknown model, or Lightning does not support the placement.
        OutputError: The log or a checkpoint cannot be written; earlier ones are preserved.
        NothingLearntError: Training was interrupted before the end of the first epoch.
        LostProcessError: Another one of several processes ended.
        DataError: One of several processes has other images or another split.
        KeyboardInterrupt: The training of a teacher was interrupted.
    """
    keep_large_blocks()
    placement = placement or Placement()
    targets = None
    if recipe.learning.distil:
        check_alone(placement, what="with `distil`")

        def teach(own: Recipe, images: PreparedData, place: RunFolder) -> Fitted:
            place.root.mkdir(parents=True, exist_ok=True)
            return _fit(own, images, folder=place, placement=placement, resume=True)

        targets = soft_targets(recipe, data, folder=folder, teach=teach)
    return _fit(
        recipe, data, folder=folder, placement=placement, resume=resume, on_epoch=on_epoch,
        on_step=on_step, targets=targets,
    )  # fmt: skip


def _fit(
    recipe: Recipe,
    data: PreparedData,
    *,
    folder: RunFolder,
    placement: Placement,
    resume: bool,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    targets: NDArray[np.float32] | None = None,
) -> Fitted:
    """Train one network; see ``fit``."""
    torch.manual_seed(recipe.seed)
    classifier = network_of(recipe, classes=len(data.catalog.findings or data.catalog.classes))
    last = folder.checkpoints / "last.ckpt"
    resume = resume and last.exists()
    batches = SplitData(
        data,
        batch_size=recipe.learning.batch_size,
        seed=recipe.seed,
        balanced=recipe.data.balance == "sampling",
        targets=targets,
    )
    task = _task(classifier, recipe, batches)
    log = EpochLog(folder.log, on_epoch)
    # The log may have a row of an epoch whose checkpoint could not be written.
    learnt = epochs_in(last) if resume else 0
    callbacks = [
        SameData(f"{data.digest} after {learnt}"),
        *_callbacks(recipe, folder, log, on_step),
    ]
    started = time.perf_counter()
    with _without_known_warnings():
        trainer = _trainer(recipe, placement, callbacks, classifier.network)
        before = [row for row in read_log(folder.log) if row.epoch <= learnt]
        if resume and _is_over(before, recipe):
            log.rows, interrupted = before, False
        else:
            with _named(placement, MisconfigurationException):
                interrupted = _learn(trainer, task, batches, last if resume else None)
    kept = folder.checkpoints / "best.ckpt"
    if not log.rows or (trainer.is_global_zero and not kept.exists()):
        raise NothingLearntError(
            "training ended before its first epoch was completed, so nothing was saved; train "
            "again with `resume` to continue."
        )
    if trainer.is_global_zero:  # other machines may not have access to the folder of the run
        classifier = with_weights(task.classifier, kept)
    return Fitted(
        classifier=classifier,
        epochs=tuple(log.rows),
        best=kept_epoch(log.rows, recipe.learning.keep),
        seconds=time.perf_counter() - started,
        precision="bfloat16" if trainer.precision == "bf16-mixed" else "float32",
        device=trainer.strategy.root_device.type,
        interrupted=interrupted,
        leader=trainer.is_global_zero,
    )


def _task(classifier: Classifier, recipe: Recipe, batches: SplitData) -> ClassificationTask:
    """Return the training task, with the class balance set by the recipe."""
    if recipe.data.findings is not None:
        return findings_task(classifier, recipe, batches.training.shares)
    space, shares = batches.training.label_space, batches.training.shares
    if recipe.data.balance != "none":
        classifier.logit_offset.copy_(torch.tensor(shares).mul(len(space)).log())
    even = tuple(1 / len(space) / share for share in shares)
    return ClassificationTask(
        classifier,
        recipe,
        class_weights=even if recipe.data.balance == "weights" else None,
        positive=space.is_positive,
    )


def _callbacks(
    recipe: Recipe,
    folder: RunFolder,
    log: EpochLog,
    on_step: Callable[[int, int], None] | None,
) -> list[L.Callback]:
    """Return the callbacks: log, early stopping, checkpoints, progress."""
    checkpoints = ModelCheckpoint(
        folder.checkpoints,
        filename="best",
        monitor="val_loss" if recipe.learning.keep == "best" else None,
        save_last=True,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    patience = EarlyStopping(
        "val_loss", patience=recipe.learning.patience, check_on_train_epoch_end=False
    )
    callbacks: list[L.Callback] = [log, patience, EndOnInterrupt(), checkpoints]
    if recipe.learning.ema:
        # Validation and checkpoints use the average, so it must come before both.
        callbacks.insert(0, weight_average(recipe.learning.ema))
    if on_step:
        callbacks.append(StepProgress(on_step))
    return callbacks


@contextmanager
def _without_known_warnings() -> Iterator[None]:
    """Silence the warnings of Lightning and torch that do not apply here."""
    with warnings.catch_warnings():
        # Batches come from a memory map; workers would only add a copy.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # The folder of a resumed run contains its checkpoints, as intended.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # A pytree helper of Lightning uses a name that is deprecated in newer versions of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        # The logged means are already over all processes.
        warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
        yield


def _learn(
    trainer: L.Trainer, task: ClassificationTask, batches: SplitData, checkpoint: Path | None
) -> bool:
    """Train to the end, from a checkpoint if there is one; return whether it was interrupted."""
    try:
        trainer.fit(
            task,
            datamodule=batches,
            ckpt_path=str(checkpoint) if checkpoint else None,
            weights_only=True,
        )
    except Interrupted:
        return True
    except RuntimeError as fault:
        if trainer.world_size == 1 or not _is_of_others(fault):
            raise
        raise LostProcessError(
            "another process of this training ended or cannot be reached "
            f"({' '.join(str(fault).split())[:200]}). The completed epochs are kept; continue "
            "with `resume`."
        ) from fault
    except SystemExit as end:  # raised by Lightning for a Ctrl-C that was not handled here
        raise KeyboardInterrupt from end
    return False


def _is_of_others(fault: RuntimeError) -> bool:
    """Return whether an error is caused by the connection to other processes."""
    return isinstance(fault, torch.distributed.DistError) or "gloo" in str(fault)


def check_placement(placement: Placement) -> None:
    """Raise an error early for a placement that is not possible here.

    Raises:
        OptionError: This machine lacks the devices, or Lightning does not support the strategy.
    """
    check_here(placement)
    _bare_trainer(placement)


def check_alone(placement: Placement, *, what: str = "if groups are held out in turn") -> None:
    """Raise an error for several processes, which operations with several trainings do not support.

    Raises:
        OptionError: The placement has several processes.
    """
    count = _bare_trainer(placement).world_size
    if count > 1:
        raise OptionError("devices", must=f"1 {what}", was=placement.devices)


def _bare_trainer(placement: Placement) -> L.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with _named(placement, *_REFUSALS):
        return L.Trainer(
            accelerator=placement.accelerator,
            devices=_devices(placement),
            num_nodes=placement.nodes,
            strategy=placement.strategy,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


def _strategy(recipe: Recipe, placement: Placement) -> str:
    """Return the strategy; ``ddp`` needs another one while only the head is trained."""
    if not recipe.learning.head_epochs or placement.strategy not in {"auto", "ddp"}:
        return placement.strategy
    several = _bare_trainer(placement).world_size > 1
    return "ddp_find_unused_parameters_true" if several else placement.strategy


def _devices(placement: Placement) -> str | int:
    return int(placement.devices) if placement.devices.isdigit() else placement.devices


def _is_over(rows: list[Epoch], recipe: Recipe) -> bool:
    """Return whether a log shows that training finished."""
    if not rows:
        return False
    best = min(rows, key=lambda row: row.val_loss)
    return (
        len(rows) >= recipe.learning.max_epochs
        or rows[-1].epoch - best.epoch >= recipe.learning.patience
    )


def _trainer(
    recipe: Recipe, placement: Placement, callbacks: list[L.Callback], network: nn.Module
) -> L.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    device = best_device(placement.accelerator)
    bfloat16 = computes_in_bfloat16(recipe.learning.precision, device, network)
    strategy = _strategy(recipe, placement)
    with _named(placement, *_REFUSALS):
        return L.Trainer(
            accelerator=placement.accelerator,
            devices=_devices(placement),
            num_nodes=placement.nodes,
            strategy=strategy,
            precision="bf16-mixed" if bfloat16 else "32-true",
            max_epochs=recipe.learning.max_epochs,
            accumulate_grad_batches=recipe.learning.accumulate,
            gradient_clip_val=recipe.learning.clip or None,
            callbacks=callbacks,
            plugins=[WholeCheckpoints()],
            deterministic="warn" if device == "cuda" else None,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )


@contextmanager
def _named(placement: Placement, *kinds: type[Exception]) -> Iterator[None]:
    """Turn Lightning's errors about placements into one error that names the parameters."""
    try:
        yield
    except kinds as fault:
        raise OptionError(
            "devices, nodes, strategy or accelerator",
            must="a combination that Lightning supports on this machine",
            was=placement,
            hint=" ".join(str(fault).split()),
        ) from fault
