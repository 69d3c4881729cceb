"""Deliver objects to destinations, with retries."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pydicom

from pneumoscope.hospital.links import NoCommitmentError
from pneumoscope.hospital.queue import NOT_COMMITTED
from pneumoscope.hospital.receive import note_commitment

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

    from pneumoscope.hospital.links import Link
    from pneumoscope.hospital.queue import Queue
    from pneumoscope.hospital.rows import Delivery
    from pneumoscope.hospital.settings import Destination

LONGEST_SLEEP_SECONDS = 5.0
_POLL_SECONDS = 0.05

_log = logging.getLogger("pneumoscope.hospital")


class Sender(threading.Thread):
    """Delivers the objects for one destination.

    Args:
        destination: The destination.
        queue: The queue.
        link: Creates the connection.
    """

    def __init__(self, destination: Destination, queue: Queue, link: Callable[[], Link]) -> None:
        super().__init__(name=f"to {destination.name}", daemon=True)
        self._destination = destination
        self._queue = queue
        self._new_link = link
        self._wake = threading.Event()
        self._ended = threading.Event()

    def wake(self) -> None:
        """Check the queue now."""
        self._wake.set()

    def end(self) -> None:
        """Finish the current object and stop."""
        self._ended.set()
        self._wake.set()
        self.join()

    def run(self) -> None:
        """Send due objects until stopped."""
        link = self._new_link()
        while not self._ended.is_set():
            try:
                # Objects being sent when a node ended, or its disk was full, may have arrived.
                self._queue.interrupted(self._destination.name)
                while not self._ended.is_set():
                    self._deliver(link)
            except sqlite3.Error as fault:
                self._note("queue_fault", str(fault))
                self._ended.wait(LONGEST_SLEEP_SECONDS)
        link.close()

    def _deliver(self, link: Link) -> None:
        """Send what is due, and wait for more."""
        self._wake.clear()
        batch = self._queue.due(self._destination.name)
        for delivery in batch:
            if self._ended.is_set():
                return
            self._send(link, delivery)
        if batch:
            return
        if self._destination.commitment:
            self._ask(link)
        # The association remains open for further objects, since opening one takes longer than
        # sending a report.
        if not self._wake.wait(self._pause()):
            link.close()

    def _pause(self) -> float:
        """Return the seconds until the next delivery is due."""
        due = self._queue.next_due(self._destination.name)
        until = LONGEST_SLEEP_SECONDS if due is None else due - time.time()
        return min(max(until, 0.01), LONGEST_SLEEP_SECONDS)

    def _ask(self, link: Link) -> None:
        """Ask the destination for storage commitment."""
        pending = self._queue.uncommitted(self._destination.name)
        if not pending:
            return
        self._queue.mark_requested(pending)
        try:
            response = link.ask_commitment(
                pending, lambda: self._ended.is_set() or self._queue.state_of(pending[0]) != "sent"
            )
        except (OSError, RuntimeError) as fault:
            self._note("commitment_not_asked", str(fault))
            return
        if response is not None:
            note_commitment(self._queue, response, [self._destination.name])

    def _note(self, event: str, reason: str) -> None:
        facts = {"destination": self._destination.name, "reason": reason}
        _log.warning(event, extra={"facts": facts})

    def _send(self, link: Link, delivery: Delivery) -> None:
        self._queue.mark_sending(delivery)
        try:
            data = pydicom.dcmread(delivery.path)
            # It may have arrived the last time, although there was no response.
            again = delivery.error not in {"", NOT_COMMITTED}
            error = "" if again and self._is_there(link, data, delivery) else link.send(data)
        except Exception as fault:  # pynetdicom, pydicom and requests raise many kinds
            link.close()
            error = str(fault) or type(fault).__name__
        if not error:
            self._accepted(delivery)
            return
        facts = {"destination": self._destination.name, "uid": delivery.uid, "reason": error}
        _log.warning("not_accepted", extra={"facts": facts})
        self._queue.mark_refused(delivery, error, self._destination)

    def _accepted(self, delivery: Delivery) -> None:
        """Record that the destination has the object, before anything else is done."""
        while True:
            try:
                self._queue.mark_sent(delivery)
            except sqlite3.Error as fault:
                self._note("queue_fault", str(fault))
                if self._ended.wait(1.0):
                    raise
            else:
                return

    def _is_there(self, link: Link, data: Dataset, delivery: Delivery) -> bool:
        """Return whether the destination has an object that may have been sent before.

        The query is C-FIND or QIDO-RS, otherwise storage commitment if the destination offers it.

        Raises:
            OSError: The destination cannot be reached; the query must be repeated later.
        """
        there = link.has(data)
        if there is not None or not self._destination.commitment:
            return bool(there)
        try:
            response = link.ask_commitment(
                [delivery], lambda: self._queue.state_of(delivery) != "sending"
            )
        except NoCommitmentError as fault:
            self._note("commitment_not_asked", str(fault))
            return False
        if response is not None:
            note_commitment(self._queue, response, [self._destination.name])
        end = time.monotonic() + self._destination.seconds
        while time.monotonic() < end and not self._ended.is_set():
            state = self._queue.state_of(delivery)
            if state == "committed":
                return True
            if state != "sending":  # it is not stored and must be sent
                self._queue.mark_sending(delivery)
                return False
            time.sleep(_POLL_SECONDS)
        return False
