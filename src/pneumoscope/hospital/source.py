"""Header elements that objects copy from their source image."""

from __future__ import annotations

import io
from collections.abc import MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.charset import convert_encodings
from pydicom.errors import InvalidDicomError

from pneumoscope.errors import DamagedImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PATIENT_STUDY = (
    # Patient (PS3.3, C.7.1.1)
    *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
    *("TypeOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex"),
    *("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup"),
    *("PatientComments", "QualityControlSubject", "ReferencedPatientSequence"),
    *("PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription"),
    *("PatientBreedCodeSequence", "BreedRegistrationSequence", "ResponsiblePerson"),
    *("ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    # Clinical trial (C.7.1.3, C.7.2.3)
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName"),
    *("ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID"),
    *("ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID"),
    # Study (C.7.2.1) and the patient in it (C.7.2.2)
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription"),
    *("PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "ReferencedStudySequence"),
    *("ProcedureCodeSequence", "AdmittingDiagnosesDescription", "PatientAge", "PatientSize"),
    *("PatientWeight", "AdmissionID", "MedicalAlerts", "Allergies", "PregnancyStatus"),
)
"""Elements of the patient and the study; objects have the same values."""

UTF8 = "ISO_IR 192"

_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
_TEXTS = frozenset({"PN", "LO", "SH", "LT", "ST", "UC", "UT"})


def read_header(source: bytes | Path) -> Dataset:
    """Return the elements of an image without its pixels.

    Raises:
        DamagedImageError: It is not a readable DICOM file, or has no study or instance UID.
    """
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        found = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        missing = [
            name
            for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
            if not found.get(name)
        ]
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, EOFError) as fault:
        raise DamagedImageError(f"the header cannot be read ({fault})") from fault
    if missing:
        raise DamagedImageError(f"the header has no {', '.join(missing)}")
    return found


def evidence_of(header: Dataset) -> Dataset:
    """Return the references to an image, without malformed values."""
    found = pydicom.Dataset()
    for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(found, name, str(header[name].value))
    for name in _TYPE_2:
        setattr(found, name, "")
    return found


def take_over(header: Dataset, found: Dataset) -> None:
    """Copy patient, study and character set of an image to an object.

    The bytes of each text are preserved. If the character set of the image cannot represent the
    other texts of the object, the object uses UTF-8.

    Args:
        header: Header of the image.
        found: The object with all its other elements.
    """
    for name in PATIENT_STUDY:
        if name in header:
            found[name] = header[name]
        elif name in _TYPE_2:
            setattr(found, name, "")
    given = header.get("SpecificCharacterSet")
    found.pop("SpecificCharacterSet", None)
    if given is not None:
        found.SpecificCharacterSet = given
    if not _holds(found, given):
        found.SpecificCharacterSet = UTF8


def _holds(data: Dataset, charset: str | MutableSequence[str] | None) -> bool:
    """Return whether all texts of an object can be encoded in a character set."""
    try:
        codecs = convert_encodings(charset)
    except LookupError:
        return False
    return all(
        character.isascii() or any(_encodable(character, codec) for codec in codecs)
        for element in data.iterall()
        if element.VR in _TEXTS and element.value
        for character in set(str(element.value))
    )


def _encodable(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except (UnicodeError, LookupError):
        return False
    return True
