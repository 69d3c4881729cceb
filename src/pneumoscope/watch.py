"""Progress reports, independent of terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pneumoscope.parallel import Progress


class Watcher:
    """Receives progress reports and ignores them; the command line has one that prints."""

    def say(self, text: str) -> None:
        """Receive a message."""

    def warn(self, text: str) -> None:
        """Receive a warning that the user should know before relying on the result."""

    @contextmanager
    def progress(self, title: str, *, unit: str = "images") -> Iterator[Progress]:
        """Return a function to be called as ``progress(done, total)`` inside the block."""
        del title, unit
        yield _ignore


def _ignore(done: int, total: int) -> None:
    del done, total
