"""Text tables for pages and CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsFloat, TypeAlias

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import OptionError

Table: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""A header, and rows of text as long as the header."""
Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Pixels: TypeAlias = npt.NDArray[np.uint8]


def number(value: SupportsFloat) -> str:
    """Return a number as in tables: six digits, ``nan`` and ``inf`` unchanged."""
    return f"{float(value):.6g}"


def table_of(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Return rows of text, counts and numbers as a table of text.

    >>> table_of(("n", "auc", "group"), [(1341, 0.9625, "a")])
    (('n', 'auc', 'group'), (('1341', '0.9625', 'a'),))
    """
    return tuple(header), tuple(tuple(map(_cell, row)) for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | np.integer) else number(value)


def require_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise OptionError unless ``array`` has this shape."""
    if array.shape != shape:
        raise OptionError(name, must=f"an array of shape {list(shape)}", was=list(array.shape))
