"""Groups of images that are held out in turn: series, blocks of patients, clusters, or a column.

A group has images of all classes. A group that lacks a class, like a series of patient numbers of
the public data set, is completed by a block of patients of the other groups, in proportion to the
share of the class; the blocks of different groups do not overlap.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from pneumoscope.data.patients import PatientKey
from pneumoscope.data.split.draw import Block, block_or_share, draw_block, draw_folds
from pneumoscope.data.split.parts import UNUSED, Split
from pneumoscope.errors import DataError, OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pneumoscope.data.catalog import Catalog

WAYS: Final = ("auto", "series", "blocks", "acquisition")
"""Kinds of groups, besides a column of the manifest."""

SITES: Final = ("site", "hospital", "institution", "center", "centre", "scanner", "device")
"""Columns that ``auto`` uses, in this order."""

SMALLEST: Final = 40
"""Smaller groups are merged, since their metrics would be too uncertain."""

FEWEST: Final = 10
"""A group with fewer images of a class counts as lacking it."""

REST = "other"


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group of images that is held out.

    Attributes:
        name: Name of the group.
        rows: The held-out catalog rows, including those that complete the group.
        own: The rows of the group itself.
        completed: Description of the rows that complete it; empty if it has all classes.
    """

    name: str
    rows: tuple[int, ...]
    own: tuple[int, ...]
    completed: str = ""


@dataclass(frozen=True, slots=True)
class NewGroups:
    """The groups of a data set that are held out in turn.

    Attributes:
        by: Kind of groups: ``series``, ``blocks``, ``acquisition`` or a column.
        groups: The groups, at least two.
        note: Note about decisions made in forming the groups; empty if there were none.
    """

    by: str
    groups: tuple[NewGroup, ...]
    note: str = ""


def new_groups(
    catalog: Catalog,
    pool: Sequence[int],
    together: Sequence[int],
    *,
    by: str = "auto",
    count: int = 5,
    seed: int = 0,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    clusters: Callable[[Sequence[int]], Sequence[int]] | None = None,
) -> NewGroups:
    """Return the groups of the training and validation images.

    Args:
        catalog: The images.
        pool: Rows that may be used for training and validation.
        together: A number for each row of the catalog; rows with the same number belong together.
        by: ``series`` of the patients' names; ``blocks`` of the patient numbers of each series, or
            random blocks without numbers; ``acquisition`` for clusters of images acquired alike; or
            a column of the manifest. ``auto`` is a column of sites, or else the series, or else
            blocks.
        count: Number of blocks or clusters.
        seed: Seed of random draws.
        columns: Columns of the manifest: name → path → value.
        clusters: Returns the cluster of each of some rows, for ``acquisition``.

    Raises:
        OptionError: The column does not exist.
        DataError: There are fewer than two groups.
    """
    columns = columns or {}
    if by == "auto":
        by = next((name for name in SITES if len(set(columns.get(name, {}).values())) > 1), "")
        by = by or ("series" if len(_named(catalog, pool, "series", columns)) > 1 else "blocks")
    if by not in WAYS and by not in columns:
        known = (*WAYS, *columns)
        must = f"one of {', '.join(known)}; others are columns of a manifest"
        raise OptionError("groups", must=must, was=by, hint=nearest(by, known))
    note = ""
    if by == "acquisition":
        assert clusters is not None  # noqa: S101 - only needed for clusters
        found = _by_name(pool, [f"cluster {number + 1}" for number in clusters(pool)])
    elif by != "blocks":
        found = _named(catalog, pool, by, columns)
    if by != "blocks":
        whole = [name for name in found if _has_whole_class(catalog, pool, found[name])]
        if len(found) > 1 and whole:
            note = f"{', '.join(whole)} cannot be held out: no image of a class would remain"
            found = {name: rows for name, rows in found.items() if name not in whole}
        if len(found) < 2:
            kept = f"{note}; " if note else ""
            note = f"{kept}there is only one group by {by}, so blocks of patients are held out"
            by = "blocks"
    if by == "blocks":
        found = _blocks(catalog, pool, together, count=count, seed=seed)
    groups = _completed(catalog, pool, found)
    if len(groups) < 2:
        raise DataError(
            f"{catalog.root}: fewer than two groups of {SMALLEST} images can be held out by {by}."
        )
    return NewGroups(by, groups, note)


def rest_of(pool: Sequence[int], held: Sequence[int], together: Sequence[int]) -> list[int]:
    """Return the rows of a pool that share no patient or picture with held-out ones."""
    gone = {together[row] for row in held}
    return [row for row in pool if together[row] not in gone]


