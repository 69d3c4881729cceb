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
"""Columns with a fixed meaning, which do not define subgroups."""


OF_A_CLASS: Final = ("logit ", "probability ")
"""Prefixes of columns with scores of one of several classes, before its name."""

LABEL_OF: Final = "label "
"""Prefix of columns with labels of a finding, before its name."""


def further_columns(
    rows: Sequence[Mapping[str, Any]], paths: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the values by path of each column without a fixed meaning.

    Args:
        rows: The rows of a CSV file.
        paths: The image path of each row.

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
        return {}  # the table of a public data set, whose columns have other names
    return further_columns(rows, [(row.get("path") or "").strip() for row in rows])
