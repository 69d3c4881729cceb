"""Reading an archive into one file, in a run that may be killed at any moment and continued.

Records go to a journal beside the file, a JSON object a line, as they come. When the last one is
there, the journal becomes the file. What a killed run leaves is a journal, of which at most the
last line is torn; the next run drops that line, and passes over the images that have one.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from pneumoscope.errors import OptionError, OutputError, nearest
from pneumoscope.reader.inputs import Unlisted
from pneumoscope.reader.records import TEXT_SUFFIXES, TEXT_WRITERS, Record, write_parquet
from pneumoscope.reader.tally import Tally
from pneumoscope.runs import part_pattern, write_json, written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARQUET = "parquet"
FORMATS = (*TEXT_WRITERS, PARQUET)

_JOURNAL = 1
_SYNC_SECONDS = 5.0

Named = TypeVar("Named", bound="str | bytes | Path | Unlisted")


class Archive:
    """The output of one long run; a context manager.

    Args:
        out: The file that the records go to.
        what: What must be the same in a run that is continued: the model, what is read.
        resume: Whether to continue the run that left its journal here.
        file_format: ``json``, ``jsonl``, ``csv`` or ``parquet``; by the suffix of ``out`` if None.

    Attributes:
        done: How many images have a record.
        complete: Whether the file is there already, so that nothing is left to do.

    Raises:
        OptionError: Neither the format nor the suffix is one that can be written.
        OutputError: There is a file or journal already, another process writes to it, the journal
            is of another run, or the place cannot be written.
    """

    def __init__(
        self,
        out: Path,
        what: Mapping[str, Any],
        *,
        resume: bool = False,
        file_format: str | None = None,
    ) -> None:
        self.out = out
        self.journal = out.with_name(out.name + ".journal")
        self.done = 0
        self.complete = False
        self._format = file_format or _format_of(out)
        self._summary = out.with_name(out.name + ".summary.json")
        self._seen: NDArray[np.int64] = np.zeros(0, np.int64)
        self._times: NDArray[np.int32] = np.zeros(0, np.int32)
        self._file: BinaryIO | None = None
        self._synced = time.monotonic()
        if self._format == PARQUET:
            import pyarrow  # noqa: F401, PLC0415 - missing, it must show before hours of reading
        header = {"journal": _JOURNAL, **what}
        with contextlib.ExitStack() as undo, self._named_faults():
            undo.callback(self.__exit__)
            if out.exists() and not self.journal.exists():
                if not resume:
                    raise OutputError(f"{out} exists already; give another --out.")
                self.complete = True
            elif self.journal.exists() and not resume:
                raise OutputError(
                    f"{self.journal}: a run that wrote here was cut off; continue it with "
                    "--resume, or delete that file to begin anew."
                )
            else:
                self._open(header)
            undo.pop_all()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def left(self, items: Iterable[Named]) -> Iterator[Named]:
        """Yield the items that have no record yet; one that is named twice gets two."""
        for item in items:
            path = item.path if isinstance(item, Unlisted) else os.fsdecode(item)
            if not self._takes(path):
                yield item

    def conclusions(self) -> Counter[str]:
        """Return how often each conclusion came up, by the summary of a complete run.

        It is empty if there is none, or if it cannot be read.
        """
        try:
            said = json.loads(self._summary.read_text(encoding="utf-8"))["conclusions"]
            return Counter({str(name): int(count) for name, count in said.items()})
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return Counter()

    def add(self, record: Record) -> None:
        """Write a record; it is safe from a killed process when this returns.

        Raises:
            OutputError: It cannot be written.
        """
        assert self._file is not None  # noqa: S101 - a complete archive gets no records
        with self._named_faults():
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
            # From a machine that loses its power, what is older than this is safe.
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self.done += 1

    def finish(self, tally: Tally) -> None:
        """Turn the journal into the file, and count every record of it.

        Beside the file, ``….summary.json`` holds the counts.

        Raises:
            OutputError: It cannot be written; the journal stays.
        """

        def counted() -> Iterator[Record]:
            for record in self._records():
                tally.add(record)
                yield record

        with written_whole(self.out) as temporary:
            if self._format == PARQUET:
                write_parquet(temporary, counted())
            else:
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    TEXT_WRITERS[self._format](file, counted())
        write_json(self._summary, tally.to_dict())
        with self._named_faults():
            self.__exit__()
            self.journal.unlink()

    def _open(self, header: Mapping[str, Any]) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.journal, "a+b")  # noqa: PTH123, SIM115 - closed by __exit__
        _lock(self._file, self.journal)
        end = _last_line_end(self._file)
        self._file.truncate(end)
        if end == 0:
            self._file.write(json.dumps(header).encode() + b"\n")
            self._file.flush()
            return
        self._file.seek(0)
        try:
            before = json.loads(self._file.readline())
        except ValueError:
            before = None
        if before != header:
            changed = [key for key in header if not before or before.get(key) != header[key]]
            raise OutputError(
                f"{self.journal}: that run was another one ({', '.join(changed) or 'its options'} "
                "differ); repeat its command with --resume, or give another --out."
            )
        seen = np.fromiter((hash(record["path"]) for record in self._records()), np.int64)
        self._seen, times = np.unique(seen, return_counts=True)
        self._times = times.astype(np.int32)
        self.done = len(seen)
        for torn in self.out.parent.glob(part_pattern(self.out)):
            torn.unlink(missing_ok=True)  # of a run that was killed while it wrote the file
        self._file.seek(0, os.SEEK_END)

    def _records(self) -> Iterator[Record]:
        with self.journal.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, 2):
                try:
                    yield json.loads(line)
                except ValueError as fault:
                    raise OutputError(
                        f"{self.journal}: line {number} is damaged; delete that file to begin anew."
                    ) from fault

    def _takes(self, path: str) -> bool:
        """Return whether a record of this path is there, and take it off."""
        # Hashes of 64 bits, kept sorted: twelve bytes an image, however long its name is.
        wanted = hash(path)
        place = int(np.searchsorted(self._seen, wanted))
        if place == len(self._seen) or int(self._seen[place]) != wanted or not self._times[place]:
            return False
        self._times[place] -= 1
        return True

    @contextlib.contextmanager
    def _named_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            raise OutputError(
                f"{self.journal}: cannot be written ({fault.strerror or fault}); free the place, "
                "then repeat the command with --resume."
            ) from fault


def _format_of(out: Path) -> str:
    suffixes = {**TEXT_SUFFIXES, ".parquet": PARQUET}
    suffix = out.suffix.lower()
    if suffix not in suffixes:
        raise OptionError(
            "--out",
            must=f"a file that ends in {', '.join(suffixes)}",
            was=str(out),
            hint=nearest(suffix, suffixes) if suffix else "Or name the format with --format.",
        )
    return suffixes[suffix]


def _last_line_end(file: BinaryIO) -> int:
    """Return where the last whole line ends, in bytes; 0 if there is none."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        begin = max(0, at - (1 << 16))
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        at = begin
    return 0


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise OutputError(f"{path}: another process is writing here; wait for it.") from fault
    except OSError:  # a file system without locks; then there is none to wait for
        return