def inner_split(
    catalog: Catalog,
    rows: Sequence[int],
    together: Sequence[int],
    *,
    block: str,
    fraction: float,
    seed: int,
) -> Split:
    """Return training and validation rows among some rows; all others are unused.

    Validation is a block of the patient numbers of each series, or random without numbers.

    Raises:
        DataError: A class is missing in one of the two parts.
    """
    parts = [UNUSED] * len(catalog)
    for row in rows:
        parts[row] = "train"
    block_or_share(catalog, parts, together, block=Block.parse(block), fraction=fraction, seed=seed)
    validated = {together[row] for row, part in enumerate(parts) if part == "val"}
    for row, part in enumerate(parts):
        if part == "train" and together[row] in validated:
            parts[row] = UNUSED
    split = Split(tuple(parts))
    for part in ("train", "val"):
        there = {catalog.entries[row].label for row in split.rows(part)}
        if missing := set(catalog.classes) - there:
            raise DataError(
                f"{catalog.root}: without one of the groups, the set {part!r} has no "
                f"{', '.join(sorted(missing))}; hold out other `groups`."
            )
    return split


def _by_name(rows: Sequence[int], names: Sequence[str]) -> dict[str, list[int]]:
    """Return the rows of each name, with small groups merged, in order of their names."""
    found: dict[str, list[int]] = defaultdict(list)
    for row, name in zip(rows, names, strict=True):
        found[name or REST].append(row)
    kept: dict[str, list[int]] = {}
    rest: list[int] = []
    for name in sorted(found):
        if len(found[name]) >= SMALLEST and name != REST:
            kept[name] = found[name]
        else:
            rest += found[name]
    if len(rest) >= SMALLEST:
        kept[REST] = sorted(rest)
    return kept


def _named(
    catalog: Catalog,
    pool: Sequence[int],
    by: str,
    columns: Mapping[str, Mapping[str, str]],
) -> dict[str, list[int]]:
    """Return the groups of series or of a column, without groups that are too small."""
    entries = catalog.entries
    if by == "series":
        keys = [PatientKey.of(entries[row].patient) for row in pool]
        names = [key.series.strip("-_.: ") if key else "" for key in keys]
        names = [name or "numbers" if key else "" for name, key in zip(names, keys, strict=True)]
    else:
        names = [columns[by].get(entries[row].path, "") for row in pool]
    return _by_name(pool, names)


def _has_whole_class(catalog: Catalog, pool: Sequence[int], own: Sequence[int]) -> bool:
    """Return whether fewer than 10 images of a class are outside the group."""
    every, held = (Counter(catalog.entries[row].label for row in rows) for rows in (pool, own))
    return any(every[name] - held[name] < FEWEST for name in catalog.classes)


def _blocks(
    catalog: Catalog, pool: Sequence[int], together: Sequence[int], *, count: int, seed: int
) -> dict[str, list[int]]:
    """Return blocks of the patient numbers of each series, or random folds without numbers."""
    parts = [UNUSED] * len(catalog)
    for row in pool:
        parts[row] = "train"
    found: dict[str, list[int]] = {}
    try:
        for number in range(1, count + 1):
            marked = list(parts)
            draw_block(catalog, marked, block=Block(number, count), fraction=0.0)
            found[f"block {number}/{count}"] = [
                row for row, part in enumerate(marked) if part == "val"
            ]
    except DataError:  # patients have no numbers
        folds = draw_folds(catalog, parts, together, folds=count, seed=seed)
        found = {
            f"drawn {number + 1}/{count}": [row for row, fold in enumerate(folds) if fold == number]
            for number in range(count)
        }
    return {name: rows for name, rows in found.items() if rows}


def _completed(
    catalog: Catalog, pool: Sequence[int], found: Mapping[str, list[int]]
) -> tuple[NewGroup, ...]:
    """Return the groups; those that lack a class are completed by a block from the others."""
    of_class = {
        name: [row for row in pool if catalog.entries[row].label == name]
        for name in catalog.classes
    }
    counts = {
        name: Counter(catalog.entries[row].label for row in rows) for name, rows in found.items()
    }
    taken = dict.fromkeys(catalog.classes, 0.0)
    groups = []
    for name, own in found.items():
        rows, notes = set(own), []
        for label, members in of_class.items():
            if counts[name][label] >= FEWEST or not len(pool) > len(members):
                continue
            width = (len(own) - counts[name][label]) / (len(pool) - len(members))
            others = [row for row in members if row not in rows]
            chosen = _stretch(catalog, others, taken[label], min(1.0, taken[label] + width))
            taken[label] += width
            rows |= set(chosen)
            notes.append(f"{len(chosen):,} {label} images of other groups")
        groups.append(NewGroup(name, tuple(sorted(rows)), tuple(own), " and ".join(notes)))
    return tuple(groups)


def _stretch(catalog: Catalog, rows: Sequence[int], begin: float, end: float) -> list[int]:
    """Return whole patients of each series between two shares of its images, by number."""
    series: dict[str, dict[tuple[int, str], list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        patient = catalog.entries[row].patient
        key = PatientKey.of(patient)
        place = (key.number if key else 0, str(patient))
        series[key.series if key else ""][place].append(row)
    chosen: list[int] = []
    for patients in series.values():
        members = [patients[place] for place in sorted(patients)]
        ends = [0, *accumulate(map(len, members))]
        total = ends[-1]
        for start, of_patient in zip(ends[:-1], members, strict=True):
            if begin * total <= start + len(of_patient) / 2 < end * total:
                chosen += of_patient
    return chosen
