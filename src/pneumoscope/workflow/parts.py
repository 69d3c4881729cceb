"""Which rows of the data are meant, and whether a run has learnt from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.catalog import PARTS
from pneumoscope.data.split import parts_in_file
from pneumoscope.errors import DataError, OptionError
from pneumoscope.runs import rows_of

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.split import Split
    from pneumoscope.runs import RunFolder
    from pneumoscope.watch import Watcher


def tell_notes(catalog: Catalog, watcher: Watcher) -> None:
    """Say how the data were understood, and warn of what was left out."""
    for note in catalog.notes:
        watcher.say(note)
    for item in catalog.left_out:
        watcher.warn(str(item))


def own_split(run: RunFolder | None, catalog: Catalog) -> Split | None:
    """Return the run's split if these images, or most of them, were part of its data."""
    if run is None or not (run.split.is_file() and run.catalog.is_file()):
        return None
    known = {(row["path"], row["sha256"]) for row in rows_of(run.catalog)}
    unchanged = sum((entry.path, entry.sha256) in known for entry in catalog.entries)
    return parts_in_file(run.split, catalog) if 2 * unchanged > len(catalog) else None


def part_rows(
    catalog: Catalog, own: Split | None, part: str | None, data: Path
) -> tuple[str, list[int]]:
    """Return the part that is to be read, and its rows: by the run's own split, else by the data.

    Raises:
        OptionError: There is no such part.
        DataError: It has no images.
    """
    rows_by_part = {
        name: own.rows(name)
        if own is not None
        else [row for row, entry in enumerate(catalog.entries) if entry.split == name]
        for name in PARTS
    }
    rows_by_part["all"] = list(range(len(catalog)))
    chosen = part or ("test" if rows_by_part["test"] else "all")
    rows = rows_by_part.get(chosen)
    if rows is None:
        raise OptionError("--split", must="one of train, val, test, all", was=chosen)
    if not rows:
        there = ", ".join(f"{name} ({len(found)})" for name, found in rows_by_part.items() if found)
        raise DataError(f"{data}: no images in the part {chosen!r}; there are {there}.")
    return chosen, rows


def is_whole(run: RunFolder, catalog: Catalog, part: str) -> bool:
    """Tell whether a catalog holds the images of a part of a run, all of them and no others."""
    parts = {row["path"]: row["split"] for row in rows_of(run.split)}
    wanted = {
        (row["path"], row["sha256"])
        for row in rows_of(run.catalog)
        if part in {parts.get(row["path"]), "all"}
    }
    return wanted == {(entry.path, entry.sha256) for entry in catalog.entries}


def seen_in_training(run: RunFolder | None, catalog: Catalog) -> int:
    """Return how many images, or other images of their patients, a run was trained on."""
    if run is None or not (run.catalog.is_file() and run.split.is_file()):
        return 0
    trained = {row["path"] for row in rows_of(run.split) if row["split"] == "train"}
    rows = [row for row in rows_of(run.catalog) if row["path"] in trained]
    known = {row["sha256"] for row in rows} | {row["patient"] for row in rows}
    return sum(entry.sha256 in known or entry.patient in known for entry in catalog.entries)
