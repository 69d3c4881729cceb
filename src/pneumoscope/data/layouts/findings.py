"""List the images of a table in which an image may have several findings.

Each finding of an image is present (1), absent (0) or without a label. Two kinds of tables are
supported: those with a column for each finding, whose values are 1, 0, -1 (uncertain) or empty, and
those that list the findings of an image, so that unlisted findings are absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pneumoscope.data.entries import Entry, LeftOut
from pneumoscope.data.layouts.description import TableDescription
from pneumoscope.data.layouts.labels import plain
from pneumoscope.data.layouts.listing import MANIFEST, Listing, tables_of
from pneumoscope.data.layouts.options import DataOptions
from pneumoscope.data.layouts.rows import Named, read_rows, united
from pneumoscope.data.layouts.table import Table
from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError, OptionError, nearest

UNLABELLED: Final = -1
"""The value of a finding without a label."""

NEGATIVE, POSITIVE = "NEGATIVE", "POSITIVE"
"""The label of an image without and with any of its findings."""

NOTHING_FOUND: Final = ("no finding", "normal", "healthy", "negative")
"""Names, in lower case, that state that no finding is present."""

_ROLES = ("path", "patient", "study", "view", "split")
_BLANK = {"", "nan", "none", "null", "na", "n/a"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FindingsListing:
    """The images of a data set with several findings per image, not read yet.

    Attributes:
        listing: The images; the label is ``POSITIVE`` if any finding is present, otherwise
            ``NEGATIVE``.
        names: The findings, in the order of ``Entry.findings``.
    """

    listing: Listing
    names: tuple[str, ...]


def list_findings(data: Path, options: DataOptions) -> FindingsListing:
    """Return the images of a table, unread, with the label of each finding.

    Uncertain labels count as given by ``options.uncertain`` (``ignore`` leaves the finding without
    a label), missing ones by ``options.unlabelled``. If the table states "No Finding" for an image,
    all findings without a label of their own are negative. Images without any label are excluded.

    Args:
        data: A table, or the folder of a public data set.
        options: Options with ``findings``, the names to read, in any case; empty for all.

    Raises:
        DataError: There is no table, it cannot be read, or its rows are contradictory.
        OptionError: A finding does not occur in the data.
    """
    if not data.exists():
        raise DataError(f"{data}: no such folder or file.")
    found = tables_of(data, options.layout)
    if found is None:
        raise DataError(
            f"{data}: findings need a table: a CSV with a column path and a column for each "
            "finding (1, 0 or empty), or the folder of a public data set. Class folders define "
            "one class per image."
        )
    layout, root, tables = found
    own = layout.name in {MANIFEST.name, "columns"}
    notes: list[str] = []
    if own:
        layout, notes = _own_layout(tables[0][0], layout, options)
    else:
        notes.append(f"The data are read as {layout.title or layout.name}.")
    rows, left = read_rows(root, tables, layout, strict=own)
    known = _known(rows, layout)
    names = _names(data, known, options)
    strange = [number for number, name in enumerate(names) if plain(name) not in known]
    entries = []
    bare = 0
    for row in _merged(data, rows, union=layout.repeat == "union"):
        values = _values(row, names, layout, options)
        if strange:
            values = tuple(
                UNLABELLED if number in strange else one for number, one in enumerate(values)
            )
        if set(values) == {UNLABELLED}:
            bare += 1
            continue
        label = POSITIVE if 1 in values else NEGATIVE
        patient = Patient.of(row.patient, row.path)
        entries.append(Entry(row.path, label, patient, row.split, study=row.study, findings=values))
    if not entries:
        raise DataError(f"{data}: no image has a label of {', '.join(names)}.")
    if bare:
        left = [*left, LeftOut("no label of any finding", bare)]
    counts = Counter(name for row in rows for name in row.names)
    listing = Listing(root, tuple(entries), tuple(left), tuple(notes), layout, counts, mapped=True)
    return FindingsListing(listing, names)


def _own_layout(
    table: Path, layout: TableDescription, options: DataOptions
) -> tuple[TableDescription, list[str]]:
    """Return the layout of a user's table: a label column with names, or a column per finding."""
    columns = Table.open(table, needed={layout.columns["path"]}).columns
    roles = {role: name for role, name in layout.columns.items() if layout.name == "columns"}
    roles = roles or {role: role for role in _ROLES if role in columns}
    if "label" in (roles if layout.name == "columns" else columns):
        return layout, []
    wanted = {plain(name) for name in options.findings or ()}
    others = [name for name in columns if name and name not in roles.values()]
    odd, empty = _odd_columns(table, layout, others)
    named = [name for name in others if plain(name) in wanted]
    if worst := next((name for name in named if name in odd), None):
        raise DataError(f"{table}: {odd[worst]}; a finding must be 1, 0, -1 (uncertain) or empty.")
    left = {*odd, *(empty - set(named))}
    nothing = [name for name in others if plain(name) in NOTHING_FOUND]
    taken = [name for name in others if name not in left]
    if not set(taken) - set(nothing):
        held = ", ".join(others) or "none"
        raise DataError(
            f"{table}: no column of findings (1, 0, -1 or empty in every row); its other "
            f"columns: {held}."
        )
    passed = [name for name in others if name in left] if not wanted else []
    notes = [f"Columns that are not findings: {', '.join(passed)}."] if passed else []
    described = TableDescription(
        name="columns",
        columns={"path": layout.columns["path"], **roles},
        encoding="columns",
        findings=tuple(taken),
    )
    return described, notes


