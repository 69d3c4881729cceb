"""The pixel path: from a file, its bytes or an array to the model input.

Cache, training, evaluation, prediction and serving all call ``prepare``; there is no second resize
anywhere. Normalisation is part of the network and of the exported graph.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pneumoscope.errors import OptionError, nearest
from pneumoscope.images import raster
from pneumoscope.images.depth import sample_of, shown_range
from pneumoscope.images.radiograph import ImageMeta, Radiograph
from pneumoscope.images.read import MAGIC_BYTES, decode, read_bytes, sniff
from pneumoscope.images.sources import Decoded, Source, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL.Image import Image

RESIZE = ("stretch", "pad", "crop")
"""How images of other aspect ratios are fitted to the input."""

_STRIP_VALUES = 2**22
"""Number of 16-bit pixels that are converted to floats at a time, to limit memory."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input of a model: one grey channel of uint8, ``height_px`` by ``width_px``.

    Args:
        height_px: Rows of the input.
        width_px: Columns of the input.
        resize: How images of other aspect ratios are fitted to it: ``stretch`` scales the axes
            separately, ``pad`` fits the whole image in and leaves the rest black, ``crop`` fills
            the input with the middle of the image.
    """

    height_px: int = 224
    width_px: int = 224
    resize: str = "stretch"

    def __post_init__(self) -> None:
        for name in ("height_px", "width_px"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 8 <= value <= 4096:
                raise OptionError(name, must="a whole number of pixels from 8 to 4096", was=value)
        if self.resize not in RESIZE:
            raise OptionError(
                "resize",
                must=f"one of {', '.join(RESIZE)}",
                was=self.resize,
                hint=nearest(self.resize, RESIZE),
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height_px, self.width_px

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """Return the specification written by ``to_dict``.

        Raises:
            OptionError: An unknown field, or an invalid value.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise OptionError(
                    "input", must="fields of InputSpec", was=key, hint=nearest(key, known)
                )
        return cls(**values)


class Placing(NamedTuple):
    """The part of an image and its position in the input, in whole pixels.

    Attributes:
        left: Left edge of the part in the image.
        top: Top edge of the part in the image.
        width: Width of the part.
        height: Height of the part.
        size: (width, height) after resizing.
        at: (x, y) of the upper left corner in the input.
    """

    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]
    at: tuple[int, int]


