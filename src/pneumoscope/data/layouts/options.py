"""How a data set is to be read: classes, columns and layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.data.layouts.description import ROLES, Encoding, TableDescription
from pneumoscope.data.layouts.labels import ClassMap, check_policy
from pneumoscope.errors import OptionError, nearest, one_of

ALL_FINDINGS = "all"
"""In place of names: every finding that the data name."""

UNLABELLED_POLICIES = ("ignore", "negative")
"""What a finding without a label may count as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How a data set is to be read.

    Attributes:
        classes: Which names of the data make up which class; None takes the names as they are.
        uncertain: What an uncertain label counts as: ``ignore``, ``positive`` or ``negative``.
        layout: How the table is read; None finds it by its columns.
        findings: The findings that an image may have, several at once; empty for all that the data
            name. None for data of one class an image.
        unlabelled: What a finding without a label counts as: ``ignore`` or ``negative``.
        lenient: Whether findings that the data do not have are no error; they are without labels.

    Raises:
        OptionError: An unknown way to count uncertain or missing labels.
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


def parse_findings(text: str) -> tuple[str, ...]:
    """Return the findings that a text names; none for all that the data name.

    >>> parse_findings("Pneumonia, Pleural Effusion"), parse_findings("all")
    (('Pneumonia', 'Pleural Effusion'), ())

    Raises:
        OptionError: It names none, or one twice.
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
        texts: Of the options.
        label: Whether a column of labels is needed.

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
        columns: Role → column, in place of a layout.
        layout: The name of a known layout, or the keys of a description.
        inherited: Whether the map comes from a run; see ``ClassMap``.
        findings: The findings that an image may have, with commas between, or ``all``; None for
            data of one class an image.
        unlabelled: What a finding without a label counts as; ``ignore`` if None.

    Raises:
        OptionError: A value that cannot be.
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
        bare = findings is not None and "label" not in columns  # then a column a finding
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
