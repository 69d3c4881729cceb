"""The examples of a training step, made from a batch of images."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from pneumoscope.training.augment import augment_with, lung_fields
from pneumoscope.training.mixing import add_hidden, mix
from pneumoscope.training.parts import LearningRecipe

_REGION_PX = 64


class Examples(NamedTuple):
    """The examples of a step; the first images are those of the batch, in order.

    Attributes:
        pixels: The augmented images, [n, 1, h, w].
        targets: Their targets, [n, classes].
        outside: The share of each position that is outside the lung fields, [n, 1, y, x]; None if
            the recipe does not use it.
    """

    pixels: Tensor
    targets: Tensor
    outside: Tensor | None


def examples(
    pixels: Float[Tensor, "b 1 h w"],
    targets: Float[Tensor, "b classes"],
    learning: LearningRecipe,
    *,
    neutral: float,
) -> Examples:
    """Return augmented images and their targets.

    Args:
        pixels: The images, in [0, 1].
        targets: Probabilities of the classes, or targets of the findings; NaN for missing labels.
        learning: The recipe, with augmentation, mixing, hidden lungs and focus.
        neutral: Target of each class or finding for images with hidden lungs.
    """
    images, targets = add_hidden(pixels, targets, share=learning.hidden, target=neutral)
    fields = None
    if learning.focus:
        field = lung_fields(1, _REGION_PX, _REGION_PX, vary=False).float().to(images.device)
        fields = field.expand(len(images), -1, -1, -1)
    images, fields = augment_with(images, fields, learning.augmentation)
    images, targets = mix(images, targets, mixup=learning.mixup, cutmix=learning.cutmix)
    return Examples(images, targets, None if fields is None else 1 - fields)
