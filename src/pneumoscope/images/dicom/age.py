"""The age of the patient, from PatientAge or from two dates.

The date of birth is only used here and not stored.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from pneumoscope.images.dicom.elements import text_of
from pneumoscope.images.dicom_facts import OLDEST_YEARS, years_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

AGE_TAGS = (
    "PatientAge",
    "PatientBirthDate",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
)
"""Keywords of the elements read here."""

_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})(\D|$)")


def age_of(dataset: Dataset) -> tuple[float | None, tuple[str, ...]]:
    """Return the age in years, and a note about contradictions.

    If PatientAge is valid, it takes precedence, and the first result is None. If it is missing,
    malformed, or 0 years, the age is the time from PatientBirthDate to the first date of study,
    series, acquisition and content that is present: in whole years, or in months below two years.
    """
    written, notes = text_of(dataset, "PatientAge"), []
    stated = years_of(written)
    if written and stated is None:
        notes.append(f"PatientAge {written!r} is not plausible")
    elif stated and written.isdigit():
        notes.append(f"PatientAge {written!r} has no unit; it is interpreted as years")
    months = _months_between_dates(dataset)
    if months is None:
        return None, tuple(notes)
    if not 0 <= months <= 12 * OLDEST_YEARS:
        notes.append("the dates of birth and study give no plausible age")
        return None, tuple(notes)
    derived = months // 12 if months >= 24 else months / 12
    if not stated:
        return float(derived), tuple(notes)
    if abs(stated - derived) > 1.5:  # an age in whole years may be rounded up
        notes.append(
            f"PatientAge is {stated:.3g} years, the dates of birth and study give {derived:.3g}; "
            "PatientAge takes precedence"
        )
    return None, tuple(notes)


def _months_between_dates(dataset: Dataset) -> int | None:
    """Return the whole months from birth to study; None if a date is missing."""
    birth = _date(text_of(dataset, "PatientBirthDate"))
    then = next(
        (found for keyword in AGE_TAGS[2:] if (found := _date(text_of(dataset, keyword)))), None
    )
    if birth is None or then is None:
        return None
    months = 12 * (then.year - birth.year) + then.month - birth.month
    return months - (then.day < birth.day)


def _date(text: str) -> date | None:
    found = _DATE.match(text.strip())
    if not found:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:  # such as 19000000, which stands for "not known"
        return None
