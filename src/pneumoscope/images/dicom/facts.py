"""The facts in a DICOM header; names of persons are never read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.images.dicom.age import AGE_TAGS, age_of
from pneumoscope.images.dicom.elements import text_of, value_of
from pneumoscope.images.dicom.views import VIEW_TAGS
from pneumoscope.images.dicom_facts import DicomFacts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_NOBODY = frozenset({"", "0", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "NONE", "UNKNOWN", "NA"})

FACT_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "PresentationIntentType",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "PatientID",
    "PatientSex",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "PresentationLUTShape",
    *VIEW_TAGS,
    *AGE_TAGS,
)
"""Keywords of the elements read for the facts and for eligibility."""


def facts_of(
    dataset: Dataset, syntax: str, *, view: str, notes: tuple[str, ...] = ()
) -> DicomFacts:
    """Return the facts in a header.

    Args:
        dataset: Elements of the header, of which ``FACT_TAGS`` are read.
        syntax: The transfer syntax stated in the file.
        view: The view, as named by ``view_of``.
        notes: Previous notes, to which those about age and presentation are appended.
    """
    patient = text_of(dataset, "PatientID")
    from_dates, odd = age_of(dataset)
    return DicomFacts(
        patient_id="" if patient.upper() in _NOBODY else patient,
        patient_age=text_of(dataset, "PatientAge"),
        patient_sex=text_of(dataset, "PatientSex"),
        view=view,
        modality=text_of(dataset, "Modality").upper(),
        body_part=text_of(dataset, "BodyPartExamined"),
        photometric=text_of(dataset, "PhotometricInterpretation").upper(),
        transfer_syntax=syntax,
        pixel_spacing_mm=_spacing(dataset, "PixelSpacing"),
        imager_pixel_spacing_mm=_spacing(dataset, "ImagerPixelSpacing"),
        age_from_dates=from_dates,
        study_uid=text_of(dataset, "StudyInstanceUID"),
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        notes=(*notes, *odd, *_shape_notes(dataset)),
    )


def _shape_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return the contradiction between PresentationLUTShape and the photometric interpretation.

    The standard combines IDENTITY with MONOCHROME2 and INVERSE with MONOCHROME1 (PS3.3 C.8.11.3).
    Some software writes INVERSE with MONOCHROME2 by mistake, so the photometric interpretation
    takes precedence, as in other viewers.
    """
    shape = text_of(dataset, "PresentationLUTShape").upper()
    photometric = text_of(dataset, "PhotometricInterpretation").upper()
    usual = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}.get(photometric)
    if usual is None or shape not in {"IDENTITY", "INVERSE"} or shape == usual:
        return ()
    note = f"PresentationLUTShape {shape} contradicts {photometric}"
    return (f"{note}; {photometric} takes precedence",)


def _spacing(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        row, column = (float(number) for number in value_of(dataset, keyword))
    except (TypeError, ValueError):
        return None
    return (row, column) if row > 0 and column > 0 else None
