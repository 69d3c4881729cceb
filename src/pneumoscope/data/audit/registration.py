"""Align two chest X-rays and correlate them after normalising the local contrast.

All frontal chests have lungs, ribs and a heart in the same places, so two healthy people correlate
well. Images of different people differ in their fine structure, so each image is flattened first:
at every point, the local mean is subtracted and the difference divided by the local standard
deviation. This removes the common anatomy, exposure and gamma. Two flattened images are then
aligned at the peak of their cross-correlation over a few scales and rotations, and correlated where
they overlap.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.data.audit.store import SIDE_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_PICTURE: Final = 0.78
"""Minimum correlation of two files that show the same image; measured, see docs/how-to/audit.md."""

_SCALES: Final = (1.0, 0.96, 1.04, 0.92, 1.08)
_TURNS_DEGREES: Final = (-3.0, -1.5, 1.5, 3.0)
_PROMISING = 0.45  # below this, no rotation by a few degrees brings a pair to SAME_PICTURE
_CERTAIN = 0.95  # from this on, no other scale is tried
_BLUR_PX = 4.0
_SHIFT_PX = 14  # an eighth of the width
_LEAST_SPREAD = 2.0  # grey levels: uniform areas stay uniform, without amplified noise


def flatten(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Subtract the local mean and normalise the local contrast, float32 [n, 112, 112]."""
    pixels = images.astype(np.float32)
    detail = pixels - _blurred(pixels)
    spread = np.sqrt(_blurred(detail * detail) + np.float32(_LEAST_SPREAD**2))
    return np.asarray(detail / spread, np.float32)


def best_correlation(still: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
    """Return the correlation of two flattened images in the best alignment, -1 to 1.

    Shifts up to an eighth of the width, scales of 0.92 to 1.08 and rotations of up to 3 degrees are
    tried.
    """
    spectrum = np.conj(np.fft.rfft2(still * _window()))
    best, best_scale = -1.0, 1.0
    for scale in _SCALES:
        found = _aligned(still, spectrum, _moved(moving, scale, 0.0), _margin(scale))
        if found > best:
            best, best_scale = found, scale
        if best >= _CERTAIN:
            return best
    if best < _PROMISING or best >= SAME_PICTURE:
        return best
    turned = (
        _aligned(still, spectrum, _moved(moving, best_scale, turn), _margin(best_scale) + 3)
        for turn in _TURNS_DEGREES
    )
    return max(best, *turned)


def _blurred(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur along both axes with two large matrix products, in one thread."""
    shape, blur = images.shape, _blur()
    for _ in range(2):
        product = images.reshape(-1, SIDE_PX) @ blur
        images = product.reshape(shape).transpose(0, 2, 1)
    return images


def _aligned(
    still: NDArray[np.float32],
    spectrum: NDArray[np.complex64],
    moving: NDArray[np.float32],
    margin: int,
) -> float:
    """Return the correlation over the overlap at the peak of the cross-correlation."""
    crossed = np.fft.irfft2(np.fft.rfft2(moving * _window()) * spectrum, s=still.shape)
    reach = 2 * _SHIFT_PX + 1
    near = np.roll(crossed, (_SHIFT_PX, _SHIFT_PX), (0, 1))[:reach, :reach]
    peak_y, peak_x = divmod(int(near.argmax()), near.shape[1])
    dy, dx = peak_y - _SHIFT_PX, peak_x - _SHIFT_PX
    top, bottom = max(0, -dy) + margin, SIDE_PX - max(0, dy) - margin
    left, right = max(0, -dx) + margin, SIDE_PX - max(0, dx) - margin
    a = still[top:bottom, left:right]
    b = moving[top + dy : bottom + dy, left + dx : right + dx]
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else -1.0


def _moved(flat: NDArray[np.float32], scale: float, turn_degrees: float) -> NDArray[np.float32]:
    if scale == 1.0 and turn_degrees == 0.0:
        return flat
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    angle, half = np.deg2rad(turn_degrees), SIDE_PX / 2
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = (c, -s, half - c * half + s * half, s, c, half - s * half - c * half)
    image = Image.fromarray(flat).transform(
        (SIDE_PX, SIDE_PX), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(image)


def _margin(scale: float) -> int:
    """Return the number of border pixels to ignore for a scale and rotation."""
    return 4 + max(0, round((1 - scale) * SIDE_PX / 2))


@cache
def _blur() -> NDArray[np.float32]:
    """Return the matrix that blurs rows when multiplied from the right; columns sum to 1."""
    places = np.arange(SIDE_PX)
    weights = np.exp(-0.5 * ((places[:, None] - places[None]) / _BLUR_PX) ** 2)
    return np.asarray(weights / weights.sum(axis=0), np.float32)


@cache
def _window() -> NDArray[np.float32]:
    fade = np.hanning(SIDE_PX + 2)[1:-1]
    return np.asarray(np.outer(fade, fade), np.float32)
