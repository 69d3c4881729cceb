"""How a data set is to be read: classes, columns and layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.data.layouts.description import ROLES, TableDescription
from pneumoscope.data.layouts.labels import ClassMap, check_policy
from pneumoscope.errors import OptionError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How a data set is to be read.

    Attributes:
        classes: Which names of the data make up which class; None takes the names as they are.
        uncertain: What an uncertain label counts as: ``ignore``, ``positive`` or ``negative``.
        layout: How the table is read; None finds it by its columns.

    Raises:
        OptionError: An unknown way to count uncertain labels.
    """

    classes: ClassMap | None = None
    uncertain: str = "ignore"
    layout: TableDescription | None = None

    def __post_init__(self) -> None:
        check_policy(self.uncertain)


def parse_map(texts: Sequence[str]) -> dict[str, list[str]]:
    """Parse ``--map`` options; a class that is repeated gets more names.

    >>> parse_map(["PNEUMONIA=BACTERIA,VIRUS", "NORMAL=No Finding"])
    {'PNEUMONIA': ['BACTERIA', 'VIRUS'], 'NORMAL': ['No Finding']}

    Raises:
        OptionError: A text is something else.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        new, sign, rest = text.partition("=")
        names = [name.strip() for name in rest.split(",") if name.strip()]
        if not sign or not new.strip() or not names:
            raise OptionError("class_map", must="CLASS=NAME[,NAME…]", was=text)
        found.setdefault(new.strip(), []).extend(names)
    return found


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Parse ``--columns`` options into role → column.

    >>> parse_columns(["path=file,label=finding"])
    {'path': 'file', 'label': 'finding'}

    Raises:
        OptionError: A text is something else, or path or label is missing.
    """
    found: dict[str, str] = {}
    for text in ",".join(texts).split(","):
        role, sign, column = text.partition("=")
        if not sign or not column.strip() or role.strip() not in ROLES:
            raise OptionError(
                "columns", must="path=COLUMN,label=COLUMN,…", was=text,
                hint=nearest(role.strip(), ROLES),
            )  # fmt: skip
        found[role.strip()] = column.strip()
    for role in ("path", "label"):
        if role not in found:
            raise OptionError("columns", must=f"combined with {role}=COLUMN", was=",".join(texts))
    return found


def data_options(
    *,
    class_map: Mapping[str, Sequence[str]] | None = None,
    uncertain_labels: str | None = None,
    columns: Mapping[str, str] | None = None,
    layout: str | Mapping[str, Any] | None = None,
    inherited: bool = False,
) -> DataOptions:
    """Return the options from plain values, as stored in recipes.

    Args:
        class_map: Class → names in the data.
        uncertain_labels: ``ignore``, ``positive`` or ``negative``; ``ignore`` if None.
        columns: Role → column, in place of a layout.
        layout: The name of a known layout, or the keys of a description.
        inherited: Whether the map comes from a run; see ``ClassMap``.

    Raises:
        OptionError: A value that cannot be.
    """
    from pneumoscope.data.layouts.shipped import known_layout  # noqa: PLC0415 - needs YAML

    if columns and layout:
        raise OptionError("columns", must="omitted if `layout` is given", was=dict(columns))
    if uncertain_labels is not None and not class_map:
        raise OptionError(
            "uncertain_labels", must="combined with `class_map`", was=uncertain_labels
        )
    table: TableDescription | None = None
    if columns:
        table = TableDescription(name="columns", columns=dict(columns))
    elif isinstance(layout, str):
        table = known_layout(layout)
    elif layout is not None:
        table = TableDescription.from_dict(layout)
    return DataOptions(
        classes=ClassMap.of(class_map or {}, inherited=inherited),
        uncertain=uncertain_labels or "ignore",
        layout=table,
    )
