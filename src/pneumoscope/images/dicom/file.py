"""Read DICOM files: grey pixels and header.

pydicom parses the header and decodes some encodings; ``codecs`` decodes the others.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pneumoscope.errors import DamagedImageError, ImageError, ImageTooLargeError
from pneumoscope.images.dicom.facts import FACT_TAGS
from pneumoscope.images.dicom.fragments import DELIMITER, ITEM
from pneumoscope.images.dicom.header import checked_meta
from pneumoscope.images.dicom.layout import PIXEL_TAGS, layout_of
from pneumoscope.images.dicom.pixels import radiograph_of
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import ImageMeta, Radiograph

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_INFLATED_BYTES = 64 * 2**20
"""Maximum size of a deflated data set after decompression."""

_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_NATIVE = frozenset({"", _IMPLICIT, _EXPLICIT, _DEFLATED, _BIG_ENDIAN})


def probe(data: bytes, *, name: str) -> ImageMeta:
    """Read the header.

    Raises:
        ImageError: The file is damaged, or not a supported frontal chest radiograph.
    """
    with _guarded(name), quietly():
        dataset, syntax = _read(data, name=name, pixels=False)
        return checked_meta(dataset, syntax, name=name)


def decode(
    data: bytes,
    *,
    name: str,
    at_least: tuple[int, int] | None = None,
    any_kind: bool = False,
) -> Radiograph:
    """Return the grey pixels, uint8 or uint16 [rows, columns]; air is black.

    Applies the modality table or rescale, then the first usable VOI table or window, then the
    inversion of MONOCHROME1. Without values of interest, the range of the stored bits is shown; if
    that is all 16 bits, or signed, the range of the pixels. Padding and areas covered by a shutter
    are black. Colour is converted to luma.

    Args:
        data: The bytes of the file.
        name: Name of the file, for messages.
        at_least: Required (height, width). JPEG 2000 is then decoded at a smaller size, if the
            display only depends on the pixels.
        any_kind: Whether images that are not frontal chest radiographs according to the header are
            decoded as well; ``meta.other_kind`` then describes them.

    Raises:
        ImageError: The file is damaged, not a frontal chest radiograph, or in an unsupported
            encoding.
    """
    with _guarded(name), quietly():
        dataset, syntax = _read(data, name=name, pixels=True)
        meta = checked_meta(dataset, syntax, name=name, any_kind=any_kind)
    try:
        with _guarded(name):
            with quietly():
                layout = layout_of(dataset, name=name)
            return radiograph_of(dataset, meta, layout, name=name, at_least=at_least)
    except ImageError as fault:
        fault.header = meta  # the identity of the image is known
        raise


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Turn any error of a parser or decoder into one exception."""
    try:
        yield
    except ImageError:
        raise
    except Exception as fault:  # pydicom has no base class for errors caused by malformed bytes
        raise DamagedImageError(
            f"{name}: not read as DICOM: its elements are damaged ({_short(fault)}); copy it again."
        ) from fault


def _read(data: bytes, *, name: str, pixels: bool) -> tuple[Dataset, str]:
    """Return the elements needed here, and the actual transfer syntax."""
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - loaded where there is DICOM
    from pydicom.uid import UID  # noqa: PLC0415 - the same

    start, syntax = _file_meta(data)
    body = _inflated(data[start:], name=name) if syntax == _DEFLATED else data[start:]
    if body[:2] == b"\x02\0" or body[128:132] == b"DICM":
        raise DamagedImageError(f"{name}: its file meta information is damaged; copy it again.")
    dataset = _parsed(body, pixels=pixels)
    if pixels and "PixelData" not in dataset and _ends_in_fragments(body):
        # pydicom drops an element of undefined length without an end.
        dataset = _parsed(body + DELIMITER, pixels=True)
    if syntax in _NATIVE:  # detected from the elements, regardless of the file meta information
        implicit, little = dataset.original_encoding
        found = _IMPLICIT if implicit else _EXPLICIT if little else _BIG_ENDIAN
    else:
        found = syntax
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(found)
    return dataset, syntax or found


def _parsed(body: bytes, *, pixels: bool) -> Dataset:
    from pydicom import dcmread  # noqa: PLC0415 - pydicom is loaded where there is DICOM

    return dcmread(
        io.BytesIO(body),
        force=True,
        specific_tags=[*FACT_TAGS, *PIXEL_TAGS],
        stop_before_pixels=not pixels,
    )


def _ends_in_fragments(body: bytes) -> bool:
    """Return whether there is encapsulated pixel data whose end pydicom did not find."""
    at = body.rfind(b"\xe0\x7f\x10\0")
    return at >= 0 and ITEM in body[at : at + 24] and b"\xff\xff\xff\xff" in body[at : at + 16]


def _file_meta(data: bytes) -> tuple[int, str]:
    """Return the start of the data set and the transfer syntax in group 0002, or ""."""
    position = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    while data[position : position + 2] == b"\x02\0":
        kind = data[position + 4 : position + 6]
        wide = kind in {b"OB", b"UN", b"OW", b"SQ", b"UT", b"UC", b"UR"}
        where = slice(position + 8, position + 12) if wide else slice(position + 6, position + 8)
        begin = position + (12 if wide else 8)
        end = begin + int.from_bytes(data[where], "little")
        if end > len(data) or not kind.isalpha():
            break
        if data[position + 2 : position + 4] == b"\x10\0":
            syntax = data[begin:end].decode("ascii", "replace").strip("\0 ")
        position = end
    return position, syntax


def _inflated(data: bytes, *, name: str) -> bytes:
    """Return a decompressed deflated data set, with a size limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(data, MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise ImageTooLargeError(
            f"{name}: a deflated DICOM data set of more than {MAX_INFLATED_BYTES:,} bytes; "
            "save it without compression."
        )
    if not inflater.eof:
        raise DamagedImageError(f"{name}: truncated or damaged deflated DICOM; copy it again.")
    return body


def _short(fault: Exception) -> str:
    return " ".join(str(fault).split())[:120] or type(fault).__name__
