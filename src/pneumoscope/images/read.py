"""Read image files as grey pixels; the format is detected from the content.

``raster`` reads the formats of Pillow, ``dicom`` reads DICOM. The decoder is selected here by the
first bytes, so that no other decoder is ever called.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from pneumoscope.errors import (
    EmptyImageError,
    ImageTooLargeError,
    NotAnImageError,
    UnreachableImageError,
)
from pneumoscope.images import raster
from pneumoscope.images.jpeg2000 import CODESTREAM, SIGNATURE
from pneumoscope.images.radiograph import ImageMeta, Radiograph

MAX_BYTES = 512 * 2**20
"""Maximum size of a file."""

MAGIC_BYTES = 132
"""Number of bytes that ``sniff`` needs from the start of a file."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dcm", ".dicom", ".webp", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
)
"""Usual suffixes of image files; the format is determined by the content."""

_READABLE = "readable are JPEG, PNG, TIFF, DICOM, WebP, BMP, GIF and JPEG 2000 images"
_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file.

    Only regular files that begin like an image are read, so that a pipe cannot block and a video
    cannot fill the memory.

    Raises:
        ImageError: The file is missing, not a regular file, not readable, empty, too large, or not
            an image.
    """
    try:
        # Non-blocking, since opening a named pipe would otherwise wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreachableImageError(
                    f"{path}: not a regular file; give an image or a folder."
                )
            if status.st_size > MAX_BYTES:
                raise ImageTooLargeError(
                    f"{path}: {status.st_size:,} bytes are too large for a radiograph; the "
                    f"limit is {MAX_BYTES:,} bytes."
                )
            # Unbuffered: the whole file is read into one block of memory without another copy.
            # ``open`` raises for a folder, and would leave the descriptor open.
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                sniff(file.read(MAGIC_BYTES), name=str(path))
                file.seek(0)
                return file.readall()
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as fault:  # ValueError: a null character in the name
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise UnreachableImageError(f"{path}: cannot be read ({reason}).") from fault


def sniff(start: bytes, *, name: str) -> str:
    """Detect the format from the first bytes.

    The result is one of ``JPEG``, ``PNG``, ``TIFF``, ``DICOM``, ``WebP``, ``BMP``, ``GIF``, ``JPEG
    2000``.

    Args:
        start: The first ``MAGIC_BYTES`` bytes of a file, or all of it.
        name: Name of the file in messages.

    Raises:
        EmptyImageError: There are no bytes.
        NotAnImageError: The format is not supported.
    """
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    # DICOM first: with its preamble of 128 bytes, it may be a TIFF file as well.
    if start[128:132] == b"DICM" or _begins_a_data_set(start):
        return "DICOM"
    if start.startswith(_TIFF):
        return "TIFF"
    for format_name, matches in _OTHERS.items():
        if matches(start):
            return format_name
    if not start:
        raise EmptyImageError(f"{name}: the file is empty (0 bytes); copy it again.")
    from pneumoscope.images.unread import looks_like  # noqa: PLC0415 - only without an image

    raise NotAnImageError(f"{name}: {looks_like(start)}; {_READABLE}.")


def probe(data: bytes, *, name: str) -> ImageMeta:
    """Read the header without decoding pixels.

    Raises:
        ImageError: As for ``decode``, as far as it can be determined from the header.
    """
    format_name = sniff(data[:MAGIC_BYTES], name=name)
    if format_name == "DICOM":
        from pneumoscope.images import dicom  # noqa: PLC0415 - pydicom is only loaded for DICOM

        return dicom.probe(data, name=name)
    return raster.probe(data, format_name, name=name)


def decode(
    data: bytes,
    *,
    name: str,
    at_least: tuple[int, int] | None = None,
    any_kind: bool = False,
) -> Radiograph:
    """Return the grey pixels of an encoded image.

    Colour is converted to luma (ITU-R 601), transparency is blended with black, EXIF orientation is
    applied, 16-bit grey stays 16-bit. For DICOM, the modality and VOI transformations are applied,
    and MONOCHROME1 is inverted: air is black in all results.

    Args:
        data: The bytes of the file.
        name: Name of the file in messages.
        at_least: (height, width) in pixels that the caller needs. JPEG, and JPEG 2000 in DICOM, are
            then decoded at the smallest of 1/1, 1/2, 1/4, 1/8 of the size that is not below it,
            which is much faster. Without it, and for other formats, images are decoded at full
            size.
        any_kind: Whether DICOM images of other modalities, views and body parts are decoded as
            well; ``meta.other_kind`` then describes them.

    Raises:
        ImageError: The bytes are empty, not an image, damaged, too large or of an unsupported
            variant.
    """
    format_name = sniff(data[:MAGIC_BYTES], name=name)
    if format_name == "DICOM":
        from pneumoscope.images import dicom  # noqa: PLC0415 - pydicom is only loaded for DICOM

        return dicom.decode(data, name=name, at_least=at_least, any_kind=any_kind)
    return raster.decode(data, format_name, name=name, at_least=at_least)


_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
# "BM" alone would match many texts.
_OTHERS: Mapping[str, Callable[[bytes], bool]] = {
    "WebP": lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    "BMP": lambda start: start[:2] == b"BM" and _number(start, 14) in _BMP_HEADERS,
    "GIF": lambda start: start.startswith((b"GIF87a", b"GIF89a")),
    "JPEG 2000": lambda start: start.startswith((SIGNATURE, CODESTREAM)),
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_VALUE_KINDS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split()
)


def chroma(data: bytes, *, name: str) -> float:
    """Return the colourfulness of an encoded image: 0 for grey, in grey levels up to 255.

    This is the mean difference between the strongest and the weakest of red, green and blue. A file
    with one channel is grey and not decoded; a colour JPEG is decoded at an eighth of its size.

    Raises:
        ImageError: As for ``decode``.
    """
    format_name = sniff(data[:MAGIC_BYTES], name=name)
    if format_name != "DICOM":
        return raster.chroma(data, format_name, name=name)
    from pneumoscope.images import dicom  # noqa: PLC0415 - pydicom is only loaded for DICOM

    return dicom.decode(data, name=name, any_kind=True).meta.chroma or 0.0


def _number(start: bytes, at: int) -> int:
    return int.from_bytes(start[at : at + 4], "little")


def _begins_a_data_set(start: bytes) -> bool:
    """Return whether bytes start like DICOM elements without a preamble.

    The first element is then of group 0002 or 0008, and has a known value representation (explicit)
    or a short, even length (implicit).
    """
    if len(start) < 8:
        return False
    if start[:2] in {b"\x02\0", b"\x08\0"} and start[3] == 0:
        length = int.from_bytes(start[4:8], "little")
        return start[4:6] in _VALUE_KINDS or (length <= 256 and length % 2 == 0)
    return start[:2] == b"\0\x08" and start[2] == 0 and start[4:6] in _VALUE_KINDS
