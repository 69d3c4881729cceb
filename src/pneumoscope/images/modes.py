"""Convert Pillow's modes to grey levels.

Most radiographs are grey already and do not need a conversion.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import UnsupportedImageError
from pneumoscope.images import jpeg2000
from pneumoscope.images.decoders import open_image
from pneumoscope.images.depth import sample_of, used_range
from pneumoscope.images.radiograph import LUMA, check_size, usual_depth

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_WORK_BYTES = 16  # per pixel, for the luma of 16 bits per colour
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def grey_of(image: Image.Image, *, name: str, white_is_zero: bool) -> Image.Image:
    """Return the image in mode L, or I;16 for 16-bit grey."""
    if image.mode == "L" or image.mode.startswith("I;16"):
        # Pillow only inverts 8-bit TIFF images whose white is zero.
        return image if image.mode == "L" or not white_is_zero else _inverted(image)
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        from PIL import Image  # noqa: PLC0415 - only needed for this variant

        overlay = image.convert("RGBA")
        ground = Image.new("RGBA", overlay.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, overlay).convert("L")
    if image.mode in {"1", "P", "RGB", "YCbCr", "CMYK"}:
        return image.convert("RGB").convert("L")
    if image.mode in {"F", "I"}:
        return _stretched(np.asarray(image), name=name, white_is_zero=white_is_zero)
    raise UnsupportedImageError(
        f"{name}: pixels of type {image.mode!r} are not supported; save it as 8- or 16-bit grey "
        "PNG."
    )


def _stretched(values: NDArray[Any], *, name: str, white_is_zero: bool) -> Image.Image:
    """Scale float or 32-bit pixels to 16 bits between their minimum and maximum.

    They declare no range; single extreme values are ignored. Integers that fit into 16 bits are
    unchanged.
    """
    from PIL import Image  # noqa: PLC0415 - only needed for this variant

    if not np.isfinite(values).all():
        raise UnsupportedImageError(
            f"{name}: some pixels are not numbers (NaN or infinite); replace them, and save it "
            "as 8- or 16-bit grey PNG."
        )
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() < 2**16:
        image = Image.fromarray(values.astype(np.uint16))
        return _inverted(image) if white_is_zero else image
    low, high = used_range(sample_of(values))
    scale = 65535 / (high - low) if high > low else 0.0
    share = np.clip((values.astype(np.float64) - low) * scale, 0, 65535)
    if white_is_zero:
        share = 65535 - share
    return Image.fromarray(np.rint(share).astype(np.uint16))


def _inverted(image: Image.Image) -> Image.Image:
    from PIL import Image  # noqa: PLC0415 - only needed for this variant

    pixels = np.asarray(image).astype(np.uint16)
    white = 2 ** usual_depth(int(pixels.max())) - 1
    return Image.fromarray((white - pixels).astype(np.uint16))


def luma_of_16_bits(image: Any, data: bytes, format_name: str, *, name: str) -> Image.Image | None:
    """Return the 16-bit luma of an image with 16 bits per channel, otherwise None.

    Pillow keeps only the upper 8 bits, so 12 bits stored in 16 would be almost black. Its unpackers
    for the two byte orders each read one byte of each pair: decoding with both gives all bits.
    Transparency, which Pillow also applies to these pixels, is taken from the upper bytes.
    """
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else None
    kind = args[0] if isinstance(args, tuple) and args else args
    if not isinstance(kind, str) or kind[:-1] not in {"RGB;16", "RGBA;16"}:
        return None
    from PIL import Image  # noqa: PLC0415 - only needed for this variant

    width, height = image.size
    check_size(width, height, name=name, bytes_per_pixel=_WORK_BYTES)
    other: Any = open_image(data, format_name, name=name)
    swapped = kind[:-1] + _SWAPPED[kind[-1]]
    other.tile = [
        tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)
        for tile in other.tile
    ]
    other.load()
    luma = _weighted(other)
    del other  # free its memory before allocating the next
    image.load()
    luma += np.float32(256) * _weighted(image)
    if image.mode == "RGBA":
        luma *= np.asarray(image.getchannel("A")) / np.float32(255)
    return Image.fromarray(np.rint(luma).astype(np.uint16))


def _weighted(image: Image.Image) -> NDArray[np.float32]:
    """Return the luma of 8-bit channels, ITU-R 601."""
    luma = np.zeros((image.size[1], image.size[0]), np.float32)
    for channel, weight in enumerate(LUMA):
        luma += np.float32(weight) * np.asarray(image.getchannel(channel))
    return luma


def declared_bits(image: Any, data: bytes, format_name: str, grey: Image.Image) -> int | None:
    """Return the declared depth of 16-bit pixels, if there is one.

    A declaration that the pixels exceed is ignored: according to the PNG standard, samples are
    scaled to all 16 bits, but much software stores them unscaled.
    """
    if format_name == "JPEG 2000":  # Pillow's decoder scales every depth to 16 bits
        return 16 if jpeg2000.precision_of(data) < 16 else None
    declared = 0
    if format_name == "PNG":
        at = data.find(b"sBIT", 8, 4096)
        length = int.from_bytes(data[at - 4 : at], "big") if at >= 12 else 0
        if 1 <= length <= 4:
            declared = max(data[at + 4 : at + 4 + length])
    elif format_name == "TIFF":
        tags = image.tag_v2
        tagged = [tags.get(tag) for tag in (341, 281)]  # SMaxSampleValue, MaxSampleValue
        numbers = [_first_number(value) for value in tagged]
        largest = next((number for number in numbers if number), 0)
        stored = _first_number(tags.get(258)) or 16  # BitsPerSample
        declared = usual_depth(largest) if largest else int(stored)
    if not 8 <= declared < 16 or int(np.asarray(grey).max()) >= 2**declared:
        return None
    return declared


def _first_number(value: Any) -> float:
    first = value[0] if isinstance(value, tuple) and value else value
    return float(first) if isinstance(first, int | float) and first > 0 else 0.0
