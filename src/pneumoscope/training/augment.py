"""Augmentation of whole batches on their device."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from pneumoscope.training.augmentation import Augmentation


def augment(
    pixels: Float[Tensor, "b 1 h w"], augmentation: Augmentation
) -> Float[Tensor, "b 1 h w"]:
    """Return the images, each augmented with its own random amounts; see ``augment_with``."""
    return augment_with(pixels, None, augmentation)[0]


def augment_with(
    pixels: Float[Tensor, "b 1 h w"],
    regions: Float[Tensor, "b 1 y x"] | None,
    augmentation: Augmentation,
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 y x"] | None]:
    """Return the images, each augmented with its own random amounts, and their regions.

    Borders are swapped and intensities changed first; then all geometric changes are applied in one
    bilinear resampling, with edge values repeated outside the image; then regions are painted over.
    The amounts are drawn from torch's CPU generator, regardless of the device of the images.

    Args:
        pixels: The images.
        regions: Maps of the images, of any size, that are moved like them; 0 outside the image.
        augmentation: The settings.
    """
    changed = photometric(swap_borders(pixels, augmentation.swap_border), augmentation)
    if augmentation.moves:
        count, _, height, width = pixels.shape
        affine = _affine(count, augmentation, aspect=width / height).to(pixels.device)
        grid = _grid(affine, height, width)
        changed = F.grid_sample(
            changed, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        if regions is not None:
            grid = _grid(affine, *regions.shape[-2:])
            regions = F.grid_sample(regions, grid, padding_mode="zeros", align_corners=False)
    return erase(changed, augmentation), regions


def _grid(
    affine: Float[Tensor, "n 2 3"], height: int, width: int
) -> Float[Tensor, "n {height} {width} 2"]:
    """Return the sampling grid, like ``F.affine_grid``.

    Computed as a sum of a row and a column instead of a matrix product per pixel, in an eighth of
    the time, and in float32 even with autocast, since bfloat16 coordinates would be coarser than a
    pixel.
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
    """Return the maps from output to input coordinates, in [-1, 1] along each axis."""
    angle, zoom_x, zoom_y, shift_x, shift_y, side = torch.rand(6, count).mul_(2).sub_(1)
    angle = angle * math.radians(augmentation.rotation_degrees)
    scale_x = 1 + zoom_x * augmentation.zoom
    scale_y = 1 + zoom_y * augmentation.zoom
    centre_x = 2 * shift_x * augmentation.shift
    centre_y = 2 * shift_y * augmentation.shift
    if (augmentation.crop, augmentation.crop_stretch) != (1, 1):
        area, stretch, left, top = torch.rand(4, count)
        root = (augmentation.crop + (1 - augmentation.crop) * area).sqrt()
        stretch = ((stretch * 2 - 1) * math.log(augmentation.crop_stretch) / 2).exp()
        crop_x, crop_y = (root * stretch).clamp(max=1), (root / stretch).clamp(max=1)
        scale_x, scale_y = scale_x * crop_x, scale_y * crop_y
        centre_x = centre_x + (left * 2 - 1) * (1 - crop_x)
        centre_y = centre_y + (top * 2 - 1) * (1 - crop_y)
    if augmentation.flip:
        scale_x = torch.where(side < 0, -scale_x, scale_x)
    cosine, sine = angle.cos(), angle.sin()
    shear = torch.zeros(count)
    if augmentation.shear_degrees:
        shear = (torch.rand(count) * 2 - 1) * math.tan(math.radians(augmentation.shear_degrees))
    # A rotation in pixels is a rotation in these coordinates only if the image is square.
    return torch.stack(
        (
            torch.stack(
                (
                    scale_x * cosine,
                    scale_x * (shear * cosine - sine) / aspect,
                    centre_x,
                ),
                -1,
            ),
            torch.stack(
                (
                    scale_y * sine * aspect,
                    scale_y * (cosine + shear * sine),
                    centre_y,
                ),
                -1,
            ),
        ),
        1,
    )


def photometric(
    pixels: Float[Tensor, "b 1 h w"], augmentation: Augmentation
) -> Float[Tensor, "b 1 h w"]:
    """Apply random brightness, contrast, gamma, blur and noise to each image.

    This imitates other exposures, processing and detectors; the anatomy is not moved.
    """
    count = len(pixels)
    changed = pixels

    def amounts(largest: float) -> Tensor:
        return ((torch.rand(count, 1, 1, 1) * 2 - 1) * largest).to(pixels.device)

    if augmentation.blur_px:
        changed = _blurred(changed, augmentation.blur_px)
    if augmentation.contrast or augmentation.brightness:
        factor = 1 + amounts(augmentation.contrast)
        mean = changed.mean((1, 2, 3), keepdim=True)
        offset = mean * (1 - factor) + amounts(augmentation.brightness)
        changed = torch.addcmul(offset, changed, factor).clamp_(0, 1)
    if augmentation.gamma:
        exponent = (amounts(1.0) * math.log1p(augmentation.gamma)).exp()
        changed = changed.pow(exponent)
    if augmentation.noise:
        changed = _noisy(changed, augmentation.noise)
    return changed


