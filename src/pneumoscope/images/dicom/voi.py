"""Choose the display transformation of a header: the first that shows the image.

Source: DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.images.dicom.elements import (
    number_of,
    numbers_of,
    text_of,
    texts_of,
    value_of,
    whole_of,
)
from pneumoscope.images.dicom.greyscale import Look, Lut, Window
from pneumoscope.images.radiograph import usual_depth

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_LEAST_INSIDE = 0.05  # minimum share of pixels that are neither black nor white
_LEAST_SPREAD = 0.1  # minimum difference between the 1st and 99th percentile of the greys


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The transformations to apply.

    Attributes:
        look: The transformations.
        modality: The modality transformation in words; empty if there is none.
        voi: The VOI transformation in words; empty if there is none.
        notes: Ignored transformations, with reasons.
    """

    look: Look
    modality: str
    voi: str
    notes: tuple[str, ...]


def choose(dataset: Dataset, sample: NDArray[Any], *, inverted: bool) -> Choice:
    """Choose the transformations of an image.

    VOI tables come first, then windows; a window explained as NORMAL comes before others. Tables
    and windows that are malformed, or do not show the image, are skipped.

    Args:
        dataset: The header.
        sample: Some stored values of the image.
        inverted: Whether the smallest value is white.
    """
    notes: list[str] = []
    base, modality = _modality(dataset, notes, inverted=inverted)
    for words, candidate in _candidates(dataset, base, notes):
        if _shows(candidate, sample):
            return Choice(candidate, modality, words, tuple(notes))
        notes.append(f"the {words} is not applied: the image is not visible with it")
    return Choice(base, modality, "", tuple(notes))


def _modality(dataset: Dataset, notes: list[str], *, inverted: bool) -> tuple[Look, str]:
    for lut in _luts(dataset, "ModalityLUTSequence", "modality LUT", notes):
        return Look(modality=lut, inverted=inverted), f"LUT of {len(lut.data)} entries"
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    for keyword, number in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        stated = "".join(texts_of(dataset, keyword)[:1])
        if stated and number is None:
            notes.append(f"{keyword} {stated!r} is not a number and is not applied")
        elif "," in stated:
            notes.append(f"the decimal comma of {keyword} {stated} was read as a point")
    if slope == 0:
        notes.append("RescaleSlope is 0 and is not applied")
        slope = None
    if slope is None and intercept is None:
        return Look(inverted=inverted), ""
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    words = f"slope {slope:g}, intercept {intercept:g}"
    return Look(slope=slope, intercept=intercept, inverted=inverted), words


def _candidates(dataset: Dataset, base: Look, notes: list[str]) -> Iterator[tuple[str, Look]]:
    """Yield the VOI transformations of a header with names, the preferred first."""
    found = [
        (_rank(lut.explanation), f"VOI LUT of {len(lut.data)} entries", replace(base, voi=lut))
        for lut in _luts(dataset, "VOILUTSequence", "VOI LUT", notes)
    ]
    for window, explanation, words in _windows(dataset, notes):
        found.append((_rank(explanation), words, replace(base, window=window)))
    for _, words, look in sorted(found, key=lambda each: each[0]):
        yield words, look


_NORMAL = ("NORMAL", "STANDARD", "DEFAULT")
_UNUSUAL = ("HARD", "SOFT", "CONTRAST", "BONE", "SHARP", "SMOOTH", "INVERT")


def _rank(explanation: str) -> int:
    """Return 0 for explanations of a normal look, 2 for a special look, otherwise 1."""
    words = explanation.upper()
    if any(word in words for word in _NORMAL):
        return 0
    return 2 if any(word in words for word in _UNUSUAL) else 1


