"""The view stated by a DICOM header, and contradictions about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.images.dicom.codes import FRONTAL_VIEWS, OTHER_VIEWS
from pneumoscope.images.dicom.elements import clean_texts_of, text_of, value_of
from pneumoscope.images.dicom.words import other_view, projection, says_frontal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

VIEW_TAGS = (
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "SeriesDescription",
    "ProtocolName",
)
"""Keywords of the elements read here."""

_ONLY = "only frontal views (AP, PA) can be assessed"
_SHORT = {"antero-posterior": "AP", "postero-anterior": "PA"}
_PLANES = {"L": "x", "R": "x", "A": "y", "P": "y", "H": "z", "F": "z"}


@dataclass(frozen=True, slots=True)
class View:
    """The view stated by the elements.

    Attributes:
        name: ViewPosition, or the meaning of the view code, as written; ``AP`` and ``PA`` for known
            codes. Empty if both are missing.
        refusal: Why the view cannot be assessed; empty if it can, or if it is not stated.
        notes: Contradictions between elements, in words.
    """

    name: str
    refusal: str
    notes: tuple[str, ...]


def view_of(dataset: Dataset) -> View:
    """Return the view stated by a header.

    ViewPosition and the view code take precedence, and a view that is not frontal in either of them
    leads to a refusal. If both are missing, PatientOrientation decides, then the words of
    BodyPartExamined, SeriesDescription and ProtocolName. If they contradict a stated frontal view,
    they only lead to a note, since they often contain defaults of the device.
    """
    position = "\\".join(clean_texts_of(dataset, "ViewPosition"))
    codes = [_named(item) for item in value_of(dataset, "ViewCodeSequence") or ()]
    codes = [code for code in codes if code[0]]
    name = position or (codes[0][0] if codes else "")
    if other_view(position):
        return View(name, f"view {position!r}; {_ONLY}", ())
    for meaning, other in codes:
        if other:
            beside = f" (ViewPosition is {position!r})" if position else ""
            return View(name, f"view code {meaning!r}{beside}; {_ONLY}", ())
    notes = []
    stated, coded = projection(position), projection(" ".join(meaning for meaning, _ in codes))
    if stated and coded and stated != coded:
        notes.append(
            f"ViewPosition is {stated}, the view code is {coded}; ViewPosition takes precedence"
        )
    for doubt in (_orientation(dataset), _description(dataset)):
        if doubt and not name:
            return View("", f"{doubt}; {_ONLY}", ())
        if doubt:
            notes.append(f"{doubt}, but the view is stated as {name!r}")
    return View(name, "", tuple(notes))


def _named(item: Dataset) -> tuple[str, bool]:
    """Return the meaning of a view code, and whether it is not frontal."""
    value, meaning = text_of(item, "CodeValue").upper(), text_of(item, "CodeMeaning")
    if value in OTHER_VIEWS:
        return OTHER_VIEWS[value], True
    if other_view(meaning):
        return meaning, True
    if value in FRONTAL_VIEWS:
        known = FRONTAL_VIEWS[value]
        return _SHORT.get(known, known), False
    return meaning or (f"code {value}" if value else ""), False


def _orientation(dataset: Dataset) -> str:
    """Return a note if PatientOrientation is that of a lateral image; otherwise empty."""
    ends = [text.upper() for text in clean_texts_of(dataset, "PatientOrientation")]
    planes = {_PLANES.get(end[:1]) for end in ends}
    if len(ends) == 2 and planes == {"y", "z"}:
        return f"PatientOrientation {'/'.join(ends)} is that of a lateral view"
    return ""


def _description(dataset: Dataset) -> str:
    """Return a note if a description names a lateral view and no frontal one."""
    for keyword in ("BodyPartExamined", "SeriesDescription", "ProtocolName"):
        text = text_of(dataset, keyword)
        word = other_view(text, strict=True)
        if word and not says_frontal(text):
            return f"{keyword} contains {word}"
    return ""
