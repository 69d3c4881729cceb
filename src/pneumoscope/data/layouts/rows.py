"""Read the images that a table lists."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pneumoscope.data.entries import PARTS, LeftOut
from pneumoscope.data.layouts.description import TableDescription
from pneumoscope.data.layouts.folders import PART_NAMES
from pneumoscope.data.layouts.labels import in_short, plain
from pneumoscope.data.layouts.places import Places
from pneumoscope.data.layouts.shipped import opened
from pneumoscope.data.layouts.table import Table
from pneumoscope.errors import DataError, did_you_mean, nearest

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NOTHING = {"", "nan", "none", "null"}


@dataclass(frozen=True, slots=True)
class Named:
    """An image with its findings.

    Attributes:
        path: Path relative to the root of the data.
        names: Findings that are present.
        uncertain: Uncertain findings.
        absent: Absent findings, if the table has a column for each finding.
        patient: The patient; empty if unknown.
        study: The study; empty if unknown.
        split: The part; empty if unknown.
        where: The table and line, for messages.
    """

    path: str
    names: tuple[str, ...]
    uncertain: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    patient: str = ""
    study: str = ""
    split: str = ""
    where: str = ""


def read_rows(
    root: Path, tables: Sequence[tuple[Path, str]], layout: TableDescription, *, strict: bool
) -> tuple[list[Named], list[LeftOut]]:
    """Return the frontal images of tables, one row each, and the excluded rows.

    Args:
        root: Folder that the paths of images are relative to.
        tables: Files, each with the part of its rows (may be empty).
        layout: Layout of the tables.
        strict: Whether rows whose file is missing are kept, so that they are reported as
            unreadable. Otherwise they are excluded, since public data sets are often downloaded in
            part.

    Raises:
        DataError: A table cannot be read, lacks a column, or none of its images exists.
    """
    places = Places(root, find=layout.find)
    lists = _lists(tables[0][0].parent, layout)
    frontal = {plain(view) for view in layout.frontal}
    found: list[Named] = []
    views: Counter[str] = Counter()
    absent: list[str] = []
    for path, part in tables:
        for where, row in _joined(path, layout):
            view = _view(row, layout)
            if view is not None and plain(view) not in frontal:
                views[view or "not stated"] += 1
                continue
            named = _named(row, layout, where=where, part=part, lists=lists)
            likely = layout.image_paths(row, part=named.split or part)
            place = places.place(likely)
            if place is None and not strict:
                absent.append(likely[0])
                continue
            found.append(replace(named, path=place or likely[0]))
    left = []
    if views:
        left.append(LeftOut("not a frontal view", views.total(), in_short(views)))
    if absent:
        example = f"such as {absent[0]}"
        left.append(LeftOut("the image is not in the folder", len(absent), example))
    if absent and not found:
        raise DataError(
            f"{tables[0][0]}: none of its {len(absent):,} images, such as {absent[0]}, is in "
            f"{root}; give the folder that contains the table and the images."
        )
    return found, left


def _joined(path: Path, layout: TableDescription) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the rows of a table, with the columns of joined tables added."""
    table = opened(path, layout)
    columns = set(table.columns)
    added: list[tuple[str, dict[str, Mapping[str, str]]]] = []
    for pattern, key in layout.joins.items():
        for other in sorted(path.parent.glob(pattern))[:1]:
            beside = opened(other, replace(layout, columns={"path": key}, image=("{" + key + "}",)))
            columns |= set(beside.columns)
            added.append((key, {row.values.get(key, ""): row.values for row in beside.rows()}))
    _check_columns(table, layout, columns)
    for row in table.rows():
        values = dict(row.values)
        for key, rows in added:
            values = {**rows.get(values.get(key, ""), {}), **values}
        yield f"{path}, line {row.line}", values


def _check_columns(table: Table, layout: TableDescription, columns: set[str]) -> None:
    """Raise an error if a table lacks columns that its layout needs."""
    wanted = [name for role, name in layout.columns.items() if role in {"path", "label"}]
    wanted += sorted(layout.needed - set(wanted))
    if layout.name == "columns":  # the user named each of them
        wanted = list(layout.columns.values())
    missing = [name for name in dict.fromkeys(wanted) if name not in columns]
    if not missing:
        return
    found = ", ".join(name for name in table.columns if name) or "nothing"
    hint = did_you_mean(missing[0], table.columns)
    hint = f" {hint}" if hint else ""
    needs = (
        "a manifest needs path,label and may have patient, study and split; use "
        "`columns=path=…,label=…` for other column names"
        if layout.name == "manifest"
        else f"required by the layout {layout.name!r}"
    )
    raise DataError(
        f"{table.path}: no column {' and '.join(missing)}; {needs}. Found: {found}.{hint}"
    )


