"""A bounded queue of requests that rejects early."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WAIT_SECONDS = 120
"""No client is told to come back later than this."""

_WEIGHT = 0.1  # of the newest image in the mean time an image takes


class BusyError(Exception):
    """The queue is full, or a client has too many requests in progress.

    Attributes:
        retry_after: Whole seconds after which a new attempt is worthwhile.
        reason: Why, in words.
    """

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Admission:
    """Counts the requests in progress and rejects those beyond the limit.

    A place is taken before the body of a request is read, so that memory is bounded by the number
    of places and the size of a body.

    Args:
        places: Requests that may be under way at once.
        per_client: Requests of one client that may be under way at once; None sets no limit.
        workers: Images that are read at once, for the waiting time.

    Attributes:
        taken: Requests in progress.
        places: The limit.
    """

    def __init__(self, places: int, *, per_client: int | None, workers: int) -> None:
        self.places = places
        self.taken = 0
        self._per_client = per_client
        self._workers = workers
        self._clients: Counter[str] = Counter()
        self._image_seconds: float | None = None

    @property
    def full(self) -> bool:
        """Whether the next request would be rejected."""
        return self.taken >= self.places

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Hold a place for a request.

        Args:
            client: Who asks, such as an address.

        Raises:
            BusyError: There is none.
        """
        if self.full:
            raise BusyError(
                f"{self.taken} requests are in progress, which is the limit",
                retry_after=self.retry_after(self.taken),
            )
        if self._per_client is not None and self._clients[client] >= self._per_client:
            raise BusyError(
                f"{self._per_client} requests of this client are in progress, which is the "
                "limit per client",
                retry_after=self.retry_after(self._clients[client]),
            )
        self.taken += 1
        self._clients[client] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def note(self, seconds: float) -> None:
        """Record how long an image occupied a worker."""
        mean = self._image_seconds
        self._image_seconds = seconds if mean is None else (1 - _WEIGHT) * mean + _WEIGHT * seconds

    def retry_after(self, waiting: int) -> int:
        """Return the seconds until a number of requests are done, by the measured rate."""
        seconds = waiting * (self._image_seconds or 0.0) / self._workers
        return min(LONGEST_WAIT_SECONDS, max(1, math.ceil(seconds)))