def placing(spec: InputSpec, width: int, height: int) -> Placing:
    """Return how an image of a given size is placed in the input.

    >>> placing(InputSpec(100, 100, "pad"), 200, 100).size
    (100, 50)
    >>> placing(InputSpec(100, 100, "crop"), 200, 100).left
    50
    """
    whole = (spec.width_px, spec.height_px)
    if spec.resize == "pad":
        scale = min(spec.width_px / width, spec.height_px / height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        at = ((spec.width_px - size[0]) // 2, (spec.height_px - size[1]) // 2)
        return Placing(0, 0, width, height, size, at)
    if spec.resize == "crop":
        scale = min(width / spec.width_px, height / spec.height_px)
        part = (max(1, round(spec.width_px * scale)), max(1, round(spec.height_px * scale)))
        left, top = (width - part[0]) // 2, (height - part[1]) // 2
        return Placing(left, top, *part, whole, (0, 0))
    return Placing(0, 0, width, height, whole, (0, 0))


def prepare(source: Source, spec: InputSpec) -> NDArray[np.uint8]:
    """Return the model input of one image, uint8 [spec.height_px, spec.width_px].

    Args:
        source: A path, the bytes of a file, a binary file object (read from its current position),
            a Pillow image, or pixels: an array [height, width] or [height, width, 3] of integers
            from 0 to 65535, or ``Pixels`` with an explicit range.
        spec: The input that the model takes.

    Raises:
        ImageError: The source cannot be read as an image; the message names the file.

    Example:
        >>> prepare(np.full((50, 40), 7, np.uint8), InputSpec(16, 16)).max()
        np.uint8(7)
    """
    given = resolve(source)
    if isinstance(given, Decoded):
        return to_input(given.pixels, spec, bits=given.bits)
    return prepare_bytes(given.data, spec, name=given.name)[0]


def open_radiograph(path: Path, *, at_least: tuple[int, int] | None = None) -> Radiograph:
    """Return the decoded image of a file; see ``decode``."""
    return decode(read_bytes(path), name=str(path), at_least=at_least)


def to_input(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], spec: InputSpec, *, bits: int | None = None
) -> NDArray[np.uint8]:
    """Return grey pixels [height, width] as uint8 [spec.height_px, spec.width_px].

    The resize is bilinear with support widened for reduction (antialiased). 16-bit pixels are
    scaled by their depth, or, if unknown, by ``depth.shown_range``: detectors store 12 bits in 16,
    and dividing these values by 257 would give an almost black image.

    Args:
        pixels: Grey pixels.
        spec: The input that the model takes.
        bits: The depth of 16-bit pixels, as in ``Radiograph.bits``.
    """
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    if pixels.dtype == np.uint8:
        return _resized(Image.fromarray(pixels), spec)
    low, high = shown_range(sample_of(pixels)) if bits is None else (0.0, 2.0**bits - 1)
    place = placing(spec, pixels.shape[1], pixels.shape[0])
    pixels = pixels[place.top : place.top + place.height, place.left : place.left + place.width]
    factor = np.float32(255 / (high - low))
    # Pillow resizes columns, then rows; resizing columns in strips gives exactly the same result.
    narrow = np.empty((pixels.shape[0], place.size[0]), np.float32)
    step = max(1, _STRIP_VALUES // pixels.shape[1])
    for top in range(0, pixels.shape[0], step):
        strip = pixels[top : top + step].astype(np.float32)
        if bits is None:  # before resizing, which would spread a single extreme value
            np.clip(strip, low, high, out=strip)
            strip -= np.float32(low)
        strip *= factor
        size = (place.size[0], strip.shape[0])
        resized = Image.fromarray(strip).resize(size, Image.Resampling.BILINEAR)
        narrow[top : top + step] = np.asarray(resized)
    values = np.asarray(Image.fromarray(narrow).resize(place.size, Image.Resampling.BILINEAR))
    rounded: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return _placed(rounded, place, spec)


def prepare_bytes(
    data: bytes, spec: InputSpec, *, name: str, any_kind: bool = False, colours: bool = False
) -> tuple[NDArray[np.uint8], ImageMeta]:
    """Return the model input for the bytes of a file, and its metadata.

    Args:
        data: The bytes.
        spec: The input that the model takes.
        name: Name of the file in messages.
        any_kind: As for ``decode``.
        colours: Whether to measure ``chroma`` of the metadata; it is always measured for DICOM.

    Raises:
        ImageError: The bytes cannot be read as an image.
    """
    format_name = sniff(data[:MAGIC_BYTES], name=name)
    if format_name != "DICOM":
        image, meta, bits = raster.grey_image(
            data, format_name, name=name, at_least=spec.shape, colours=colours
        )
        if image.mode == "L":  # resized before conversion to an array, which saves two copies
            return _resized(image, spec), meta
        return to_input(raster.to_array(image), spec, bits=bits), meta
    from pneumoscope.images import dicom  # noqa: PLC0415 - pydicom is only loaded for DICOM

    radiograph = dicom.decode(data, name=name, at_least=spec.shape, any_kind=any_kind)
    return to_input(radiograph.pixels, spec, bits=radiograph.bits), radiograph.meta


def _resized(image: Image, spec: InputSpec) -> NDArray[np.uint8]:
    from PIL.Image import Resampling  # noqa: PLC0415 - so that importing the package stays light

    if spec.resize == "stretch":
        return np.asarray(image.resize((spec.width_px, spec.height_px), Resampling.BILINEAR))
    place = placing(spec, *image.size)
    box = (place.left, place.top, place.left + place.width, place.top + place.height)
    resized = image.crop(box).resize(place.size, Resampling.BILINEAR)
    return _placed(np.asarray(resized), place, spec)


def _placed(part: NDArray[np.uint8], place: Placing, spec: InputSpec) -> NDArray[np.uint8]:
    if part.shape == spec.shape:
        return part
    whole = np.zeros(spec.shape, np.uint8)
    x, y = place.at
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole
