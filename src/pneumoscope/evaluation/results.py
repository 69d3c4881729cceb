"""Join the output of ``predict --out`` with labels.

Results are a folder of Parquet parts, a Parquet file or a CSV. They are read in batches, and only
rows with a label are kept, so memory grows with the number of labels and not with the archive.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.entries import LeftOut
from pneumoscope.data.layouts.labels import plain
from pneumoscope.errors import DataError, ManyFindingsError, in_words, nearest
from pneumoscope.evaluation.multiclass.results import label_space, probabilities_of
from pneumoscope.evaluation.multiclass.scores import CLASS, GROUP, POSITIVE, PROBABILITY
from pneumoscope.evaluation.question import UNNAMED, Reader
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.reader.policy import NOT_ASSESSABLE, UNCERTAIN
from pneumoscope.reader.prediction import ERROR

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTS = "part-*.parquet"
"""The parts in a folder of results; sorted by name, they are in the order of the archive."""

_PARQUET = ".parquet"
_NEEDED = (
    *("path", "conclusion", "probability", "logit", "threshold"),
    *("rule", "model", "model_version", "model_sha256", "study_uid"),
)
_OF_SEVERAL = ("probabilities",)  # missing in results of older versions and of two classes
_SET_ASIDE = {ERROR, NOT_ASSESSABLE, UNCERTAIN, "", None}
_KNOWN = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "normal": 0, "pneumonia": 1}
"""Spellings of labels, 1 for the positive class; names of the reader's classes take precedence."""

