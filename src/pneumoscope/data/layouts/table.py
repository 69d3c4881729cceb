"""Read text tables separated by commas, semicolons, tabs or spaces, also gzipped.

Lines without a reliable separator are split by a regular expression.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pneumoscope.errors import DataError, in_words

DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: values by column, and the line number."""

    values: Mapping[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table on disk: its columns and separator."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    has_header: bool
    line: str = ""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        needed: Collection[str] = (),
        header: Sequence[str] = (),
        delimiter: str = "",
        line: str = "",
    ) -> Table:
        """Open a table; its rows are not read yet.

        Args:
            path: The file; gzipped if its name ends in ``.gz``.
            needed: Columns by which the delimiter is determined.
            header: The columns of a file without a header line.
            delimiter: Separator of columns; if empty, comma, semicolon or tab.
            line: Regular expression that matches a whole line of a file without a header line; its
                named groups are the columns.

        Raises:
            DataError: It cannot be read.
        """
        try:
            with _opened(path) as file:
                first = file.readline().rstrip("\r\n")
        except (OSError, EOFError, UnicodeDecodeError) as fault:
            raise _unreadable(path, fault) from fault
        if line:
            return cls(path, tuple(re.compile(line).groupindex), "", has_header=False, line=line)
        choices = [delimiter] if delimiter else list(DELIMITERS)
        if header:
            return cls(path, tuple(header), choices[0], has_header=False)
        found = {sign: _split(first, sign) for sign in choices}
        fitting = [sign for sign in choices if set(needed) <= set(found[sign])]
        sign = fitting[0] if needed and fitting else max(choices, key=lambda s: len(found[s]))
        return cls(path, tuple(found[sign]), sign, has_header=True)

    def rows(self) -> Iterator[Row]:
        """Yield the rows, with their line numbers.

        Raises:
            DataError: The file cannot be read, or a row without a header has other columns.
        """
        if self.line:
            yield from self._matched()
            return
        with _opened(self.path) as file:
            blank = self.delimiter == " "
            reader = csv.reader(
                file, delimiter=self.delimiter, skipinitialspace=blank,
                quoting=csv.QUOTE_NONE if blank else csv.QUOTE_MINIMAL,
            )  # fmt: skip
            try:
                if self.has_header:
                    next(reader, None)
                for cells in reader:
                    if not any(cells):
                        continue
                    if not self.has_header and len(cells) != len(self.columns):
                        raise DataError(
                            f"{self.path}, line {reader.line_num}: {len(cells)} columns, "
                            f"expected {len(self.columns)} ({' '.join(self.columns)})."
                        )
                    padded = [*cells, *[""] * (len(self.columns) - len(cells))]
                    yield Row(dict(zip(self.columns, padded, strict=False)), reader.line_num)
            except (OSError, EOFError, UnicodeDecodeError, csv.Error) as fault:
                raise _unreadable(self.path, fault) from fault

    def _matched(self) -> Iterator[Row]:
        """Yield the rows of a file whose lines a regular expression splits."""
        pattern = re.compile(self.line)
        try:
            with _opened(self.path) as file:
                for number, line in enumerate(file, 1):
                    text = line.strip()
                    if not text:
                        continue
                    match = pattern.fullmatch(text)
                    if match is None:
                        raise DataError(
                            f"{self.path}, line {number}: not {' '.join(self.columns)}: {text!r}."
                        )
                    yield Row({k: v or "" for k, v in match.groupdict().items()}, number)
        except (OSError, EOFError, UnicodeDecodeError) as fault:
            raise _unreadable(self.path, fault) from fault


def _unreadable(path: Path, fault: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as a CSV file ({in_words(fault)}).")


def _opened(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            raw = gzip.open(path, "rb")  # noqa: SIM115 - the caller closes it
            return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror}).") from fault


def _split(line: str, sign: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=sign), [])]
    except csv.Error:
        return []  # such as an image given instead of a table
