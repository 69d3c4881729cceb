"""List the images of a data set of any layout, with their classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pneumoscope.data.entries import Entry, LeftOut
from pneumoscope.data.layouts.description import TableDescription
from pneumoscope.data.layouts.folders import Passed, files_below, folders, read_folders, unwrapped
from pneumoscope.data.layouts.labels import (
    NO_CLASS,
    NO_LABEL,
    ClassMap,
    classify,
    in_short,
    plain,
)
from pneumoscope.data.layouts.options import DataOptions
from pneumoscope.data.layouts.rows import Named, read_rows, united
from pneumoscope.data.layouts.shipped import recognised, tables_in
from pneumoscope.data.patients import Patient
from pneumoscope.errors import DataError

MANIFEST = TableDescription(
    name="manifest",
    title="CSV manifest",
    columns={
        "path": "path", "label": "label", "patient": "patient", "study": "study",
        "split": "split",
    },
)  # fmt: skip
"""A CSV file with ``path,label[,patient][,study][,split]``."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of a data set, not read yet.

    Attributes:
        root: Folder that paths are relative to.
        entries: One row per image; the label is empty if there is none.
        left_out: Excluded rows and files, with reasons.
        notes: How the data were interpreted, in words.
        layout: The layout of a table; None for folders.
        names: Number of images of each label, before mapping.
        mapped: Whether the labels are the classes of a map.
    """

    root: Path
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    layout: TableDescription | None
    names: Counter[str]
    mapped: bool

    @property
    def header_patients(self) -> bool:
        """Whether PatientID in the DICOM header identifies the patient."""
        return self.layout is None or self.layout.header_patients


def list_data(
    data: Path,
    options: DataOptions | None = None,
    *,
    positive: str | Sequence[str] | None = None,
    keep_unlabelled: bool = False,
) -> Listing:
    """Return the images of a data set, not read yet, with all their classes.

    In a folder without class folders, every file is an image with an empty label.

    Args:
        data: A folder or a table.
        options: Classes, columns and layout.
        positive: The positive class or classes of a map; see ``classify``.
        keep_unlabelled: Keep rows of a table that have no finding, with an empty label.

    Raises:
        DataError: No images, an unreadable table, or contradictory rows.
        OptionError: A map with names that do not occur in the data.
    """
    options = options or DataOptions()
    if not data.exists():
        raise DataError(f"{data}: no such folder or file.")
    table = tables_of(data, options.layout)
    left: list[LeftOut] = []
    notes: list[str] = []
    layout: TableDescription | None = None
    if table is not None:
        layout, root, tables = table
        own = layout.name in {MANIFEST.name, "columns"}
        rows, left = read_rows(root, tables, layout, strict=own)
        if not own:
            notes.append(f"The data are read as {layout.title or layout.name}.")
        if layout.repeat == "union":
            one = united(rows)
            if len(one) < len(rows):
                notes.append(
                    f"{len(rows):,} rows for {len(one):,} images: the findings of an image's "
                    "rows are combined."
                )
            rows = one
    else:
        root, passed = data, Passed()
        rows = [
            Named(path, (label,), split=part) for path, label, part in read_folders(data, passed)
        ]
        if not rows:
            passed = Passed()
            paths = (path.relative_to(data).as_posix() for path in files_below(data, passed=passed))
            rows = [Named(path, ()) for path in paths]
            keep_unlabelled = True
        left, notes = passed.left_out(), passed.notes
    names = Counter(name for row in rows for name in row.names)
    maybe = Counter(name for row in rows for name in row.uncertain)
    if options.classes is not None:
        options.classes.check([*names, *(name for name in maybe if name not in names)])
    labelled, unmapped = _labelled(rows, options, positive=positive, keep=keep_unlabelled)
    entries, merged = _merged(data, labelled)
    if merged:
        left.append(LeftOut("rows that repeat another row (same image and label)", merged))
    return Listing(
        root,
        tuple(entries),
        (*left, *unmapped),
        tuple(notes),
        layout,
        names,
        options.classes is not None,
    )


def tables_of(
    data: Path, layout: TableDescription | None
) -> tuple[TableDescription, Path, list[tuple[Path, str]]] | None:
    """Return layout, root and tables of a data set; None for class folders.

    Args:
        data: A folder or a table.
        layout: The layout of the tables; None detects it.

    Raises:
        DataError: No table matches the layout.
    """
    if data.is_file():
        if layout is not None:
            own = [part for pattern, part in layout.tables.items() if data.match(pattern)]
            return layout, data.parent, [(data, own[0] if own else "")]
        found = recognised(data)
        return (found[0], data.parent, found[1]) if found else (MANIFEST, data.parent, [(data, "")])
    chain = unwrapped(data)
    for place in reversed(chain):
        for folder in (place, *folders(place)):
            if layout is not None:
                tables = tables_in(folder, layout)
                if tables:
                    return layout, place, tables
            elif (found := recognised(folder)) is not None:
                return found[0], place, found[1]
    if layout is not None:
        raise DataError(
            f"{data}: contains no table of the layout {layout.name!r}"
            + (f" ({', '.join(layout.tables)})" if layout.tables else "")
            + "; give the table itself instead of the folder."
        )
    return None


def _labelled(
    rows: Sequence[Named],
    options: DataOptions,
    *,
    positive: str | Sequence[str] | None,
    keep: bool,
) -> tuple[list[tuple[Named, str]], list[LeftOut]]:
    """Return rows with their class (empty: none), and counts of those without, by reason."""
    if options.classes is None:
        labelled = [(row, _joined(row)) for row in rows]
        bare = sum(not label for _, label in labelled)
        if not bare or keep:
            return labelled, []
        return [item for item in labelled if item[1]], [LeftOut(NO_LABEL, bare)]
    named = (positive,) if isinstance(positive, str) else positive or ()
    group = [_spelled(name, options.classes) for name in named]
    reasons: Counter[str] = Counter()
    which: dict[str, Counter[str]] = defaultdict(Counter)
    known = options.classes.names
    labelled = []
    for row in rows:
        label, reason = classify(
            row.names, row.uncertain, classes=options.classes, positive=group,
            policy=options.uncertain,
        )  # fmt: skip
        labelled.append((row, label))
        if reason:
            reasons[reason] += 1
            if reason == NO_CLASS:
                others = (*row.names, *row.uncertain)
                which[reason].update(name for name in others if plain(name) not in known)
    left = [LeftOut(why, n, in_short(which[why])) for why, n in reasons.items()]
    return labelled, left


def _joined(row: Named) -> str:
    return "|".join((*row.names, *(f"{name}?" for name in row.uncertain)))


def _spelled(name: str, classes: ClassMap) -> str:
    """Return a class in the spelling of the map."""
    own = {plain(new): new for new, _ in classes.classes}
    return own.get(plain(name), name)


def _merged(data: Path, labelled: Sequence[tuple[Named, str]]) -> tuple[list[Entry], int]:
    """Return one entry per image with a class, and the number of repeated rows.

    Raises:
        DataError: Rows of one image differ in class, patient or part.
    """
    first: dict[str, tuple[Named, str]] = {}
    against: list[str] = []
    repeated = 0
    for row, label in labelled:
        before = first.setdefault(row.path, (row, label))
        if before[0] is row:
            continue
        repeated += 1
        if (before[1], before[0].patient, before[0].split) != (label, row.patient, row.split):
            against.append(
                f"  {row.path}: {_described(*before)} ({before[0].where}), "
                f"{_described(row, label)} ({row.where})"
            )
    if against:
        shown = "\n".join(against[:_SHOWN])
        more = f"\n  and {len(against) - _SHOWN} more" if len(against) > _SHOWN else ""
        raise DataError(
            f"{data}: {len(against)} rows contradict an earlier row of the same image; keep one "
            f"of each:\n{shown}{more}"
        )
    mapped = any(label for _, label in labelled)
    return [
        Entry(row.path, label, Patient.of(row.patient, row.path), row.split, study=row.study)
        for row, label in first.values()
        if label or not mapped
    ], repeated


def _described(row: Named, label: str) -> str:
    name = label or "|".join(row.names) or "no label"
    return (
        name
        + (f", patient {row.patient}" if row.patient else "")
        + (f", {row.split}" if row.split else "")
    )