_BATCH = 10_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Results with labels.

    Attributes:
        rows: Rows for ``Scores.of_rows``: ``path``, ``label`` (0 or 1), ``logit``, ``probability``,
            ``patient``, ``study``, ``model_sha256`` and the further columns of the labels.
        reader: Information about the reader in the results.
        unreadable: Number of labelled images that could not be read.
        left_out: Results without probability or label, and labels without a result.
    """

    rows: list[Row]
    reader: Reader
    unreadable: int
    left_out: tuple[LeftOut, ...]


def are_results(place: Path) -> bool:
    """Return whether a path is an output of ``predict --out``: parts, Parquet or CSV."""
    if place.is_dir():
        return next(place.glob(PARTS), None) is not None
    if place.suffix.lower() == _PARQUET:
        return True
    try:
        with place.open(newline="", encoding="utf-8-sig") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return "conclusion" in columns and "label" not in columns


def labelled_results(place: Path, labels: Path | None = None) -> Labelled:
    """Return the results that have a label.

    Args:
        place: A folder of parts, a Parquet file, or a CSV, as written by ``predict --out``.
        labels: A CSV or Parquet table with ``path`` and ``label``, and optionally ``patient``,
            ``study``, ``split`` and columns that define subgroups. Labels are 0 and 1 or the names
            of the classes; paths are those of the results, or relative to the table. If None, the
            label is the innermost folder of the path that is named like a class.

    Raises:
        DataError: A table cannot be read, no image has a label, or a label is not a class.
        ManyFindingsError: The results are of a reader of several findings.
        ModuleNotFoundError: pyarrow is not installed; it comes with the extra ``parquet``.
    """
    facts = _ReaderFacts()
    next(_rows(place), None)  # faults of the results are reported before those of the labels
    table = _Table.read(labels) if labels is not None else None
    kept: list[tuple[Row, Row]] = []
    unlabelled = 0
    for row in _rows(place):
        facts.add(row)
        own = table.of(str(row["path"])) if table else {"label": ""}
        if own is None:
            unlabelled += 1
        else:
            kept.append((row, own))
    facts.settle([row for row, _ in kept])
    positive = facts.positive(own["label"] for _, own in kept)
    without: Counter[str] = Counter()
    rows, named = [], []
    for row, own in kept:
        label = own["label"] if table else _by_folder(str(row["path"]), positive)
        if not label:
            unlabelled += 1
        elif plain(label) not in positive:
            raise DataError(
                f"{labels}: the label {label!r} of {row['path']} is neither 0 nor 1 nor a class "
                "of the reader. "
                f"{nearest(label, [name for name in positive if name[0] not in '01'])}"
            )
        elif row["probability"] in {None, ""}:
            without[str(row["conclusion"])] += 1
        else:
            several = facts.space is not None
            rows.append(_joined(row, own, label=positive[plain(label)], several=several))
            named.append(label)
    if not rows:
        raise DataError(_nothing(place, labels, facts.first))
    if facts.space is not None:
        rows = _by_class(rows, named, facts.space)
    left = [
        *([LeftOut("results without a label", unlabelled)] if unlabelled else []),
        *(LeftOut(f"{name}: no probability", n) for name, n in without.items() if name != ERROR),
        *([LeftOut("labels without a result", table.missing)] if table and table.missing else []),
    ]
    return Labelled(rows, facts.reader(place), without[ERROR], tuple(left))


@dataclass(slots=True)
class _ReaderFacts:
    """Facts about the reader in the rows."""

    first: str = ""
    models: set[tuple[str, str, str, str, float]] = field(default_factory=set)
    classes: dict[bool, set[str]] = field(default_factory=lambda: {False: set(), True: set()})
    space: LabelSpace | None = None

    def add(self, row: Row) -> None:
        self.first = self.first or str(row["path"])
        if row["probability"] in {None, ""}:
            return
        threshold = float(row["threshold"])
        name, version, sha256, rule = (
            str(row.get(column) or "")
            for column in ("model", "model_version", "model_sha256", "rule")
        )
        self.models.add((name, version, sha256, rule, threshold))
        if row["conclusion"] not in _SET_ASIDE:
            self.classes[float(row["probability"]) >= threshold].add(str(row["conclusion"]))

    def settle(self, rows: Sequence[Row]) -> None:
        """Determine the classes of a reader of more than two, and which of them are positive.

        Raises:
            DataError: The rows contradict each other.
        """
        read = [row for row in rows if row["probability"] not in {None, ""}]
        if not read or not all(row.get("probabilities") for row in read):
            return
        self.space = label_space(
            [probabilities_of(row["probabilities"]) for row in read],
            [float(row["probability"]) for row in read],
            self.classes[False] | self.classes[True],
        )

    def positive(self, labels: Iterable[str]) -> dict[str, int]:
        """Return the spellings of labels → 1 for the positive class, otherwise 0."""
        found = dict(_KNOWN)
        if self.space is not None:
            groups = zip(self.space.pair, (0, 1), strict=True)
            each = zip(self.space.names, self.space.is_positive, strict=True)
            return found | {plain(name): int(own) for name, own in (*groups, *each)}
        for is_positive, names in self.classes.items():
            found |= {plain(name): int(is_positive) for name in names}
        unknown = sorted({plain(label) for label in labels if label} - found.keys())
        if len(unknown) == 1 and sum(map(bool, self.classes.values())) == 1:
            found[unknown[0]] = int(not self.classes[True])  # it is the conclusion of no image
        return found

    def reader(self, place: Path) -> Reader:
        """Return the facts about the reader; its threshold only if it is the same in all rows."""
        groups = sorted(self.classes[False]), sorted(self.classes[True])
        labels = LabelSpace.of([*groups[0], *groups[1]], groups[1]) if all(groups) else UNNAMED
        labels = self.space or labels
        if len(self.models) != 1:
            return Reader(place.name, labels)
        ((name, version, sha256, rule, threshold),) = self.models
        return Reader(name, labels, version, sha256, point=OperatingPoint(rule, threshold))


@dataclass(slots=True)
class _Table:
    """Labels by path, absolute or relative to the table's folder."""

    rows: dict[str, Row]
    folder: Path
    found: set[str] = field(default_factory=set)
    by_place: dict[str, str] | None = None

    @classmethod
    def read(cls, place: Path) -> _Table:
        rows: dict[str, Row] = {}
        for row in _parquet_rows(place) if place.suffix.lower() == _PARQUET else _csv_rows(place):
            if "path" not in row or "label" not in row:
                raise DataError(f"{place}: a table of labels needs the columns path and label.")
            texts = {name: _text(value) for name, value in row.items() if name}
            before = rows.setdefault(texts["path"], texts)
            if before["label"] != texts["label"]:
                raise DataError(
                    f"{place}: {texts['path']} has two labels, {before['label']} and "
                    f"{texts['label']}."
                )
        if not rows:
            raise DataError(f"{place}: contains no labels.")
        return cls({path: row for path, row in rows.items() if row["label"].strip()}, place.parent)

    @property
    def missing(self) -> int:
        """The number of labels without a result."""
        return len(self.rows) - len(self.found)

    def of(self, path: str) -> Row | None:
        name: str | None = path
        if path not in self.rows:
            if self.by_place is None:
                self.by_place = {
                    os.path.abspath(self.folder / own): own  # noqa: PTH100 - links stay as they are
                    for own in self.rows
                    if "://" not in own
                }
            name = self.by_place.get(os.path.abspath(path))  # noqa: PTH100 - the same
        if name is None:
            return None
        self.found.add(name)
        return self.rows[name]


