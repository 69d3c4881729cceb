"""Load an image from a file, bytes or pixels for the network.

The pixels equal those of ``prepare`` and are computed by the same functions; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pneumoscope.images.prepare import InputSpec, prepare_bytes, to_input
from pneumoscope.images.radiograph import ImageMeta
from pneumoscope.images.read import decode
from pneumoscope.images.sources import Decoded, Source, resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.images.record import DicomRecord


class Shape(NamedTuple):
    """Facts of an image besides its prepared pixels.

    Attributes:
        width: Stored width in pixels.
        height: Stored height in pixels.
        chroma: Mean difference between the strongest and the weakest colour, in grey levels.
    """

    width: int
    height: int
    chroma: float = 0.0


class LoadedImage(NamedTuple):
    """An image that is ready for the network.

    Attributes:
        pixels: uint8 [height, width] of the model's input.
        shape: Stored size and colourfulness.
        facts: Facts about patient and view in the file, as for ``scope_of``.
        other_kind: Why the header is not that of a frontal chest radiograph; empty if it is.
        dicom: Identity and rendering of a DICOM image; None for other formats.
        notes: Contradictions in the header, and assumptions, in words.
    """

    pixels: NDArray[np.uint8]
    shape: Shape
    facts: Mapping[str, str]
    other_kind: str = ""
    dicom: DicomRecord | None = None
    notes: tuple[str, ...] = ()


def load_image(source: Source, spec: InputSpec, *, any_kind: bool = False) -> LoadedImage:
    """Load an image for a model.

    Args:
        source: The image.
        spec: The input of the model.
        any_kind: Whether to accept an image that is not a frontal chest radiograph according to its
            header.

    Raises:
        OtherKindError: It is not a frontal chest radiograph, and ``any_kind`` is false.
        ImageError: It cannot be read.
    """
    given = resolve(source)
    if isinstance(given, Decoded):
        height, width = given.pixels.shape
        pixels = to_input(given.pixels, spec, bits=given.bits)
        return LoadedImage(pixels, Shape(width, height, given.chroma), facts={})
    pixels, meta = prepare_bytes(given.data, spec, name=given.name, any_kind=any_kind, colours=True)
    shape = Shape(meta.width, meta.height, meta.chroma or 0.0)
    notes = meta.dicom.notes if meta.dicom else ()
    return LoadedImage(pixels, shape, _facts(meta), meta.other_kind, dicom_of(meta), notes)


def dicom_of(meta: ImageMeta) -> DicomRecord | None:
    """Return the identity and rendering of a DICOM image; None for other formats."""
    if meta.dicom is None:
        return None
    from pneumoscope.images.record import dicom_record  # noqa: PLC0415 - only for DICOM

    return dicom_record(meta)


def dicom_of_header(header: object) -> DicomRecord | None:
    """Return the same from the ``header`` of an ``ImageError``, which may be None."""
    return dicom_of(header) if isinstance(header, ImageMeta) else None


def native(source: Source) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the grey pixels of an image at its original size, [height, width].

    Raises:
        ImageError: It cannot be read.
    """
    given = resolve(source)
    if isinstance(given, Decoded):
        return given.pixels
    return decode(given.data, name=given.name, any_kind=True).pixels


def _facts(meta: ImageMeta) -> dict[str, str]:
    """Return the facts in a file's header; only DICOM has them."""
    facts = meta.dicom
    if facts is None:
        return {}
    from pneumoscope.reader.checks.intended_use import (  # noqa: PLC0415 - only for DICOM
        AGE,
        BODY_PART,
        MODALITY,
        VIEW,
    )

    years = facts.age_years
    return {
        AGE: "" if years is None else f"{years:g}",
        VIEW: facts.view,
        MODALITY: facts.modality,
        BODY_PART: facts.body_part,
    }
