"""A recipe and data → trained weights, with Lightning's loop around ``ClassificationTask``."""

from __future__ import annotations

import logging
import pickle
import re
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from pneumoscope.data.prepared import PreparedData
from pneumoscope.errors import DataError, OptionError, PneumoscopeError, in_range, one_of
from pneumoscope.models.registry import Classifier, build_model
from pneumoscope.runs import RunFolder
from pneumoscope.training.allocator import keep_large_blocks
from pneumoscope.training.callbacks import (
    EndOnInterrupt,
    Epoch,
    EpochLog,
    Interrupted,
    StepProgress,
    read_log,
    weight_average,
)
from pneumoscope.training.datamodule import SplitData
from pneumoscope.training.recipe import Keep, Precision, Recipe
from pneumoscope.training.task import ClassificationTask


class NothingLearntError(PneumoscopeError):
    """Training ended before its first epoch was over."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where training runs; handed to Lightning as it is.

    Raises:
        OptionError: A value cannot be on any machine.
    """

    accelerator: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        one_of("--accelerator", self.accelerator, ("auto", "cpu", "gpu", "cuda", "mps"))
        in_range("--nodes", self.nodes, low=1, high=100_000)
        if not re.fullmatch(r"auto|-1|0*[1-9]\d*|\d+(,\d+)+", self.devices):
            raise OptionError("--devices", must="auto, how many, or which (0,1)", was=self.devices)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What training gave.

    Attributes:
        classifier: The network with the weights of the best epoch, on the CPU, in evaluation mode.
        epochs: The log.
        best: The epoch whose weights were kept: of the lowest validation loss, or the last.
        seconds: Of the whole training.
        precision: ``float32`` or ``bfloat16``.
        device: The kind of device: ``cpu``, ``cuda``, ``mps``.
        interrupted: Whether it was ended by hand.
        leader: Whether this process is the one that writes results.
    """

    classifier: Classifier
    epochs: tuple[Epoch, ...]
    best: Epoch
    seconds: float
    precision: str
    device: str
    interrupted: bool
    leader: bool


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
    """Return the classifier of the epoch that the recipe keeps.

    Writes ``log.csv`` and ``checkpoints/`` (best and last) into the run folder. Ctrl-C ends
    training after the batch in hand, with what was learnt so far.

    Args:
        recipe: What to learn and how.
        data: The images; the rows of ``train`` teach, those of ``val`` decide.
        folder: Where the log and the checkpoints go.
        placement: Devices and processes; by itself if None.
        resume: Continue at the last checkpoint of the folder, if there is one.
        on_epoch: Called with each epoch's row.
        on_step: Called as ``on_step(done, total)`` after each batch.

    Raises:
        OptionError: The recipe names an unknown model, or Lightning knows no such placement.
        NothingLearntError: Interrupted before the first epoch was over.
    """
    keep_large_blocks()
    placement = placement or Placement()
    torch.manual_seed(recipe.seed)
    classifier = build_model(
        recipe.model, recipe.input, weights=recipe.weights, **recipe.model_options
    )
    last = folder.checkpoints / "last.ckpt"
    resume = resume and last.exists()
    batches = SplitData(
        data,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        balanced=recipe.balance == "sampling",
    )
    shares = batches.training.shares
    if recipe.balance != "none":
        classifier.logit_offset.copy_(torch.tensor(shares).mul(2).log())
    even = (0.5 / shares[0], 0.5 / shares[1])
    task = ClassificationTask(
        classifier, recipe, class_weights=even if recipe.balance == "weights" else (1, 1)
    )
    log = EpochLog(folder.log, on_epoch)
    best = ModelCheckpoint(
        folder.checkpoints,
        filename="best",
        monitor="val_loss" if recipe.keep == "best" else None,
        save_last=True,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    patience = EarlyStopping("val_loss", patience=recipe.patience, check_on_train_epoch_end=False)
    callbacks: list[L.Callback] = [log, patience, EndOnInterrupt(), best]
    if recipe.ema:
        # Validation and checkpoints then are of the average; it must come before both.
        callbacks.insert(0, weight_average(recipe.ema))
    if on_step:
        callbacks.append(StepProgress(on_step))
    started = time.perf_counter()
    interrupted = False
    with warnings.catch_warnings():
        # Batches come from a memory map; workers would only copy them once more.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # A resumed run finds its own checkpoints in its folder, as it should.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # A pytree helper of Lightning uses a name that newer torch deprecates.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        trainer = _trainer(recipe, placement, callbacks, classifier.network)
        if resume and _is_over(read_log(folder.log), recipe):
            log.rows = read_log(folder.log)
        else:
            try:
                trainer.fit(
                    task,
                    datamodule=batches,
                    ckpt_path=str(last) if resume else None,
                    weights_only=True,
                )
            except Interrupted:
                interrupted = True
            except SystemExit as end:  # what Lightning makes of a Ctrl-C that we did not take
                raise KeyboardInterrupt from end
    classifier = _kept_weights(task.classifier, folder.checkpoints / "best.ckpt", log.rows)
    return Fitted(
        classifier=classifier,
        epochs=tuple(log.rows),
        best=kept_epoch(log.rows, recipe.keep),
        seconds=time.perf_counter() - started,
        precision="bfloat16" if trainer.precision == "bf16-mixed" else "float32",
        device=trainer.strategy.root_device.type,
        interrupted=interrupted,
        leader=trainer.is_global_zero,
    )


def kept_epoch(rows: Sequence[Epoch], keep: Keep) -> Epoch:
    """Return the epoch of a log whose weights a recipe keeps."""
    return rows[-1] if keep == "last" else min(rows, key=lambda row: row.val_loss)


def _is_over(rows: list[Epoch], recipe: Recipe) -> bool:
    """Tell whether a log shows that training ended by itself."""
    if not rows:
        return False
    best = min(rows, key=lambda row: row.val_loss)
    return len(rows) >= recipe.max_epochs or rows[-1].epoch - best.epoch >= recipe.patience


def is_leader() -> bool:
    """Tell whether this process writes results: the first of those that Lightning started."""
    return int(getattr(rank_zero_only, "rank", None) or 0) == 0


def _trainer(
    recipe: Recipe, placement: Placement, callbacks: list[L.Callback], network: nn.Module
) -> L.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    device = best_device(placement.accelerator)
    bfloat16 = computes_in_bfloat16(recipe.precision, device, network)
    try:
        return L.Trainer(
            accelerator=placement.accelerator,
            devices=placement.devices
            if not placement.devices.isdigit()
            else int(placement.devices),
            num_nodes=placement.nodes,
            strategy=placement.strategy,
            precision="bf16-mixed" if bfloat16 else "32-true",
            max_epochs=recipe.max_epochs,
            accumulate_grad_batches=recipe.accumulate,
            gradient_clip_val=recipe.clip or None,
            callbacks=callbacks,
            deterministic="warn" if device == "cuda" else None,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as fault:  # Lightning's misconfigurations among them
        raise OptionError(
            "--devices, --nodes, --strategy or --accelerator",
            must="something that Lightning can run here",
            was=placement,
            hint=str(fault),
        ) from fault


def best_device(accelerator: str) -> str:
    """Return the kind of device that an accelerator's name means here."""
    if accelerator not in {"auto", "gpu"}:
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def computes_in_bfloat16(precision: Precision, device: str, network: nn.Module) -> bool:
    """Tell whether to compute in bfloat16: where asked to, or natively fast.

    Processors gain by it in dense convolutions, and lose in those with groups: a step of
    MobileNetV2 takes up to twice as long.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    grouped = any(layer.groups > 1 for layer in network.modules() if isinstance(layer, nn.Conv2d))
    return device == "cpu" and not grouped and bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})


def _cpu_flags() -> set[str]:
    """Return what Linux says that the processor can; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    flags = [line for line in text.splitlines() if line.startswith("flags")]
    return set(flags[0].split()) if flags else set()