def _rows(place: Path) -> Iterator[Row]:
    """Yield the rows of results, in the order of the archive."""
    if place.is_dir():
        for part in sorted(place.glob(PARTS)):
            yield from _parquet_rows(part, _NEEDED)
    elif place.suffix.lower() == _PARQUET:
        yield from _parquet_rows(place, _NEEDED)
    else:
        yield from _csv_rows(place)


def _parquet_rows(place: Path, columns: tuple[str, ...] | None = None) -> Iterator[Row]:
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(place) as file:
            _refuse_findings(file.schema_arrow.names)
            missing = set(columns or ()) - set(file.schema_arrow.names)
            if missing:
                raise DataError(
                    f"{place}: has no columns {', '.join(sorted(missing))}; it is not a result "
                    "of `predict`."
                )
            there = [name for name in _OF_SEVERAL if name in file.schema_arrow.names]
            chosen = [*columns, *there] if columns else None
            for batch in file.iter_batches(_BATCH, columns=chosen, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as fault:
        raise DataError(f"{place}: not a readable Parquet file ({in_words(fault)}).") from fault


def _csv_rows(place: Path) -> Iterator[Row]:
    try:
        with place.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _refuse_findings(reader.fieldnames or ())
            yield from reader
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{place}: cannot be read as a CSV file ({in_words(fault)}).") from fault


def _refuse_findings(columns: Iterable[str]) -> None:
    """Raise an error for results of a reader of several findings.

    Raises:
        ManyFindingsError: The results are of a reader of several findings.
    """
    begin = "conclusion "
    findings = [name.removeprefix(begin) for name in columns if name.startswith(begin)]
    if findings:
        raise ManyFindingsError(findings, what="an evaluation of results")


def _text(value: object) -> str:
    """Return a value of a table as text."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _by_folder(path: str, positive: Mapping[str, int]) -> str:
    """Return the innermost folder of a path that is named like a class; empty if none is."""
    names = path.replace("\\", "/").split("/")[:-1]
    return next((name for name in reversed(names) if name and plain(name) in positive), "")


def _joined(row: Row, own: Row, *, label: int, several: bool) -> Row:
    study = own.get("study") or row.get("study_uid") or ""
    each = str(row.get("probabilities") or "")
    return {
        "patient": "",
        **own,
        "path": str(row["path"]),
        "label": str(label),
        "logit": float(row["logit"]),
        "probability": float(row["probability"]),
        "study": str(study),
        "model_sha256": str(row.get("model_sha256") or ""),
        **({"probabilities": probabilities_of(each)} if several else {}),
    }


def _by_class(rows: list[Row], labels: Sequence[str], space: LabelSpace) -> list[Row]:
    """Return rows with the columns of each class, if all labels name one.

    With labels 0, 1 or the group's name, only the metrics of the group are available.
    """
    names = {plain(name): name for name in space.names}
    each = [row.pop("probabilities") for row in rows]
    if not all(plain(label) in names for label in labels):
        return rows
    return [
        {
            **row,
            CLASS: names[plain(label)],
            POSITIVE: "|".join(space.positive),
            GROUP: space.group,
            **{PROBABILITY + name: value for name, value in probabilities.items()},
        }
        for row, probabilities, label in zip(rows, each, labels, strict=True)
    ]


def _nothing(place: Path, labels: Path | None, first: str) -> str:
    if labels is None:
        return (
            f"{place}: no path, such as {first}, contains a folder named like a class; give a "
            "table with `labels`."
        )
    return f"{place}: none of the images, such as {first}, has a label in {labels}."