def _blurred(pixels: Float[Tensor, "b 1 h w"], largest_px: float) -> Float[Tensor, "b 1 h w"]:
    """Apply a Gaussian blur of individual width to each image, rows then columns."""
    count = len(pixels)
    reach = math.ceil(2 * largest_px)
    sigma = (torch.rand(count, 1) * largest_px).clamp_(min=0.05)
    kernel = torch.softmax(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2), 1)
    kernel = kernel.to(pixels.device)
    images = F.pad(pixels, (reach,) * 4, mode="replicate").transpose(0, 1)
    with torch.autocast(pixels.device.type, enabled=False):
        rows = F.conv2d(images, kernel[:, None, :, None], groups=count)
        both = F.conv2d(rows, kernel[:, None, None, :], groups=count)
    return both.transpose(0, 1)


def _noisy(pixels: Float[Tensor, "b 1 h w"], largest: float) -> Float[Tensor, "b 1 h w"]:
    """Add Gaussian noise of individual strength to each image.

    One field of the size of four images is drawn, and each image uses a section of it from a random
    start, since drawing every value would take longer than all other changes together.
    """
    count, _, height, width = pixels.shape
    field = torch.randn(4 * height * width).to(pixels.device)
    starts = torch.randint(3 * height * width, (count,)).tolist()
    strengths = ((torch.rand(count) * 2 - 1) * largest).tolist()
    noisy = torch.empty_like(pixels, memory_format=torch.contiguous_format)
    for image, start, strength, out in zip(pixels, starts, strengths, noisy, strict=True):
        stretch = field[start : start + height * width].view(1, height, width)
        torch.add(image, stretch, alpha=strength, out=out)
    return noisy.clamp_(0, 1)


def erase(pixels: Float[Tensor, "b 1 h w"], augmentation: Augmentation) -> Float[Tensor, "b 1 h w"]:
    """Paint a rectangle, an edge or a corner of some images in one grey level."""
    if not (augmentation.erase or augmentation.erase_border):
        return pixels
    count, _, height, width = pixels.shape
    drawn = torch.rand(9, count)
    shade = (drawn[8] * 255).round() / 255
    changed = pixels.clone()
    for number in torch.nonzero(drawn[0] < augmentation.erase).flatten().tolist():
        area, stretch, left, top = drawn[1:5, number].tolist()
        root, ratio = math.sqrt(0.02 + 0.18 * area), math.exp((stretch * 2 - 1) * math.log(2))
        tall = min(height, round(height * root * ratio))
        wide = min(width, round(width * root / ratio))
        y, x = round(top * (height - tall)), round(left * (width - wide))
        changed[number, :, y : y + tall, x : x + wide] = shade[number]
    for number in torch.nonzero(drawn[5] < augmentation.erase_border).flatten().tolist():
        depth, where = drawn[6:8, number].tolist()
        tall = round(height * (0.03 + 0.12 * depth))
        wide = round(width * (0.03 + 0.12 * depth))
        rows = (slice(tall), slice(height - tall, None), slice(None))
        columns = (slice(wide), slice(width - wide, None), slice(None))
        row, column = _PLACES[int(where * len(_PLACES))]
        changed[number, :, rows[row], columns[column]] = shade[number]
    return changed


# Rows and columns: 0 for the first band, 1 for the last one, 2 for all of them.
_PLACES = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2), (2, 0), (2, 1))


def swap_borders(pixels: Float[Tensor, "b 1 h w"], share: float) -> Float[Tensor, "b 1 h w"]:
    """Give a share of the images the border of another image of the batch.

    Args:
        pixels: The images.
        share: Probability for each image.
    """
    if not share:
        return pixels
    count, _, height, width = pixels.shape
    swapped = torch.rand(count, 1, 1, 1) < share
    others = torch.randperm(count).to(pixels.device)
    taken = (swapped & borders(count, height, width)).to(pixels.device)
    return torch.where(taken, pixels[others], pixels)


def lung_fields(
    count: int, height: int, width: int, *, vary: bool = True
) -> Bool[Tensor, "{count} 1 {height} {width}"]:
    """Return masks of two upright ellipses, about where lungs lie in a frontal radiograph.

    Args:
        count: Number of masks.
        height: Rows of the image.
        width: Columns of the image.
        vary: Whether position and size are random.
    """
    rows = torch.linspace(-1, 1, height).view(height, 1)
    columns = torch.linspace(-1, 1, width).view(1, width)
    moved = torch.rand(4, count, 1, 1, 1) * 2 - 1 if vary else torch.zeros(4, count, 1, 1, 1)
    across = (columns.abs() - 0.42 - 0.06 * moved[0]) / (0.42 + 0.08 * moved[1])
    along = (rows + 0.05 + 0.1 * moved[2]) / (0.85 + 0.15 * moved[3])
    masks: Tensor = across**2 + along**2 < 1
    return masks


def borders(count: int, height: int, width: int) -> Bool[Tensor, "{count} 1 {height} {width}"]:
    """Return masks of borders: bands of random depth, 5 to 22 % of the side, along all edges."""
    depth = 0.05 + 0.175 * torch.rand(4, count, 1, 1, 1)
    rows = (torch.arange(height) + 0.5).view(height, 1) / height
    columns = (torch.arange(width) + 0.5).view(1, width) / width
    above, below, left, right = depth
    masks: Tensor = (rows < above) | (rows > 1 - below) | (columns < left) | (columns > 1 - right)
    return masks
