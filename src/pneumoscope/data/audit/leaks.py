"""Patients and images that two sets of a split have in common."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pneumoscope.data.catalog import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.catalog import Entry
    from pneumoscope.data.copies import Pair


@dataclass(frozen=True, slots=True)
class Crossing:
    """What two sets have in common.

    Attributes:
        parts: Names of the two parts.
        patients: Patients with images in both.
        exact: Groups of equal images (rows) with members in both.
        near: Pairs of rows that show the same image, one in each part.
    """

    parts: tuple[str, str]
    patients: tuple[str, ...]
    exact: tuple[tuple[int, ...], ...]
    near: tuple[Pair, ...]

    @property
    def clean(self) -> bool:
        """Whether the sets have nothing in common."""
        return not (self.patients or self.exact or self.near)

    def to_dict(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """Return the crossing as JSON values."""
        return {
            "parts": list(self.parts),
            "patients": list(self.patients),
            "exact_duplicates": [[entries[row].path for row in group] for group in self.exact],
            "near_duplicates": [
                [entries[pair.first].path, entries[pair.second].path] for pair in self.near
            ],
        }


def crossings(
    entries: Sequence[Entry],
    parts: Sequence[str],
    *,
    exact: Sequence[Sequence[int]],
    near: Sequence[Pair],
) -> list[Crossing]:
    """Return what each pair of sets has in common; images without a set are ignored.

    Args:
        entries: The images; unknown patients are never shared.
        parts: The part of each.
        exact: Groups of rows of equal images.
        near: Pairs of rows that show the same image. Each represents the whole groups of its two
            rows.
    """
    there = [part for part in PARTS if part in parts]
    group_of = {row: tuple(group) for group in exact for row in group}
    patients = {
        part: {
            entry.patient.name
            for entry, own in zip(entries, parts, strict=True)
            if own == part and entry.patient.known
        }
        for part in there
    }
    found = []
    for a, b in combinations(there, 2):

        def reaches(left: Sequence[int], right: Sequence[int], *, a: str = a, b: str = b) -> bool:
            held = {parts[row] for row in left}, {parts[row] for row in right}
            return (a in held[0] and b in held[1]) or (b in held[0] and a in held[1])

        found.append(
            Crossing(
                (a, b),
                tuple(sorted(patients[a] & patients[b])),
                tuple(tuple(group) for group in exact if reaches(group, group)),
                tuple(
                    pair
                    for pair in near
                    if reaches(
                        group_of.get(pair.first, (pair.first,)),
                        group_of.get(pair.second, (pair.second,)),
                    )
                ),
            )
        )
    return found
