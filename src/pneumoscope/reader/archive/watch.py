"""Watch folders for complete new images, each reported once.

Folders are listed repeatedly, since notifications of changes do not work reliably on network
drives. A file is ready when its size and modification time did not change between two checks, when
it had not been changed for as long before the first check, or when its format shows that it is
complete.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pneumoscope.reader.archive.inputs import Unlisted, images_below
from pneumoscope.reader.archive.journal import state_of

_JPEG_START_OF_SCAN = 0xDA
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers of JPEG that are not followed by a length."""


def arrivals(
    folders: Sequence[str],
    *,
    interval: float,
    others: Counter[str],
    ended: Callable[[float], bool],
) -> Iterator[Iterator[str | Unlisted]]:
    """Yield the complete new images of each check, and wait until the next.

    The images of each check must be consumed before the next check.

    Args:
        folders: Folders in which images arrive; existing files are yielded by the first checks.
        interval: Seconds between the end of a check and the next.
        others: Counters of files that are not images, as of the last check.
        ended: Waits for a number of seconds and returns whether to end; called between two checks,
            and with 0 before each image.
    """
    watch = _Watch(folders, interval, others)
    while True:
        yield itertools.takewhile(lambda _: not ended(0), watch.look())
        if ended(interval):
            return


class _Watch:
    def __init__(self, folders: Sequence[str], interval: float, others: Counter[str]) -> None:
        self._folders = folders
        self._interval = interval
        self._others = others
        self._read: set[int] = set()  # hashes of paths
        self._waiting: dict[str, list[int]] = {}
        self._unlisted: set[str] = set()

    def look(self) -> Iterator[str | Unlisted]:
        self._others.clear()
        waiting, unlisted = {}, set()
        for folder in self._folders:
            for found in images_below(folder, others=self._others):
                if isinstance(found, Unlisted):
                    unlisted.add(found.path)
                    if found.path not in self._unlisted:
                        yield found
                    continue
                key = hash(found)
                if key in self._read:
                    continue
                state = state_of(found)
                if state is None:  # it was removed, or will be found by the next check
                    continue
                if state == self._waiting.get(found) or self._is_whole(found, state):
                    self._read.add(key)
                    yield found
                else:
                    waiting[found] = state
        self._waiting, self._unlisted = waiting, unlisted

    def _is_whole(self, path: str, state: list[int]) -> bool:
        size, changed_ns = state
        if size == 0:
            return False
        age = time.time() - changed_ns / 1e9
        return age > max(self._interval, 1.0) or is_whole(path)


def is_whole(path: str) -> bool:
    """Return whether a file contains its complete image, by its format.

    JPEG and PNG have an end marker. False for other formats and unreadable files.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
            file.seek(-min(12, os.fstat(file.fileno()).st_size), os.SEEK_END)
            end = file.read(12)
            if start == b"\x89PNG\r\n\x1a\n":
                return end == b"\0\0\0\0IEND\xaeB`\x82"
            if not start.startswith(b"\xff\xd8\xff") or not end.endswith(b"\xff\xd9"):
                return False
            # The end marker may belong to a thumbnail, so the image itself must have begun.
            position = 2
            while True:
                file.seek(position)
                head = file.read(4)
                if len(head) < 4 or head[0] != 0xFF:
                    return False
                if head[1] == _JPEG_START_OF_SCAN:
                    return True
                if head[1] == 0xFF:
                    position += 1
                elif head[1] in _JPEG_ALONE:
                    position += 2
                else:
                    position += 2 + int.from_bytes(head[2:4], "big")
    except OSError:
        return False
