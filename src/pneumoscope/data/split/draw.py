"""Draw validation rows from the training set: a share, a block of patient numbers, or folds."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.data.patients import Patient, PatientKey
from pneumoscope.data.split.parts import UNUSED
from pneumoscope.errors import DataError, OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pneumoscope.data.catalog import Catalog

SMALLEST_SERIES = 20
"""Series with fewer patients are pooled, since a tenth of each may be less than one patient."""

_Stratum = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """A range of each series of patient numbers: number ``index`` of ``count``, from 1.

    ``count`` is 0 for a range at one end whose length is a given fraction: the low end if ``index``
    is 1, otherwise the high end.
    """

    index: int
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> Block:
        """Parse ``low``, ``high`` or a fraction such as ``2/5``.

        Raises:
            OptionError: The text has another form.
        """
        if text in {"low", "high"}:
            return cls(1 if text == "low" else 2)
        found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", str(text))
        if not found:
            hint = nearest(str(text), ("low", "high"))
            raise OptionError("block", must="low, high or K/N, such as 2/5", was=text, hint=hint)
        index, count = int(found[1]), int(found[2])
        if not (2 <= count <= 100 and 1 <= index <= count):
            must = "K/N with N from 2 to 100 and K from 1 to N"
            raise OptionError("block", must=must, was=text)
        return cls(index, count)

    def span(self, fraction: float) -> tuple[float, float]:
        """Return the start and end of the block as shares of the images of a series."""
        if self.count:
            return (self.index - 1) / self.count, self.index / self.count
        return (0.0, fraction) if self.index == 1 else (1.0 - fraction, 1.0)


def draw_share(
    catalog: Catalog,
    parts: list[str],
    groups: Sequence[int],
    *,
    into: str,
    fraction: float,
    seed: int,
) -> None:
    """Move whole groups from the training set, about ``fraction`` of each class.

    The share is the same in each known series of patients (such as the etiologies). Groups are
    taken in random order as long as they fit. A group connected to rows of other sets (such as a
    patient of the test folder) is not moved.
    """
    generator = np.random.default_rng(seed)
    for strata in _classes(catalog, _free(parts, groups)):
        total, taken = 0.0, 0
        for members in strata:
            total += fraction * sum(map(len, members))
            wanted = round(total) - taken
            for index in generator.permutation(len(members)):
                if len(members[index]) <= wanted:
                    wanted -= len(members[index])
                    taken += len(members[index])
                    for row in members[index]:
                        parts[row] = into


def draw_block(catalog: Catalog, parts: list[str], *, block: Block, fraction: float) -> None:
    """Move a block of patient numbers of each series from the training set to validation.

    About ``fraction`` of the images of each class in each series are moved. The caller sets aside
    rows elsewhere that are connected to the block, since a block must be contiguous.

    Raises:
        DataError: Patients have no numbers.
    """
    patients: dict[Patient, list[int]] = defaultdict(list)
    for row, part in enumerate(parts):
        if part == "train":
            patients[catalog.entries[row].patient].append(row)
    keys = _numbers(catalog, patients)
    begin, end = block.span(fraction)
    for strata in _classes(catalog, patients.values()):
        for members in strata:
            members.sort(key=lambda rows: keys[catalog.entries[rows[0]].patient])
            ends = [0, *accumulate(map(len, members))]
            for rows in members[_cut(ends, begin) : _cut(ends, end)]:
                for row in rows:
                    parts[row] = "val"


def block_or_share(
    catalog: Catalog,
    parts: list[str],
    groups: Sequence[int],
    *,
    block: Block,
    fraction: float,
    seed: int,
) -> None:
    """Move a block of patient numbers to validation, or a random share without numbers."""
    before = list(parts)
    try:
        draw_block(catalog, parts, block=block, fraction=fraction)
    except DataError:  # patients have no numbers
        parts[:] = before
        draw_share(catalog, parts, groups, into="val", fraction=fraction, seed=seed)


def draw_folds(
    catalog: Catalog, parts: Sequence[str], groups: Sequence[int], *, folds: int, seed: int
) -> list[int | None]:
    """Return the fold, from 0, of each row; None for rows that are in no fold.

    Groups stay whole, and folds have similar numbers of images of each class and series.
    """
    generator = np.random.default_rng(seed)
    fold_of: list[int | None] = [None] * len(parts)
    in_all = [0] * folds
    for strata in _classes(catalog, _free(parts, groups)):
        in_class = [0] * folds
        for members in strata:
            in_stratum = [0] * folds
            drawn = [members[index] for index in generator.permutation(len(members))]
            for rows in sorted(drawn, key=len, reverse=True):  # large ones first
                fold = min(range(folds), key=lambda k: (in_stratum[k], in_class[k], in_all[k]))
                for counts in (in_stratum, in_class, in_all):
                    counts[fold] += len(rows)
                for row in rows:
                    fold_of[row] = fold
    return fold_of


def _free(parts: Sequence[str], groups: Sequence[int]) -> list[list[int]]:
    """Return the training rows of each group without rows in other sets."""
    members: dict[int, list[int]] = defaultdict(list)
    bound = set()
    for row, (part, group) in enumerate(zip(parts, groups, strict=True)):
        if part == "train":
            members[group].append(row)
        elif part != UNUSED:
            bound.add(group)
    return [rows for group, rows in members.items() if group not in bound]


def _classes(catalog: Catalog, members: Iterable[list[int]]) -> list[list[list[list[int]]]]:
    """Return groups by class, and within a class by series, in a fixed order.

    A group with rows of both classes forms a separate class.
    """
    strata: dict[_Stratum, list[list[int]]] = defaultdict(list)
    own = catalog.strata
    for rows in members:
        labels = tuple(sorted({own[row] for row in rows}))
        series = {_series(catalog.entries[row].patient) for row in rows}
        strata[labels, tuple(sorted(series))].append(rows)
    classes: dict[tuple[str, ...], dict[tuple[str, ...], list[list[int]]]] = defaultdict(dict)
    for (labels, names), found in sorted(strata.items()):
        key = names if len(found) >= SMALLEST_SERIES else ()
        classes[labels].setdefault(key, []).extend(found)
    return [list(series.values()) for series in classes.values()]


def _series(patient: Patient) -> str:
    key = PatientKey.of(patient)
    return key.series if key else ""


def _numbers(catalog: Catalog, patients: dict[Patient, list[int]]) -> dict[Patient, PatientKey]:
    """Return the patient key of each group.

    Raises:
        DataError: A patient has no number, or the numbers are not consecutive.
    """
    way_out = (
        "Set them with `patient_regex` or in the patient column of a manifest, such as P17, or "
        "use `validation=grouped`."
    )
    keys = {patient: PatientKey.of(patient) for patient in patients}
    unknown = [patient for patient, key in keys.items() if key is None]
    if unknown:
        images = sum(len(patients[patient]) for patient in unknown)
        path = catalog.entries[patients[unknown[0]][0]].path
        raise DataError(
            f"{catalog.root}: a block of patient numbers needs numbered patients, but "
            f"{images:,} training images have no number, for example {path}. {way_out}"
        )
    known = {patient: key for patient, key in keys.items() if key is not None}
    series = {key.series for key in known.values()}
    if len(series) > len(known) / 2:
        shown = ", ".join(map(str, sorted(known)[:3]))
        raise DataError(
            f"{catalog.root}: a block of patient numbers needs consecutive numbers, but the "
            f"names of the {len(known):,} patients have {len(series):,} different prefixes "
            f"({shown}). {way_out}"
        )
    return known


def _cut(ends: Sequence[int], share: float) -> int:
    """Return the boundary between patients that is closest to a share of all images."""
    wanted = share * ends[-1]
    above = min(bisect_left(ends, wanted), len(ends) - 1)
    below = max(above - 1, 0)
    return above if ends[above] - wanted < wanted - ends[below] else below
