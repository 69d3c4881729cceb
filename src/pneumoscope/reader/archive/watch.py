"""Watch folders for complete new images, each reported once.

Folders are looked through again and again, since no standard way of being told works on network
drives. A file is ready when its size and modification time did not change from one look to the
next, when it has not been changed for as long before the first look, or when its format shows that
it is whole.
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
"""Markers of JPEG that no length follows."""


def arrivals(
    folders: Sequence[str],
    *,
    interval: float,
    others: Counter[str],
    ended: Callable[[float], bool],
) -> Iterator[Iterator[str | Unlisted]]:
    """Yield the complete new images of each check, and wait until the next.

    Each look must be used up before the next one is asked for.

    Args:
        folders: Where images arrive; files that lie there already come with the first looks.
        interval: Seconds from the end of a look to the next.
        others: Counts the files that are no images, as they were at the last look.
        ended: Waits for so many seconds, and tells whether to end instead; asked between two looks,
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
                if state is None:  # it went away, or will be there again at the next look
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

    JPEG and PNG show it at their end. False for other formats, and for what cannot be read.
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
            # The end marker may be that of a thumbnail: the image itself must have begun.
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
