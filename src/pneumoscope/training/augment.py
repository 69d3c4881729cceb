"""Random changes to whole batches of training images, on the device where they are."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from pneumoscope.training.recipe import Augmentation


def to_unit(pixels: UInt8[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return grey pixels as float32 in [0, 1]."""
    return pixels.float().div_(255)


def augment(
    pixels: Float[Tensor, "b 1 h w"], augmentation: Augmentation
) -> Float[Tensor, "b 1 h w"]:
    """Return the images, each rotated, scaled, shifted and flipped by its own random amounts.

    One bilinear resampling does all of it; what comes in from outside repeats the nearest edge.
    The amounts come from torch's generator of the CPU, whatever the device of the images.
    """
    if augmentation == Augmentation():
        return pixels
    count, _, height, width = pixels.shape
    affine = _affine(count, augmentation, aspect=width / height).to(pixels.device)
    grid = _grid(affine, height, width)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _grid(
    affine: Float[Tensor, "n 2 3"], height: int, width: int
) -> Float[Tensor, "n {height} {width} 2"]:
    """Return where each output pixel looks in the input, as ``F.affine_grid`` does.

    A sum of a row and a column instead of a matrix product a pixel: an eighth of the time, and
    float32 also under autocast, where bfloat16 coordinates would be coarser than a pixel is wide.
    """
    columns = (torch.arange(width, device=affine.device) * 2 + 1) / width - 1
    rows = (torch.arange(height, device=affine.device) * 2 + 1) / height - 1
    along_width = affine[:, :, 0, None] * columns
    along_height = affine[:, :, 1, None] * rows + affine[:, :, 2, None]
    grid = affine.new_empty((len(affine), height, width, 2))
    for axis in (0, 1):
        torch.add(
            along_width[:, axis, None, :], along_height[:, axis, :, None], out=grid[..., axis]
        )
    return grid


def _affine(count: int, augmentation: Augmentation, *, aspect: float) -> Float[Tensor, "n 2 3"]:
    """Return the maps from output to input coordinates, both in [-1, 1] along each axis."""
    angle, zoom_x, zoom_y, shift_x, shift_y, side = torch.rand(6, count).mul_(2).sub_(1)
    angle = angle * math.radians(augmentation.rotation_degrees)
    scale_x = 1 + zoom_x * augmentation.zoom
    scale_y = 1 + zoom_y * augmentation.zoom
    if augmentation.flip:
        scale_x = torch.where(side < 0, -scale_x, scale_x)
    cosine, sine = angle.cos(), angle.sin()
    # A rotation in pixels is one in these coordinates only where the image is square.
    return torch.stack(
        (
            torch.stack(
                (scale_x * cosine, -scale_x * sine / aspect, 2 * shift_x * augmentation.shift), -1
            ),
            torch.stack(
                (scale_y * sine * aspect, scale_y * cosine, 2 * shift_y * augmentation.shift), -1
            ),
        ),
        1,
    )
