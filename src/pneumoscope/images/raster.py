"""Files of the formats that Pillow decodes → grey pixels; ``decoders`` opens them.

An image stays Pillow's as long as it can: ``prepare`` resizes it before it becomes an array.
"""

from __future__ import annotations

import struct
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DamagedImageError, UnsupportedImageError
from pneumoscope.images import jpeg2000
from pneumoscope.images.decoders import DECODER_FAULTS, open_image
from pneumoscope.images.depth import sample_of, used_range
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import (
    GREY_MODES,
    LUMA,
    ImageMeta,
    Radiograph,
    check_size,
    usual_depth,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pneumoscope.images.turbo import Heard

_ORIENTATION, _SHORT = 0x0112, 3  # the EXIF tag, and the kind of its value
_JPEG_FILL = 128  # the grey that libjpeg fills in where data are missing
_WARNS = frozenset({"TIFF", "GIF", "WebP", "BMP"})
_WORK_BYTES = 16  # a pixel, where 16 bits a colour become luma
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def probe(data: bytes, format_name: str, *, name: str) -> ImageMeta:
    """Return what the header says.

    Raises:
        ImageError: Damaged, too large, or a variant that is not read.
    """
    return _meta(open_image(data, format_name, name=name))


def decode(
    data: bytes, format_name: str, *, name: str, at_least: tuple[int, int] | None = None
) -> Radiograph:
    """Return the grey pixels; see ``read.decode``.

    Raises:
        ImageError: Damaged, too large, or a variant that is not read.
    """
    image, meta, bits = grey_image(data, format_name, name=name, at_least=at_least)
    return Radiograph(to_array(image), meta, bits)


def to_array(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return what ``grey_image`` gave as an array [height, width] in the machine's byte order."""
    pixels: NDArray[Any] = np.asarray(image)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def grey_image(
    data: bytes, format_name: str, *, name: str, at_least: tuple[int, int] | None = None
) -> tuple[Image.Image, ImageMeta, int | None]:
    """Return Pillow's image in mode L or I;16, what its header says, and the depth it declares.

    Raises:
        ImageError: Damaged, too large, or a variant that is not read.
    """
    image: Any = open_image(data, format_name, name=name)
    meta = _meta(image)
    try:
        orientation = 1  # Pillow turns TIFF images itself
        if format_name not in {"TIFF", "GIF", "BMP"} and "exif" in image.info:
            orientation = _orientation(image.info["exif"])
        if format_name == "JPEG":
            if at_least is not None and orientation >= 5:
                at_least = at_least[1], at_least[0]
            found = _jpeg(image, data, at_least, name=name)
        else:
            with quietly() if format_name in _WARNS else nullcontext():
                found = _loaded(image, data, format_name, name=name)
        bits = None if found.mode == "L" else _declared_bits(image, data, format_name, found)
        return _upright(found, orientation), meta, bits
    except DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {format_name} ({fault}); copy it again."
        ) from fault


def _jpeg(image: Any, data: bytes, at_least: tuple[int, int] | None, *, name: str) -> Image.Image:
    """Return the grey image of a JPEG, and refuse one with a hole in its data, or without its end.

    Nearly all images are known to be whole without a second look; see ``jpeg``.

    Args:
        image: As it was opened.
        data: The file.
        at_least: (height, width) that is needed, as the pixels are stored; None for full size.
        name: Of the file, for faults.
    """
    from pneumoscope.images import jpeg  # noqa: PLC0415 - for JPEG alone

    header = jpeg.read_header(data)
    if image.mode in {"L", "RGB"}:
        heard = _strict(image, data, at_least)
        if heard.damaged:
            raise DamagedImageError(
                f"{name}: truncated or damaged JPEG ({heard.warning}); copy it again."
            )
        luma = image.mode == "L" or at_least is not None  # colours at full size are Pillow's
        if heard.pixels is not None and luma and header and jpeg.has_all_scans(data, header):
            from PIL import Image  # noqa: PLC0415 - loaded with the decoder

            return Image.fromarray(heard.pixels)
    if header is None:
        return _interrupted(image, data, at_least, len(data), name=name)[0]
    from pneumoscope.images import jpeg_wholeness  # noqa: PLC0415 - for few files

    block = jpeg_wholeness.pause(data, header)
    found, ready = _interrupted(image, data, at_least, block, name=name)
    four = image.mode == "CMYK"
    last = found.getpixel((found.width - 1, found.height - 1))
    progressive = "progressive" in image.info
    if not (ready or last == _JPEG_FILL or four or progressive or header.interval):
        return found

    def opened(content: bytes, block: int) -> tuple[Image.Image, bool]:
        other = open_image(content, "JPEG", name=name)
        return _interrupted(other, content, at_least, block, name=name)

    def again(content: bytes) -> NDArray[Any]:
        return to_array(opened(content, len(content))[0])

    whole = jpeg.closed(data, header)
    if not jpeg_wholeness.is_whole(whole, header, to_array(found), again, always=four):
        raise DamagedImageError(
            f"{name}: truncated or damaged JPEG (data are missing for some of its rows); "
            "copy it again."
        )
    end = len(whole) - len(jpeg.END)
    if ready and jpeg_wholeness.has_data_left(
        whole, header, lambda few: opened(whole, end - few)[1]
    ):
        raise DamagedImageError(
            f"{name}: damaged JPEG (it has more data than its rows take, so some of them are "
            "wrong); copy it again."
        )
    return found


def _strict(image: Any, data: bytes, at_least: tuple[int, int] | None) -> Heard:
    """Return the luma of a JPEG at the size that Pillow's draft mode would choose.

    Of colours that are wanted at full size it is an eighth of the size: only warnings are heard.
    """
    from pneumoscope.images.turbo import grey  # noqa: PLC0415 - for JPEG alone

    width, height = image.size
    scale = 1 if image.mode == "L" else 8
    if at_least is not None:
        ratio = min(width // max(1, at_least[1]), height // max(1, at_least[0]))
        scale = next(step for step in (8, 4, 2, 1) if ratio >= step or step == 1)
    return grey(data, (-(-height // scale), -(-width // scale)))


def _interrupted(
    image: Any, data: bytes, at_least: tuple[int, int] | None, block: int, *, name: str
) -> tuple[Image.Image, bool]:
    """Return the grey image of a JPEG that gets its bytes in blocks of a size.

    Besides, whether its decoder was ready before it got all bytes. Few calls of the decoder are
    faster than one for every 64 KiB, which is Pillow's default.
    """
    if at_least is not None:
        image.draft("L", (at_least[1], at_least[0]))
    image.decodermaxblock = block
    file = image.fp
    found = _loaded(image, data, "JPEG", name=name)
    return found, file.tell() < len(data)


def chroma(data: bytes, format_name: str, *, name: str) -> float:
    """Return the mean difference between the strongest and the weakest colour, in grey levels.

    Raises:
        ImageError: As for ``decode``.
    """
    image: Image.Image = open_image(data, format_name, name=name)
    try:
        image.draft("RGB", (1, 1))
        with quietly() if format_name in _WARNS else nullcontext():
            return chroma_of(image)
    except DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {format_name} ({fault}); copy it again."
        ) from fault


def chroma_of(image: Image.Image) -> float:
    """Return the same for an image that is open, in any mode of Pillow's."""
    if image.mode in GREY_MODES:
        return 0.0
    # Noise of single pixels is no colour.
    small = image.convert("RGB").reduce(max(1, min(image.size) // 64))
    colours = np.asarray(small)
    return float((colours.max(2).astype(np.float32) - colours.min(2)).mean())


def from_pillow(image: Image.Image, *, name: str) -> tuple[Image.Image, float]:
    """Return an image that a caller opened in mode L or I;16, upright, and how coloured it is.

    It is treated as the file would be, as far as Pillow has not lost what the file holds: of 16
    bits a colour it keeps eight. Of several pages or pictures it is the one that is selected.

    Raises:
        ImageError: Damaged, or in a mode that is not read.
    """
    try:
        tags: Any = getattr(image, "tag_v2", {})
        exif = image.info.get("exif", b"") if image.format != "TIFF" else b""
        with quietly():
            image.load()
            readable = {"HSV": "RGB", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA"}.get(image.mode)
            plain = image.convert(readable) if readable else image
            white_is_zero = image.format == "TIFF" and tags.get(262) == 0
            grey = _grey(plain, name=name, white_is_zero=white_is_zero)
            turned = _upright(grey, _orientation(exif) if isinstance(exif, bytes) else 1)
            return turned, chroma_of(plain)
    except DECODER_FAULTS as fault:
        raise DamagedImageError(f"{name}: truncated or damaged ({fault}).") from fault


def _meta(image: Any) -> ImageMeta:
    width, height = image.size
    return ImageMeta(width, height, image.mode, image.format)


def _loaded(image: Any, data: bytes, format_name: str, *, name: str) -> Image.Image:
    wide = _colour_of_16_bits(image, data, format_name, name=name)
    if wide is not None:
        return wide
    image.load()
    white_is_zero = format_name == "TIFF" and image.tag_v2.get(262) == 0
    return _grey(image, name=name, white_is_zero=white_is_zero)


def _grey(image: Image.Image, *, name: str, white_is_zero: bool) -> Image.Image:
    """Return the image in mode L, or I;16 for 16-bit grey."""
    if image.mode == "L" or image.mode.startswith("I;16"):
        # Pillow inverts 8-bit TIFF images whose white is zero, and leaves others as they are.
        return image if image.mode == "L" or not white_is_zero else _inverted(image)
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        from PIL import Image  # noqa: PLC0415 - needed for this variant alone

        overlay = image.convert("RGBA")
        ground = Image.new("RGBA", overlay.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, overlay).convert("L")
    if image.mode in {"1", "P", "RGB", "YCbCr", "CMYK"}:
        return image.convert("RGB").convert("L")
    if image.mode in {"F", "I"}:
        return _stretched(np.asarray(image), name=name, white_is_zero=white_is_zero)
    raise UnsupportedImageError(
        f"{name}: pixels of kind {image.mode!r} are not read; save it as 8- or 16-bit grey PNG."
    )


def _stretched(values: NDArray[Any], *, name: str, white_is_zero: bool) -> Image.Image:
    """Return float or 32-bit pixels as 16-bit ones, from their smallest to their largest value.

    They declare no range; single extreme values do not count. Whole numbers that fit into 16 bits
    are kept as they are.
    """
    from PIL import Image  # noqa: PLC0415 - needed for this variant alone

    if not np.isfinite(values).all():
        raise UnsupportedImageError(
            f"{name}: some pixels are no numbers (NaN or infinite); "
            "replace them, and save it as 8- or 16-bit grey PNG."
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
    from PIL import Image  # noqa: PLC0415 - needed for this variant alone

    pixels = np.asarray(image).astype(np.uint16)
    white = 2 ** usual_depth(int(pixels.max())) - 1
    return Image.fromarray((white - pixels).astype(np.uint16))


def _colour_of_16_bits(
    image: Any, data: bytes, format_name: str, *, name: str
) -> Image.Image | None:
    """Return the 16-bit luma of an image with 16 bits a colour, None for other images.

    Pillow keeps only the upper 8 bits, and 12 bits stored in 16 would come out almost black. Its
    unpackers for the two byte orders take one byte of each pair: decoding with both gives all.
    Transparency, which Pillow lays over these pixels too, is taken from the upper bytes.
    """
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else None
    kind = args[0] if isinstance(args, tuple) and args else args
    if not isinstance(kind, str) or kind[:-1] not in {"RGB;16", "RGBA;16"}:
        return None
    from PIL import Image  # noqa: PLC0415 - needed for this variant alone

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
    del other  # its memory goes before the next is taken
    image.load()
    luma += np.float32(256) * _weighted(image)
    if image.mode == "RGBA":
        luma *= np.asarray(image.getchannel("A")) / np.float32(255)
    return Image.fromarray(np.rint(luma).astype(np.uint16))


def _weighted(image: Image.Image) -> NDArray[np.float32]:
    """Return the luma of one byte a colour, ITU-R 601."""
    luma = np.zeros((image.size[1], image.size[0]), np.float32)
    for channel, weight in enumerate(LUMA):
        luma += np.float32(weight) * np.asarray(image.getchannel(channel))
    return luma


def _declared_bits(image: Any, data: bytes, format_name: str, grey: Image.Image) -> int | None:
    """Return the depth of 16-bit pixels that a file declares, if it says more than 16.

    A declaration that the pixels exceed is not believed: the PNG standard has samples scaled to
    all 16 bits, whatever depth they had, but many writers store them as they are.
    """
    if format_name == "JPEG 2000":  # Pillow's decoder brings every depth to 16 bits
        return 16 if jpeg2000.precision_of(data) < 16 else None
    declared = 0
    if format_name == "PNG":
        at = data.find(b"sBIT", 8, 4096)
        length = int.from_bytes(data[at - 4 : at], "big") if at >= 12 else 0
        if 1 <= length <= 4:
            declared = max(data[at + 4 : at + 4 + length])
    elif format_name == "TIFF":
        tags = image.tag_v2
        said = [tags.get(tag) for tag in (341, 281)]  # SMaxSampleValue, MaxSampleValue
        numbers = [_first_number(value) for value in said]
        largest = next((number for number in numbers if number), 0)
        stored = _first_number(tags.get(258)) or 16  # BitsPerSample
        declared = usual_depth(largest) if largest else int(stored)
    if not 8 <= declared < 16 or int(np.asarray(grey).max()) >= 2**declared:
        return None
    return declared


def _first_number(value: Any) -> float:
    first = value[0] if isinstance(value, tuple) and value else value
    return float(first) if isinstance(first, int | float) and first > 0 else 0.0


def _orientation(exif: bytes) -> int:
    """Return what EXIF says of how the image is turned, 1 (upright) to 8; 1 where it says nothing.

    Pillow's own reading of it loads its TIFF decoder, which takes 30 ms: as long as two images.
    """
    header = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(header[:4])
    try:
        if order is None:
            return 1
        (at,) = struct.unpack_from(f"{order}I", header, 4)
        (count,) = struct.unpack_from(f"{order}H", header, at)
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, values, value = struct.unpack_from(f"{order}HHIH", header, place)
            if (tag, kind, values) == (_ORIENTATION, _SHORT, 1):
                return int(value)
    except struct.error:  # damaged; the pixels are there nevertheless
        pass
    return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image turned as EXIF says (1 upright … 8 turned by 270 degrees)."""
    if not 2 <= orientation <= 8:
        return image
    from PIL.Image import Transpose  # noqa: PLC0415 - rare

    turn = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )[orientation - 2]
    return image.transpose(turn)
