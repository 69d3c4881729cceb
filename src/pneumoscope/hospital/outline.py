"""Trace the outline of a region in a grid as closed polygons."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Corner = tuple[int, int]


def outlines(inside: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """Return the borders of a region and of its holes, the longest first.

    Each is a closed polygon, float32 [points, 2] of (column, row), whose first and last points are
    the same; the grid's upper left corner is (0, 0), and its lower right one (width, height).

    >>> outlines(np.array([[False, True]]))[0].tolist()
    [[1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 0.0]]
    """
    following = _edges(inside)
    found = []
    while following:
        start = at = min(following)
        border = [start]
        heading = (0, 0)
        while True:
            ends = following[at]
            # If two cells touch at a corner, two borders meet: the direction of the turn separates
            # them.
            to = max(ends, key=lambda end, at=at, heading=heading: _turn(heading, at, end))  # type: ignore[misc]
            ends.remove(to)
            if not ends:
                del following[at]
            heading, at = (to[0] - at[0], to[1] - at[1]), to
            border.append(at)
            if at == start:
                break
        found.append(_corners(np.array(border, np.float32)))
    return sorted(found, key=len, reverse=True)


def _edges(inside: NDArray[np.bool_]) -> dict[_Corner, list[_Corner]]:
    """Return the edges between inside and outside, from corner to corner, clockwise."""
    padded = np.pad(inside, 1)
    core = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above: from left to right
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    following: dict[_Corner, list[_Corner]] = defaultdict(list)
    for neighbour, begin, end in sides:
        for row, column in np.argwhere(core & ~neighbour).tolist():
            following[column + begin[0], row + begin[1]].append((column + end[0], row + end[1]))
    return following


def _turn(heading: _Corner, at: _Corner, to: _Corner) -> int:
    """Return 1 for a right turn, -1 for a left turn, 0 for straight on."""
    return heading[0] * (to[1] - at[1]) - heading[1] * (to[0] - at[0])


def _corners(border: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a closed polygon without collinear points."""
    steps = np.diff(border, axis=0)
    turns = np.any(steps != np.roll(steps, 1, axis=0), axis=1)
    kept = border[:-1][turns]
    return np.concatenate([kept, kept[:1]])
