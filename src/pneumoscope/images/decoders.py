"""Pillow's decoders, called directly by class, so that no other can be reached."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING

from pneumoscope.errors import DamagedImageError, ImageTooLargeError, UnsupportedImageError
from pneumoscope.images.jpeg2000 import check_whole
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import check_size

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

DECODER_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    ZeroDivisionError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    zlib.error,
)
"""The exceptions that Pillow raises for damaged files."""


def _jpeg(file: io.BytesIO) -> ImageFile:
    return _jpeg_decoder()(file)


@cache
def _jpeg_decoder() -> Callable[[io.BytesIO], ImageFile]:
    from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415 - 10 ms that help does not need

    class PixelsAlone(JpegImageFile):
        def _read_dpi_from_exif(self) -> None:
            """Skip the resolution, for which Pillow would load its TIFF decoder (30 ms)."""

    return PixelsAlone


def _png(file: io.BytesIO) -> ImageFile:
    from PIL.PngImagePlugin import PngImageFile  # noqa: PLC0415 - the same

    return PngImageFile(file)


def _tiff(file: io.BytesIO) -> ImageFile:
    from PIL.TiffImagePlugin import TiffImageFile  # noqa: PLC0415 - the same

    return TiffImageFile(file)


def _webp(file: io.BytesIO) -> ImageFile:
    from PIL.WebPImagePlugin import WebPImageFile  # noqa: PLC0415 - the same

    return WebPImageFile(file)


def _bmp(file: io.BytesIO) -> ImageFile:
    from PIL.BmpImagePlugin import BmpImageFile  # noqa: PLC0415 - the same

    return BmpImageFile(file)


def _gif(file: io.BytesIO) -> ImageFile:
    from PIL.GifImagePlugin import GifImageFile  # noqa: PLC0415 - the same

    return GifImageFile(file)


def _jpeg2000(file: io.BytesIO) -> ImageFile:
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile  # noqa: PLC0415 - the same

    return Jpeg2KImageFile(file)


_DECODERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "TIFF": _tiff,
    "WebP": _webp,
    "BMP": _bmp,
    "GIF": _gif,
    "JPEG 2000": _jpeg2000,
}
# In Pillow's memory; 4 for other modes.
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
# Known variants that Pillow does not decode, by its error message.
_NOT_READ = (
    "bit layers",
    "layer images",
    "unknown pixel mode",
    "not yet supported",
    "J2K image mode",
    "Unsupported BMP",
)


def open_image(data: bytes, format_name: str, *, name: str) -> ImageFile:
    """Return Pillow's image, with its header read and its pixels not decoded yet.

    Args:
        data: The bytes of a file.
        format_name: The result of ``read.sniff``.
        name: Name of the file in messages.

    Raises:
        ImageError: The image is damaged, too large, or of an unsupported variant.
    """
    if format_name == "WebP":  # opening allocates memory for all pixels
        _check_webp(data, name=name)
    elif format_name == "JPEG 2000":
        check_whole(data, name=name)
    try:
        with nullcontext() if format_name == "JPEG" else quietly():  # no warnings in JPEG headers
            image = _DECODERS[format_name](io.BytesIO(data))
    except DECODER_FAULTS as fault:
        if any(words in str(fault) for words in _NOT_READ):
            raise UnsupportedImageError(
                f"{name}: this variant of {format_name} is not supported ({fault}); save it as "
                "8- or 16-bit grey PNG."
            ) from fault
        raise DamagedImageError(
            f"{name}: starts like a {format_name} but its header is damaged ({fault}); copy it "
            "again."
        ) from fault
    except _too_large() as fault:
        raise ImageTooLargeError(f"{name}: {fault}; not decoded.") from fault
    width, height = image.size
    # The decoder of JPEG 2000 uses 32 bits per sample before Pillow's image is created.
    work = (4 if image.mode in {"L", "I;16"} else 8) if format_name == "JPEG 2000" else 0
    bytes_per_pixel = work or _BYTES_PER_PIXEL.get(image.mode, 4)
    check_size(width, height, name=name, bytes_per_pixel=bytes_per_pixel)
    _check_single(image, format_name, name=name)
    return image


def _check_single(image: ImageFile, format_name: str, *, name: str) -> None:
    """Reject files with several pages; for an animated PNG the still image is used."""
    if format_name not in {"TIFF", "GIF", "WebP"}:
        return
    try:
        with quietly():
            several = getattr(image, "is_animated", False)
    except DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {format_name} ({fault}); copy it again."
        ) from fault
    if several:
        raise UnsupportedImageError(_SEVERAL.format(name=name, format_name=format_name))


_SEVERAL = (
    "{name}: this {format_name} contains several pages or pictures; save the radiograph as a "
    "separate file."
)


def _too_large() -> type[Exception]:
    from PIL.Image import DecompressionBombError  # noqa: PLC0415 - only where a decoder fails

    return DecompressionBombError


def _check_webp(data: bytes, *, name: str) -> None:
    """Reject a WebP file by its first chunk: too large, animated or truncated.

    Raises:
        ImageError: It is too large, animated or truncated.
    """
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        if data[20] & 2:
            raise UnsupportedImageError(_SEVERAL.format(name=name, format_name="WebP"))
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L" and len(data) >= 25:
        packed = int.from_bytes(data[21:25], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and len(data) >= 30:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise DamagedImageError(
            f"{name}: starts like a WebP but its header is damaged; copy it again."
        )
    check_size(width, height, name=name, bytes_per_pixel=8)  # two canvases of four bytes
    missing = int.from_bytes(data[4:8], "little") + 8 - len(data)
    if missing > 1:  # the padding of an odd length may be missing
        raise DamagedImageError(
            f"{name}: truncated WebP ({missing:,} bytes are missing); copy it again."
        )