def load_trained(folder: RunFolder, recipe: Recipe) -> Classifier:
    """Return the network of a run with the weights that were kept, ready to be exported.

    Raises:
        DataError: The run has no checkpoint that fits.
        OptionError: The recipe names an unknown model.
    """
    kept = folder.checkpoints / "best.ckpt"
    if not kept.is_file():
        raise DataError(f"{kept}: no such file; is this a run that learnt something?")
    classifier = build_model(
        recipe.model, recipe.input, weights=recipe.weights, **recipe.model_options
    )
    return _with_weights(classifier, kept)


def _weights(path: Path) -> dict[str, Tensor]:
    """Return the weights that Lightning saved; only tensors and plain values are ever loaded."""
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)[
            "state_dict"
        ]
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as fault:
        raise DataError(f"{path}: no checkpoint can be read from it ({fault}).") from fault
    return weights


def _kept_weights(classifier: Classifier, kept: Path, rows: list[Epoch]) -> Classifier:
    if not rows or not kept.exists():
        raise NothingLearntError(
            "training ended before its first epoch was over, so nothing was learnt; "
            "run the same command with --resume to go on."
        )
    return _with_weights(classifier, kept)


def _with_weights(classifier: Classifier, kept: Path) -> Classifier:
    prefix = "classifier."
    own = {
        name.removeprefix(prefix): value
        for name, value in _weights(kept).items()
        if name.startswith(prefix)
    }
    try:
        classifier.cpu().load_state_dict(own)
    except RuntimeError as fault:
        raise DataError(f"{kept}: does not fit the network of its recipe ({fault}).") from fault
    return classifier.eval()
