"""Mixup and CutMix."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def mix(
    pixels: Float[Tensor, "b 1 h w"],
    labels: Int64[Tensor, " b"],
    *,
    mixup: float,
    cutmix: float,
    classes: int = 2,
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b classes"]]:
    """Mix a batch with a permutation of itself; return images and class probabilities.

    With both, each batch uses one of the two, chosen with equal probability. Mixup (Zhang et al.,
    ICLR 2018) blends all pixels; cutmix (Yun et al., ICCV 2019) pastes a rectangle.

    Args:
        pixels: The images.
        labels: The number of each image's class, from 0.
        mixup: Parameter of the beta distribution of the share; 0 disables it.
        cutmix: The same for the area of the rectangle.
        classes: Number of classes.
    """
    targets = F.one_hot(labels, classes).float()
    return mix_targets(pixels, targets, mixup=mixup, cutmix=cutmix)


def mix_targets(
    pixels: Float[Tensor, "b 1 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    mixup: float,
    cutmix: float,
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b classes"]]:
    """Mix a batch as ``mix`` does; targets that are NaN in either of two images stay NaN.

    Args:
        pixels: The images.
        targets: Targets of each class or finding.
        mixup: As for ``mix``.
        cutmix: As for ``mix``.
    """
    ways = [(name, alpha) for name, alpha in (("up", mixup), ("cut", cutmix)) if alpha]
    if not ways:
        return pixels, targets
    way, alpha = ways[int(torch.randint(len(ways), ()))]
    seed = int(torch.randint(2**62, ()))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    order = torch.randperm(len(pixels)).to(pixels.device)
    if way == "up":
        mixed = torch.lerp(pixels[order], pixels, share)
    else:
        mixed, share = _pasted(pixels, pixels[order], share)
    return mixed, torch.lerp(targets[order], targets, share)


def _pasted(
    pixels: Float[Tensor, "b 1 h w"], others: Float[Tensor, "b 1 h w"], share: float
) -> tuple[Tensor, float]:
    """Return the images with a rectangle of others pasted in, and the remaining share."""
    height, width = pixels.shape[-2:]
    tall, wide = (round(side * math.sqrt(1 - share)) for side in (height, width))
    y = int(torch.randint(height - tall + 1, ()))
    x = int(torch.randint(width - wide + 1, ()))
    pasted = pixels.clone()
    window = (..., slice(y, y + tall), slice(x, x + wide))
    pasted[window] = others[window]
    return pasted, 1 - tall * wide / (height * width)
