"""The included layouts of public data sets, and how a table is recognised."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.data.layouts.description import TableDescription
from pneumoscope.data.layouts.labels import plain
from pneumoscope.data.layouts.table import Table
from pneumoscope.errors import DataError, OptionError, nearest

_SAMPLE = 50
ORDER = (
    "nih", "chexpert", "mimic", "rsna-classes", "rsna", "vindr", "vindr-boxes", "padchest",
    "covidx",
)  # fmt: skip
"""The names of the included layouts, in the order of recognition."""


@cache
def known_layout(name: str) -> TableDescription:
    """Return an included layout.

    Raises:
        OptionError: There is no layout of this name.
    """
    if name not in ORDER:
        raise OptionError(
            "layout", must="a known layout or a YAML file", was=name, hint=nearest(name, ORDER)
        )
    place = files("pneumoscope.data.layouts") / "known" / f"{name}.yaml"
    return TableDescription.from_dict({"name": name, **yaml.safe_load(place.read_text("utf-8"))})


def layout_option(text: str) -> str | dict[str, Any]:
    """Return the layout of ``--layout``: an included name, or the keys of a YAML file.

    Raises:
        DataError: The file cannot be read.
        OptionError: It is not a layout.
    """
    path = Path(text)
    if path.suffix.lower() in {".yaml", ".yml"} or path.is_file():
        return TableDescription.load(path).to_dict()
    return known_layout(text).name


def tables_in(folder: Path, layout: TableDescription) -> list[tuple[Path, str]]:
    """Return the tables of a layout in a folder, each with the set of its rows."""
    found = []
    for pattern, part in layout.tables.items():
        places = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
        fitting = [path for path in places if fits(path, layout)]
        found += [(path, part) for path in fitting]
        if fitting and layout.first_only:
            break
    return found


def fits(path: Path, layout: TableDescription) -> bool:
    """Return whether a table has the columns and labels of a layout."""
    try:
        table = opened(path, layout)
        joined = set(layout.findings) | set(layout.known_labels) if layout.joins else set()
        if not layout.needed - joined <= set(table.columns):
            return False
        if not layout.known_labels or layout.encoding == "columns":
            return True
        known = {plain(name) for name in layout.known_labels}
        rows = [row for row, _ in zip(table.rows(), range(_SAMPLE), strict=False)]
    except DataError:
        return False  # another kind of table
    return bool(rows) and all(plain(row.values[layout.columns["label"]]) in known for row in rows)


def opened(path: Path, layout: TableDescription) -> Table:
    """Open a table as a layout describes it.

    Raises:
        DataError: The table cannot be read.
    """
    return Table.open(
        path,
        needed=layout.needed,
        header=layout.header,
        delimiter=layout.delimiter,
        line=layout.line,
    )


def recognised(place: Path) -> tuple[TableDescription, list[tuple[Path, str]]] | None:
    """Return the layout of a folder or a table, with its tables; None if no layout matches.

    A table that is only joined to another, such as the labels of MIMIC-CXR-JPG, is replaced by the
    table that it belongs to.
    """
    for name in ORDER:
        layout = known_layout(name)
        if place.is_dir():
            tables = tables_in(place, layout)
            if tables:
                return layout, tables
            continue
        own = [part for pattern, part in layout.tables.items() if place.match(pattern)]
        if (layout.header or layout.line) and not own:
            continue  # such a table is only recognised by its name
        if fits(place, layout):
            return layout, [(place, own[0] if own else "")]
        if any(place.match(pattern) for pattern in layout.joins):
            tables = tables_in(place.parent, layout)
            if tables:
                return layout, tables
    return None
