"""Find images that do not look like upright frontal chest X-rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pneumoscope.data.audit.measures import TINY_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.audit.measures import Measured

Kind = Literal["blank", "colour", "document", "inverted", "turned", "unlike"]

ENOUGH: Final = 30
"""Minimum number of images whose mean serves as a template of a chest."""

# Measured on the 5,232 public paediatric radiographs, where none of these limits caused a false
# alarm: their contrast is at least 20, their most frequent level covers at most 30 %, white at most
# 8 %, their correlation with the mean image is at least 0.24, and for none it increases by 0.08 if
# rotated.
_BLANK_CONTRAST, _BLANK_SHARE = 6.0, 0.9
_COLOUR_LEVELS = 12.0
_PAPER_SHARE = 0.45
_INVERTED = -0.3
_UNLIKE = 0.18
_TURN_MARGIN, _TURN_FIT = 0.12, 0.35


@dataclass(frozen=True, slots=True)
class Odd:
    """An image that looks wrong.

    Attributes:
        row: Row of the image.
        kind: Kind of oddity.
        why: The measurement that shows it.
    """

    row: int
    kind: Kind
    why: str


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Return whether an image has almost no contrast, or is almost entirely one grey level."""
    return _is_blank(float(pixels.std()), float(np.bincount(pixels.ravel()).max()) / pixels.size)


def _is_blank(contrast: float, common: float) -> bool:
    return contrast < _BLANK_CONTRAST or common > _BLANK_SHARE


def odd_images(measured: Measured) -> list[Odd]:
    """Return the odd images in order, each with its most important problem.

    Blank, coloured and paper-white images are recognised individually. Inverted and rotated images,
    and images unlike all others, are recognised by their correlation with the mean image of the
    data at 16x16 pixels; this needs 30 images.
    """
    found: list[Odd] = []
    fits = _fits(measured.tiny) if len(measured) >= ENOUGH else None
    for row in range(len(measured)):
        odd = _alone(measured, row)
        if odd is None and fits is not None:
            odd = _among_others(fits[row], row)
        if odd is not None:
            found.append(odd)
    return found


def _alone(measured: Measured, row: int) -> Odd | None:
    contrast, common = float(measured.contrast[row]), float(measured.common[row])
    colour, white = float(measured.colour[row]), float(measured.white[row])
    if _is_blank(contrast, common):
        return Odd(row, "blank", f"{common:.0%} of its pixels are one grey level")
    if colour > _COLOUR_LEVELS:
        return Odd(row, "colour", f"its colour channels differ by {colour:.0f} levels on average")
    if white > _PAPER_SHARE:
        return Odd(row, "document", f"{white:.0%} of its pixels are white")
    return None


def _among_others(fits: NDArray[np.float32], row: int) -> Odd | None:
    upright, *turns = (float(value) for value in fits)
    best = int(np.argmax(turns))
    if upright < _INVERTED and -upright > turns[best]:
        return Odd(row, "inverted", f"its correlation with the mean image is {upright:.2f}")
    if turns[best] > _TURN_FIT and turns[best] - upright > _TURN_MARGIN:
        degrees = (90, 180, 270)[best]
        return Odd(
            row,
            "turned",
            f"rotated by {degrees} degrees, it fits the mean image better ({turns[best]:.2f} "
            f"against {upright:.2f})",
        )
    if upright < _UNLIKE:
        return Odd(row, "unlike", f"its correlation with the mean image is only {upright:.2f}")
    return None


def _fits(tiny: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the correlations with the mean image, upright and rotated, [n, 4]."""
    n = len(tiny)
    flat = tiny.reshape(n, -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1e-6)
    mean = _standard(flat.mean(axis=0))
    for _ in range(2):  # without outliers
        fits = flat @ mean / flat.shape[1] > 0.3
        if fits.any():
            mean = _standard(flat[fits].mean(axis=0))
    square = mean.reshape(TINY_PX, TINY_PX)
    # An image rotated by k quarter turns correlates with the mean rotated in the same way.
    turned = np.stack([np.rot90(square, k).ravel() for k in range(4)], axis=1)
    return np.asarray(flat @ turned / flat.shape[1], np.float32)


def _standard(image: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = image - image.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-6), np.float32)
