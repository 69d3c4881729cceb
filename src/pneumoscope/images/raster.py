"""Read files of the formats that Pillow decodes as grey pixels.

Images remain Pillow objects as long as possible: ``prepare`` resizes them before conversion to
arrays.
"""

from __future__ import annotations

import struct
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DamagedImageError
from pneumoscope.images.decoders import DECODER_FAULTS, open_image
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import GREY_MODES, ImageMeta, Radiograph

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pneumoscope.images.turbo import Heard

_ORIENTATION, _SHORT = 0x0112, 3  # the EXIF tag, and the type of its value
_JPEG_FILL = 128  # the grey that libjpeg fills in for missing data
_WARNS = frozenset({"TIFF", "GIF", "WebP", "BMP"})


def probe(data: bytes, format_name: str, *, name: str) -> ImageMeta:
    """Read the header.

    Raises:
        ImageError: The image is damaged, too large, or of an unsupported variant.
    """
    return _meta(open_image(data, format_name, name=name))


def decode(
    data: bytes, format_name: str, *, name: str, at_least: tuple[int, int] | None = None
) -> Radiograph:
    """Return the grey pixels; see ``read.decode``.

    Raises:
        ImageError: The image is damaged, too large, or of an unsupported variant.
    """
    image, meta, bits = grey_image(data, format_name, name=name, at_least=at_least)
    return Radiograph(to_array(image), meta, bits)


