"""Optimizers, layer-wise learning rates and schedules."""

from __future__ import annotations

import math
from typing import Any, assert_never

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from pneumoscope.models.network import Network
from pneumoscope.training.recipe import Recipe


def build_optimizer(recipe: Recipe, network: Network) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over all parameters of a network.

    The head has the recipe's learning rate, each layer before it ``layer_decay`` times the rate of
    the next. The weight decay is not applied to biases and the scales of norms, since decreasing
    them does not simplify the function.
    """
    groups = _groups(recipe, network)
    rate = recipe.learning.learning_rate
    # In mixed precision, a fused step would rescale the gradients after they were clipped.
    fused = not recipe.learning.clip
    match recipe.learning.optimizer:
        case "adam":
            return torch.optim.Adam(groups, rate, fused=fused)
        case "adamw":
            return torch.optim.AdamW(groups, rate, fused=fused)
        case "adamax":
            return torch.optim.Adamax(groups, rate)
        case "adagrad":
            return torch.optim.Adagrad(groups, rate)
        case "sgd":
            return torch.optim.SGD(groups, rate, momentum=0.9)
        case other:
            assert_never(other)


def build_schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, *, steps: int
) -> LambdaLR | None:
    """Return the schedule of the learning rates by step; None if constant.

    For changes after an epoch, see ``build_plateau``.

    Args:
        recipe: The recipe.
        optimizer: The optimizer.
        steps: Number of optimizer steps in the whole training.
    """
    learning = recipe.learning
    if learning.schedule != "cosine" and not learning.warmup_epochs:
        return None
    rising = round(steps * min(1.0, learning.warmup_epochs / learning.max_epochs))
    if learning.schedule == "plateau":
        return _Warmup(optimizer, rising) if rising else None

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if learning.schedule == "constant":
            return 1.0
        along = min(1.0, (step - rising) / max(1, steps - rising))
        return (1 + math.cos(math.pi * along)) / 2

    return LambdaLR(optimizer, factor)


class _Warmup(LambdaLR):
    """A linear warm-up, after which other schedules set the rates."""

    def __init__(self, optimizer: torch.optim.Optimizer, rising: int) -> None:
        self._rising = rising
        super().__init__(optimizer, lambda step: min(1.0, (step + 1) / rising))

    def step(self, epoch: int | None = None) -> None:
        """Advance by one step during the warm-up."""
        if self.last_epoch < self._rising:
            super().step(epoch)


def build_plateau(recipe: Recipe, optimizer: torch.optim.Optimizer) -> ReduceLROnPlateau | None:
    """Return the schedule that reduces the rates on a plateau; None if not used.

    ``step(val_loss)`` is called after each epoch. After ``plateau_patience`` epochs without a new
    minimum of the loss, all rates are multiplied by ``plateau_factor``. The minimum rates of
    earlier layers are lower than ``plateau_minimum`` by the same factor as their rates.
    """
    learning = recipe.learning
    if learning.schedule != "plateau":
        return None
    return ReduceLROnPlateau(
        optimizer,
        factor=learning.plateau_factor,
        patience=learning.plateau_patience - 1,  # torch waits for one more epoch
        threshold=0.0,
        min_lr=[
            learning.plateau_minimum * group["lr"] / learning.learning_rate
            for group in optimizer.param_groups
        ],
        eps=0.0,
    )


def _groups(recipe: Recipe, network: Network) -> list[dict[str, Any]]:
    depths = network.parameter_groups()
    groups: list[dict[str, Any]] = []
    for number, weights in enumerate(depths):
        rate = recipe.learning.learning_rate * recipe.learning.layer_decay ** (
            len(depths) - 1 - number
        )
        decayed = [weight for weight in weights if weight.ndim > 1]
        others = [weight for weight in weights if weight.ndim <= 1]
        for members, decay in ((decayed, recipe.learning.weight_decay), (others, 0.0)):
            if members:
                groups.append({"params": members, "lr": rate, "weight_decay": decay})
    if recipe.learning.layer_decay == 1:
        return _merged(groups)
    return groups


def _merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge equal parameter groups, since each costs a separate step."""
    kinds: dict[float, dict[str, Any]] = {}
    for group in groups:
        kind = kinds.setdefault(group["weight_decay"], {**group, "params": []})
        kind["params"] += group["params"]
    return list(kinds.values())
