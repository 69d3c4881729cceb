"""How long work tells of itself, without knowing of terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pneumoscope.parallel import Progress


class Watcher:
    """Hears what happens; this one keeps it to itself. The command line has one that prints."""

    def say(self, text: str) -> None:
        """Hear a line of news."""

    def warn(self, text: str) -> None:
        """Hear of something that the user should know before relying on the result."""

    @contextmanager
    def progress(self, title: str, *, unit: str = "images") -> Iterator[Progress]:
        """Give a function to be called as ``progress(done, total)`` while the block runs."""
        del title, unit
        yield _ignore


def _ignore(done: int, total: int) -> None:
    del done, total
