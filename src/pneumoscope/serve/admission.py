"""A bounded queue of requests that rejects early."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_WAIT_SECONDS = 120
"""Maximum waiting time given to a client."""

_WEIGHT = 0.1  # weight of the latest image in the mean time per image


class BusyError(Exception):
    """The queue is full, or a client has too many requests in progress.

    Attributes:
        retry_after: Seconds to wait before a new attempt, an integer.
        reason: The reason, in words.
    """

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Admission:
    """Counts the requests in progress and rejects those beyond the limit.

    A place is taken before the body of a request is read, so that memory is limited by the number
    of places and the maximum size of a body.

    Args:
        places: Maximum number of requests in progress.
        per_client: Maximum number of requests in progress of one client; None for no limit.
        workers: Number of images read in parallel, for estimating the waiting time.

    Attributes:
        taken: Number of requests in progress.
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
        """Reserve a place for a request.

        Args:
            client: Identifier of the client, such as an address.

        Raises:
            BusyError: No place is free.
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