def to_array(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the result of ``grey_image`` as an array [height, width] in native byte order."""
    pixels: NDArray[Any] = np.asarray(image)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def grey_image(
    data: bytes,
    format_name: str,
    *,
    name: str,
    at_least: tuple[int, int] | None = None,
    colours: bool = False,
) -> tuple[Image.Image, ImageMeta, int | None]:
    """Return Pillow's image in mode L or I;16, its metadata, and the declared depth.

    With ``colours``, the metadata include ``chroma``, measured on the open image.

    Raises:
        ImageError: The image is damaged, too large, or of an unsupported variant.
    """
    image: Any = open_image(data, format_name, name=name)
    meta = _meta(image)
    try:
        orientation = 1  # Pillow applies the orientation of TIFF images itself
        if format_name not in {"TIFF", "GIF", "BMP"} and "exif" in image.info:
            orientation = _orientation(image.info["exif"])
        if format_name == "JPEG":
            if at_least is not None and orientation >= 5:
                at_least = at_least[1], at_least[0]
            found = _jpeg(image, data, at_least, name=name)
        else:
            with quietly() if format_name in _WARNS else nullcontext():
                found = _loaded(image, data, format_name, name=name)
        bits = None
        if found.mode != "L":
            from pneumoscope.images.modes import declared_bits  # noqa: PLC0415 - for these few

            bits = declared_bits(image, data, format_name, found)
        if colours:
            meta = meta._replace(chroma=_chroma(image, format_name))
        return _upright(found, orientation), meta, bits
    except DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {format_name} ({fault}); copy it again."
        ) from fault


def _jpeg(image: Any, data: bytes, at_least: tuple[int, int] | None, *, name: str) -> Image.Image:
    """Return the grey image of a JPEG, and reject damaged or truncated ones.

    Nearly all images are known to be whole without further checks; see ``jpeg``.

    Args:
        image: The opened image.
        data: Content of the file.
        at_least: Required (height, width) in stored orientation; None for full size.
        name: Name of the file, for messages.
    """
    from pneumoscope.images import jpeg  # noqa: PLC0415 - for JPEG alone

    header = jpeg.read_header(data)
    if image.mode in {"L", "RGB"}:
        strict = _strict(image, data, at_least)
        if strict.damaged:
            raise DamagedImageError(
                f"{name}: truncated or damaged JPEG ({strict.warning}); copy it again."
            )
        luma = image.mode == "L" or at_least is not None  # Pillow decodes colours at full size
        if strict.pixels is not None and luma and header and jpeg.has_all_scans(data, header):
            from PIL import Image  # noqa: PLC0415 - loaded with the decoder

            return Image.fromarray(strict.pixels)
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
            f"{name}: damaged JPEG (it has more data than its rows need, so some rows are "
            "wrong); copy it again."
        )
    return found


def _strict(image: Any, data: bytes, at_least: tuple[int, int] | None) -> Heard:
    """Return the luma of a JPEG at the size of Pillow's draft mode.

    For colours at full size, the result has an eighth of the size, to detect warnings only.
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
    """Return the grey image of a JPEG decoded from blocks of a given size.

    Also return whether the decoder finished before it received all bytes. Large blocks are faster
    than Pillow's default of 64 KiB.
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
        return _chroma(image, format_name)
    except DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {format_name} ({fault}); copy it again."
        ) from fault


def _chroma(image: Any, format_name: str) -> float:
    """Return the chroma of an open image.

    A JPEG is measured at the smallest size of its draft mode, or as Pillow has decoded it already.
    """
    if format_name == "JPEG" and image.tile and image.mode != "L":
        image.draft("RGB", (1, 1))
    with quietly() if format_name in _WARNS else nullcontext():
        return chroma_of(image)


def chroma_of(image: Image.Image) -> float:
    """Return the chroma of an open image of any mode."""
    if image.mode in GREY_MODES:
        return 0.0
    # Noise of single pixels is not colour.
    small = image.convert("RGB").reduce(max(1, min(image.size) // 64))
    colours = np.asarray(small)
    return float((colours.max(2).astype(np.float32) - colours.min(2)).mean())


def from_pillow(image: Image.Image, *, name: str) -> tuple[Image.Image, float]:
    """Return an image given in mode L or I;16, upright, and its chroma.

    It is treated like the file, as far as Pillow preserves the content: of 16 bits per colour, it
    keeps eight. Of several pages or pictures, the selected one is used.

    Raises:
        ImageError: The image is damaged, or in an unsupported mode.
    """
    from pneumoscope.images.modes import grey_of  # noqa: PLC0415 - files come without

    try:
        tags: Any = getattr(image, "tag_v2", {})
        exif = image.info.get("exif", b"") if image.format != "TIFF" else b""
        with quietly():
            image.load()
            readable = {"HSV": "RGB", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA"}.get(image.mode)
            plain = image.convert(readable) if readable else image
            white_is_zero = image.format == "TIFF" and tags.get(262) == 0
            grey = grey_of(plain, name=name, white_is_zero=white_is_zero)
            turned = _upright(grey, _orientation(exif) if isinstance(exif, bytes) else 1)
            return turned, chroma_of(plain)
    except DECODER_FAULTS as fault:
        raise DamagedImageError(f"{name}: truncated or damaged ({fault}).") from fault


def _meta(image: Any) -> ImageMeta:
    width, height = image.size
    return ImageMeta(width, height, image.mode, image.format)


def _loaded(image: Any, data: bytes, format_name: str, *, name: str) -> Image.Image:
    """Return an opened image with its pixels decoded, in mode L or I;16."""
    if image.mode == "L":
        image.load()
    if image.mode == "L":
        grey: Image.Image = image
        return grey
    from pneumoscope.images.modes import grey_of, luma_of_16_bits  # noqa: PLC0415 - not for grey

    wide = luma_of_16_bits(image, data, format_name, name=name)
    if wide is not None:
        return wide
    image.load()
    white_is_zero = format_name == "TIFF" and image.tag_v2.get(262) == 0
    return grey_of(image, name=name, white_is_zero=white_is_zero)


def _orientation(exif: bytes) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 if not stated.

    Pillow's own function loads its TIFF decoder, which takes 30 ms, as long as two images.
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
    except struct.error:  # damaged; the pixels may be valid nevertheless
        pass
    return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image turned upright by its EXIF orientation."""
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
