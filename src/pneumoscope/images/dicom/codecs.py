"""Encoded DICOM pixel data → stored values.

Uncompressed, RLE, baseline JPEG and JPEG 2000 are decoded by pydicom and Pillow. JPEG with more
than 8 bits, lossless JPEG and JPEG-LS need imagecodecs, which the extra ``dicom`` installs.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DamagedImageError, UnsupportedImageError
from pneumoscope.images.dicom import jpegls
from pneumoscope.images.quiet import quietly

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

EXTRA = "install it with: pip install 'pneumoscope[dicom]'"

_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_RLE = "1.2.840.10008.1.2.5"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


def unpack(dataset: Dataset, *, name: str) -> NDArray[Any]:
    """Return the stored values, [rows, columns] or RGB [rows, columns, 3].

    Raises:
        UnsupportedImageError: An encoding that is not read, or whose decoder is not installed.
        DamagedImageError: The pixel data are not what the header says.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _NATIVE:
        if dataset["PixelData"].is_undefined_length:
            raise UnsupportedImageError(
                f"{name}: compressed pixels without a transfer syntax; export it anew."
            )
        return _by_pydicom(dataset, plugin="")
    if syntax == _RLE:
        return _by_pydicom(dataset, plugin="pydicom")
    decodes = (_JPEG_BASELINE, _JPEG_EXTENDED, *_JPEG_LOSSLESS, *_JPEG_LS, *_JPEG_2000)
    if syntax not in decodes:
        raise UnsupportedImageError(
            f"{name}: transfer syntax {syntax.name!r} is not read; export it uncompressed."
        )
    frame = _frame(dataset)
    _check_codestream(frame, dataset, name=name)
    if syntax in _JPEG_2000 or (
        syntax in {_JPEG_BASELINE, _JPEG_EXTENDED} and _precision(frame) == 8
    ):
        return _by_pydicom(dataset, plugin="pillow")
    if importlib.util.find_spec("imagecodecs") is None:
        raise UnsupportedImageError(
            f"{name}: no decoder for transfer syntax {syntax.name!r} is installed; {EXTRA}"
        )
    if syntax in _JPEG_LS:
        return _signed(jpegls.decode(frame), dataset)
    from imagecodecs import jpeg_decode  # noqa: PLC0415 - an extra

    return _signed(jpeg_decode(frame), dataset)


def _by_pydicom(dataset: Dataset, *, plugin: str) -> NDArray[Any]:
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415 - pydicom is loaded where there is DICOM

    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    with quietly():
        pixels, _ = decoder.as_array(dataset, index=0, decoding_plugin=plugin)
    return pixels


def _frame(dataset: Dataset) -> bytes:
    from pydicom.encaps import get_frame  # noqa: PLC0415 - the same

    with quietly():
        return get_frame(dataset.PixelData, 0, number_of_frames=1)


def _check_codestream(frame: bytes, dataset: Dataset, *, name: str) -> None:
    """Refuse a codestream whose size is not that of the header, before a decoder believes it.

    Raises:
        DamagedImageError: It is another size, or it ends too early.
    """
    if frame[:2] == b"\xff\xd8":
        size, whole = _jpeg_size(frame), b"\xff\xd9" in frame[-64:]
    else:
        size, whole = _jpeg_2000_size(frame), True
    said = (dataset.Rows, dataset.Columns)
    if size != said:
        raise DamagedImageError(
            f"{name}: its compressed image has {size[0]} rows and {size[1]} columns, "
            f"its header says {said[0]} and {said[1]}."
        )
    if not whole:
        raise DamagedImageError(f"{name}: its compressed image is truncated; copy it again.")


def _frame_header(frame: bytes) -> bytes:
    """Return the bytes after the length of a JPEG's or JPEG-LS's start-of-frame marker."""
    position = 2
    while position + 4 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        # SOF0 to SOF15 without DHT, JPG and DAC, and SOF55 of JPEG-LS
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}):
            return frame[position + 4 : position + 12]
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return bytes(8)


def _precision(frame: bytes) -> int:
    return _frame_header(frame)[0]


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    header = _frame_header(frame)
    return int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    at = frame.find(b"\xff\x4f\xff\x51", 0, 4096) + 8  # start of codestream, then SIZ
    right, bottom, left, top = (
        int.from_bytes(frame[at + 4 * field : at + 4 * field + 4], "big") for field in range(4)
    )
    return (bottom - top, right - left) if at >= 8 else (0, 0)


def _signed(pixels: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Return values with the sign that the header gives them: these codecs know no sign."""
    if dataset.PixelRepresentation != 1:
        return pixels
    bits = int(dataset.BitsStored)
    values = pixels.astype(np.int32)
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values).astype(np.int16)
