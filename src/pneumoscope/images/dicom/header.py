"""What the header of a DICOM file says, and whether its image may be judged.

Only the elements named here are read: no name of a person ever is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pneumoscope.errors import OtherKindError, UnsupportedImageError
from pneumoscope.images.dicom.elements import text_of, value_of, whole_of
from pneumoscope.images.dicom.layout import layout_of
from pneumoscope.images.radiograph import DicomFacts, ImageMeta

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODALITIES = frozenset({"CR", "DX", "RG"})
"""Projection radiographs: computed, digital, and film that was scanned."""

# Storage of CR, DX for presentation, digitised film and secondary captures, where no modality is
# stated.
_STORED_AS = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
)
_SIDEWAYS = re.compile(r"^(LL|RL|LLO|RLO|LAO|RAO|LPO|RPO|LLD|RLD)$|LAT|OBLIQ|DECUB", re.IGNORECASE)
# Defined terms of PS3.16 annex L for parts that a frontal chest radiograph does not show.
_ELSEWHERE = frozenset(
    """
    ABDOMEN ANKLE ARM BLADDER BRAIN BREAST CALF CALCANEUS COCCYX COLON CSPINE EAR ELBOW EXTREMITY
    EYE FACE FEMUR FINGER FOOT FOREARM HAND HEAD HIP HUMERUS JAW KIDNEY KNEE LEG LOWEXTREMITY
    LSPINE LSSPINE LUMBAR MANDIBLE MAXILLA NECK NOSE ORBIT PATELLA PELVIS RADIUS SACRUM SCALP
    SHOULDER SIJOINT SINUS SKULL SPINE SSPINE STOMACH TEETH THIGH THUMB TIBIA TIBIAFIBULA TMJ TOE
    TSPINE ULNA UPEXTREMITY URETER UTERUS WRIST ZYGOMA
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_NOBODY = frozenset({"", "0", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "NONE", "UNKNOWN", "NA"})

FACT_TAGS = (
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "BodyPartExamined",
    "PatientID",
    "PatientAge",
    "PatientSex",
    "ViewPosition",
    "ViewCodeSequence",
    "ImagerPixelSpacing",
    "PixelSpacing",
)
"""The keywords of the elements that are read here."""


def checked_meta(dataset: Dataset, syntax: str, *, name: str, any_kind: bool = False) -> ImageMeta:
    """Return what the header says, if it is that of an image that may be judged.

    Args:
        dataset: Its elements, of which ``FACT_TAGS`` and ``PIXEL_TAGS`` are read.
        syntax: The transfer syntax that the file states.
        name: Of the file, for faults.
        any_kind: Whether images of another kind than frontal chest radiographs are let pass;
            ``other_kind`` of what is returned then says what they are.

    Raises:
        UnsupportedImageError: It is no frontal chest radiograph, or stored in a way not read here.
        ImageTooLargeError: It has more pixels than are read.
    """
    from pydicom.uid import UID  # noqa: PLC0415 - pydicom is loaded where there is DICOM

    rows, columns = whole_of(dataset, "Rows"), whole_of(dataset, "Columns")
    stored_as = text_of(dataset, "SOPClassUID")
    kind = UID(stored_as).name if stored_as else "no storage class named"
    if not rows or not columns:
        raise UnsupportedImageError(f"{name}: a DICOM file without an image ({kind}).")
    facts = _facts(dataset, syntax)
    other_kind: list[str] = []

    def other(reason: str) -> None:
        if not any_kind:
            raise OtherKindError(name, reason)
        other_kind.append(reason)

    if facts.modality and facts.modality not in MODALITIES:
        other(
            f"modality {facts.modality!r}; only radiographs are read "
            f"({', '.join(sorted(MODALITIES))})",
        )
    if not facts.modality and stored_as and stored_as not in _STORED_AS:
        other(
            f"stored as {kind}, without a modality; only radiographs are read "
            f"({', '.join(sorted(MODALITIES))})",
        )
    frames = whole_of(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise UnsupportedImageError(
            f"{name}: {frames} frames; a radiograph has one. Save the frame that is meant."
        )
    if _SIDEWAYS.search(facts.view):
        other(f"view {facts.view!r}; only frontal views (AP, PA) can be judged")
    if facts.body_part.upper() in _ELSEWHERE:
        other(
            f"body part {facts.body_part!r}; only chest radiographs can be judged. "
            "If it is one, correct its BodyPartExamined",
        )
    if text_of(dataset, "PresentationIntentType").upper() == "FOR PROCESSING":
        raise UnsupportedImageError(
            f"{name}: the detector's raw image (FOR PROCESSING); "
            "export the one that is FOR PRESENTATION."
        )
    layout_of(dataset, name=name)
    return ImageMeta(
        columns, rows, facts.photometric, "DICOM", facts, other_kind="; ".join(other_kind)
    )


def _facts(dataset: Dataset, syntax: str) -> DicomFacts:
    patient = text_of(dataset, "PatientID")
    return DicomFacts(
        patient_id="" if patient.upper() in _NOBODY else patient,
        patient_age=text_of(dataset, "PatientAge"),
        patient_sex=text_of(dataset, "PatientSex"),
        view=text_of(dataset, "ViewPosition") or _view_code(dataset),
        modality=text_of(dataset, "Modality").upper(),
        body_part=text_of(dataset, "BodyPartExamined"),
        photometric=text_of(dataset, "PhotometricInterpretation").upper(),
        transfer_syntax=syntax,
        pixel_spacing_mm=_spacing(dataset, "PixelSpacing"),
        imager_pixel_spacing_mm=_spacing(dataset, "ImagerPixelSpacing"),
    )


def _view_code(dataset: Dataset) -> str:
    codes = value_of(dataset, "ViewCodeSequence")
    return text_of(codes[0], "CodeMeaning") if codes else ""


def _spacing(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        row, column = (float(number) for number in value_of(dataset, keyword))
    except (TypeError, ValueError):
        return None
    return (row, column) if row > 0 and column > 0 else None
