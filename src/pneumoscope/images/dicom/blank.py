"""Regions of a DICOM image without anatomy: padding, shutters, outside the collimator.

Source: DICOM PS3.3, C.7.5.1.1.2 (pixel padding), C.7.6.11 (display shutter), C.8.7.3 (collimator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.images.dicom.elements import numbers_of, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_LEAST_VISIBLE = 0.1
"""A shutter that leaves a smaller share of the image is ignored."""

# Lossy compression spreads padding over a few grey levels of 256, and over more next to edges. It
# is still much more uniform than tissue or air, whose noise is preserved by compression for
# diagnostic use.
_LOSSY_LEVELS = 3
_EVEN_LEVELS = 1
_EVEN_SHARE = 0.9
_LEAST_PADDED = 0.005  # share of the image: a smaller uniform area may be chance


@dataclass(frozen=True, slots=True, eq=False)
class Blank:
    """A mask of pixels that are not part of the image.

    Attributes:
        mask: Mask of these pixels, [rows, columns]; None if there are none.
        padding: The padding values that were found; empty if none.
        shutter: The shutter or collimator that was applied; empty if none.
        notes: Ignored elements, with reasons.
    """

    mask: NDArray[np.bool_] | None = None
    padding: str = ""
    shutter: str = ""
    notes: tuple[str, ...] = ()


def may_be_blank(dataset: Dataset) -> bool:
    """Return whether the header declares padding, a shutter or a collimator."""
    keywords = ("PixelPaddingValue", "ShutterShape", "CollimatorShape")
    return any(keyword in dataset for keyword in keywords)


def blank_of(
    dataset: Dataset, pixels: NDArray[Any], *, bits: int | None = None, lossy: bool = False
) -> Blank:
    """Return the mask of stored values that show no anatomy.

    Pixels with the padding value only count if they are connected to the edge of the image: inside,
    the same value may be bone. Colours are padding if all three components have the value.

    Args:
        dataset: The header.
        pixels: Stored values [rows, columns] or RGB [rows, columns, 3], with their sign.
        bits: The depth of unsigned values, if known.
        lossy: Whether compression changed the values: a uniform area at the edge is then padding as
            well, if its values are near the padding value.
    """
    masks = []
    notes: list[str] = []
    padding = ""
    limits = _padding_limits(dataset, pixels.dtype, bits)
    if limits is not None:
        found, near = _padded(pixels, limits, bits=bits, lossy=lossy)
        if found.all():
            notes.append("all pixels have the padding value, which is therefore ignored")
        elif found.any():
            masks.append(found)
            padding = " to ".join(str(value) for value in dict.fromkeys(limits)) + near
    shutters = []
    for field in ("Shutter", "Collimator"):
        shapes = {shape.upper() for shape in texts_of(dataset, f"{field}Shape")}
        for shape in ("RECTANGULAR", "CIRCULAR", "POLYGONAL"):
            if shape not in shapes:
                continue
            outside = _outside(dataset, field, shape, pixels.shape[:2])
            words = f"{shape.lower()} {field.lower()}"
            if outside is None or 1 - outside.mean() < _LEAST_VISIBLE:
                notes.append(f"the {words} is not applied: its values are invalid")
            elif field == "Collimator" and not _is_border(pixels, outside):
                notes.append(f"the {words} is not applied: the image continues outside it")
            elif outside.any():
                masks.append(outside)
                shutters.append(words)
    mask = np.logical_or.reduce(masks) if masks else None
    return Blank(mask, padding, ", ".join(shutters), tuple(notes))


def _padding_limits(
    dataset: Dataset, kind: np.dtype[Any], bits: int | None
) -> tuple[int, int] | None:
    values = [
        number
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        for number in numbers_of(dataset, keyword)[:1]
        if number is not None
    ]
    if not values or "PixelPaddingValue" not in dataset:
        return None
    wrapped = [_with_sign(int(value), kind) for value in values]
    if kind.kind == "u" and bits is not None:  # 65535 may also mean "all bits"
        wrapped = [value & (2**bits - 1) for value in wrapped]
    return min(wrapped), max(wrapped)


def _padded(
    pixels: NDArray[Any], limits: tuple[int, int], *, bits: int | None, lossy: bool
) -> tuple[NDArray[np.bool_], str]:
    """Return the mask of padding pixels, and a description of the tolerance."""

    def within(low: int, high: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (pixels >= low) & (pixels <= high)
        if found.ndim == 3:
            found = np.logical_and.reduce(found, axis=2)
        return _reaching_the_edge(found)

    exact = within(*limits)
    if not lossy:
        return exact, ""
    level = max(1, 2 ** ((bits or 8 * pixels.dtype.itemsize) - 8))
    near = within(limits[0] - _LOSSY_LEVELS * level, limits[1] + _LOSSY_LEVELS * level)
    if near.mean() < _LEAST_PADDED or near.sum() == exact.sum():
        return exact, ""
    values = pixels[near].astype(np.int64)
    even = np.abs(values - np.median(values, axis=0)) <= _EVEN_LEVELS * level
    if even.mean() < _EVEN_SHARE:
        return exact, ""
    return near, f", {_LOSSY_LEVELS * level} more or less"


def _with_sign(value: int, kind: np.dtype[Any]) -> int:
    """Return a padding value with the signedness of the pixels, which writers often confuse."""
    if kind.kind == "i":
        return value - 2**16 if value >= 2**15 else value
    return value + 2**16 if value < 0 else value


def _reaching_the_edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the part of a mask that reaches an edge along its row or column."""
    along = np.logical_and.accumulate
    found = along(mask, axis=1)
    found |= along(mask[:, ::-1], axis=1)[:, ::-1]
    found |= along(mask, axis=0)
    found |= along(mask[::-1], axis=0)[::-1]
    return np.asarray(found, np.bool_)


