"""The identity and rendering of a DICOM image as one table row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pneumoscope.images.dicom_facts import Rendering
from pneumoscope.images.radiograph import ImageMeta


@dataclass(frozen=True, slots=True)
class DicomRecord:
    """The identity of a DICOM image and its conversion to grey pixels.

    The fields from ``decoder`` on are empty, and ``inverted`` is None, if the pixels were not
    decoded, for example because the header excludes the image.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        transfer_syntax: UID of the encoding, as stated in the file.
        photometric: PhotometricInterpretation, as stated in the file.
        decoder: The decoder of the pixel data.
        modality_transform: The modality transformation: rescale or lookup table.
        voi: The VOI transformation: the window or table, or the range used instead.
        inverted: Whether the smallest value is shown white.
        padding: The values that were removed as padding.
        shutter: The shutter that was applied.
        notes: Contradictions in the header, assumptions and ignored elements, in words.
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    photometric: str
    decoder: str = ""
    modality_transform: str = ""
    voi: str = ""
    inverted: bool | None = None
    padding: str = ""
    shutter: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DicomRecord:
        """Return the record written by ``to_dict``."""
        return cls(**{**values, "notes": tuple(values["notes"])})

    def caption(self) -> str:
        """Describe the rendering in one line, for pictures.

        >>> DicomRecord("", "", "", "", "MONOCHROME1", voi="window 40/400", inverted=True).caption()
        'DICOM window 40/400, MONOCHROME1 inverted'
        """
        parts = [self.voi, self.padding and f"padding {self.padding}", self.shutter]
        if self.inverted:
            first = self.photometric == "MONOCHROME1"
            parts.append("MONOCHROME1 inverted" if first else "inverted")
        shown = ", ".join(part for part in parts if part)
        return f"DICOM {shown}" if shown else ""


DICOM_COLUMNS = tuple(field.name for field in fields(DicomRecord))
"""The columns of a table of such records."""


def flat(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the fields as texts for a table; None if unknown.

    >>> flat({"voi": "", "inverted": True, "notes": ["a", "b"]})
    {'voi': '', 'inverted': 'true', 'notes': 'a; b'}
    """
    inverted = record["inverted"]
    return {
        **record,
        "inverted": None if inverted is None else str(inverted).lower(),
        "notes": "; ".join(record["notes"]),
    }


def dicom_record(meta: ImageMeta) -> DicomRecord | None:
    """Return the record of a DICOM image; None for other formats."""
    facts = meta.dicom
    if facts is None:
        return None
    done = meta.rendering or Rendering()
    return DicomRecord(
        facts.study_uid,
        facts.series_uid,
        facts.sop_instance_uid,
        facts.transfer_syntax,
        facts.photometric,
        decoder=done.decoder,
        modality_transform=done.modality,
        voi=done.voi,
        inverted=done.inverted if meta.rendering else None,
        padding=done.padding,
        shutter=done.shutter,
        notes=tuple(dict.fromkeys((*facts.notes, *done.notes))),
    )


def dicom_cells(record: DicomRecord | None) -> list[str | None]:
    """Return the values of ``DICOM_COLUMNS``; all None for other formats."""
    if record is None:
        return [None] * len(DICOM_COLUMNS)
    row = flat(record.to_dict())
    return [row[column] for column in DICOM_COLUMNS]
