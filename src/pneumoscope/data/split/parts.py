"""The set of each row, and its file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.catalog import PARTS
from pneumoscope.errors import DataError, in_words, nearest
from pneumoscope.runs import rows_of, write_csv

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog

UNUSED = "unused"
"""The value for rows that belong to no set."""


@dataclass(frozen=True, slots=True)
class Split:
    """The set of each row of a catalog: ``train``, ``val``, ``test`` or ``unused``."""

    parts: tuple[str, ...]

    def rows(self, part: str) -> list[int]:
        """Return the rows of one set, in the catalog's order."""
        return [row for row, name in enumerate(self.parts) if name == part]

    def save(self, path: Path, catalog: Catalog) -> None:
        """Write ``path,label,patient,split`` as CSV."""
        entries = zip(catalog.entries, self.parts, strict=True)
        write_csv(
            path,
            ("path", "label", "patient", "split"),
            ((entry.path, entry.label, entry.patient, part) for entry, part in entries),
        )


def parts_in_file(path: Path, catalog: Catalog) -> Split:
    """Return the sets of a split file for the rows of a catalog, without checking for leaks.

    Raises:
        DataError: The file is not a split, or lists none of the images.
    """
    try:
        rows = rows_of(path)
        named = {row["path"]: row["split"] for row in rows}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(
            f"{path}: not a split file with the columns path,...,split ({in_words(fault)})."
        ) from fault
    for part in set(named.values()) - {*PARTS, UNUSED}:
        raise DataError(f"{path}: unknown set {part!r}. {nearest(str(part), (*PARTS, UNUSED))}")
    split = Split(tuple(named.get(entry.path, UNUSED) for entry in catalog.entries))
    if set(split.parts) == {UNUSED}:
        raise DataError(f"{path}: contains none of the images of {catalog.root}.")
    return split
