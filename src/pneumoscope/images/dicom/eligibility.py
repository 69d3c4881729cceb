"""Whether a DICOM header describes a frontal chest radiograph.

The decisions are listed in ``docs/reference/formats.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.images.dicom.codes import CHEST_REGIONS, OTHER_REGIONS
from pneumoscope.images.dicom.elements import clean_texts_of, text_of, value_of
from pneumoscope.images.dicom.views import view_of
from pneumoscope.images.dicom.words import is_chest, is_elsewhere

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODALITIES = frozenset({"CR", "DX", "RG"})
"""Projection radiographs: computed, digital, and scanned film."""

_NO_TERM = frozenset({"DR", "XR", "CXR", "XRAY", "X-RAY"})  # not DICOM terms, but treated as DX

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_SECONDARY_CAPTURES = frozenset(f"{_STORAGE}{tail}" for tail in ("7", "7.1", "7.2", "7.3", "7.4"))
_RADIOGRAPHS = frozenset(f"{_STORAGE}{tail}" for tail in ("1", "1.1"))
_RAW = f"{_STORAGE}1.1.1"
# Angiography and fluoroscopy: projections too, and used for radiographs by some devices.
_PROJECTIONS = frozenset(f"{_STORAGE}{tail}" for tail in ("12.1", "12.2"))
_ANY_RADIOGRAPH = _RADIOGRAPHS | _SECONDARY_CAPTURES | {_RAW}
_ONLY = f"only radiographs are read ({', '.join(sorted(MODALITIES))})"


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Whether an image can be assessed, and why not.

    Attributes:
        refusal: What it is instead of a frontal chest radiograph; empty if it can be assessed.
        view: Name of the view; empty if not stated.
        notes: Contradictions between elements, and assumptions, in words.
    """

    refusal: str
    view: str
    notes: tuple[str, ...]


def eligibility_of(dataset: Dataset) -> Eligibility:
    """Return whether a header describes a frontal chest radiograph; never raises."""
    kind, kind_note = _kind(dataset)
    view = view_of(dataset)
    part, part_note = _part(dataset)
    notes = tuple(note for note in (kind_note, *view.notes, part_note) if note)
    return Eligibility(kind or view.refusal or part, view.name, notes)


def is_raw(dataset: Dataset) -> bool:
    """Return whether an image is raw detector data, FOR PROCESSING.

    Determined by PresentationIntentType or, if missing, by the storage class.
    """
    intent = text_of(dataset, "PresentationIntentType").upper()
    if not intent:
        return text_of(dataset, "SOPClassUID") == _RAW
    return "".join(filter(str.isalpha, intent)) == "FORPROCESSING"


def storage_class(uid: str) -> str:
    """Return the name of a storage class, for messages."""
    from pydicom.uid import UID  # noqa: PLC0415 - pydicom is only loaded for DICOM

    return UID(uid).name if uid else "no storage class named"


def _kind(dataset: Dataset) -> tuple[str, str]:
    """Return why modality and storage class are not those of a radiograph, and a note."""
    modality = text_of(dataset, "Modality").upper()
    stored_as = text_of(dataset, "SOPClassUID")
    called = f"stored as {storage_class(stored_as)}"
    fits = not stored_as or stored_as in _ANY_RADIOGRAPH
    refusal = note = ""
    if not modality:
        refusal = "" if fits else f"{called}, without a modality; {_ONLY}"
    elif modality == "OT" or (modality == "SC" and stored_as in _SECONDARY_CAPTURES):
        if fits:
            note = f"modality {modality!r} is treated as a radiograph"
        else:
            refusal = f"modality {modality!r}, {called}; {_ONLY}"
    elif modality not in MODALITIES | _NO_TERM:
        refusal = f"modality {modality!r}; {_ONLY}"
    elif stored_as in _PROJECTIONS:
        note = f"modality {modality!r}, but {called}; the modality takes precedence"
    elif not fits and stored_as.startswith(_STORAGE):  # all others are private classes
        refusal = f"modality {modality!r}, but {called}; {_ONLY}"
    elif modality in _NO_TERM:
        note = f"modality {modality!r} is not a DICOM term; it is treated as DX"
    return refusal, note


def _part(dataset: Dataset) -> tuple[str, str]:
    """Return why the body part is not the chest, and a note; empty if it is."""
    written = clean_texts_of(dataset, "BodyPartExamined")
    regions = [_region(item) for item in value_of(dataset, "AnatomicRegionSequence") or ()]
    chest = [text for text in written if is_chest(text)]
    chest += [name for name, where in regions if where == "chest"]
    elsewhere = [f"body part {text!r}" for text in written if is_elsewhere(text)]
    elsewhere += [f"anatomic region {name!r}" for name, where in regions if where == "other"]
    if not elsewhere:
        return "", ""
    if chest:
        return "", f"{elsewhere[0]}, but also {chest[0]!r}; it is treated as a chest radiograph"
    cure = "If it is one, correct its BodyPartExamined or AnatomicRegionSequence"
    return f"{elsewhere[0]}; only chest radiographs can be assessed. {cure}", ""


def _region(item: Dataset) -> tuple[str, str]:
    """Return the name of a coded region, and whether it is ``chest``, ``other`` or unknown."""
    value, meaning = text_of(item, "CodeValue").upper(), text_of(item, "CodeMeaning")
    if value in CHEST_REGIONS:
        return CHEST_REGIONS[value], "chest"
    if value in OTHER_REGIONS:
        return OTHER_REGIONS[value], "other"
    if is_chest(meaning):
        return meaning, "chest"
    return meaning, "other" if is_elsewhere(meaning) else ""
