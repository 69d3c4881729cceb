"""One builder at a time: others wait, and find what it built."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Wait until no other process is in such a block with the same place.

    The system frees the lock of a process that ends, however it ends. Where a file system knows no
    locks, or on Windows, nobody waits.

    Args:
        place: A file that is made for the time of the block.

    Raises:
        OSError: It cannot be made.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    while True:
        file = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, place):  # its holder removed it, and others may hold a new one
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    place.unlink()
            return
        finally:
            os.close(file)


def _is_at(file: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), place.stat())
    except FileNotFoundError:
        return False
