"""Evidence pictures in memory, with an expiry time."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict

MOST_BYTES = 64 * 2**20
"""Maximum total size; the oldest pictures are dropped first."""


class EvidenceStore:
    """Keeps pictures under unguessable names.

    Args:
        seconds: Seconds for which a picture is kept.
        most_bytes: Maximum total size of all pictures.
    """

    def __init__(self, *, seconds: float, most_bytes: int = MOST_BYTES) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._pictures: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    @staticmethod
    def new_name() -> str:
        """Return a new unguessable name."""
        return secrets.token_urlsafe(18)

    def put(self, name: str, picture: bytes) -> None:
        """Keep a picture."""
        self._pictures[name] = (time.monotonic() + self._seconds, picture)
        self._bytes += len(picture)
        self._drop_old()
        while self._bytes > self._most_bytes:
            self._drop()

    def get(self, name: str) -> bytes | None:
        """Return a picture, None if it has expired."""
        self._drop_old()
        found = self._pictures.get(name)
        return found[1] if found else None

    def _drop_old(self) -> None:
        now = time.monotonic()
        while self._pictures and next(iter(self._pictures.values()))[0] <= now:
            self._drop()

    def _drop(self) -> None:
        _, (_, picture) = self._pictures.popitem(last=False)
        self._bytes -= len(picture)
