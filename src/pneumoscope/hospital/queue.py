"""The durable queue of a node, in SQLite.

There is a row for each image (``received`` → ``reading`` → ``read`` → ``done``), and a row for each
object and destination (``waiting`` → ``sending`` → ``sent`` → ``committed``, or ``dead``). Each
step is one transaction, and files are written to disk before the rows that refer to them, so that
the process may be killed at any moment. The state of deliveries also survives a power failure; the
other steps may be repeated after one, without effect.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.hospital.database import Database
from pneumoscope.hospital.rows import Delivery, Image, Output

if TYPE_CHECKING:
    from pneumoscope.hospital.settings import Destination

LONGEST_PAUSE_SECONDS = 3600.0
ASK_AGAIN_SECONDS = 3600.0
NOT_COMMITTED = "not committed"
INTERRUPTED = "interrupted"

_DELIVERY = "id, kind, uid, class, path, destination, state, attempts, error"


class Queue(Database):
    """The database of a node; safe to use from any thread.

    Args:
        path: The file, which is created if it does not exist.
        quiet_seconds: Objects are due once no image of their study has arrived for this time.
    """

    def __init__(self, path: Path, *, quiet_seconds: float = 0.0) -> None:
        super().__init__(path)
        self._quiet = quiet_seconds

    # Images

    def add(self, uid: str, *, study: str, path: Path, sender: str) -> bool:
        """Add an image; return whether it is new.

        A power failure may undo this, but the file survives it and is added at the next start.

        Args:
            uid: SOP Instance UID.
            study: Study Instance UID.
            path: File on disk.
            sender: The calling AE title.
        """
        now = time.time()
        with self.transaction(durable=False) as connection:
            found = connection.execute(
                "INSERT OR IGNORE INTO images (uid, study, path, sha256, sender, received)"
                " VALUES (?, ?, ?, '', ?, ?)",
                (uid, study, str(path), sender, now),
            )
            if self._quiet and found.rowcount:  # the study continues
                connection.execute(
                    "UPDATE deliveries SET due = ? WHERE state = 'waiting' AND attempts = 0"
                    " AND image IN (SELECT id FROM images WHERE study = ?)",
                    (now + self._quiet, study),
                )
            return found.rowcount == 1

    def known(self, uid: str) -> tuple[Path, str] | None:
        """Return the file and the hash of the image with this UID; None if there is none.

        The hash is empty until the image is read; the file is removed once everything is delivered.
        """
        rows = self.rows("SELECT path, sha256 FROM images WHERE uid = ?", (uid,))
        return (Path(rows[0][0]), rows[0][1]) if rows else None

    def unknown(self, paths: Sequence[Path]) -> list[Path]:
        """Return the files that belong to no image of the queue."""
        marks = ", ".join("?" * len(paths))
        query = f"SELECT path FROM images WHERE path IN ({marks})"  # noqa: S608 - only marks
        known = {path for (path,) in self.rows(query, [str(path) for path in paths])}
        return [path for path in paths if str(path) not in known]

    def take_image(self) -> Image | None:
        """Return the next image to read, None if there is none.

        It remains reserved until it is marked as read, or the node starts again.
        """
        # If a power failure undoes this, the image is read again.
        with self.transaction(durable=False) as connection:
            row = connection.execute(
                "SELECT id, uid, path, attempts FROM images WHERE state = 'received'"
                " ORDER BY id LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE images SET state = 'reading', attempts = attempts + 1 WHERE id = ?",
                (row[0],),
            )
        return Image(row[0], row[1], Path(row[2]), row[3] + 1)

    def finish(
        self,
        image: Image,
        record: dict[str, Any],
        deliveries: Sequence[tuple[Output, Destination]],
        *,
        sha256: str,
    ) -> None:
        """Mark an image as read, and queue its objects for sending.

        Args:
            image: The image.
            record: The record of the image.
            sha256: The hash of its file.
            deliveries: Its objects on disk, each with a destination.
        """
        now = time.time()
        with self.transaction(durable=False) as connection:
            connection.execute(
                "UPDATE images SET state = 'read', read = ?, record = ?, sha256 = ? WHERE id = ?",
                (now, json.dumps(record), sha256, image.id),
            )
            due = now
            if self._quiet:
                (last,) = connection.execute(
                    "SELECT MAX(received) FROM images"
                    " WHERE study = (SELECT study FROM images WHERE id = ?)",
                    (image.id,),
                ).fetchone()
                due = max(now, last + self._quiet)
            connection.executemany(
                "INSERT OR IGNORE INTO deliveries"
                " (image, kind, uid, class, path, destination, due, commits)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(image.id, one.kind, one.uid, one.sop_class, str(one.path)),
                        *(to.name, due, to.commitment),
                    )
                    for one, to in deliveries
                ],
            )

    def put_back(self, image: Image) -> None:
        """Record that an image could not be read for lack of resources, such as disk space."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE images SET state = 'received', attempts = attempts - 1 WHERE id = ?",
                (image.id,),
            )

    def delivered(self, *, limit: int = 100) -> list[tuple[int, list[Path]]]:
        """Return images whose objects have all been delivered, with all their files.

        An object is delivered once the destination has accepted it and, if requested, committed to
        its storage.
        """
        rows = self.rows(
            "SELECT id, path FROM images WHERE state = 'read' AND NOT EXISTS ("
            " SELECT 1 FROM deliveries WHERE image = images.id"
            " AND NOT (state = 'committed' OR (state = 'sent' AND NOT commits))"
            ") ORDER BY id LIMIT ?",
            (limit,),
        )
        query = "SELECT DISTINCT path FROM deliveries WHERE image = ?"
        return [
            (number, [Path(path), *(Path(one) for (one,) in self.rows(query, (number,)))])
            for number, path in rows
        ]

    def forget_files(self, number: int) -> None:
        """Record that the files of an image were removed."""
        with self.transaction(durable=False) as connection:
            connection.execute("UPDATE images SET state = 'done' WHERE id = ?", (number,))

    def resume(self) -> int:
        """Requeue the images that an ended node was reading; return their number."""
        with self.transaction() as connection:
            found = connection.execute(
                "UPDATE images SET state = 'received' WHERE state = 'reading'"
            )
            return found.rowcount

    # Deliveries

    def due(self, destination: str, *, limit: int = 50) -> list[Delivery]:
        """Return the due deliveries, the oldest first."""
        return self._deliveries(
            "destination = ? AND state = 'waiting' AND due <= ? ORDER BY due, id LIMIT ?",
            (destination, time.time(), limit),
        )

    def interrupted(self, destination: str) -> int:
        """Resume deliveries that were being sent when a node ended; return their number."""
        with self.transaction() as connection:
            found = connection.execute(
                "UPDATE deliveries SET state = 'waiting', error = ?, due = ?"
                " WHERE destination = ? AND state = 'sending'",
                (INTERRUPTED, time.time(), destination),
            )
            return found.rowcount

    def state_of(self, delivery: Delivery) -> str:
        """Return the current state of a delivery."""
        (found,) = self.rows("SELECT state FROM deliveries WHERE id = ?", (delivery.id,))
        return str(found[0])

    def in_state(self, state: str, *, limit: int = 1000) -> list[Delivery]:
        """Return deliveries in a state, the oldest first."""
        return self._deliveries("state = ? ORDER BY id LIMIT ?", (state, limit))

    def _deliveries(self, where: str, values: Sequence[Any]) -> list[Delivery]:
        rows = self.rows(f"SELECT {_DELIVERY} FROM deliveries WHERE {where}", values)  # noqa: S608
        return [
            Delivery(number, kind, uid, sop_class, Path(path), *rest)
            for number, kind, uid, sop_class, path, *rest in rows
        ]

    def mark_sending(self, delivery: Delivery) -> None:
        """Record that a delivery starts."""
        self._set("state = 'sending', attempts = attempts + 1", delivery)

    def mark_sent(self, delivery: Delivery) -> None:
        """Record that the destination accepted the object."""
        now = time.time()
        # The destination may have committed to its storage before this is recorded.
        state = "CASE state WHEN 'committed' THEN state ELSE 'sent' END"
        self._set(f"state = {state}, error = '', sent = ?, due = ?", delivery, now, now)

    def uncommitted(self, destination: str, *, limit: int = 100) -> list[Delivery]:
        """Return accepted objects for which storage commitment is to be requested."""
        return self._deliveries(
            "destination = ? AND state = 'sent' AND commits AND due <= ? ORDER BY due, id LIMIT ?",
            (destination, time.time(), limit),
        )

    def mark_requested(self, deliveries: Sequence[Delivery]) -> None:
        """Record that commitment was requested; without a response, it is requested again."""
        later = time.time() + ASK_AGAIN_SECONDS
        with self.transaction() as connection:
            connection.executemany(
                "UPDATE deliveries SET due = ? WHERE id = ?",
                [(later, delivery.id) for delivery in deliveries],
            )

    def mark_committed(self, uids: Sequence[str], destinations: Sequence[str]) -> int:
        """Record that a destination committed to objects; return the number of deliveries."""
        return self._answered("state = 'committed', error = ''", uids, destinations)

    def mark_lost(self, uids: Sequence[str], destinations: Sequence[str]) -> int:
        """Record that a destination lacks objects, to send them again; return their number."""
        change = f"state = 'waiting', due = {time.time()}, error = '{NOT_COMMITTED}'"
        return self._answered(change, uids, destinations)

    def _answered(self, change: str, uids: Sequence[str], destinations: Sequence[str]) -> int:
        query = f"UPDATE deliveries SET {change}"  # noqa: S608 - texts of this module
        query += " WHERE uid = ? AND destination = ? AND state IN ('sent', 'sending') AND commits"
        with self.transaction() as connection:
            found = connection.executemany(query, list(itertools.product(uids, destinations)))
            return found.rowcount

    def mark_refused(self, delivery: Delivery, error: str, destination: Destination) -> None:
        """Record a refusal; the delivery is retried later, or dead after too many attempts."""
        attempts = delivery.attempts + 1
        if attempts >= destination.attempts:
            self._set("state = 'dead', error = ?", delivery, error)
            return
        self._set(
            "state = 'waiting', error = ?, due = ?",
            delivery,
            error,
            time.time() + pause(attempts, destination.first_pause),
        )

    def _set(self, change: str, delivery: Delivery, *values: Any) -> None:
        with self.transaction() as connection:
            connection.execute(
                f"UPDATE deliveries SET {change} WHERE id = ?",  # noqa: S608 - texts of this module
                (*values, delivery.id),
            )

    def requeue(self, *, destination: str | None = None) -> int:
        """Queue dead deliveries again; return their number."""
        with self.transaction() as connection:
            found = connection.execute(
                "UPDATE deliveries SET state = 'waiting', attempts = 0, due = ?"
                " WHERE state = 'dead' AND destination = COALESCE(?, destination)",
                (time.time(), destination),
            )
            return found.rowcount

    # Statistics

    def figures(self) -> dict[str, dict[str, int]]:
        """Return the numbers of images and deliveries by state."""
        return {
            table: dict(self.rows(f"SELECT state, COUNT(*) FROM {table} GROUP BY state"))  # noqa: S608
            for table in ("images", "deliveries")
        }

    def by_destination(self) -> list[tuple[str, str, int]]:
        """Return the numbers of deliveries by state, for each destination."""
        return self.rows(
            "SELECT destination, state, COUNT(*) FROM deliveries GROUP BY destination, state"
        )

    def recent(self, seconds: float) -> tuple[int, int]:
        """Return the numbers of images received and read in the last seconds."""
        since = time.time() - seconds
        (found,) = self.rows(
            "SELECT (SELECT COUNT(*) FROM images WHERE received > ?),"
            " (SELECT COUNT(*) FROM images WHERE read > ?)",
            (since, since),
        )
        return found[0], found[1]

    def oldest_seconds(self) -> float:
        """Return the waiting time of the oldest unread image; 0 if there is none."""
        (found,) = self.rows(
            "SELECT MIN(received) FROM images WHERE state IN ('received', 'reading')"
        )
        return 0.0 if found[0] is None else max(0.0, time.time() - found[0])

    def next_due(self, destination: str) -> float | None:
        """Return the time of the next delivery in seconds since the epoch; None if none waits."""
        (found,) = self.rows(
            "SELECT MIN(due) FROM deliveries WHERE destination = ? AND state = 'waiting'",
            (destination,),
        )
        due: float | None = found[0]
        return due


def pause(attempts: int, first: float) -> float:
    """Return the delay after a number of attempts: exponential, with jitter."""
    longest = min(LONGEST_PAUSE_SECONDS, first * 2.0 ** min(attempts - 1, 64))
    return random.uniform(longest / 2, longest)  # noqa: S311 - it only spreads the load
