"""Groups of rows that must stay in one set, and a check for violations."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from pneumoscope.data.catalog import PARTS
from pneumoscope.data.copies import Copies, equal_rows, group_numbers

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pneumoscope.data.catalog import Catalog


def groups_of(catalog: Catalog, copies: Copies | None = None) -> list[int]:
    """Return a group number per row; rows of one patient or one picture share it.

    Args:
        catalog: The images. Identical files always count as copies.
        copies: Rows that show the same picture; None if copies were not searched.
    """
    entries = catalog.entries
    ties = [
        equal_rows([entry.patient for entry in entries]),
        equal_rows([entry.sha256 for entry in entries]),
        copies.ties() if copies is not None else (),
    ]
    return group_numbers(len(entries), chain.from_iterable(ties))


@dataclass(frozen=True, slots=True)
class Shared:
    """A patient or picture that occurs in more than one set.

    Attributes:
        key: The patient, checksum or group number.
        parts: The parts, in the order train, val, test.
        rows: All rows with this key in these parts, in order.
    """

    key: Hashable
    parts: tuple[str, ...]
    rows: tuple[int, ...]


def shared_between_parts(
    parts: Sequence[str], keys: Sequence[Hashable | None]
) -> tuple[Shared, ...]:
    """Return the keys that occur in more than one of train, val and test.

    Args:
        parts: The part of each row. Rows of other sets (``unused`` or none) are ignored.
        keys: The key of each row that must not occur in two sets: patients, checksums, or the
            numbers of ``groups_of`` or any other grouping. Rows with the key None are ignored.

    >>> shared_between_parts(["train", "val", "test", "train"], ["a", "a", "b", None])
    (Shared(key='a', parts=('train', 'val'), rows=(0, 1)),)
    """
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, (part, key) in enumerate(zip(parts, keys, strict=True)):
        if key is not None and part in PARTS:
            rows[key].append(row)
    where = {key: {parts[row] for row in found} for key, found in rows.items()}
    return tuple(
        Shared(key, tuple(part for part in PARTS if part in where[key]), tuple(found))
        for key, found in rows.items()
        if len(where[key]) > 1
    )
