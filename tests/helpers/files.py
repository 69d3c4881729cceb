"""Image files in memory, of every supported format."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def encoded(image: Image.Image | NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    """Return an image as the bytes of a file that Pillow writes."""
    file = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(file, form, **options)
    return file.getvalue()


def dicom_data_set(pixels: NDArray[Any], *, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """Return a frontal chest radiograph as a data set with the required elements only."""
    data_set = Dataset()
    data_set.SOPClassUID = ComputedRadiographyImageStorage
    data_set.SOPInstanceUID = generate_uid(entropy_srcs=["pneumoscope"])
    data_set.Modality = "CR"
    data_set.PatientName = "Doe^Jane"
    data_set.PatientID = "P-17"
    data_set.PatientAge = "034Y"
    data_set.PatientSex = "F"
    data_set.BodyPartExamined = "CHEST"
    data_set.ViewPosition = "PA"
    data_set.PixelSpacing = [0.2, 0.1]
    data_set.ImagerPixelSpacing = [0.25, 0.15]
    data_set.Rows, data_set.Columns = pixels.shape[:2]
    data_set.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data_set.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data_set.PlanarConfiguration = 0
    data_set.BitsAllocated = data_set.BitsStored = 8 * pixels.dtype.itemsize
    data_set.HighBit = data_set.BitsStored - 1
    data_set.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
    big = syntax == ExplicitVRBigEndian
    data_set.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    if pixels.size * pixels.dtype.itemsize % 2:
        data_set.PixelData += b"\0"
    data_set["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    return data_set


def dicom_bytes(data_set: Dataset) -> bytes:
    """Return the bytes of a DICOM file."""
    file = io.BytesIO()
    data_set.save_as(file, enforce_file_format=True)
    return file.getvalue()


def dicom_file(
    pixels: NDArray[Any],
    *,
    syntax: str = ExplicitVRLittleEndian,
    frame: bytes | None = None,
    **elements: Any,
) -> bytes:
    """Return the bytes of a DICOM file of a frontal chest radiograph.

    Args:
        pixels: The stored values.
        syntax: The transfer syntax.
        frame: The compressed pixels, for an encapsulated syntax.
        **elements: Other elements by keyword; None removes one.
    """
    data_set = dicom_data_set(pixels, syntax=syntax)
    if frame is not None:
        data_set.PixelData = encapsulate([frame])
        data_set["PixelData"].VR = "OB"
        data_set["PixelData"].is_undefined_length = True
    for keyword, value in elements.items():
        if value is None:
            data_set.pop(keyword, None)
        else:
            setattr(data_set, keyword, value)
    if "BitsStored" in elements:
        data_set.HighBit = max(data_set.BitsStored - 1, 0)
    return dicom_bytes(data_set)


def lut_item(first: int, data: NDArray[Any], *, bits: int) -> Dataset:
    """Return an item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(data) % 65536, first, bits])
    item.add_new("LUTData", "US", [int(value) for value in data])
    return item


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG file of some chunks, each (kind, content), with right checksums."""
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        data += struct.pack(">I", len(content)) + kind + content
        data += struct.pack(">I", zlib.crc32(kind + content))
    return data


def png_header(width: int, height: int, *, bits: int = 8, colour: int = 0) -> bytes:
    """Return the content of an IHDR chunk."""
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


def tiff(pixels: NDArray[Any], *, white_is_zero: bool = False, **tags: Any) -> bytes:
    """Return an uncompressed grey TIFF; ``tags`` are ``t_NUMBER=value`` of type SHORT."""
    entries: dict[int, tuple[int, int]] = {
        256: (4, pixels.shape[1]),
        257: (4, pixels.shape[0]),
        258: (3, 8 * pixels.dtype.itemsize),
        259: (3, 1),
        262: (3, 0 if white_is_zero else 1),
        277: (3, 1),
        278: (4, pixels.shape[0]),
        279: (4, pixels.nbytes),
        339: (3, {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]),
    }
    entries |= {int(tag.removeprefix("t_")): (3, value) for tag, value in tags.items()}
    size = 8 + 2 + 12 * (len(entries) + 1) + 4
    entries[273] = (4, size)
    table = b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + pixels.tobytes()
