"""Additional columns of a table of images, by which results can be grouped."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pneumoscope.errors import DataError, in_words
from pneumoscope.images.record import DICOM_COLUMNS
from pneumoscope.runs import rows_of

KNOWN: Final = frozenset(
    {
        "path", "label", "patient", "split", "width", "height", "mode", "bytes", "sha256",
        "logit", "probability", "study", "model_sha256", "refused",
        "class", "positive_classes", "positive_group",
        *DICOM_COLUMNS,
    }
)  # fmt: skip
"""Columns that mean something already, and are no grouping of their own."""


OF_A_CLASS: Final = ("logit ", "probability ")
"""What the columns of scores begin with that are of one class of several; its name follows."""

LABEL_OF: Final = "label "
"""What the columns of labels of findings begin with; the name of the finding follows."""


def further_columns(
    rows: Sequence[Mapping[str, Any]], paths: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the values by path of each column that has no meaning of its own.

    Args:
        rows: Of a CSV file.
        paths: What the image of each row is called.

    >>> further_columns([{"path": "a.png", "sex": " F "}], ["a.png"])
    {'sex': {'a.png': 'F'}}
    """
    names = [
        name
        for name in (rows[0] if rows else ())
        if name and name not in KNOWN and not name.startswith((*OF_A_CLASS, LABEL_OF))
    ]
    return {
        name: {path: (row[name] or "").strip() for path, row in zip(paths, rows, strict=True)}
        for name in names
    }


def manifest_columns(data: Path) -> dict[str, dict[str, str]]:
    """Return the additional columns of a manifest; none for folders and other tables.

    Raises:
        DataError: The file cannot be read.
    """
    if not data.is_file():
        return {}
    try:
        rows = rows_of(data)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{data}: cannot be read as a CSV file ({in_words(fault)}).") from fault
    if not rows or "path" not in rows[0]:
        return {}  # the table of a public data set, whose columns have names of their own
    return further_columns(rows, [(row.get("path") or "").strip() for row in rows])
