"""The service's end of a worker's socket, as an asyncio protocol.

Answers arrive by callback. Streams and tasks would wake the event loop several times for each
image, which costs more than everything else that the service does for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from pneumoscope.serve.channel import LENGTHS, head_of


class Link(asyncio.Protocol):
    """Messages to and from one worker process.

    Attributes:
        lost: Done when the socket was closed, by either side.
        on_message: Called with the fields and the bytes of each message.
    """

    def __init__(self, on_message: Callable[[dict[str, Any], bytes], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_message = on_message
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for the end."""
        del exc
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Collect a message; report it when it is whole."""
        self._received += data
        while len(self._received) >= LENGTHS.size:
            text_size, size = LENGTHS.unpack_from(self._received)
            text_end = LENGTHS.size + text_size
            if len(self._received) < text_end + size:
                return
            fields = json.loads(self._received[LENGTHS.size : text_end])
            content = bytes(self._received[text_end : text_end + size])
            del self._received[: text_end + size]
            self.on_message(fields, content)

    def send(self, fields: dict[str, Any], content: Sequence[bytes | bytearray]) -> None:
        """Send a message; a process that is gone is reported through ``lost``."""
        assert self._transport is not None  # noqa: S101 - it was connected
        self._transport.writelines((head_of(fields, sum(map(len, content))), *content))

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.abort()
