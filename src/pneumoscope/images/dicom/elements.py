"""Read values of DICOM elements; missing and malformed values count as not given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Return the value of an element; None if missing, empty or invalid."""
    try:
        return dataset.get(keyword)
    except Exception:  # malformed values count as missing
        return None


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return the first value as clean text of at most 64 characters; empty if none."""
    value = value_of(dataset, keyword)
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else None
    text = "" if value is None else str(value)
    return _clean(text)


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value as a finite number; None if it is not one."""
    return next(iter(numbers_of(dataset, keyword)), None)


def numbers_of(dataset: Dataset, keyword: str) -> list[float | None]:
    """Return all values of a decimal string element; None for invalid ones.

    A decimal comma is read as a point, since some manufacturers write numbers in their local
    format.
    """
    return [_decimal(text) for text in texts_of(dataset, keyword)]


def texts_of(dataset: Dataset, keyword: str) -> list[str]:
    """Return all values as clean text of at most 64 characters; empty if missing.

    The stored bytes are used if pydicom does not parse them.
    """
    value = value_of(dataset, keyword)
    if value is None:
        stored = _stored(dataset, keyword)
        return [_clean(part) for part in stored.split("\\")] if stored else []
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return [_clean(str(each)) for each in value]
    return [_clean(str(value))]


def _stored(dataset: Dataset, keyword: str) -> str:
    """Return the bytes of an unparsable element as text."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - pydicom is only loaded for DICOM

    tag = tag_for_keyword(keyword)
    raw = dataset.get_item(tag) if tag is not None else None
    value = getattr(raw, "value", None)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else ""


def _decimal(text: str) -> float | None:
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def whole_of(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """Return the first value truncated to an integer."""
    number = number_of(dataset, keyword)
    return default if number is None else int(number)


def clean_texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all non-empty values as clean texts, limited as by ``text_of``.

    A single value that contains backslashes is split as well.
    """
    value = value_of(dataset, keyword)
    many = isinstance(value, list | tuple) or type(value).__name__ == "MultiValue"
    parts = [str(part) for part in value] if many else [] if value is None else [str(value)]
    cleaned = (_clean(piece) for part in parts for piece in part.split("\\"))
    return tuple(text for text in cleaned if text)


def _clean(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable()).strip()[:64]
