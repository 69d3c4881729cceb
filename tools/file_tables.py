"""Write the tables of docs/reference/files.md that tell of a dataclass: its fields, as documented.

``python tools/file_tables.py`` writes them anew, between marks that name them; a test compares.
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
    """Return what each field of a class means, by ``Attributes`` or ``Args`` of its docstring."""
    said = re.split(r"^(?:Attributes|Args):\n", inspect.getdoc(kind) or "", flags=re.MULTILINE)[-1]
    return {
        name: " ".join(text.split()).replace("``", "`").rstrip(".")
        for name, text in _ATTRIBUTE.findall(said)
    }


def _fields(kind: type, value: Any = None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and meaning of each field; of one that is a dataclass, its fields follow."""
    known, kinds = meanings(kind), get_type_hints(kind)
    for item in dataclasses.fields(kind):
        words = [f"`{word}`" for word in get_args(kinds[item.name]) if isinstance(word, str)]
        choice = f" ({', '.join(words)})" if words else ""
        yield prefix + item.name, known[item.name] + choice
        inner = getattr(value, item.name, None)
        if dataclasses.is_dataclass(inner):
            yield from _fields(type(inner), inner, f"{prefix}{item.name}.")


def _value(recipe: Recipe, name: str) -> str:
    found: Any = recipe
    for part in name.split("."):
        found = getattr(found, part)
    if dataclasses.is_dataclass(found):
        return ""
    if isinstance(found, Mapping):
        return ", ".join(f"{key} {value}" for key, value in found.items()) or "none"
    if found is None or isinstance(found, bool):
        return {None: "null", True: "true", False: "false"}[found]
    return f"`{found}`" if isinstance(found, str) else f"{found:.4g}"


def _recipe_fields(plain: Recipe) -> Iterator[tuple[str, str, str]]:
    """Yield name, meaning and place of each field: files name those of a part without the part."""
    for name, meaning in _fields(Recipe):
        part = getattr(plain, name)
        if dataclasses.is_dataclass(part):
            for inner, own in _fields(type(part), part):
                yield inner, own, f"{name}.{inner}"
        else:
            yield name, meaning, name


def recipe_table() -> str:
    """Return the keys of a recipe: their meaning, their default, and what presets set."""
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
    """Return the fields of a class and their meaning."""
    rows = [f"| `{name}` | {_cell(meaning)} |" for name, meaning in _fields(kind)]
    return "\n".join(["| column | value |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def written(page: str) -> str:
    """Return the page with its tables made anew."""
    tables = {
        "Recipe": recipe_table(),
        "Epoch": table(Epoch),
        "DicomRecord": table(DicomRecord),
        "Entry": table(Entry),
    }
    for name, text in tables.items():
        marked = re.search(rf"<!-- {name}: .*? -->\n\n(.*?)\n\n<!-- end -->", page, re.DOTALL)
        if marked is None:
            raise ValueError(f"{PAGE}: the marks of {name} are not there")
        page = page[: marked.start(1)] + text + page[marked.end(1) :]
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
