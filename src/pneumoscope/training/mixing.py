"""Mixup, CutMix, and images whose lung fields are hidden."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pneumoscope.training.augment import borders, lung_fields


def mix(
    pixels: Float[Tensor, "b 1 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    mixup: float,
    cutmix: float,
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b classes"]]:
    """Mix a batch with a permutation of itself; return images and targets.

    With both, each batch uses one of the two, chosen with equal probability. Mixup (Zhang et al.,
    ICLR 2018) blends all pixels; cutmix (Yun et al., ICCV 2019) pastes a rectangle. Targets that
    are NaN in either of two images stay NaN.

    Args:
        pixels: The images.
        targets: Targets of each class or finding.
        mixup: Parameter of the beta distribution of the share; 0 disables it.
        cutmix: The same for the area of the rectangle.
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


def add_hidden(
    pixels: Float[Tensor, "b 1 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    share: float,
    target: float,
) -> tuple[Float[Tensor, "n 1 h w"], Float[Tensor, "n classes"]]:
    """Add copies of the first images of a batch whose lung fields are hidden.

    Everything but a border is hidden, or two ellipses where the lungs of a frontal radiograph lie,
    in the mean grey of what remains or in another grey. With the same target for all classes, a
    network learns that the surroundings of the lungs are no evidence.

    Args:
        pixels: The images, before augmentation moves the lungs.
        targets: Probabilities of the classes, or targets of the findings.
        share: Number of copies as a share of the batch, at least one; 0 adds none.
        target: Target of each class or finding for the copies; NaN stays NaN.
    """
    if not share:
        return pixels, targets
    count = max(1, round(share * len(pixels)))
    images, height, width = pixels[:count], *pixels.shape[-2:]
    kept = torch.where(
        torch.rand(count, 1, 1, 1) < 0.5,
        borders(count, height, width),
        ~lung_fields(count, height, width),
    ).to(pixels.device)
    mean = (images * kept).sum((1, 2, 3), keepdim=True) / kept.sum((1, 2, 3), keepdim=True)
    drawn = torch.rand(2, count, 1, 1, 1).to(pixels.device)
    grey = torch.where(drawn[0] < 0.7, mean, drawn[1])
    unknown = targets[:count].isnan()
    neutral = torch.full_like(targets[:count], target).masked_fill(unknown, torch.nan)
    return torch.cat((pixels, images.where(kept, grey))), torch.cat((targets, neutral))
