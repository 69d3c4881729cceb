"""The image that objects are made of: what of its header they take over."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.charset import convert_encodings
from pydicom.errors import InvalidDicomError

from pneumoscope.errors import DamagedImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PATIENT_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("OtherPatientIDs", "PatientAge", "PatientSize", "PatientWeight"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription"),
)
"""Elements of the patient and the study; objects have the same values."""

UTF8 = "ISO_IR 192"


def read_header(source: bytes | Path) -> Dataset:
    """Return the elements of an image, without its pixels.

    Raises:
        DamagedImageError: It is no DICOM file that can be read, or names no study or instance.
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
    """Return a copy with the elements of type 2 that a header may lack, empty."""
    copy = pydicom.Dataset()
    copy.update({element.tag: element for element in header if element.tag.group != 0x7FE0})
    implicit, little = header.original_encoding[:2]
    codecs = convert_encodings(header.get("SpecificCharacterSet"))
    copy.set_original_encoding(implicit, little, codecs)
    for name in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    ):
        if name not in copy:
            setattr(copy, name, "")
    return copy
