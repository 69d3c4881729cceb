"""A lock that lets one process build while others wait for its result."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Wait until no other process is in a block with the same lock file.

    The system releases the lock of a process that ends, for whatever reason. On file systems
    without locks, and on Windows, processes do not wait.

    Args:
        place: The lock file, which exists for the duration of the block.

    Raises:
        OSError: The file cannot be created.
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
            if not _is_at(file, place):  # removed by its holder; there may be a new one
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
