"""The queue with many rows."""

from __future__ import annotations

import sqlite3
import time
import tracemalloc
from pathlib import Path

from pneumoscope.hospital.queue import Queue

MANY = 100_000


def _filled(path: Path) -> None:
    Queue(path).close()
    connection = sqlite3.connect(path)
    now = time.time()
    with connection:
        connection.executemany(
            "INSERT INTO images (id, uid, study, path, sha256, sender, state, received, read)"
            " VALUES (?, ?, ?, ?, '', 'CT1', ?, ?, ?)",
            (
                (
                    n,
                    f"1.2.{n}",
                    f"1.2.{n % 900}",
                    f"{n}.dcm",
                    "received" if n > MANY - 9 else "done",
                    now,
                    now,
                )
                for n in range(1, MANY + 1)
            ),
        )
        connection.executemany(
            "INSERT INTO deliveries"
            " (image, kind, uid, class, path, destination, state, due, commits)"
            " VALUES (?, 'report', ?, '', '', 'archive', ?, ?, 0)",
            ((n, f"2.25.{n}", "sent" if n % 2 else "waiting", now - 9) for n in range(1, MANY + 1)),
        )
    connection.close()


def test_a_hundred_thousand_rows_cost_neither_time_nor_memory(tmp_path: Path) -> None:
    """From opening to the first image and the first delivery."""
    path = tmp_path / "queue.sqlite"
    _filled(path)
    started = time.process_time()
    tracemalloc.start()
    queue = Queue(path, quiet_seconds=5.0)
    queue.resume()
    queue.interrupted("archive")
    assert queue.unknown([Path("1.dcm"), Path("new.dcm")]) == [Path("new.dcm")]
    image = queue.take_image()
    assert image is not None
    assert image.id == MANY - 8
    assert len(queue.due("archive")) == 50
    assert queue.next_due("archive") is not None
    assert queue.add("1.3", study="1.2.7", path=tmp_path / "new.dcm", sender="CT1")
    assert queue.known("1.3") == (tmp_path / "new.dcm", "")
    queue.delivered()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    queue.close()
    assert time.process_time() - started < 1.0
    assert peak < 2**20