def _is_border(pixels: NDArray[Any], outside: NDArray[np.bool_]) -> bool:
    """Return whether an area is more uniform than the rest, as behind a collimator."""
    if not outside.any():
        return True
    step = max(1, min(pixels.shape[:2]) // 256)
    few, mask = pixels[::step, ::step].astype(np.float32), outside[::step, ::step]
    if few.ndim == 3:
        few = few.mean(axis=2)
    if not mask.any() or mask.all():
        return True
    return bool(few[mask].std() <= few[~mask].std() / 2)


def _outside(
    dataset: Dataset, field: str, shape: str, size: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return the mask outside a shape, None if its values are missing or invalid.

    Rows and columns in the header are numbered from 1.
    """
    height, width = size
    rows, columns = np.ogrid[1 : height + 1, 1 : width + 1]
    if shape == "RECTANGULAR":
        edges = [
            numbers_of(dataset, f"{field}{edge}Edge")
            for edge in ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
        ]
        if any(len(edge) != 1 or edge[0] is None for edge in edges):
            return None
        left, right, upper, lower = (edge[0] for edge in edges)
        return np.asarray((columns < left) | (columns > right) | (rows < upper) | (rows > lower))
    if shape == "CIRCULAR":
        center = numbers_of(dataset, f"CenterOfCircular{field}")
        radius = numbers_of(dataset, f"RadiusOfCircular{field}")
        if len(center) != 2 or None in center or len(radius) != 1 or not radius[0]:
            return None
        row, column = float(center[0] or 0), float(center[1] or 0)
        return np.asarray((rows - row) ** 2 + (columns - column) ** 2 > float(radius[0]) ** 2)
    vertices = numbers_of(dataset, f"VerticesOfThePolygonal{field}")
    if len(vertices) < 6 or len(vertices) % 2 or None in vertices:
        return None
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only for polygons

    inside = Image.new("1", (width, height))
    numbers = [float(number or 0) - 1 for number in vertices]
    ImageDraw.Draw(inside).polygon(list(zip(numbers[1::2], numbers[::2], strict=True)), fill=1)
    return ~np.asarray(inside, np.bool_)
