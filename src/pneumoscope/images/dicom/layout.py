"""The layout of DICOM pixels, from the Image Pixel module.

Source: DICOM PS3.3, C.7.6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.errors import UnsupportedImageError
from pneumoscope.images.dicom.elements import text_of, value_of, whole_of
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
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    *(
        f"{field}{what}"
        for field in ("Shutter", "Collimator")
        for what in (
            "Shape",
            "LeftVerticalEdge",
            "RightVerticalEdge",
            "UpperHorizontalEdge",
            "LowerHorizontalEdge",
        )
    ),
    "CenterOfCircularShutter",
    "RadiusOfCircularShutter",
    "VerticesOfThePolygonalShutter",
    "CenterOfCircularCollimator",
    "RadiusOfCircularCollimator",
    "VerticesOfThePolygonalCollimator",
    *(
        f"{colour}PaletteColorLookupTable{what}"
        for colour in ("Red", "Green", "Blue")
        for what in ("Descriptor", "Data")
    ),
    "PixelData",
)
"""Keywords of the elements that determine how pixels are decoded and shown."""

PHOTOMETRIC = (
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_RCT",
    "YBR_ICT",
)
"""Supported photometric interpretations."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one frame; values missing in the header are None.

    Attributes:
        rows: Number of rows.
        columns: Number of columns.
        samples: Samples per pixel, 1 or 3.
        photometric: One of ``PHOTOMETRIC``.
        planar: Whether the colours of uncompressed pixels are stored plane by plane.
        allocated: Bits of a stored word.
        stored: Bits of a sample.
        signed: Whether samples are signed.
        frames: Declared number of frames.
        notes: Assumptions, in words.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    allocated: int | None
    stored: int | None
    signed: bool | None
    frames: int
    notes: tuple[str, ...] = ()

    @property
    def grey(self) -> bool:
        """Whether a sample is a shade of grey."""
        return self.photometric.startswith("MONOCHROME")


def layout_of(dataset: Dataset, *, name: str) -> Layout:
    """Return the layout described by a header.

    Raises:
        UnsupportedImageError: There is no image, or it is stored in an unsupported way.
        ImageTooLargeError: There are more pixels than the limit.
    """
    rows, columns = whole_of(dataset, "Rows"), whole_of(dataset, "Columns")
    if not rows or not columns:
        raise UnsupportedImageError(f"{name}: a DICOM file without an image: no Rows and Columns.")
    frames = whole_of(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise UnsupportedImageError(
            f"{name}: {frames} frames; a radiograph has one. Save the intended frame."
        )
    notes: list[str] = []
    samples, photometric = _colour(dataset, notes, name=name)
    allocated, stored = _bits(dataset, notes, name=name)
    signed = None
    if value_of(dataset, "PixelRepresentation") is None:
        notes.append("PixelRepresentation is missing; unsigned values are assumed")
    else:
        signed = whole_of(dataset, "PixelRepresentation") == 1
    wide = (allocated or 16) // 8
    check_size(columns, rows, name=name, bytes_per_pixel=samples * wide)
    return Layout(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=whole_of(dataset, "PlanarConfiguration") == 1,
        allocated=allocated,
        stored=stored,
        signed=signed,
        frames=max(1, frames),
        notes=tuple(notes),
    )


def _colour(dataset: Dataset, notes: list[str], *, name: str) -> tuple[int, str]:
    """Return the samples per pixel and the photometric interpretation."""
    stated = text_of(dataset, "PhotometricInterpretation").upper()
    samples = whole_of(dataset, "SamplesPerPixel")
    if stated and stated not in PHOTOMETRIC:
        raise UnsupportedImageError(
            f"{name}: PhotometricInterpretation {stated!r} is not supported; supported are "
            f"{', '.join(PHOTOMETRIC)}."
        )
    one = not stated or stated.startswith(("MONOCHROME", "PALETTE"))
    if not samples:
        samples = 1 if one else 3
        notes.append(f"SamplesPerPixel is missing; {samples} is assumed")
    if samples not in {1, 3}:
        raise UnsupportedImageError(f"{name}: {samples} samples per pixel; supported are 1 or 3.")
    if not stated:
        stated = "MONOCHROME2" if samples == 1 else "RGB"
        notes.append(f"PhotometricInterpretation is missing; {stated} is assumed")
    elif one != (samples == 1):
        samples = 1 if one else 3
        notes.append(
            f"SamplesPerPixel contradicts PhotometricInterpretation {stated}; {samples} is assumed"
        )
    return samples, stated


def _bits(dataset: Dataset, notes: list[str], *, name: str) -> tuple[int | None, int | None]:
    """Return the bits of a word and of a sample, None if not stated."""
    allocated = whole_of(dataset, "BitsAllocated") or None
    stored = whole_of(dataset, "BitsStored") or None
    if allocated not in {None, 8, 16}:
        raise UnsupportedImageError(
            f"{name}: {allocated} bits per word (BitsAllocated); supported are 8 or 16."
        )
    high = whole_of(dataset, "HighBit", -1)
    if stored and high >= stored:
        raise UnsupportedImageError(
            f"{name}: its values are not in the low bits of their words (HighBit {high} with "
            f"BitsStored {stored}); export it again."
        )
    if stored is None:
        notes.append("BitsStored is missing; the depth is derived from the pixels")
        stored = high + 1 if high >= 0 else None
    if stored and allocated and stored > allocated:
        notes.append(
            f"BitsStored {stored} is more than BitsAllocated {allocated}, which is used instead"
        )
        stored = allocated
    return allocated, stored
