"""Bytes → grey pixels. The format is found in the content, never in the suffix.

JPEG and PNG are read with Pillow's decoders, chosen here by their magic bytes, so that no other
plugin of Pillow is ever reached. DICOM has its room next door.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import (
    DamagedImageError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
    UnsupportedImageError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 100_000_000
"""Above this a header is not believed: the largest detectors have about 25 million pixels."""

MAX_BYTES = 512 * 2**20
"""Above this a file is not read into memory."""

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_ORIENTATION = 0x0112  # the EXIF tag
_DECODER_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageMeta:
    """What a file says of itself: width and height in pixels as stored, mode, format."""

    width: int
    height: int
    mode: str
    format: str


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One decoded image: grey pixels [height, width], uint8 or uint16, and what its file said.

    A scaled decode gives fewer pixels than ``meta`` names.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    meta: ImageMeta


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file.

    Only regular files that begin like an image are read, so that a pipe cannot block the reader
    and a film cannot fill its memory.

    Raises:
        ImageError: Not a regular file, missing, not permitted, empty, too large, or no image.
    """
    try:
        # Non-blocking, since opening a named pipe would otherwise wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{path}: not a regular file; hand over an image or a folder.")
            if status.st_size > MAX_BYTES:
                raise ImageTooLargeError(
                    f"{path}: {status.st_size:,} bytes are no radiograph; "
                    f"files up to {MAX_BYTES:,} bytes are read."
                )
            start = file.read(_MAGIC_BYTES)
            sniff(start, name=str(path))
            return start + file.read()
    except (OSError, ValueError) as fault:  # ValueError: a null character in the name
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise ImageError(f"{path}: cannot be read ({reason}).") from fault


def sniff(start: bytes, *, name: str) -> str:
    """Return the format that the first bytes of a file show: ``JPEG`` or ``PNG``.

    Raises:
        EmptyImageError: No bytes.
        NotAnImageError: None of the formats.
    """
    if not start:
        raise EmptyImageError(f"{name}: the file is empty (0 bytes); copy it again.")
    for magic, format_name in _MAGIC.items():
        if start.startswith(magic):
            return format_name
    raise NotAnImageError(f"{name}: {_guess(start)}; readable are JPEG and PNG images.")


def probe(data: bytes, *, name: str) -> ImageMeta:
    """Return what the header says, without decoding pixels.

    Raises:
        ImageError: As for ``decode``, as far as the header shows it.
    """
    return _meta(_open(data, name=name))


def decode(data: bytes, *, name: str, at_least: tuple[int, int] | None = None) -> Radiograph:
    """Return the grey pixels of an encoded image.

    Colour is turned into luma (ITU-R 601), transparency is laid over black, EXIF orientation is
    applied, 16-bit grey stays 16-bit.

    Args:
        data: The bytes of the file.
        name: What messages call it.
        at_least: (height, width) in pixels that the caller needs. JPEG is then decoded at the
            smallest of 1/1, 1/2, 1/4, 1/8 of its size that is not below it, which skips most of
            the work; without it, or for PNG, at full size.

    Raises:
        ImageError: The bytes are empty, no image, damaged, too large or of an unread variant.
    """
    image: Image.Image = _open(data, name=name)
    meta = _meta(image)
    try:
        orientation = image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1
        if at_least is not None:
            height, width = at_least if orientation < 5 else reversed(at_least)
            image.draft("L", (width, height))
        image.load()
        image = _upright(_grey(image, name=name), orientation)
        pixels = np.asarray(image)
    except _DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {meta.format} ({fault}); copy it again."
        ) from fault
    return Radiograph(pixels, meta)


def chroma(data: bytes, *, name: str) -> float:
    """Return how coloured the image in an encoded file is: 0 for grey, in grey levels up to 255.

    It is the mean difference between the strongest and the weakest of red, green and blue. A file
    that has one channel is grey and not decoded; of a colour JPEG an eighth of the size is.

    Raises:
        ImageError: As for ``decode``.
    """
    image: Image.Image = _open(data, name=name)
    if image.mode in {"1", "L", "LA", "I;16", "I"}:
        return 0.0
    try:
        image.draft("RGB", (1, 1))
        small = image.convert("RGB").reduce(_chroma_step(image.size))
        colours = np.asarray(small)
    except _DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: truncated or damaged {image.format} ({fault}); copy it again."
        ) from fault
    return float((colours.max(2).astype(np.float32) - colours.min(2)).mean())


def _chroma_step(size: tuple[int, int]) -> int:
    """Return by how much an image is reduced first: noise of single pixels is no colour."""
    return max(1, min(size) // 64)


def _jpeg(file: io.BytesIO) -> ImageFile:
    from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415 - 10 ms that help does not need

    return JpegImageFile(file)


def _png(file: io.BytesIO) -> ImageFile:
    from PIL.PngImagePlugin import PngImageFile  # noqa: PLC0415 - the same

    return PngImageFile(file)


_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_MAGIC_BYTES = 16
_DECODERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {"JPEG": _jpeg, "PNG": _png}


def _open(data: bytes, *, name: str) -> ImageFile:
    format_name = sniff(data[:_MAGIC_BYTES], name=name)
    try:
        image = _DECODERS[format_name](io.BytesIO(data))
    except _DECODER_FAULTS as fault:
        raise DamagedImageError(
            f"{name}: begins like a {format_name} but its header is damaged ({fault}); "
            "copy it again."
        ) from fault
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageTooLargeError(
            f"{name}: its header claims {width:,} x {height:,} pixels, more than any radiograph "
            f"has ({MAX_PIXELS:,} at most); not decoded."
        )
    return image


def _meta(image: Any) -> ImageMeta:
    width, height = image.size
    return ImageMeta(width, height, image.mode, image.format)


def _grey(image: Image.Image, *, name: str) -> Image.Image:
    """Return the image in mode L, or I;16 for 16-bit grey."""
    if image.mode in {"L", "I;16"}:
        return image
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        from PIL import Image  # noqa: PLC0415 - needed for this variant alone

        overlay = image.convert("RGBA")
        ground = Image.new("RGBA", overlay.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, overlay).convert("L")
    if image.mode in {"1", "P", "RGB", "YCbCr", "CMYK"}:
        return image.convert("RGB").convert("L")
    raise UnsupportedImageError(
        f"{name}: pixels of kind {image.mode!r} are not read; save it as 8- or 16-bit grey PNG."
    )


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


def _guess(start: bytes) -> str:
    """Say what the bytes look like, for a message that helps."""
    if start.startswith((b"II*\0", b"MM\0*")):
        return "this is a TIFF file"
    if start.startswith(b"GIF8"):
        return "this is a GIF file"
    if start.startswith(b"%PDF"):
        return "this is a PDF document"
    if start.startswith(b"PK"):
        return "this is a zip archive"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "this is a text file, whatever its name says"
    return "its content is no image format that is read here"
