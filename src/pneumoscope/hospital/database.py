"""The SQLite file of the queue: serialised transactions and concurrent queries."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneumoscope.hospital.rows import SCHEMA

_BUSY_SECONDS = 60.0  # while another process, such as `node requeue`, writes


class Database:
    """An SQLite file; safe to use from any thread.

    Args:
        path: The file, which is created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = _opened(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(SCHEMA)
        # Queries use a separate connection, so that they do not wait for the disk.
        self._asking_lock = threading.Lock()
        self._asking = _opened(path)

    def close(self) -> None:
        """Close the database."""
        with self._lock, self._asking_lock:
            self._asking.close()
            self._connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run a transaction that survives the end of the process and, if durable, a power loss."""
        with self._lock:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite rolls back after some errors itself
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query."""
        with self._asking_lock:
            return self._asking.execute(query, values).fetchall()


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, check_same_thread=False, isolation_level=None, timeout=_BUSY_SECONDS
    )
