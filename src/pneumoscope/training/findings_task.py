"""The Lightning module for several findings per image: sigmoid outputs and a masked loss."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from pneumoscope.models.registry import Classifier, to_unit
from pneumoscope.stats.roc import area_under_roc
from pneumoscope.training.datamodule import Batch
from pneumoscope.training.examples import examples
from pneumoscope.training.recipe import Recipe
from pneumoscope.training.task import ClassificationTask, Means


def masked_loss(
    logits: Float[Tensor, "b findings"],
    targets: Float[Tensor, "b findings"],
    *,
    positive_weights: Tensor | None = None,
    negative_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the mean binary cross-entropy of labelled findings in nats, and their number.

    Without any label the loss is 0, with a gradient of 0.

    Args:
        logits: Logits of each finding.
        targets: Targets from 0 to 1; NaN for missing labels.
        positive_weights: Weight of a positive label of each finding in the loss, [findings]; 1 if
            None.
        negative_weights: The same for a negative label.
    """
    known = ~targets.isnan()
    sought = targets.where(known, 0)
    loss = F.binary_cross_entropy_with_logits(logits, sought, reduction="none")
    weights = known.to(loss.dtype)
    if positive_weights is not None and negative_weights is not None:
        own = sought * positive_weights + (1 - sought) * negative_weights
        weights = weights * own.to(loss.dtype)
    total = weights.sum()
    # Divided by the sum of weights, like the mean of cross_entropy with class weights.
    return (loss * weights).sum() / total.clamp_min(1e-12), known.sum()


class MacroArea(Metric):
    """The mean area under the ROC curve of findings, each over its labelled images.

    Findings without labels of both kinds are ignored; NaN if none remain.
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("logits", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")
        self.logits: list[Tensor] | Tensor
        self.targets: list[Tensor] | Tensor

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add images, logits and labels [b, findings] each."""
        assert isinstance(self.logits, list)  # noqa: S101 - before they are collected
        assert isinstance(self.targets, list)  # noqa: S101
        self.logits.append(logits.detach().float())
        self.targets.append(targets)

    def compute(self) -> Tensor:
        """Return the mean area."""
        scores, known = (
            dim_zero_cat(values).cpu().numpy() for values in (self.logits, self.targets)
        )
        areas = []
        for place in range(scores.shape[1]):
            own = ~np.isnan(known[:, place])
            areas.append(area_under_roc(known[own, place].astype(np.int64), scores[own, place]))
        there = [area for area in areas if area is not None]
        return torch.tensor(sum(there) / len(there) if there else float("nan"))


class FindingsTask(ClassificationTask):
    """Trains a classifier of several findings with masked binary cross-entropy.

    Logs the same values as ``ClassificationTask``: ``accuracy`` is the share of correct labels at a
    threshold of 0.5, ``val_auc`` the mean area over the findings.

    Args:
        classifier: The network to train.
        recipe: The recipe.
        weights: (positive, negative) weights of a label of each finding in the loss, [findings]
            each; 1 if None.
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        *,
        weights: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    ) -> None:
        super().__init__(classifier, recipe)
        self.weights = weights
        self.areas = MacroArea()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        learning = self.recipe.learning
        pixels, labels = batch
        given = examples(to_unit(pixels), labels, learning, neutral=0.5)
        targets = given.targets
        if learning.label_smoothing:
            targets = targets.lerp(torch.full_like(targets, 0.5), learning.label_smoothing)
        # The loss uses the raw output of the network; the correction for the prior is applied
        # later.
        logits, outside = self._answers(given)
        positive, negative = (
            (None, None) if self.weights is None else map(logits.new_tensor, self.weights)
        )
        loss, known = masked_loss(
            logits, targets, positive_weights=positive, negative_weights=negative
        )
        _add(self.learnt, loss.detach(), known, logits[: len(labels)], labels)
        return loss + outside

    def validation_step(self, batch: Batch, _: int) -> None:
        """Record loss, accuracy and scores of a batch."""
        pixels, labels = batch
        logits = self.classifier(to_unit(pixels)).float()
        self.areas.update(logits, labels)
        loss, known = masked_loss(logits, labels)
        _add(self.val_means, loss, known, logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log the means of the epoch, and the mean area under the ROC curves."""
        self.log_dict(self.learnt.taken())
        self.log_dict({f"val_{name}": mean for name, mean in self.val_means.taken().items()})
        self.log("val_auc", self.areas.compute())
        self.areas.reset()


def _add(means: Means, loss: Tensor, known: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add the labelled findings of a step."""
    if not known:
        return
    there = ~labels.isnan()
    means.loss.update(loss.expand(int(known)))
    means.accuracy.update(((logits >= 0) == (labels >= 0.5))[there].float())


def findings_task(
    classifier: Classifier, recipe: Recipe, shares: tuple[float, ...]
) -> FindingsTask:
    """Return the training task, with the balance of labels set by the recipe.

    With ``weights``, both labels of each finding have the same total weight, and the logits are
    corrected afterwards.

    Args:
        classifier: The network, with one logit per finding.
        recipe: The recipe.
        shares: Share of labelled training images with each finding.
    """
    if recipe.data.balance == "none":
        return FindingsTask(classifier, recipe)
    share = torch.tensor(shares)
    classifier.logit_offset.copy_(share.log() - (-share).log1p())
    weights = tuple(1 / (2 * own) for own in shares), tuple(1 / (2 - 2 * own) for own in shares)
    return FindingsTask(classifier, recipe, weights=weights)
