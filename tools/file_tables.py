"""Generate the tables of docs/reference/files.md that list the documented fields of a dataclass.

``python tools/file_tables.py`` replaces them between the marks that name them; a test compares.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pneumoscope.images.record import DicomRecord
from pneumoscope.models.folder import Entry
from pneumoscope.training.log import Epoch
from pneumoscope.training.recipe import Recipe, recipe_of

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "files.md"

_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_PRESETS = ("seed", "transfer")


def meanings(kind: type) -> dict[str, str]:
    """Return the description of each field, from ``Attributes`` or ``Args`` of the docstring."""
    section = re.split(r"^(?:Attributes|Args):\n", inspect.getdoc(kind) or "", flags=re.MULTILINE)[
        -1
    ]
    return {
        name: " ".join(text.split()).replace("``", "`").rstrip(".")
        for name, text in _ATTRIBUTE.findall(section)
    }


def _fields(kind: type, value: Any = None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and description of each field, and then of the fields of nested dataclasses."""
    known, kinds = meanings(kind), get_type_hints(kind)
    for item in dataclasses.fields(kind):
        words = [f"`{word}`" for word in get_args(kinds[item.name]) if isinstance(word, str)]
        choice = f" ({', '.join(words)})" if words else ""
        yield prefix + item.name, known[item.name] + choice
        inner = getattr(value, item.name, None)
        if dataclasses.is_dataclass(inner):
            yield from _fields(type(inner), inner, f"{prefix}{item.name}.")


def _value(recipe: Recipe, name: str) -> str:
    value: Any = recipe
    for part in name.split("."):
        value = getattr(value, part)
    if dataclasses.is_dataclass(value):
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    return f"{value:.4g}"


def _recipe_fields(plain: Recipe) -> Iterator[tuple[str, str, str]]:
    """Yield name in files, description and dotted path of each field of a recipe."""
    for name, meaning in _fields(Recipe):
        part = getattr(plain, name)
        if dataclasses.is_dataclass(part):
            for inner, own in _fields(type(part), part):
                yield inner, own, f"{name}.{inner}"
        else:
            yield name, meaning, name


def recipe_table() -> str:
    """Return the table of a recipe: key, description, default, and values of the presets."""
    plain = Recipe()
    presets = [recipe_of(name) for name in _PRESETS]
    heads = " | ".join(f"`{name}`" for name in _PRESETS)
    lines = [f"| key | meaning | default | {heads} |", f"|---|---|---|{'---|' * len(presets)}"]
    for name, meaning, place in _recipe_fields(plain):
        default = _value(plain, place)
        own = [_value(preset, place) for preset in presets]
        shown = " | ".join("" if value == default else value for value in own)
        lines.append(f"| `{name}` | {_cell(meaning)} | {default} | {shown} |")
    return "\n".join(lines)


def table(kind: type) -> str:
    """Return the table of a class: fields and descriptions."""
    rows = [f"| `{name}` | {_cell(meaning)} |" for name, meaning in _fields(kind)]
    return "\n".join(["| column | value |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def written(page: str) -> str:
    """Return the page with its tables replaced."""
    tables = {
        "Recipe": recipe_table(),
        "Epoch": table(Epoch),
        "DicomRecord": table(DicomRecord),
        "Entry": table(Entry),
    }
    for name, text in tables.items():
        marked = re.search(rf"<!-- {name}: .*? -->\n\n(.*?)\n\n<!-- end -->", page, re.DOTALL)
        if marked is None:
            raise ValueError(f"{PAGE}: the marks of {name} are missing")
        page = page[: marked.start(1)] + text + page[marked.end(1) :]
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
