"""Write files, and tell disk errors from errors of the network or the archive."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO


@contextlib.contextmanager
def written(file: Path) -> Iterator[None]:
    """Turn a disk error into one message.

    Raises:
        OutputError: The block raised ``OSError``.
    """
    try:
        yield
    except OSError as fault:
        raise OutputError(
            f"{file}: cannot be written ({fault.strerror or fault}); free some space, or choose "
            "another folder. The downloaded part is kept; repeat the command to continue."
        ) from fault


def write_all(out: FileIO, chunk: bytes) -> None:
    """Write a chunk completely to an unbuffered file.

    Unbuffered, so that ``close`` cannot fail.

    Raises:
        OSError: The disk is full.
    """
    view = memoryview(chunk)
    while view:
        view = view[out.write(view) :]
