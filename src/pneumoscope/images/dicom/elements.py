"""Values of DICOM elements, read without trust: what is missing or malformed is "not given"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the value of an element; None where it is missing, empty or cannot be."""
    try:
        return dataset.get(keyword)
    except Exception:  # a fact that cannot be read is a fact that is not given
        return None


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return the first value of an element as clean text of 64 letters at most; empty if none."""
    value = value_of(dataset, keyword)
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else None
    text = "" if value is None else str(value)
    return "".join(letter for letter in text if letter.isprintable()).strip()[:64]


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of an element as a finite number; None if it is none."""
    try:
        number = float(text_of(dataset, keyword))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def whole_of(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """Return the first value of an element, cut to a whole number."""
    number = number_of(dataset, keyword)
    return default if number is None else int(number)


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of an element as clean texts, cut as by ``text_of``; empty ones are left.

    Where one value was written into the element with its backslashes, it is taken apart too.
    """
    value = value_of(dataset, keyword)
    many = isinstance(value, list | tuple) or type(value).__name__ == "MultiValue"
    parts = [str(part) for part in value] if many else [] if value is None else [str(value)]
    cleaned = (_clean(piece) for part in parts for piece in part.split("\\"))
    return tuple(text for text in cleaned if text)


def _clean(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable()).strip()[:64]
