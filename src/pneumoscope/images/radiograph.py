"""A decoded image and its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pneumoscope.errors import ImageTooLargeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.images.dicom_facts import DicomFacts, Rendering

MAX_PIXELS = 100_000_000
"""Maximum plausible number of pixels; the largest detectors have about 25 million."""

MAX_DECODED_BYTES = 160_000_000
"""Maximum size of a decoded image; 100 million grey pixels need less, as do 40 million in
colour."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that detectors use."""

GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
"""Modes of Pillow without colour."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""


class ImageMeta(NamedTuple):
    """The header of an image file: width and height in pixels as stored, mode, format.

    ``dicom`` contains further facts for DICOM files, and is None for others. ``rendering`` is set
    once the pixels of a DICOM file are decoded. ``other_kind`` explains why the header is not that
    of a frontal chest radiograph, if such images are accepted; otherwise it is empty. ``chroma`` is
    the result of ``read.chroma``; None if it was not requested.
    """

    width: int
    height: int
    mode: str
    format: str
    dicom: DicomFacts | None = None
    rendering: Rendering | None = None
    other_kind: str = ""
    chroma: float | None = None


class Radiograph(NamedTuple):
    """A decoded image: grey pixels [height, width], uint8 or uint16, with metadata.

    After a scaled decode, there are fewer pixels than stated in ``meta``. ``bits`` is the declared
    depth of 16-bit pixels: white is ``2**bits - 1``; None if none is declared.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    meta: ImageMeta
    bits: int | None = None


def usual_depth(largest: float) -> int:
    """Return the smallest usual bit depth that can represent a value.

    >>> usual_depth(3000)
    12
    """
    return next((bits for bits in DEPTHS if largest < 2**bits), DEPTHS[-1])


def check_size(width: int, height: int, *, name: str, bytes_per_pixel: int = 1) -> None:
    """Reject a declared size before memory is allocated.

    Raises:
        ImageTooLargeError: The image has more pixels than any radiograph.
    """
    pixels = width * height
    if pixels > MAX_PIXELS or pixels * bytes_per_pixel > MAX_DECODED_BYTES:
        limit = min(MAX_PIXELS, MAX_DECODED_BYTES // bytes_per_pixel)
        raise ImageTooLargeError(
            f"{name}: its header declares {width:,} x {height:,} pixels, more than the limit "
            f"of {limit:,} for images of this kind; not decoded."
        )
