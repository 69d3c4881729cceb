"""A decoded image and its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pneumoscope.errors import ImageTooLargeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.images.dicom_facts import DicomFacts, Rendering

MAX_PIXELS = 100_000_000
"""Above this a header is not believed: the largest detectors have about 25 million pixels."""

MAX_DECODED_BYTES = 160_000_000
"""Above this an image is not decoded: 100 million grey pixels need less, 40 million in colour."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that detectors use."""

GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
"""Modes of Pillow's whose pixels have no colour."""

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue weigh in luma (ITU-R BT.601)."""


class ImageMeta(NamedTuple):
    """The header of an image file: width and height in pixels as stored, mode, format.

    ``dicom`` holds more of it for DICOM files, and is None for the others. ``rendering`` is there
    once the pixels of a DICOM file have been decoded. ``other_kind`` says why the header is not
    that of a frontal chest radiograph, where such images are let pass; empty otherwise. ``chroma``
    is what ``read.chroma`` gives; None where it was not asked for.
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

    A scaled decode gives fewer pixels than ``meta`` names. ``bits`` is the depth that the file
    declares for 16-bit pixels: white is ``2**bits - 1``; None where it declares none.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    meta: ImageMeta
    bits: int | None = None


def usual_depth(largest: float) -> int:
    """Return the smallest usual bit depth that holds a value.

    >>> usual_depth(3000)
    12
    """
    return next((bits for bits in DEPTHS if largest < 2**bits), DEPTHS[-1])


def check_size(width: int, height: int, *, name: str, bytes_per_pixel: int = 1) -> None:
    """Reject a declared size before memory is allocated.

    Raises:
        ImageTooLargeError: More pixels than any radiograph has.
    """
    pixels = width * height
    if pixels > MAX_PIXELS or pixels * bytes_per_pixel > MAX_DECODED_BYTES:
        limit = min(MAX_PIXELS, MAX_DECODED_BYTES // bytes_per_pixel)
        raise ImageTooLargeError(
            f"{name}: its header claims {width:,} x {height:,} pixels, more than any radiograph "
            f"has ({limit:,} at most of this kind); not decoded."
        )
