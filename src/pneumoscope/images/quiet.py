"""Silence warnings of parsers."""

from __future__ import annotations

import functools
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress warnings of parsers; relevant problems are checked by this package.

    Any number of threads may enter the block at once, and a thread may enter it twice. Warning
    filters belong to the whole process: the first thread to enter replaces them, the last one to
    leave restores them, and only these two operations are locked. Meanwhile no thread shows
    warnings.
    """
    if getattr(sys.flags, "context_aware_warnings", False):
        # Python 3.14 can have separate filters for each thread; then each thread has to set its
        # own.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        return
    silence = _silence()
    silence.enter()
    try:
        yield
    finally:
        silence.leave()


class _Silence:
    """Ignores all warnings while at least one caller is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()
        if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that is held
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


@functools.cache
def _silence() -> _Silence:
    return _Silence()
