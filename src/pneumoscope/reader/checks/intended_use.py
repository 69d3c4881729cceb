"""Compare the facts of an image with the intended use of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

AGE, VIEW, MODALITY, BODY_PART = "age_years", "view", "modality", "body_part"
"""Facts that a file may state, as DICOM does. A fact that the file could state but does not is an
empty string."""


class Scope(NamedTuple):
    """The relation of an image's facts to the intended use of a model.

    Attributes:
        outside: Stated facts outside the intended use, in words.
        unknown: Facts that the file could state but does not, in words.
    """

    outside: tuple[str, ...]
    unknown: tuple[str, ...]


def scope_of(facts: Mapping[str, str], intended: Mapping[str, Any]) -> Scope:
    """Return the facts that are, or may be, outside a model's intended use.

    A fact that the format cannot contain gives no note: a JPEG has no element for the age, and a
    note on every line would be ignored.

    Args:
        facts: Facts in the file, such as ``{"age_years": "43", "view": "LL"}``; an empty string is
            a fact that the file could state but does not.
        intended: Intended use of the model, such as ``{"age_years": [1, 5], "view": ["AP",
            "PA"]}``.
    """
    outside: list[str] = []
    unknown: list[str] = []
    if AGE in intended and AGE in facts:
        note, known = _age_note(facts[AGE], intended[AGE])
        (outside if known else unknown).extend(note)
    for name, shown in ((VIEW, "view"), (MODALITY, "modality"), (BODY_PART, "body part")):
        if name not in intended or name not in facts:
            continue
        wanted = [str(value) for value in intended[name]]
        found = facts[name]
        if not found:
            unknown.append(f"the file does not state the {shown}; the reader is for {_or(wanted)}")
        elif not _names_one(found, wanted, words=name == VIEW):
            outside.append(f"the {shown} is {found}; the reader is for {_or(wanted)}")
    return Scope(tuple(outside), tuple(unknown))


def _names_one(found: str, wanted: Sequence[str], *, words: bool) -> bool:
    """Return whether a fact is within the intended use; with ``words``, "AP SUPINE" includes AP."""
    names = {value.upper() for value in wanted}
    if found.upper() in names:
        return True
    stated = set(found.upper().split()) if words else set()
    return bool(stated & names) and not stated & ({"AP", "PA"} - names)


def _age_note(age: str, bounds: Sequence[float]) -> tuple[list[str], bool]:
    """Return the note on an age, if any, and whether the age is known."""
    youngest, oldest = bounds
    intended_ages = f"the reader is for patients aged {youngest:g} to {oldest:g} years"
    try:
        years = float(age)
    except ValueError:
        return [f"the age of the patient is not known; {intended_ages}"], False
    if youngest <= years < oldest + 1:  # the age is five years until the sixth birthday
        return [], True
    return [f"the patient is {_years(years)} old; {intended_ages}"], True


def _years(years: float) -> str:
    if years >= 2:
        return f"{int(years)} years"
    months = int(years * 12 + 0.01)  # one month is slightly less than a twelfth of a year
    if not months:
        return "less than a month"
    return f"{months} month" if months == 1 else f"{months} months"


def _or(names: Sequence[str]) -> str:
    return " or ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} or {names[-1]}"
