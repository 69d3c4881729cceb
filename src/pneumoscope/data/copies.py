"""Rows that show the same picture, and the groups formed by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two rows that show the same picture.

    Attributes:
        first: A row.
        second: A later row.
        correlation: Correlation after removing the common anatomy, -1 to 1.
        mirrored: Whether one is the other's mirror image.
    """

    first: int
    second: int
    correlation: float
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Copies:
    """Which rows of a table show the same picture.

    Attributes:
        exact: Groups of rows with equal pixels, regardless of encoding.
        near: Pairs of rows that show the same picture shifted, rescaled, mirrored or re-encoded. A
            row represents its whole group.
    """

    exact: tuple[tuple[int, ...], ...] = ()
    near: tuple[Pair, ...] = ()

    def ties(self) -> Iterator[tuple[int, int]]:
        """Yield pairs of rows that belong together."""
        for first, *others in self.exact:
            yield from ((first, row) for row in others)
        for pair in self.near:
            yield pair.first, pair.second

    def select(self, rows: Sequence[int]) -> Copies:
        """Return the copies among a selection of rows, renumbered.

        If the row of a near copy is not selected, another row of its group replaces it.
        """
        place = {row: number for number, row in enumerate(rows)}
        stands_for = {
            row: next((place[other] for other in group if other in place), None)
            for group in self.exact
            for row in group
        }
        groups = (
            tuple(sorted(place[row] for row in group if row in place)) for group in self.exact
        )
        near = []
        for pair in self.near:
            ends = [place.get(row, stands_for.get(row)) for row in (pair.first, pair.second)]
            first, second = ends
            if first is not None and second is not None and first != second:
                low, high = sorted((first, second))
                near.append(Pair(low, high, pair.correlation, pair.mirrored))
        return Copies(tuple(group for group in groups if len(group) > 1), tuple(near))


def group_numbers(n: int, ties: Iterable[tuple[int, int]]) -> list[int]:
    """Return a group number per row, numbered from 0 in order of first occurrence.

    Args:
        n: Number of rows.
        ties: Pairs of rows that belong together; groups are formed transitively.

    >>> group_numbers(5, [(0, 3), (3, 4)])
    [0, 1, 2, 0, 0]
    """
    parent = list(range(n))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in ties:
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    numbers: dict[int, int] = {}
    return [numbers.setdefault(find(row), len(numbers)) for row in range(n)]


def tied(n: int, ties: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the groups of two or more rows that pairs connect, in order.

    >>> tied(5, [(0, 3), (3, 4)])
    [[0, 3, 4]]
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(group_numbers(n, ties)):
        members[number].append(row)
    return [rows for rows in members.values() if len(rows) > 1]


def equal_rows(keys: Iterable[object]) -> Iterator[tuple[int, int]]:
    """Yield pairs that connect rows with equal keys to the first of them."""
    first: dict[object, int] = {}
    for row, key in enumerate(keys):
        if first.setdefault(key, row) != row:
            yield first[key], row
