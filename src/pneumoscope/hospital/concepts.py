"""Coded concepts of the reports: SNOMED CT and DICOM codes, and this package's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from highdicom.sr import CodedConcept

SCHEME: Final = "99PNEUMO"
"""The designator of this package's own codes."""

# The code of TID 1500 (CID 100) that applies to a radiograph; the procedure of the order is in the
# header, as in the image.
PROCEDURE: Final = CodedConcept("363679005", "SCT", "Imaging procedure")
PRESENT: Final = CodedConcept("52101004", "SCT", "Present")
ABSENT: Final = CodedConcept("2667000", "SCT", "Absent")
INDETERMINATE: Final = CodedConcept("82334004", "SCT", "Indeterminate")
PROBABILITY: Final = CodedConcept("122157", "DCM", "Probability")
STATUS: Final = CodedConcept("STATUS", SCHEME, "Status of the analysis")
CONCLUSION: Final = CodedConcept("CONCLUSION", SCHEME, "Conclusion of the reader")
THRESHOLD: Final = CodedConcept("THRESHOLD", SCHEME, "Decision threshold of the probability")
POSSIBLE: Final = CodedConcept("POSSIBLE", SCHEME, "Possible classes")
EACH: Final = CodedConcept("PROBABILITIES", SCHEME, "Probability of each class")
REASON: Final = CodedConcept("REASON", SCHEME, "Reason")
NOTICE_NAME: Final = CodedConcept("NOTICE", SCHEME, "Notice")
MODEL: Final = CodedConcept("MODEL", SCHEME, "SHA-256 of the model file")
SUCCEEDED: Final = CodedConcept("111222", "DCM", "Succeeded")
FAILED: Final = CodedConcept("111224", "DCM", "Failed")
NOT_ATTEMPTED: Final = CodedConcept("111225", "DCM", "Not Attempted")

_EFFUSION = ("60046008", "Pleural effusion")
_INFILTRATE = ("409609008", "Radiologic infiltrate of lung")
_OEDEMA = ("19242006", "Pulmonary edema")
_SNOMED: Mapping[str, tuple[str, str]] = {
    "atelectasis": ("46621007", "Atelectasis"),
    "cardiomegaly": ("8186001", "Cardiomegaly"),
    "consolidation": ("95436008", "Lung consolidation"),
    "covid 19": ("840539006", "COVID-19"),
    "edema": _OEDEMA,
    "effusion": _EFFUSION,
    "emphysema": ("87433001", "Pulmonary emphysema"),
    "fibrosis": ("51615001", "Fibrosis of lung"),
    "infiltrate": _INFILTRATE,
    "infiltration": _INFILTRATE,
    "mass": ("4147007", "Mass"),
    "nodule": ("27925004", "Nodule"),
    "pleural effusion": _EFFUSION,
    "pneumomediastinum": ("16838000", "Pneumomediastinum"),
    "pneumonia": ("233604007", "Pneumonia"),
    "pneumothorax": ("36118008", "Pneumothorax"),
    "pulmonary edema": _OEDEMA,
    "tuberculosis": ("56717001", "Tuberculosis"),
}
"""Codes and meanings of findings, by the names that public data sets give them."""

_LONGEST_CODE = 16  # of the value representations SH and LO (PS3.5, 6.2)
_LONGEST_MEANING = 64


def concept_of(name: str) -> CodedConcept:
    """Return the concept of a finding or class: of SNOMED CT if the name is known, else our own.

    >>> concept_of("Pleural_Effusion").value, concept_of("Device").scheme_designator
    ('60046008', '99PNEUMO')
    """
    known = _SNOMED.get(" ".join(name.lower().replace("_", " ").replace("-", " ").split()))
    return CodedConcept(known[0], "SCT", known[1]) if known else own_concept(name)


def own_concept(name: str) -> CodedConcept:
    """Return the concept of a conclusion or name in this package's scheme."""
    return CodedConcept(_code_value(name), SCHEME, name.replace("\\", "/")[:_LONGEST_MEANING])


def _code_value(name: str) -> str:
    """Return a code of at most 16 characters; different names have different ones.

    >>> _code_value("NOT_ASSESSABLE"), _code_value("BACTERIA or VIRUS")
    ('NOT_ASSESSABLE', 'BACTERIA_72cfad2')
    """
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())
    if len(kept) <= _LONGEST_CODE and kept == name.upper().replace(" ", "_"):
        return kept or "_"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:7]
    return f"{kept[: _LONGEST_CODE - 8]}_{digest}"
