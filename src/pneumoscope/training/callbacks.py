"""Callbacks of the training loop: log, progress, interruption and weight averaging."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from pneumoscope.errors import DataError
from pneumoscope.training.log import Epoch, read_log, write_log


class EpochLog(L.Callback):
    """Writes ``log.csv``, one row per epoch, and calls ``on_epoch`` with each."""

    def __init__(self, path: Path, on_epoch: Callable[[Epoch], None] | None = None) -> None:
        self.rows: list[Epoch] = []
        self._path = path
        self._on_epoch = on_epoch
        self._started = 0.0
        self._images = 0
        self._rate = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the earlier rows of a resumed run."""
        self.rows = [row for row in read_log(self._path) if row.epoch <= trainer.current_epoch]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self._images = 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the learning rate; that of the last layer is the largest."""
        self._rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the images."""
        self._images += len(batch[1])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row."""
        seconds = time.perf_counter() - self._started
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        images = self._images * trainer.world_size
        row = Epoch(
            epoch=trainer.current_epoch + 1,
            loss=numbers["loss"],
            accuracy=numbers["accuracy"],
            val_loss=numbers["val_loss"],
            val_accuracy=numbers["val_accuracy"],
            val_auc=numbers["val_auc"],
            seconds=round(seconds, 3),
            images_per_second=round(images / seconds, 1),
            learning_rate=self._rate,
        )
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write(row)

    def _write(self, row: Epoch) -> None:
        write_log(self._path, self.rows)
        if self._on_epoch:
            self._on_epoch(row)


class StepProgress(L.Callback):
    """Calls ``on_step(done, total)`` after each training batch."""

    def __init__(self, on_step: Callable[[int, int], None]) -> None:
        self._on_step = on_step

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Report the batch."""
        if trainer.is_global_zero:
            self._on_step(batch_idx + 1, int(trainer.num_training_batches))


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """Training was interrupted on request."""


class SameData(L.Callback):
    """Raises an error if processes have different images or splits.

    Args:
        digest: Hash of the data and epoch of this process.
    """

    def __init__(self, digest: str) -> None:
        self._digest = digest

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare with the first process; all processes end if one differs."""
        if trainer.world_size == 1:
            return
        first = trainer.strategy.broadcast(self._digest)
        if not trainer.strategy.reduce_boolean_decision(self._digest == first):
            raise DataError(
                "the processes of this training have different images or splits; give all "
                "machines the same data, options and package version, and a shared run folder."
            )


_ASK_EVERY = 10
"""Number of batches between two checks whether any process was interrupted."""


class EndOnInterrupt(L.Callback):
    """Raises ``Interrupted`` on Ctrl-C after the current batch; a second Ctrl-C is immediate.

    Lightning itself would end the whole process. Several processes all end after the same batch, at
    most ten batches later: if only one ended, the others would wait for its gradients.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._before: Any = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Install the signal handler, in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Restore the signal handler."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop if an interruption was requested."""
        if trainer.world_size == 1:
            self._end_if_interrupted()
        elif batch_idx % _ASK_EVERY == 0 and trainer.strategy.reduce_boolean_decision(
            self._interrupted, all=False
        ):
            raise Interrupted

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        """Stop a single process on request; processes may have different numbers of batches."""
        if trainer.world_size == 1:
            self._end_if_interrupted()

    def _ask(self, _: int, __: FrameType | None) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, self._before)

    def _end_if_interrupted(self) -> None:
        if self._interrupted:
            raise Interrupted


def weight_average(decay: float) -> WeightAveraging:
    """Return an exponential moving average of all weights and batch-norm statistics.

    The average is validated and saved; training continues with the current weights. The decay
    increases to its value as (1 + n) / (10 + n) over the first steps n, so that short trainings do
    not retain the initial weights.
    """

    def averaged(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        n = int(count)
        share = 1 - min(decay, (1 + n) / (10 + n))
        if not average.is_floating_point():  # number of batches of batch normalisation
            return current
        return torch.lerp(average, current, share)

    return WeightAveraging(avg_fn=averaged, use_buffers=True)
