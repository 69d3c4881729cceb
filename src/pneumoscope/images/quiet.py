"""Parsers that warn of what they read."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def quietly() -> Iterator[None]:
    """Keep warnings of parsers off the screen; what matters in a file is checked here.

    Filters of warnings belong to the whole process, so one thread at a time changes them. Little
    is lost by waiting: the parsing is Python, which runs one thread at a time anyway. A thread may
    enter twice, since one parser calls another.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
