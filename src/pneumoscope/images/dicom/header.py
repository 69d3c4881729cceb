"""The metadata of a DICOM file that can be assessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.errors import ImageError, OtherKindError, UnsupportedImageError
from pneumoscope.images.dicom.elements import text_of, whole_of
from pneumoscope.images.dicom.eligibility import eligibility_of, is_raw, storage_class
from pneumoscope.images.dicom.facts import facts_of
from pneumoscope.images.dicom.layout import layout_of
from pneumoscope.images.radiograph import ImageMeta

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def checked_meta(dataset: Dataset, syntax: str, *, name: str, any_kind: bool = False) -> ImageMeta:
    """Return the metadata of a DICOM image that can be assessed.

    Args:
        dataset: Elements of the header, of which ``FACT_TAGS`` and ``PIXEL_TAGS`` are read.
        syntax: The transfer syntax stated in the file.
        name: Name of the file, for messages.
        any_kind: Whether images other than frontal chest radiographs are accepted; ``other_kind``
            of the result then describes them.

    Raises:
        OtherKindError: The image is not a frontal chest radiograph.
        UnsupportedImageError: The pixels are stored in an unsupported way.
        ImageTooLargeError: The image has more pixels than the limit.
    """
    rows, columns = whole_of(dataset, "Rows"), whole_of(dataset, "Columns")
    if not rows or not columns:
        kind = storage_class(text_of(dataset, "SOPClassUID"))
        raise UnsupportedImageError(f"{name}: a DICOM file without an image ({kind}).")
    found = eligibility_of(dataset)
    facts = facts_of(dataset, syntax, view=found.view, notes=found.notes)
    meta = ImageMeta(columns, rows, facts.photometric, "DICOM", facts, other_kind=found.refusal)
    if found.refusal and not any_kind:
        raise OtherKindError(name, found.refusal, header=meta)
    try:
        if is_raw(dataset):
            raise UnsupportedImageError(
                f"{name}: the detector's raw image (FOR PROCESSING); "
                "export the one that is FOR PRESENTATION."
            )
        layout_of(dataset, name=name)
    except ImageError as fault:
        fault.header = meta
        raise
    return meta
