"""Options for reading a data set: classes, columns and layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.data.layouts.description import ROLES, Encoding, TableDescription
from pneumoscope.data.layouts.labels import ClassMap, check_policy
from pneumoscope.errors import OptionError, nearest, one_of

ALL_FINDINGS = "all"
"""Instead of names: all findings of the data."""

UNLABELLED_POLICIES = ("ignore", "negative")
"""Ways to count findings without a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Options for reading a data set.

    Attributes:
        classes: The class map; None uses the names unchanged.
        uncertain: How uncertain labels count: ``ignore``, ``positive`` or ``negative``.
        layout: The layout of the table; None detects it by its columns.
        findings: The findings of multi-label data; empty for all findings of the data. None for
            data with one class per image.
        unlabelled: How findings without a label count: ``ignore`` or ``negative``.
        lenient: Whether findings that do not occur in the data have no labels, instead of causing
            an error.

    Raises:
        OptionError: An unknown value for uncertain or missing labels.
    """

    classes: ClassMap | None = None
    uncertain: str = "ignore"
    layout: TableDescription | None = None
    findings: tuple[str, ...] | None = None
    unlabelled: str = "ignore"
    lenient: bool = False

    def __post_init__(self) -> None:
        check_policy(self.uncertain)
        one_of("unlabelled", self.unlabelled, UNLABELLED_POLICIES)


def parse_map(texts: Sequence[str]) -> dict[str, list[str]]:
    """Parse ``--map`` options; repeating a class adds names to it.

    >>> parse_map(["PNEUMONIA=BACTERIA,VIRUS", "NORMAL=No Finding"])
    {'PNEUMONIA': ['BACTERIA', 'VIRUS'], 'NORMAL': ['No Finding']}

    Raises:
        OptionError: A text has another form.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        new, sign, rest = text.partition("=")
        names = [name.strip() for name in rest.split(",") if name.strip()]
        if not sign or not new.strip() or not names:
            raise OptionError("class_map", must="CLASS=NAME[,NAME…]", was=text)
        found.setdefault(new.strip(), []).extend(names)
    return found


def parse_findings(text: str) -> tuple[str, ...]:
    """Parse the names of findings; the result is empty for all findings of the data.

    >>> parse_findings("Pneumonia, Pleural Effusion"), parse_findings("all")
    (('Pneumonia', 'Pleural Effusion'), ())

    Raises:
        OptionError: There is no name, or a name is repeated.
    """
    if text.strip() == ALL_FINDINGS:
        return ()
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise OptionError("findings", must="different names with commas between, or all", was=text)
    return names


def parse_columns(texts: Sequence[str], *, label: bool = True) -> dict[str, str]:
    """Parse ``--columns`` options into role → column.

    >>> parse_columns(["path=file,label=finding"])
    {'path': 'file', 'label': 'finding'}

    Args:
        texts: Values of the options.
        label: Whether a column of labels is required.

    Raises:
        OptionError: A text has another form, or path or label is missing.
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
    for role in ("path", "label") if label else ("path",):
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
    findings: str | None = None,
    unlabelled: str | None = None,
) -> DataOptions:
    """Return the options from plain values, as stored in recipes.

    Args:
        class_map: Class → names in the data.
        uncertain_labels: ``ignore``, ``positive`` or ``negative``; ``ignore`` if None.
        columns: Role → column, instead of a layout.
        layout: The name of a known layout, or the keys of a description.
        inherited: Whether the map comes from a run; see ``ClassMap``.
        findings: The findings of multi-label data, separated by commas, or ``all``; None for data
            with one class per image.
        unlabelled: How findings without a label count; ``ignore`` if None.

    Raises:
        OptionError: An invalid value.
    """
    from pneumoscope.data.layouts.shipped import known_layout  # noqa: PLC0415 - needs YAML

    if columns and layout:
        raise OptionError("columns", must="omitted if `layout` is given", was=dict(columns))
    if findings is not None and class_map:
        raise OptionError("findings", must="left out where `class_map` is given", was=findings)
    if uncertain_labels is not None and not class_map and findings is None:
        raise OptionError(
            "uncertain_labels",
            must="combined with `class_map` or `findings`",
            was=uncertain_labels,
        )
    if unlabelled is not None and findings is None:
        raise OptionError("unlabelled", must="given with `findings`", was=unlabelled)
    table: TableDescription | None = None
    if columns:
        bare = findings is not None and "label" not in columns  # a column for each finding
        encoding: Encoding = "columns" if bare else "separated"
        table = TableDescription(name="columns", columns=dict(columns), encoding=encoding)
    elif isinstance(layout, str):
        table = known_layout(layout)
    elif layout is not None:
        table = TableDescription.from_dict(layout)
    return DataOptions(
        classes=ClassMap.of(class_map or {}, inherited=inherited),
        uncertain=uncertain_labels or "ignore",
        layout=table,
        findings=None if findings is None else parse_findings(findings),
        unlabelled=unlabelled or "ignore",
    )
