"""The Lightning module: training step, validation step and optimizer."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAUROC

from pneumoscope.errors import OptionError
from pneumoscope.models.registry import Classifier, to_unit
from pneumoscope.training.datamodule import Batch
from pneumoscope.training.examples import Examples, examples
from pneumoscope.training.optimizer import build_optimizer, build_plateau, build_schedule
from pneumoscope.training.recipe import Recipe


class ClassificationTask(L.LightningModule):
    """Trains a classifier with cross-entropy.

    Logs ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` and ``val_auc`` per epoch; the first
    two are means over the steps of the epoch, with augmentation, dropout and mixing.

    Args:
        classifier: The network to train.
        recipe: The recipe.
        class_weights: Weight of an image of each class in the loss; 1 if None.
        positive: Whether each class counts as positive, for ``val_auc``.
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        *,
        class_weights: tuple[float, ...] | None = None,
        positive: tuple[bool, ...] = (False, True),
    ) -> None:
        super().__init__()
        self.classifier = classifier.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.class_weights = class_weights or (1.0,) * len(positive)
        self.positive = positive
        self.learnt = Means()
        self.val_means = Means()
        self.auc = BinaryAUROC()
        self.plateau: ReduceLROnPlateau | None = None
        self._plateau_before: dict[str, Any] = {}

    def on_train_epoch_start(self) -> None:
        """Freeze all layers before the head during the head-only epochs."""
        if self.recipe.learning.head_epochs:
            network = self.classifier.network
            only_head = self.current_epoch < self.recipe.learning.head_epochs
            network.freeze(len(network.parameter_groups()) - 1 if only_head else 0)

    def on_train_batch_start(self, _: Batch, batch_idx: int) -> None:
        """Seed augmentation and dropout by epoch, so that a resumed run repeats them.

        Not at the start of the epoch: creating the loader's iterator, which happens earlier in a
        resumed run, also draws from torch's generator.
        """
        if batch_idx > 0:
            return
        torch.manual_seed(epoch_seed(self.recipe.seed, self.current_epoch, self.global_rank))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        recipe = self.recipe
        pixels, labels = batch
        classes = len(self.positive)
        targets = F.one_hot(labels, classes).float() if labels.ndim == 1 else labels
        given = examples(
            to_unit(pixels),
            targets,
            recipe.learning,
            neutral=1 / classes,
        )
        # The loss uses the raw output of the network; the correction for the prior is applied
        # later.
        logits, outside = self._answers(given)
        loss = F.cross_entropy(
            logits,
            given.targets,
            weight=logits.new_tensor(self.class_weights),
            label_smoothing=recipe.learning.label_smoothing,
        )
        hard = labels if labels.ndim == 1 else labels.argmax(1)
        self.learnt.add(loss.detach(), logits[: len(labels)], hard)
        return loss + outside

    def _answers(self, given: Examples) -> tuple[Tensor, Tensor | float]:
        """Return the logits without prior correction, and the loss of evidence outside the lungs.

        Raises:
            OptionError: The network has no evidence maps.
        """
        if given.outside is None:
            return self.classifier.uncorrected(given.pixels).float(), 0.0
        logits, evidence = self.classifier.uncorrected_with_evidence(given.pixels)
        if evidence is None:
            raise OptionError(
                "focus",
                must="0 for a network without evidence maps",
                was=self.recipe.learning.focus,
            )
        height, width = evidence.shape[-2:]
        share = F.adaptive_avg_pool2d(given.outside, (height, width))
        share = share if evidence.ndim == 4 else share[:, 0]
        outside = (evidence.float().abs() * share).mean()
        return logits.float(), self.recipe.learning.focus * outside

    def validation_step(self, batch: Batch, _: int) -> None:
        """Record loss, accuracy and scores of a batch."""
        pixels, labels = batch
        logits = self.classifier(to_unit(pixels)).float()
        self.auc.update(*_ranked(logits, labels, self.positive))
        self.val_means.add(F.cross_entropy(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the means of the epoch, and the area under the ROC curve of all validation rows."""
        self.log_dict(self.learnt.taken())
        self.log_dict({f"val_{name}": mean for name, mean in self.val_means.taken().items()})
        self.log("val_auc", self.auc.compute())
        self.auc.reset()

    def on_train_epoch_end(self) -> None:
        """Reduce the learning rates on a plateau.

        Done here and not by Lightning, which would do it after writing the checkpoint, so that a
        resumed run would lack the previous epoch.
        """
        if self.plateau is not None:
            self.plateau.step(float(self.trainer.callback_metrics["val_loss"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the plateau schedule."""
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the plateau schedule until the optimizer exists."""
        self._plateau_before = checkpoint.get("plateau", {})

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimizer and its schedule."""
        optimizer = build_optimizer(self.recipe, self.classifier.network)
        self.plateau = build_plateau(self.recipe, optimizer)
        if self.plateau is not None and self._plateau_before:
            self.plateau.load_state_dict(self._plateau_before)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_schedule(self.recipe, optimizer, steps=steps)
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class Means(nn.Module):
    """Mean loss and accuracy of an epoch over all processes.

    Logging each value in every step with Lightning takes a millisecond per value.
    """

    def __init__(self) -> None:
        super().__init__()
        # NaN must be visible. Without its checks, the metric does not accept weights, so one value
        # per image is passed.
        self.loss = MeanMetric(nan_strategy="disable")
        self.accuracy = MeanMetric(nan_strategy="disable")

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add the images of a step with mean loss ``loss``."""
        self.loss.update(loss.expand(len(labels)))
        self.accuracy.update((logits.argmax(1) == labels).float())

    def taken(self) -> dict[str, Tensor]:
        """Return the means since the last call, by name."""
        means = {}
        for name, metric in (("loss", self.loss), ("accuracy", self.accuracy)):
            means[name] = metric.compute()
            metric.reset()
        return means


def _ranked(logits: Tensor, labels: Tensor, positive: tuple[bool, ...]) -> tuple[Tensor, Tensor]:
    """Return the ranks of the logits scaled to [0, 1], and the labels.

    The logit is that of the positive group, the label 1 for its classes.

    torchmetrics interprets values outside [0, 1] as logits and applies a sigmoid in the same
    precision, which would create ties between confident images. Even in double precision, a sigmoid
    gives 1 from a difference of 37 on; z / (1 + |z|) distinguishes these as well.
    """
    if positive == (False, True):
        margin = (logits[:, 1] - logits[:, 0]).detach()
    else:
        inside = torch.tensor(positive, device=logits.device)
        margin = (logits[:, inside].logsumexp(1) - logits[:, ~inside].logsumexp(1)).detach()
        labels = inside[labels].to(labels.dtype)
    if margin.device.type == "mps":  # which has no double precision
        margin, labels = margin.cpu(), labels.cpu()
    margin = margin.double()
    return (1 + margin / (1 + margin.abs())) / 2, labels


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Return the seed of an epoch in a process."""
    return int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0])
