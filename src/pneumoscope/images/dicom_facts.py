"""Facts and rendering of a DICOM image, usable without pydicom."""

from __future__ import annotations

from dataclasses import dataclass

OLDEST_YEARS = 120
"""Maximum valid age of a patient."""

_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_UNITS = ("", *(name for unit in ("DAY", "WEEK", "MONTH", "YEAR") for name in (unit, f"{unit}S")))


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """Facts about patient, view and detector in a DICOM header; empty if not stated.

    Names of people are never read.

    Attributes:
        patient_id: PatientID (0010,0020).
        patient_age: PatientAge as written: ``034Y``, ``006M``, ``010D``.
        age_from_dates: Age in years from the dates of birth and study, if PatientAge does not state
            it. The dates themselves are not stored.
        patient_sex: PatientSex: ``F``, ``M``, ``O``.
        view: ViewPosition, or the meaning of the view code: ``PA``, ``AP``.
        modality: Modality in capitals: ``CR``, ``DX``, ``RG`` or empty.
        body_part: BodyPartExamined.
        photometric: PhotometricInterpretation.
        transfer_syntax: UID of the encoding.
        pixel_spacing_mm: (row, column) distance of pixels, calibrated to the patient.
        imager_pixel_spacing_mm: The same at the detector.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID, which identifies the image.
        sop_class_uid: SOPClassUID, the storage class.
        notes: Contradictions between elements, and assumptions, in words.
    """

    patient_id: str = ""
    patient_age: str = ""
    patient_sex: str = ""
    view: str = ""
    modality: str = ""
    body_part: str = ""
    photometric: str = ""
    transfer_syntax: str = ""
    pixel_spacing_mm: tuple[float, float] | None = None
    imager_pixel_spacing_mm: tuple[float, float] | None = None
    age_from_dates: float | None = None
    study_uid: str = ""
    series_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    notes: tuple[str, ...] = ()

    @property
    def age_years(self) -> float | None:
        """The age in years, None if unknown.

        >>> DicomFacts(patient_age="006M").age_years
        0.5
        """
        if self.age_from_dates is not None:
            return self.age_from_dates
        return years_of(self.patient_age)


def years_of(age: str) -> float | None:
    """Return the years of a PatientAge; None if invalid or above 120 years.

    Besides the standard form (``003Y``), these are accepted: fewer or more digits, spaces, lower
    case, the unit in words, and a number without a unit, which is interpreted as years.

    >>> years_of("36M"), years_of("3 years"), years_of("unknown")
    (3.0, 3.0, None)
    """
    text = age.strip().upper()
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    unit = text[len(digits) :].strip()
    if not digits or len(digits) > 6 or (unit not in _DAYS and unit not in _UNITS):
        return None
    years = int(digits) * _DAYS[unit[:1] or "Y"] / _DAYS["Y"]
    return years if years <= OLDEST_YEARS else None


@dataclass(frozen=True, slots=True)
class Rendering:
    """How the stored values of a DICOM image were converted to grey pixels.

    Attributes:
        decoder: The decoder of the pixel data, such as ``pillow (JPEG 2000)``.
        modality: The modality transformation, such as ``slope 1, intercept -1024``; empty if none.
        voi: The VOI transformation, such as ``window 2047/4093 LINEAR``, or the range of pixel
            values used instead.
        inverted: Whether the smallest value is shown white.
        padding: The values that were removed as padding; empty if none.
        shutter: The shutter that was applied; empty if none.
        notes: Assumptions and ignored elements, in words.
    """

    decoder: str = ""
    modality: str = ""
    voi: str = ""
    inverted: bool = False
    padding: str = ""
    shutter: str = ""
    notes: tuple[str, ...] = ()
