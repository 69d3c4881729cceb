"""The description of a table of images: columns, labels and image paths."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import yaml

from pneumoscope.errors import DataError, OptionError, nearest

Encoding = Literal["one", "separated", "list", "columns"]
Repeat = Literal["merge", "union"]

FRONTAL: Final = (
    "PA", "AP", "frontal", "AP supine", "AP erect", "AP horizontal", "posteroanterior",
    "anteroposterior", "postero-anterior", "antero-posterior",
)  # fmt: skip
"""Views that count as frontal by default."""

ROLES: Final = ("path", "label", "patient", "study", "view", "split")
"""Roles of columns."""

_FIELD = re.compile(r"\{([^{}:]+)(?::(\d+))?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDescription:
    """How to read a table of images; ``docs/reference/layouts.md`` explains the keys.

    Attributes:
        name: Name of the layout.
        title: Name of the data set.
        tables: File name pattern → part of its rows; empty if a column or a list determines it, or
            if there are no parts.
        first_only: Read only the tables of the first pattern that matches.
        header: Names of the columns of a table without a header line.
        delimiter: Separator of columns; if empty, comma, semicolon or tab, whichever fits.
        line: Regular expression that matches a whole line, for tables without a header line and
            without a separator; its named groups are the columns.
        columns: Role (``path``, ``label``, ``patient``, ``study``, ``view``, ``split``) → column.
        encoding: ``one`` name; names ``separated``; a ``list`` as Python writes it; ``columns``,
            one per finding.
        separator: Separator of names, for ``separated``.
        findings: The columns of findings, for ``columns``; empty for all columns without a role
            that are not in ``not_findings``.
        present: Values for a finding that is present, for ``columns``.
        uncertain: Values for an uncertain finding.
        absent: Values for an absent finding; any other value counts as no label.
        values: Value in the label column, or column for ``columns``, → name.
        not_findings: Names or columns that are not findings.
        known_labels: The layout applies only to tables whose labels are all among these.
        repeat: Several rows of one image: ``merge`` equal rows, with an error for contradictory
            ones, or use the ``union`` of their findings (one row per box, or per radiologist).
        image: Possible paths of an image, relative to the folder of the table, tried in order:
            ``{column}`` is a value, ``{column:2}`` its first two characters.
        find: Search the folder and its subfolders for the file name.
        suffixes: Suffixes that are tried at the end of the path.
        patient_pattern: Extracts the patient from the value of ``path``, as the first group.
        header_patients: Whether PatientID in a DICOM header identifies the patient if the table
            does not.
        study_pattern: Extracts the study in the same way.
        view_pattern: Extracts the view in the same way, if there is no such column.
        frontal: Values of ``view`` that are frontal.
        lists: File name → part, for files with one value of ``path`` per line.
        joins: File name pattern → the column by which its rows are joined.
        suggest: Class → names, for the message that explains how to map labels.

    Raises:
        OptionError: An invalid value.
    """

    name: str
    title: str = ""
    tables: Mapping[str, str] = field(default_factory=dict)
    first_only: bool = False
    header: tuple[str, ...] = ()
    delimiter: str = ""
    line: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    encoding: Encoding = "separated"
    separator: str = "|"
    findings: tuple[str, ...] = ()
    present: tuple[str, ...] = ("1", "1.0")
    uncertain: tuple[str, ...] = ("-1", "-1.0")
    absent: tuple[str, ...] = ("0", "0.0")
    values: Mapping[str, str] = field(default_factory=dict)
    not_findings: tuple[str, ...] = ()
    known_labels: tuple[str, ...] = ()
    repeat: Repeat = "merge"
    image: tuple[str, ...] = ()
    find: bool = False
    suffixes: tuple[str, ...] = ("",)
    patient_pattern: str = ""
    header_patients: bool = True
    study_pattern: str = ""
    view_pattern: str = ""
    frontal: tuple[str, ...] = FRONTAL
    lists: Mapping[str, str] = field(default_factory=dict)
    joins: Mapping[str, str] = field(default_factory=dict)
    suggest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value, known in (
            ("encoding", self.encoding, get_args(Encoding)),
            ("repeat", self.repeat, get_args(Repeat)),
        ):
            if value not in known:
                raise OptionError(
                    f"{key} of a layout",
                    must=f"one of {', '.join(known)}",
                    was=value,
                    hint=nearest(str(value), known),
                )
        for role in self.columns:
            if role not in ROLES:
                raise OptionError(
                    "columns",
                    must=f"a mapping from {', '.join(ROLES)} to column names",
                    was=role,
                    hint=nearest(role, ROLES),
                )
        if "path" not in self.columns and not self.image:
            raise OptionError(
                "columns", must="a mapping with a column for path", was=dict(self.columns)
            )
        if "label" not in self.columns and self.encoding != "columns":
            raise OptionError(
                "columns", must="a mapping with a column for label", was=dict(self.columns)
            )
        for pattern in (self.patient_pattern, self.study_pattern, self.view_pattern):
            _compiled(pattern)
        if self.line and not _compiled(self.line).groupindex:
            raise OptionError(
                "line of a layout", must="a regular expression with named groups", was=self.line
            )

    @property
    def needed(self) -> set[str]:
        """The columns that a table must have."""
        own = {self.columns[role] for role in ("path", "label") if role in self.columns}
        fields = {name for text in self.image[:1] for name, _ in _FIELD.findall(text)}
        findings = (self.findings or self.known_labels) if self.encoding == "columns" else ()
        return own | (fields - {"split", "path"}) | set(findings[:1])

    def image_paths(self, row: Mapping[str, str], *, part: str) -> list[str]:
        """Return the possible paths of a row's image, the most likely first.

        Args:
            row: Column → value.
            part: Part of the row, for ``{split}``.
        """
        value = (row.get(self.columns.get("path", "")) or "").strip()
        known = {"split": part, "path": value}

        def filled(found: re.Match[str]) -> str:
            text = known.get(found[1], (row.get(found[1]) or "").strip())
            return text[: int(found[2])] if found[2] else text

        paths = [_FIELD.sub(filled, text) for text in self.image] or [value]
        return [path + suffix for path in paths for suffix in self.suffixes]

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that differ from their defaults as plain values."""
        found: dict[str, Any] = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            default = (
                item.default
                if item.default is not dataclasses.MISSING
                else item.default_factory()
                if item.default_factory is not dataclasses.MISSING
                else None
            )
            if value != default:
                found[item.name] = _plain_value(value)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TableDescription:
        """Return the description written by ``to_dict``.

        Raises:
            OptionError: An unknown key, or an invalid value.
        """
        fields = {item.name: str(item.type) for item in dataclasses.fields(cls)}
        plain: dict[str, Any] = {}
        for key, value in values.items():
            if key not in fields:
                raise OptionError(
                    "layout", must="a mapping with known keys", was=key, hint=nearest(key, fields)
                )
            plain[key] = _typed(key, value, fields[key])
        if "name" not in plain:
            raise OptionError("layout", must="a mapping with the key name", was=list(values))
        return cls(**plain)

    @classmethod
    def load(cls, path: Path) -> TableDescription:
        """Read a description from a YAML file.

        Raises:
            DataError: The file cannot be read.
            OptionError: An unknown key, or an invalid value.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            raise DataError(f"{path}: not a readable layout ({fault}).") from fault
        if not isinstance(values, dict):
            raise DataError(f"{path}: not a layout; expected keys such as columns and encoding.")
        return cls.from_dict({"name": path.stem, **values})


def _typed(key: str, value: Any, kind: str) -> Any:
    if kind.startswith("Mapping"):
        if not isinstance(value, Mapping):
            raise OptionError(f"{key} of a layout", must="a mapping of keys to values", was=value)
        if key == "suggest":
            return {str(new): tuple(map(str, names)) for new, names in value.items()}
        return {str(name): str(item) if item is not None else "" for name, item in value.items()}
    if kind.startswith("tuple"):
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(map(str, items))
    if kind == "bool":
        if not isinstance(value, bool):
            raise OptionError(f"{key} of a layout", must="true or false", was=value)
        return value
    if not isinstance(value, str):
        raise OptionError(f"{key} of a layout", must="a text", was=value)
    return value


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain_value(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        found = re.compile(pattern)
    except re.error as fault:
        raise OptionError(
            "pattern of a layout", must="a regular expression", was=pattern, hint=f"{fault}."
        ) from fault
    if pattern and not found.groups:
        raise OptionError(
            "pattern of a layout",
            must="a regular expression with a group in parentheses",
            was=pattern,
        )
    return found
