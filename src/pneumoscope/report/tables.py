"""Text tables for pages and CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, SupportsFloat, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pneumoscope.errors import OptionError

Table: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""A header, and rows of text as long as the header."""
Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Item = TypeVar("Item")


def number(value: SupportsFloat) -> str:
    """Return a number as in tables: six digits, ``nan`` and ``inf`` unchanged."""
    return f"{float(value):.6g}"


def table_of(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Return rows of text, counts and numbers as a table of text.

    >>> table_of(("n", "auc", "group"), [(1341, 0.9625, "a")])
    (('n', 'auc', 'group'), (('1341', '0.9625', 'a'),))
    """
    return tuple(header), tuple(tuple(map(_cell, row)) for row in rows)


def columns_of(header: Sequence[str], *columns: Iterable[Any]) -> Table:
    """Return columns of equal length as a table of text."""
    return table_of(header, zip(*columns, strict=True))


def table_by(columns: Mapping[str, Callable[[Item], str]], items: Iterable[Item]) -> Table:
    """Return a table with a row an item: each column by its title, and how it shows an item.

    >>> table_by({"n": str, "square": lambda n: str(n * n)}, [2, 3])
    (('n', 'square'), (('2', '4'), ('3', '9')))
    """
    return tuple(columns), tuple(tuple(cell(one) for cell in columns.values()) for one in items)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | np.integer) else number(value)


def require_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise OptionError unless ``array`` has this shape."""
    if array.shape != shape:
        raise OptionError(name, must=f"an array of shape {list(shape)}", was=list(array.shape))