def _view(row: Mapping[str, str], layout: TableDescription) -> str | None:
    """Return the view of an image; empty if not stated, None if there is no view column."""
    if "view" not in layout.columns and not layout.view_pattern:
        return None
    stated = (row.get(layout.columns.get("view", "")) or "").strip()
    if not stated and layout.view_pattern:
        path = row.get(layout.columns.get("path", "")) or ""
        match = re.search(layout.view_pattern, path)
        return match[1] if match else ""
    return stated


def _named(
    row: Mapping[str, str],
    layout: TableDescription,
    *,
    where: str,
    part: str,
    lists: Mapping[str, str],
) -> Named:
    def value(role: str) -> str:
        column = layout.columns.get(role)
        return (row.get(column) or "").strip() if column else ""

    path = value("path")
    if not path and "path" in layout.columns:
        raise DataError(f"{where}: the path is empty.")
    names, uncertain, absent = _findings(row, layout, where=where)
    if layout.name == "manifest" and not names:
        raise DataError(f"{where}: the label is empty.")
    patient, study = value("patient"), value("study")
    for pattern, target in ((layout.patient_pattern, "patient"), (layout.study_pattern, "study")):
        match = re.search(pattern, path) if pattern else None
        if match and target == "patient":
            patient = patient or match[1]
        elif match:
            study = study or match[1]
    stated = value("split").lower()
    if stated and stated not in PART_NAMES:
        raise DataError(
            f"{where}: split must be train, val or test, got {stated!r}. {nearest(stated, PARTS)}"
        )
    split = PART_NAMES.get(stated, "") or lists.get(path, "") or part
    return Named(path, names, uncertain, absent, patient, study, split, where)


def _findings(
    row: Mapping[str, str], layout: TableDescription, *, where: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the present, uncertain and absent findings of a row."""
    if layout.encoding == "columns":
        own = set(layout.columns.values()) | set(layout.not_findings) | set(layout.joins.values())
        columns = layout.findings or [name for name in row if name and name not in own]
        values = {layout.values.get(name, name): (row.get(name) or "").strip() for name in columns}
        return (
            tuple(name for name, value in values.items() if value in layout.present),
            tuple(name for name, value in values.items() if value in layout.uncertain),
            tuple(name for name, value in values.items() if value in layout.absent),
        )
    text = (row.get(layout.columns["label"]) or "").strip()
    match layout.encoding:
        case "one":
            names = [text]
        case "list":
            names = _listed(text, where=where)
        case _:
            names = text.split(layout.separator) if layout.separator else [text]
    renamed = [layout.values.get(name.strip(), name.strip()) for name in names]
    return (
        tuple(dict.fromkeys(name for name in renamed if name and name not in layout.not_findings)),
        (),
        (),
    )


def _listed(text: str, *, where: str) -> list[str]:
    if text.casefold() in _NOTHING:
        return []
    if not (text.startswith("[") and text.endswith("]")):
        raise DataError(f"{where}: not a list of labels such as ['normal']: {text[:60]!r}.")
    return [single or double for single, double in _QUOTED.findall(text)]


def _lists(root: Path, layout: TableDescription) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, part in layout.lists.items():
        place = root / name
        if place.is_file():
            try:
                text = place.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as fault:
                raise DataError(f"{place}: cannot be read ({fault}).") from fault
            found |= {line.strip(): part for line in text.splitlines() if line.strip()}
    return found


def united(rows: Sequence[Named]) -> list[Named]:
    """Combine rows of the same image and their findings, in order of first occurrence."""
    by_path: dict[str, list[Named]] = defaultdict(list)
    for row in rows:
        by_path[row.path].append(row)
    return [
        replace(
            own[0],
            names=tuple(dict.fromkeys(name for row in own for name in row.names)),
            uncertain=tuple(dict.fromkeys(name for row in own for name in row.uncertain)),
            absent=tuple(dict.fromkeys(name for row in own for name in row.absent)),
        )
        for own in by_path.values()
    ]