def _windows(dataset: Dataset, notes: list[str]) -> list[tuple[Window, str, str]]:
    """Yield the usable windows with their explanations and names."""
    centers, widths = numbers_of(dataset, "WindowCenter"), numbers_of(dataset, "WindowWidth")
    stated = [texts_of(dataset, keyword) for keyword in ("WindowCenter", "WindowWidth")]
    if "," in "".join(stated[0] + stated[1]):
        notes.append("decimal commas of the window were read as points")
    if len(centers) != len(widths):
        notes.append(f"{len(centers)} window centers and {len(widths)} widths; only pairs are used")
    function = text_of(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        notes.append(f"VOILUTFunction {function!r} is unknown; LINEAR is assumed")
        function = "LINEAR"
    explanations = texts_of(dataset, "WindowCenterWidthExplanation")
    found = []
    for place, (center, width) in enumerate(zip(centers, widths, strict=False)):
        stated_so = "/".join(texts[place] for texts in stated)
        if center is None or width is None or not Window(center, width, function).usable:
            if stated_so.strip("/ "):
                notes.append(f"the window {stated_so} is not applied: its values are invalid")
            continue
        explained = explanations[place] if place < len(explanations) else ""
        words = f"window {center:g}/{width:g} {function}"
        words += f" ({explained})" if explained else ""
        found.append((Window(center, width, function), explained, words))
    return found


def _shows(look: Look, sample: NDArray[Any]) -> bool:
    """Return whether an image is visible under a transformation."""
    if sample.min() == sample.max():
        return True  # no transformation would show anything
    grey = look.applied(sample.astype(np.float64))
    inside = float(((grey > grey.min()) & (grey < grey.max())).mean())
    low, high = np.quantile(grey, (0.01, 0.99))
    return inside >= _LEAST_INSIDE and high - low >= _LEAST_SPREAD


def _luts(dataset: Dataset, keyword: str, words: str, notes: list[str]) -> Iterator[Lut]:
    """Yield the usable tables of a sequence."""
    items = value_of(dataset, keyword)
    signed = (
        whole_of(dataset, "PixelRepresentation") == 1 or whole_of(dataset, "RescaleIntercept") < 0
    )
    little = dataset.original_encoding[1] is not False
    for item in items or ():
        descriptor, data = (value_of(item, part) for part in ("LUTDescriptor", "LUTData"))
        lut, fault = lut_of(descriptor, data, signed=signed, little=little)
        if lut is None:
            notes.append(f"a {words} is not applied: {fault}")
            continue
        used = int(lut.data.max())
        if used < 2 ** (lut.bits - 1) and used > 0:
            bits = usual_depth(used)
            notes.append(f"the {words} declares {lut.bits} bits, its entries have {bits}")
            lut = replace(lut, bits=bits)
        yield replace(lut, explanation=text_of(item, "LUTExplanation"))


def lut_of(descriptor: Any, data: Any, *, signed: bool, little: bool) -> tuple[Lut | None, str]:
    """Return a lookup table, or None and the reason.

    Args:
        descriptor: Number of entries, first value mapped, bits of an entry.
        data: The entries: numbers, or bytes of 8- or 16-bit words.
        signed: Whether the first value is a signed number.
        little: The byte order of 16-bit words.
    """
    try:
        count, first, bits = (int(number) for number in descriptor)
    except (TypeError, ValueError):
        return None, "its descriptor is missing or malformed"
    count = count or 65536
    if signed and first >= 2**15:
        first -= 2**16
    entries = _entries(data, count, little=little)
    fault = ""
    if not 1 <= bits <= 16:
        fault = f"its entries cannot have {bits} bits"
    elif len(entries) < count:
        fault = f"{count} entries are declared, but there are {len(entries)}"
    elif entries.min() == entries.max():
        fault = "all its entries are the same"
    return (None, fault) if fault else (Lut(first, bits, entries[:count].astype(np.uint16)), "")


def _entries(data: Any, count: int, *, little: bool) -> NDArray[Any]:
    """Return the entries of a table, given as numbers or bytes; [n]."""
    if data is None:
        return np.zeros(0, np.uint16)
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data))
    if len(data) in {count, count + 1}:
        return np.frombuffer(data, np.uint8)
    return np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
