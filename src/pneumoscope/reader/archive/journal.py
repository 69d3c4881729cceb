"""The append-only journal of a long run: a header, then one JSON object per line.

In addition to the fields of a record, a line contains ``FILE``, the size and modification time of
the image file before it was read. An image is read again if they have changed; ``AGAIN`` in its new
line means that it replaces the oldest line of that path. Lines of folders that could not be listed
(``FOLDER``) are valid until a line states that the run was continued (``CONTINUED``).
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pneumoscope.errors import OutputError
from pneumoscope.reader.records import Record

FILE, AGAIN, FOLDER, CONTINUED = "_file", "_again", "_folder", "_continued"


def lines(path: Path, *, packed: bool) -> Iterator[Record]:
    """Yield the valid lines, without those of folders and of images that were read again.

    Args:
        path: The journal.
        packed: Whether it is the compressed journal of a finished run, with one more line at the
            start.

    Raises:
        OutputError: A line is damaged.
    """
    replaced: Counter[int] = Counter()
    continued = 0
    for number, line in _all_lines(path, packed=packed):
        if AGAIN in line:
            replaced[hash(line["path"])] += 1
        elif CONTINUED in line:
            continued = number
    for number, line in _all_lines(path, packed=packed):
        if CONTINUED in line or (FOLDER in line and number < continued):
            continue
        if replaced and replaced[key := hash(line["path"])]:
            replaced[key] -= 1
            continue
        yield line


def _all_lines(path: Path, *, packed: bool) -> Iterator[tuple[int, Record]]:
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if number > 1 + packed:
                    yield number, json.loads(line)
        except (ValueError, EOFError, zlib.error) as fault:
            raise OutputError(
                f"{path}: line {number} is damaged; delete this file to start again."
            ) from fault


def state_of(path: str) -> list[int] | None:
    """Return size and modification time (ns) of a file; None if it does not exist."""
    try:
        status = os.stat(path)  # noqa: PTH116 - strings are kept as they are
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def marked(state: object) -> int:
    """Return a number that identifies a result of ``state_of``."""
    return hash(tuple(state)) if isinstance(state, list) else 0


def last_line_end(file: BinaryIO) -> int:
    """Return the end of the last complete line in bytes; 0 if there is none."""
    at = file.seek(0, os.SEEK_END)
    while at > 0:
        begin = max(0, at - (1 << 16))
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        at = begin
    return 0