def _odd_columns(
    table: Path, layout: TableDescription, names: Sequence[str]
) -> tuple[dict[str, str], set[str]]:
    """Return columns with values that are not labels of a finding, and columns without any value.

    The former with the first such value, for messages.
    """
    known = {*layout.present, *layout.uncertain, *layout.absent}
    odd: dict[str, str] = {}
    empty = set(names)
    for row in Table.open(table, needed={layout.columns["path"]}).rows():
        for name in names:
            value = (row.values.get(name) or "").strip()
            blank = value.casefold() in _BLANK
            if not blank and value not in known:
                odd.setdefault(name, f"line {row.line}, column {name}: {value!r}")
            if not blank:
                empty.discard(name)
    return odd, empty


def _known(rows: Sequence[Named], layout: TableDescription) -> dict[str, str]:
    """Return the findings of the data: normalised name → spelling in the data."""
    counts = Counter(name for row in rows for name in (*row.names, *row.uncertain, *row.absent))
    known = list(layout.findings) if layout.encoding == "columns" else []
    known += sorted(name for name in counts if name not in known)
    spelled: dict[str, str] = {}
    for name in known:
        if plain(name) not in NOTHING_FOUND:
            spelled.setdefault(plain(name), name)
    return spelled


def _names(data: Path, known: Mapping[str, str], options: DataOptions) -> tuple[str, ...]:
    """Return the findings to read.

    Raises:
        DataError: The data contain no finding.
        OptionError: A finding does not occur in the data.
    """
    if not known:
        raise DataError(f"{data}: contains no findings.")
    if not options.findings:
        return tuple(known.values())
    if options.lenient:
        return options.findings
    for name in options.findings:
        if plain(name) not in known:
            hint = nearest(name, list(known.values()))
            raise OptionError("findings", must="findings of the data", was=name, hint=hint)
    return tuple(dict.fromkeys(known[plain(name)] for name in options.findings))


def _values(
    row: Named, names: Sequence[str], layout: TableDescription, options: DataOptions
) -> tuple[int, ...]:
    """Return the label of each finding of an image."""
    there, maybe, absent = (
        {plain(name) for name in found} for found in (row.names, row.uncertain, row.absent)
    )
    # In a table that lists findings, unlisted findings are absent.
    healthy = layout.encoding != "columns" or not there.isdisjoint(NOTHING_FOUND)
    missing = 0 if healthy or options.unlabelled == "negative" else UNLABELLED
    doubtful = {"ignore": UNLABELLED, "positive": 1, "negative": 0}[options.uncertain]
    found = []
    for name in map(plain, names):
        if name in there:
            found.append(1)
        elif name in maybe:
            found.append(doubtful)
        else:
            found.append(0 if name in absent else missing)
    if layout.encoding != "columns" and not (there or maybe):
        return (UNLABELLED,) * len(names)
    return tuple(found)


def _merged(data: Path, rows: Sequence[Named], *, union: bool) -> list[Named]:
    """Return one row per image.

    Raises:
        DataError: Rows of one image differ.
    """
    if union:
        return united(rows)
    first: dict[str, Named] = {}
    against = []
    for row in rows:
        before = first.setdefault(row.path, row)
        if replace(before, where="") != replace(row, where=""):
            against.append(f"  {row.path}: {before.where} and {row.where}")
    if against:
        shown = "\n".join(against[:_SHOWN])
        more = f"\n  and {len(against) - _SHOWN} more" if len(against) > _SHOWN else ""
        raise DataError(
            f"{data}: {len(against)} rows contradict an earlier row of the same image; keep one "
            f"of each:\n{shown}{more}"
        )
    return list(first.values())
