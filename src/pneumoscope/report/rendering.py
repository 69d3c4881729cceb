"""Texts of pages, cards and checklists: templates and their variables."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pneumoscope.evaluation.estimate import level_text, method_text

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from pneumoscope.report.tables import Table

_NUMERIC: Final = re.compile(r"[-+−–]?[\d.,]+(e[-+]?\d+)?\s?%?|nan|inf|", re.IGNORECASE)  # noqa: RUF001
_RANGE: Final = re.compile(r"([-+\d.,%]+) (\([^()]+ to [^()]+\))")


@cache
def environment() -> Environment:
    """Return the environment of ``templates/``: HTML is escaped, missing names are errors."""
    import jinja2  # noqa: PLC0415 - only pages need it

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("pneumoscope.report"),
        autoescape=jinja2.select_autoescape(["html"], default_for_string=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        cell=lambda text: " ".join(text.replace("|", "\\|").split()),  # of a Markdown table
        data_uri=_data_uri,
        file_name=lambda path: Path(str(path)).name,
        fmt=lambda value, how=",": format(value, how),
        is_wide=_is_wide,
        known=lambda value, how: "none" if value is None else format(value, how),
        level=level_text,
        method=method_text,
        numeric_columns=_numeric_columns,
        pairs=_pairs,
        paragraphs=_paragraphs,
        sentence=sentence,
        share=lambda value: "not defined" if value is None else format(value, ".1%"),
        value_and_range=_value_and_range,
    )
    return made


def texts(file: str, entry: str, **facts: object) -> dict[str, str]:
    """Return the texts of an entry of a YAML file of this package, with variables filled in.

    White space does not count; empty lines separate paragraphs.

    >>> texts("sections.yaml", "augmentation")["title"]
    'Augmentation'
    """
    keys = (key for key, text in read_yaml(file)[entry].items() if isinstance(text, str))
    return {key: text_of(file, entry, key, facts) for key in keys}


def text_of(file: str, entry: str, key: str, facts: Mapping[str, object]) -> str:
    """Return one text of an entry; see ``texts``."""
    return "\n\n".join(_paragraphs(_template(read_yaml(file)[entry][key]).render(facts)))


def table_from(entry: str, rows: Iterable[object], **facts: object) -> Table:
    """Return the table of a section in ``sections.yaml``.

    Args:
        entry: The key of the section, whose ``columns`` are titles with what is in the cells.
        rows: The value of each row, which is ``row`` in a cell; a tuple's items are ``row[0]``, ….
        facts: What titles and cells are filled in with besides.
    """
    columns = read_yaml("sections.yaml")[entry]["columns"]
    header = tuple(_template(title).render(facts) for title in columns)
    cells = [_template(text) for text in columns.values()]
    return header, tuple(tuple(cell.render(facts, row=row) for cell in cells) for row in rows)


@cache
def _template(text: str) -> Template:
    return environment().overlay(autoescape=False).from_string(text)


@cache
def read_yaml(file: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a YAML file of this package."""
    import yaml  # noqa: PLC0415 - only pages need it

    place = resources.files("pneumoscope.report").joinpath(file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if it was built
    found: dict[str, dict[str, Any]] = loader(place.read_text(encoding="utf-8")).get_single_data()
    return found


def _pairs(
    values: Mapping[str, Any], keys: Sequence[str] = (), between: str = ", ", *, empty: bool = True
) -> str:
    """Return values with their names.

    Args:
        values: By name.
        keys: Which of them; all if none are named.
        between: What stands between two.
        empty: Whether empty values and zeros are named, too.
    """
    return between.join(
        f"{key} {values[key]:g}" if isinstance(values[key], float) else f"{key} {values[key]}"
        for key in keys or values
        if empty or values.get(key)
    )


def sentence(text: str) -> str:
    """Capitalise a text and end it with a full stop.

    >>> sentence("no test images")
    'No test images.'
    """
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def _value_and_range(cell: str) -> tuple[str, str]:
    """Split a number from its interval, which is kept on one line."""
    found = _RANGE.fullmatch(cell)
    return (found[1], found[2]) if found else (cell, "")


def _numeric_columns(table: Table) -> list[bool]:
    """Return for each column whether it holds numbers, which are right-aligned."""
    header, rows = table
    return [
        bool(rows) and all(_NUMERIC.fullmatch(row[column].strip()) for row in rows)
        for column in range(len(header))
    ]


def _is_wide(table: Table) -> bool:
    """Return whether a table is too wide for phones and becomes a list there."""
    header, rows = table
    ranges = any(_RANGE.fullmatch(cell) for row in rows for cell in row)
    return len(header) > 3 or (len(header) == 3 and ranges)


def _data_uri(image: bytes) -> str:
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")
