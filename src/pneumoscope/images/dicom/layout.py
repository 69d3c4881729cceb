"""How the pixels of a DICOM image are laid out, as its Image Pixel module describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.errors import UnsupportedImageError
from pneumoscope.images.dicom.elements import whole_of
from pneumoscope.images.radiograph import check_size

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PIXEL_TAGS = (
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    *(
        f"{colour}PaletteColorLookupTable{what}"
        for colour in ("Red", "Green", "Blue")
        for what in ("Descriptor", "Data")
    ),
    "PixelData",
)
"""The keywords of the elements that decide how pixels are decoded and shown."""


def check_layout(dataset: Dataset, *, name: str) -> None:
    """Refuse pixels that are stored in a way not read here.

    Raises:
        UnsupportedImageError: Their samples or bits are not those of a radiograph.
        ImageTooLargeError: There are more of them than are read.
    """
    rows, columns = whole_of(dataset, "Rows"), whole_of(dataset, "Columns")
    samples = whole_of(dataset, "SamplesPerPixel", 1)
    allocated = whole_of(dataset, "BitsAllocated")
    if samples not in {1, 3} or allocated not in {8, 16}:
        raise UnsupportedImageError(
            f"{name}: {samples} samples of {allocated} bits a pixel; "
            "read are 1 or 3 samples of 8 or 16 bits."
        )
    if whole_of(dataset, "HighBit") >= whole_of(dataset, "BitsStored", allocated):
        raise UnsupportedImageError(
            f"{name}: its values are not in the low bits of their words (HighBit); export it anew."
        )
    check_size(columns, rows, name=name, bytes_per_pixel=samples * allocated // 8)
