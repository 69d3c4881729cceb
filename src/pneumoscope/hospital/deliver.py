"""Objects out, with patience."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import pydicom

from pneumoscope.hospital.queue import NOT_COMMITTED
from pneumoscope.hospital.receive import note_commitment

if TYPE_CHECKING:
    from collections.abc import Callable

    from pneumoscope.hospital.links import Link
    from pneumoscope.hospital.queue import Queue
    from pneumoscope.hospital.rows import Delivery
    from pneumoscope.hospital.settings import Destination

LONGEST_SLEEP_SECONDS = 5.0

_log = logging.getLogger("pneumoscope.hospital")


class Sender(threading.Thread):
    """Delivers what one destination is to get.

    Args:
        destination: Who gets it.
        queue: What has to be sent.
        link: Makes the way to it.
    """

    def __init__(self, destination: Destination, queue: Queue, link: Callable[[], Link]) -> None:
        super().__init__(name=f"to {destination.name}", daemon=True)
        self._destination = destination
        self._queue = queue
        self._new_link = link
        self._wake = threading.Event()
        self._ended = threading.Event()

    def wake(self) -> None:
        """Look into the queue now."""
        self._wake.set()

    def end(self) -> None:
        """Finish the object in hand, and end."""
        self._ended.set()
        self._wake.set()
        self.join()

    def run(self) -> None:
        """Send what is due until it is ended."""
        link = self._new_link()
        while not self._settle(link) and not self._ended.wait(LONGEST_SLEEP_SECONDS):
            pass
        while not self._ended.is_set():
            self._wake.clear()
            batch = self._queue.due(self._destination.name)
            for delivery in batch:
                if self._ended.is_set():
                    break
                self._send(link, delivery)
            if not batch:
                if self._destination.commitment and not self._ended.is_set():
                    self._ask(link)
                # The association stays open for what may follow soon: making one takes longer
                # than sending a report.
                if not self._wake.wait(self._pause()):
                    link.close()
        link.close()

    def _pause(self) -> float:
        """Return the seconds until something is due."""
        due = self._queue.next_due(self._destination.name)
        until = LONGEST_SLEEP_SECONDS if due is None else due - time.time()
        return min(max(until, 0.01), LONGEST_SLEEP_SECONDS)

    def _ask(self, link: Link) -> None:
        """Ask the destination whether it keeps what it accepted."""
        asked = self._queue.uncommitted(self._destination.name)
        if not asked:
            return
        self._queue.mark_asked(asked)
        try:
            said = link.ask_commitment(asked)
        except (OSError, RuntimeError) as fault:
            self._note("commitment_not_asked", str(fault))
            return
        if said is not None:
            note_commitment(self._queue, said, [self._destination.name])

    def _settle(self, link: Link) -> bool:
        """Ask for what was being sent when a node ended, so that nothing is sent twice.

        What the destination cannot be asked for is sent again; it has the same identifier and
        content. Returns whether all is settled: not while the destination is away.
        """
        for delivery in self._queue.unsure(self._destination.name):
            try:
                there = link.has(pydicom.dcmread(delivery.path, stop_before_pixels=True))
            except (OSError, RuntimeError) as fault:
                self._note("not_asked", str(fault))
                return False
            if there:
                self._queue.mark_sent(delivery)
            else:
                self._queue.mark_waiting(delivery)
        return True

    def _note(self, event: str, reason: str) -> None:
        facts = {"destination": self._destination.name, "reason": reason}
        _log.warning(event, extra={"facts": facts})

    def _send(self, link: Link, delivery: Delivery) -> None:
        again = delivery.error not in {"", NOT_COMMITTED}
        self._queue.mark_sending(delivery)
        try:
            data = pydicom.dcmread(delivery.path)
            # It may have arrived the last time, though no answer came.
            error = "" if again and link.has(data) else link.send(data)
        except (OSError, RuntimeError, ValueError) as fault:  # pynetdicom raises all three
            link.close()
            error = str(fault) or type(fault).__name__
        if not error:
            self._queue.mark_sent(delivery)
            return
        facts = {"destination": self._destination.name, "uid": delivery.uid, "reason": error}
        _log.warning("not_accepted", extra={"facts": facts})
        self._queue.mark_refused(delivery, error, self._destination)
