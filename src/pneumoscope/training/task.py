"""What Lightning needs to know: a step, a validation step, an optimizer. No more."""

from __future__ import annotations

from typing import assert_never

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import BinaryAUROC

from pneumoscope.models.registry import Classifier
from pneumoscope.training.augment import augment, to_unit
from pneumoscope.training.datamodule import Batch
from pneumoscope.training.recipe import Recipe


class ClassificationTask(L.LightningModule):
    """Trains a classifier by cross-entropy.

    Logs ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` and ``val_auc`` an epoch; the first
    two are means over the steps of the epoch, with augmentation and dropout on.
    """

    def __init__(self, classifier: Classifier, recipe: Recipe) -> None:
        super().__init__()
        self.classifier = classifier.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.auc = BinaryAUROC()

    def on_train_batch_start(self, _: Batch, batch_idx: int) -> None:
        """Seed the augmentation and the dropout of each epoch, so that resuming repeats them.

        Not when the epoch starts: making the loader's iterator, which a resumed run does earlier,
        draws from torch's generator too.
        """
        if batch_idx > 0:
            return
        torch.manual_seed(epoch_seed(self.recipe.seed, self.current_epoch, self.global_rank))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        pixels, labels = batch
        logits = self.classifier(augment(to_unit(pixels), self.recipe.augmentation))
        loss = F.cross_entropy(logits.float(), labels)
        self._log("", loss, logits, labels)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Note loss, accuracy and scores of a batch."""
        pixels, labels = batch
        logits = self.classifier(to_unit(pixels)).float()
        # Probabilities, since torchmetrics guesses, batch by batch, whether it is given logits.
        self.auc.update((logits[:, 1] - logits[:, 0]).sigmoid(), labels)
        self._log("val_", F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the area under the ROC curve of all validation rows."""
        self.log("val_auc", self.auc.compute())
        self.auc.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the recipe's optimizer over all parameters."""
        return _optimizer(self.recipe, self.classifier)

    def _log(self, prefix: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict(
            {f"{prefix}loss": loss.detach(), f"{prefix}accuracy": accuracy},
            on_step=False,
            on_epoch=True,
            sync_dist=self.trainer.world_size > 1,
            batch_size=len(labels),
        )


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Return the seed of one epoch in one process."""
    return int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0])


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    weights = list(model.parameters())
    rate, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "adam":
            return torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(weights, rate, weight_decay=decay, fused=True)
        case "adamax":
            return torch.optim.Adamax(weights, rate, weight_decay=decay)
        case "adagrad":
            return torch.optim.Adagrad(weights, rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(weights, rate, momentum=0.9, weight_decay=decay)
        case other:
            assert_never(other)
