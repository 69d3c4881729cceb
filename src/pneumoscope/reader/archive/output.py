"""Write the results of an archive to one file, in a run that can be resumed.

Records are appended to a journal next to the file, one JSON object per line. After the last one,
the file is written from the journal, which is kept in compressed form. A killed run leaves a
journal, of which at most the last line is incomplete; the next run drops that line and skips the
images that have a line. A finished run is continued from the compressed journal.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from pneumoscope.errors import OptionError, OutputError, nearest
from pneumoscope.reader.archive.inputs import UNFINISHED, Unlisted
from pneumoscope.reader.archive.journal import (
    AGAIN,
    CONTINUED,
    FILE,
    FOLDER,
    last_line_end,
    lines,
    marked,
    state_of,
)
from pneumoscope.reader.archive.summary import RunSummary
from pneumoscope.reader.prediction import ERROR
from pneumoscope.reader.records import (
    TEXT_SUFFIXES,
    TEXT_WRITERS,
    Record,
    text_writer,
    write_parquet,
)
from pneumoscope.runs import lock, part_pattern, sha256_of, write_json, written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARQUET = "parquet"
FORMATS = (*TEXT_WRITERS, PARQUET)

_JOURNAL = 2
_UNKNOWN = -1  # no hash is -1
_SEEN = np.dtype([("path", np.int64), ("file", np.int64), ("error", np.bool_)])
_SYNC_SECONDS = 5.0

Named = TypeVar("Named", bound="str | bytes | Path | Unlisted")


class Archive:
    """The output of one long run; a context manager.

    Args:
        out: The output file.
        what: Properties that must be equal in a continued run: the model, the input.
        resume: Whether to continue an interrupted or finished run.
        retry_errors: Whether to read files that could not be read again, with ``resume``.
        file_format: ``json``, ``jsonl``, ``csv`` or ``parquet``; determined by the suffix of
            ``out`` if None.
        findings: The findings of a multi-label model.

    Attributes:
        done: Number of images with a record.
        complete: Whether the file is complete and no record was added to it.

    Raises:
        OptionError: The format or suffix is not supported.
        OutputError: There is a file or journal already, another process writes to it, the journal
            belongs to another run, the file was changed after it was written, or it cannot be
            written.
    """

    def __init__(
        self,
        out: Path,
        what: Mapping[str, Any],
        *,
        resume: bool = False,
        retry_errors: bool = False,
        file_format: str | None = None,
        findings: Sequence[str] = (),
    ) -> None:
        self.out = out
        self._findings = tuple(findings)
        self.journal = out.with_name(out.name + UNFINISHED)
        self.done = 0
        self.complete = False
        self._format = file_format or _format_of(out)
        self._summary = out.with_name(out.name + ".summary.json")
        self._kept = out.with_name(out.name + ".resume.gz")
        self._header = {"journal": _JOURNAL, **what, "format": self._format}
        self._retry_errors = retry_errors
        # Sorted by the hash of the path: 17 bytes per image, regardless of the length of its name.
        self._seen: NDArray[Any] = np.zeros(0, _SEEN)
        self._taken: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._on_their_way: deque[Record] = deque()
        self._file: BinaryIO | None = None
        self._synced = time.monotonic()
        if self._format == PARQUET:
            import pyarrow  # noqa: F401, PLC0415 - a missing package must be reported early
        with contextlib.ExitStack() as undo, self._named_faults():
            undo.callback(self.__exit__)
            if out.exists() and not self.journal.exists():
                if not resume:
                    raise OutputError(
                        f"{out} exists already; choose another `out`, or read new images with "
                        "`resume`."
                    )
                self._check_kept()
                self.complete = True
                self._remember()
            elif self.journal.exists() and not resume:
                raise OutputError(
                    f"{self.journal}: the run that wrote here was interrupted; continue it with "
                    "`resume`, or delete this file to start again."
                )
            else:
                self._open()
            undo.pop_all()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        # Closing tries to write the remaining data again; that error was reported already, and the
        # next run drops the incomplete line.
        with contextlib.suppress(OSError):
            file.close()

    def left(self, items: Iterable[Named]) -> Iterator[Named]:
        """Yield the items still to be read; records must be added in the same order.

        These are the items without a record, those whose file has changed in size or modification
        time since it was read, and with ``retry_errors`` those that could not be read. A repeated
        item gets two records.
        """
        for item in items:
            path = item.path if isinstance(item, Unlisted) else os.fsdecode(item)
            marks: Record = {FOLDER: True} if isinstance(item, Unlisted) else {FILE: state_of(path)}
            row = self._row_of(path)
            if row is not None:
                seen = self._seen[row]
                now, then = marks.get(FILE), int(seen["file"])
                # The record of a file that was deleted since remains valid.
                same = then in {_UNKNOWN, marked(now)} or (now is None and not seen["error"])
                if same and not (self._retry_errors and seen["error"]):
                    continue
                marks[AGAIN] = True
            self._on_their_way.append(marks)
            yield item

    def conclusions(self) -> Counter[str]:
        """Return the number of records by conclusion."""
        return Counter(record["conclusion"] for record in self._records())

    def add(self, record: Record) -> None:
        """Write a record, which is preserved if the process is killed afterwards.

        Raises:
            OutputError: The record cannot be written.
        """
        if self.complete:
            self._reopen()
        assert self._file is not None  # noqa: S101 - it is open until the end
        marks = self._on_their_way.popleft() if self._on_their_way else {}
        with self._named_faults():
            self._file.write(json.dumps({**record, **marks}).encode() + b"\n")
            self._file.flush()
            # In case of a power failure, older records are safe.
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self.done += AGAIN not in marks

    def finish(self, tally: RunSummary) -> None:
        """Turn the journal into the output file, and summarise all records.

        The counts are written to ``….summary.json``, and the data needed to continue the run to
        ``….resume.gz``.

        Raises:
            OutputError: The file cannot be written; the journal remains.
        """

        def counted() -> Iterator[Record]:
            for record in self._records():
                tally.add(record)
                yield record

        with written_whole(self.out) as temporary:
            if self._format == PARQUET:
                write_parquet(temporary, counted(), findings=self._findings)
            else:
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    text_writer(self._format, self._findings)(file, counted())
        write_json(self._summary, tally.to_dict())
        with self._named_faults():
            self._keep()
            self.__exit__()
            self.journal.unlink()

    def _keep(self) -> None:
        """Write the journal of the finished run, with a line that identifies it."""
        with written_whole(self._kept) as temporary, gzip.open(temporary, "wb", 6) as kept:
            kept.write(json.dumps({"sha256": sha256_of(self.out)}).encode() + b"\n")
            with self.journal.open("rb") as journal:
                shutil.copyfileobj(journal, kept)

    def _check_kept(self) -> None:
        """Raise an error for a finished file that was not written by such a run.

        Raises:
            OutputError: It was not, or the data needed to continue it are missing.
        """
        try:
            with gzip.open(self._kept, "rb") as kept:
                wrote = json.loads(kept.readline())["sha256"]
                before = json.loads(kept.readline())
        except FileNotFoundError as fault:
            raise OutputError(
                f"{self.out} is not the result of a run that can be continued "
                f"({self._kept.name} is missing next to it); choose another `out`."
            ) from fault
        except (EOFError, LookupError, TypeError, ValueError, OSError, zlib.error) as fault:
            raise OutputError(
                f"{self._kept}: damaged, so {self.out.name} cannot be continued; choose another "
                "`out`."
            ) from fault
        self._check_header(before, self.out)
        if wrote != sha256_of(self.out):
            raise OutputError(
                f"{self.out} was modified since it was written, so it cannot be continued; "
                "choose another `out`."
            )

    def _reopen(self) -> None:
        """Restore the journal from the kept one; the finished file stays until replaced."""
        with self._named_faults():
            with written_whole(self.journal) as temporary, temporary.open("wb") as journal:
                with gzip.open(self._kept, "rb") as kept:
                    kept.readline()
                    shutil.copyfileobj(kept, journal)
                journal.flush()
                os.fsync(journal.fileno())
            self._open(remember=False)
        self.complete = False

    def _open(self, *, remember: bool = True) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.journal, "a+b")  # noqa: PTH123, SIM115 - closed by __exit__
        lock(self._file, self.journal)
        end = last_line_end(self._file)
        self._file.truncate(end)
        if end == 0:
            self._file.write(json.dumps(self._header).encode() + b"\n")
            self._file.flush()
            return
        self._file.seek(0)
        try:
            before = json.loads(self._file.readline())
        except ValueError:
            before = None
        self._check_header(before, self.journal)
        if remember:
            self._remember()
        for torn in self.out.parent.glob(part_pattern(self.out)):
            torn.unlink(missing_ok=True)  # of a run that was killed while writing the file
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps({CONTINUED: True}).encode() + b"\n")
        self._file.flush()

    def _check_header(self, before: object, place: Path) -> None:
        if before == self._header:
            return
        known = before if isinstance(before, dict) else {}
        changed = [name for name, value in self._header.items() if known.get(name) != value]
        raise OutputError(
            f"{place}: the run was started with other settings "
            f"({', '.join(changed) or 'its options'}); use the same settings with `resume`, or "
            "choose another `out`."
        )

    def _remember(self) -> None:
        """Record which images have a record."""
        # Continuing invalidates the lines of folders that could not be listed.
        held = (line for line in lines(self._place, packed=self.complete) if FOLDER not in line)
        self._seen = np.fromiter(
            (
                (
                    hash(line["path"]),
                    marked(line[FILE]) if FILE in line else _UNKNOWN,
                    line["conclusion"] == ERROR,
                )
                for line in held
            ),
            _SEEN,
        )
        self._seen.sort(order="path", kind="stable")
        self._taken = np.zeros(len(self._seen), np.bool_)
        self.done = len(self._seen)

    @property
    def _place(self) -> Path:
        return self._kept if self.complete else self.journal

    def _records(self) -> Iterator[Record]:
        """Yield the valid records in order."""
        for line in lines(self._place, packed=self.complete):
            yield {name: value for name, value in line.items() if not name.startswith("_")}

    def _row_of(self, path: str) -> int | None:
        """Take the next row number of a path; None if there is none."""
        wanted = hash(path)
        row = int(np.searchsorted(self._seen["path"], wanted))
        while row < len(self._seen) and int(self._seen["path"][row]) == wanted:
            if not self._taken[row]:
                self._taken[row] = True
                return row
            row += 1
        return None

    @contextlib.contextmanager
    def _named_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            raise OutputError(
                f"{self.journal}: cannot be written ({fault.strerror or fault}); free some space."
            ) from fault


def _format_of(out: Path) -> str:
    suffixes = {**TEXT_SUFFIXES, ".parquet": PARQUET}
    suffix = out.suffix.lower()
    if suffix not in suffixes:
        raise OptionError(
            "out",
            must=f"a file with the extension {', '.join(suffixes)}",
            was=str(out),
            hint=nearest(suffix, suffixes) if suffix else "Or set the format with `format`.",
        )
    return suffixes[suffix]
